/*
 * worker/error_answer.c: each refusal read back with the parsers that a client
 * would use: head, framing, problem JSON.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/body/json.h"
#include "lib/http/framing.h"
#include "worker/error_answer.h"

#define CTX	"1F2E3D"

/* design.md section 7, by hand: the table under test must not say so alone. */
static const struct {
	enum error_code	code;
	const char	*name;
	unsigned	status;
	bool		retry_after;
} want[] = {
	{ ERROR_BAD_REQUEST, "bad-request", 400, false },
	{ ERROR_MALFORMED_BODY, "malformed-body", 400, false },
	{ ERROR_UNSUPPORTED_CONTENT_TYPE, "unsupported-content-type", 415, false },
	{ ERROR_PAYLOAD_TOO_LARGE, "payload-too-large", 413, false },
	{ ERROR_TOO_MANY_FIELDS, "too-many-fields", 413, false },
	{ ERROR_URI_TOO_LONG, "uri-too-long", 414, false },
	{ ERROR_HEADER_TOO_LARGE, "header-too-large", 431, false },
	{ ERROR_EXPECTATION_FAILED, "expectation-failed", 417, false },
	{ ERROR_NOT_IMPLEMENTED, "not-implemented", 501, false },
	{ ERROR_HTTP_VERSION_NOT_SUPPORTED, "http-version-not-supported", 505, false },
	{ ERROR_CLIENT_TIMEOUT, "client-timeout", 408, false },
	{ ERROR_UNAUTHORIZED, "unauthorized", 401, false },
	{ ERROR_PROXY_AUTHENTICATION, "proxy-authentication-required", 407, false },
	{ ERROR_FORBIDDEN_DESTINATION, "forbidden-destination", 403, false },
	{ ERROR_FORBIDDEN_IP, "forbidden-ip-error", 403, false },
	{ ERROR_FORBIDDEN, "forbidden", 403, false },
	{ ERROR_DECRYPT_FORBIDDEN, "decrypt/forbidden", 403, false },
	{ ERROR_RELAY_NOT_FOUND, "relay-not-found", 404, false },
	{ ERROR_RESOURCE_NOT_FOUND, "resource-not-found", 404, false },
	{ ERROR_METHOD_NOT_ALLOWED, "method-not-allowed", 405, false },
	{ ERROR_CONFLICT, "conflict", 409, false },
	{ ERROR_MISDIRECTED_REQUEST, "misdirected-request", 421, false },
	{ ERROR_DECRYPTION, "decryption-error", 422, false },
	{ ERROR_RATE_LIMITED, "rate-limited", 429, true },
	{ ERROR_OVERLOADED, "overloaded", 503, true },
	{ ERROR_NOT_READY, "not-ready", 503, true },
	{ ERROR_ENGINE_UNAVAILABLE, "engine-unavailable", 503, true },
	{ ERROR_SERVICE_UNAVAILABLE, "service-unavailable", 503, true },
	{ ERROR_UPSTREAM_TLS, "upstream-tls-error", 502, false },
	{ ERROR_UPSTREAM_PROTOCOL, "upstream-protocol-error", 502, false },
	{ ERROR_UNSEALABLE_RESPONSE, "unsealable-response", 502, false },
	{ ERROR_REQUEST_TIMEOUT, "request-timeout", 504, false },
	{ ERROR_TUNNEL_LOOP, "tunnel-loop", 508, false },
	{ ERROR_INTERNAL, "internal-server-error", 500, false },
};
#define N_WANT	(sizeof(want) / sizeof(want[0]))

struct answer {
	struct buffer		out;
	struct http_head	head;
	struct http_framing	framing;
	struct span		body;	/* view into out */
};

static void
answer_begin(struct answer *a, enum error_code code, const char *detail,
    bool close, bool head_only)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	buffer_init(&a->out, 0, false);
	http_head_init(&a->head);
	error_answer_put(&a->out, &(struct error_answer){ .code = code,
	    .detail = detail, .ctx = CTX, .close = close,
	    .head_only = head_only });
	assert_int_equal(http_head_response(&a->head, buffer_data(&a->out),
	    buffer_len(&a->out), &limits), RC_OK);
	assert_int_equal(http_framing_response(&a->head, HTTP_GET, &a->framing),
	    RC_OK);
	a->body = (struct span){ buffer_data(&a->out) + a->head.bytes,
	    buffer_len(&a->out) - a->head.bytes };
}

static void
answer_end(struct answer *a)
{
	http_head_fini(&a->head);
	buffer_fini(&a->out);
}

static void
assert_field(const struct http_head *h, const char *name, const char *value)
{
	const struct http_field *f = http_head_field_named(h, name);

	if (value == NULL) {
		assert_null(f);
		return;
	}
	assert_non_null(f);
	assert_true(span_eq_str(f->value, value));
}

static void
assert_member(const struct body_json *doc, const char *name, const char *value)
{
	uint32_t node = body_json_member(doc, 0, name);

	assert_int_not_equal(node, 0);
	assert_true(body_json_text_is(body_json_raw(doc, node), span_of(value)));
}

static void
check_problem(const struct answer *a, size_t i, const char *detail)
{
	struct body_json doc;
	uint64_t status;

	assert_int_equal(body_json_read(&doc, a->body.p, a->body.len, 0, NULL),
	    RC_OK);
	assert_member(&doc, "code", want[i].name);
	assert_member(&doc, "evervault-error-code", want[i].name);
	assert_member(&doc, "detail", detail);
	assert_int_not_equal(body_json_member(&doc, 0, "title"), 0);
	assert_int_equal(string_u64(body_json_raw(&doc,
	    body_json_member(&doc, 0, "status")), &status), RC_OK);
	assert_int_equal(status, want[i].status);
	body_json_fini(&doc);
}

static void
test_every_code(void **state)
{
	struct answer a;

	(void)state;
	assert_int_equal(N_WANT, ERROR_CODES);
	for (size_t i = 0; i < N_WANT; i++) {
		assert_int_equal(want[i].code, i);
		assert_string_equal(error_info(want[i].code)->name, want[i].name);
		answer_begin(&a, want[i].code, "why \"so\"", false, false);
		assert_int_equal(a.head.status, want[i].status);
		assert_true(a.head.reason.len != 0);
		assert_int_equal(a.framing.kind, HTTP_BODY_LENGTH);
		assert_int_equal(a.framing.length, a.body.len);
		assert_true(http_head_keep_alive(&a.head));
		assert_field(&a.head, "x-evervault-error-code", want[i].name);
		assert_field(&a.head, "x-evervault-ctx", CTX);
		assert_field(&a.head, "Content-Type", "application/problem+json");
		assert_field(&a.head, "Retry-After", want[i].retry_after ? "1" : NULL);
		check_problem(&a, i, "why \"so\"");
		answer_end(&a);
	}
}

static void
test_close(void **state)
{
	struct answer a;

	(void)state;
	answer_begin(&a, ERROR_BAD_REQUEST, "x", true, false);
	assert_false(http_head_keep_alive(&a.head));
	answer_end(&a);
}

/* HEAD: the fields of the answer, its length too, and no byte behind them. */
static void
test_head_only(void **state)
{
	struct answer full, head;

	(void)state;
	for (size_t i = 0; i < N_WANT; i++) {
		answer_begin(&full, want[i].code, "x", false, false);
		answer_begin(&head, want[i].code, "x", false, true);
		assert_int_equal(head.body.len, 0);
		assert_int_equal(head.framing.length, full.body.len);
		assert_int_equal(head.head.bytes, full.head.bytes);
		answer_end(&full);
		answer_end(&head);
	}
}

/* RFC 9110 15.5.6: 405 must say what is allowed. */
static void
test_allow(void **state)
{
	struct answer a;

	(void)state;
	answer_begin(&a, ERROR_METHOD_NOT_ALLOWED, "x", false, false);
	assert_non_null(http_head_field_named(&a.head, "Allow"));
	answer_end(&a);
}

/* What the key API says besides: its own Allow, and that scripts may read it. */
static void
test_of_the_key_api(void **state)
{
	const struct error_answer refusal = {
		.code = ERROR_METHOD_NOT_ALLOWED,
		.detail = "x",
		.ctx = CTX,
		.allow = "POST, OPTIONS",
		.cors = true,
	};
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	const struct http_field *f;
	struct http_head head;
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	http_head_init(&head);
	error_answer_put(&out, &refusal);
	assert_int_equal(http_head_response(&head, buffer_data(&out),
	    buffer_len(&out), &limits), RC_OK);
	f = http_head_field_named(&head, "Allow");
	assert_true(f != NULL && span_eq_str(f->value, "POST, OPTIONS"));
	f = http_head_field_named(&head, "Access-Control-Allow-Origin");
	assert_true(f != NULL && span_eq_str(f->value, "*"));
	assert_null(http_head_field_named(&head, "Connection"));
	http_head_fini(&head);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_head_only),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_of_the_key_api),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
