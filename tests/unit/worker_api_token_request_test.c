/* worker/api_token_request.c: what binds a token, the times that SDKs send. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "worker/api_token_request.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define NOW	1700000000000u
#define REFUSED	0

static const struct {
	const char	*body;
	enum error_code	code;
	const char	*detail;	/* begins so */
} refused[] = {
	{ "", ERROR_MALFORMED_BODY, "the body is not JSON" },
	{ "{", ERROR_MALFORMED_BODY, "the body is not JSON" },
	{ "[]", ERROR_BAD_REQUEST, "the body must be an object" },
	{ "\"x\"", ERROR_BAD_REQUEST, "the body must be an object" },
	{ "{}", ERROR_BAD_REQUEST, "action" },
	{ "{\"action\":\"api:encrypt\",\"payload\":1}", ERROR_BAD_REQUEST,
	    "action" },
	{ "{\"action\":[\"api:decrypt\"],\"payload\":1}", ERROR_BAD_REQUEST,
	    "action" },
	{ "{\"action\":\"api:decrypt\"}", ERROR_BAD_REQUEST, "payload" },
	{ "{\"action\":\"api:decrypt\",\"payload\":\"\\ud800\"}",
	    ERROR_MALFORMED_BODY, "payload" },
};

static void
test_refused(void **state)
{
	struct api_token_request r;

	(void)state;
	for (size_t i = 0; i < N(refused); i++) {
		assert_int_equal(api_token_request_read(span_of(refused[i].body),
		    NOW, &r), RC_SYNTAX);
		assert_int_equal(r.code, refused[i].code);
		assert_memory_equal(r.detail, refused[i].detail,
		    strlen(refused[i].detail));
	}
}

static const struct {
	const char	*expiry;	/* NULL: absent */
	uint64_t	want;		/* since 1970 */
} times[] = {
	{ NULL, NOW + 300000 },
	{ "null", NOW + 300000 },
	{ "0", NOW + 300000 },
	{ "1", NOW + 1 },
	{ "999", NOW + 999 },
	{ "600000", NOW + 600000 },
	{ "600001", REFUSED },		/* 1970 */
	{ "1699999999999", REFUSED },
	{ "1700000000000", REFUSED },
	{ "1700000000001", NOW + 1 },
	{ "1700000600000", NOW + 600000 },
	{ "1700000600001", REFUSED },
	{ "1700000600", REFUSED },	/* seconds */
	{ "18446744073709551615", REFUSED },
	{ "18446744073709551616", REFUSED },
	{ "-1", REFUSED },
	{ "1e3", REFUSED },
	{ "1000.0", REFUSED },
	{ "\"1000\"", REFUSED },
	{ "true", REFUSED },
	{ "{}", REFUSED },
};

static void
test_times(void **state)
{
	struct api_token_request r;
	char body[200];
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < N(times); i++) {
		snprintf(body, sizeof(body), "{\"payload\":{\"a\":1},%s%s%s"
		    "\"more\":[],\"action\":\"api:decrypt\"}",
		    times[i].expiry != NULL ? "\"expiry\":" : "",
		    times[i].expiry != NULL ? times[i].expiry : "",
		    times[i].expiry != NULL ? "," : "");
		rc = api_token_request_read(span_of(body), NOW, &r);
		if (rc != (times[i].want == REFUSED ? RC_SYNTAX : RC_OK))
			fail_msg("%s: %s", times[i].expiry, rc_name(rc));
		if (rc == RC_OK)
			assert_true(r.expires_ms == times[i].want);
		else
			assert_int_equal(r.code, ERROR_BAD_REQUEST);
	}
}

/* The same payload in another spelling, and another payload. */
static void
test_payload(void **state)
{
	static const char *const bodies[] = {
		"{\"action\":\"api:decrypt\",\"payload\":{\"a\":\"x\",\"b\":null}}",
		("{\"payload\": {\"b\" :null,\"a\":\"\\u0078\"},"
		    "\"action\":\"api:decr\\u0079pt\"}"),
		"{\"action\":\"api:decrypt\",\"payload\":{\"a\":\"x\",\"b\":0}}",
	};
	struct api_token_request r[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(api_token_request_read(span_of(bodies[i]), NOW,
		    &r[i]), RC_OK);
	assert_memory_equal(r[0].payload_hash, r[1].payload_hash, 32);
	assert_memory_not_equal(r[0].payload_hash, r[2].payload_hash, 32);
}

static void
test_too_many_values(void **state)
{
	struct api_token_request r;
	struct buffer body;

	(void)state;
	buffer_init(&body, 0, false);
	buffer_puts(&body, "{\"action\":\"api:decrypt\",\"payload\":[0");
	for (int i = 0; i < 1 << 17; i++)
		buffer_puts(&body, ",0");
	buffer_puts(&body, "]}");
	assert_int_equal(api_token_request_read((struct span){
	    buffer_data(&body), buffer_len(&body) }, NOW, &r), RC_SYNTAX);
	assert_int_equal(r.code, ERROR_TOO_MANY_FIELDS);
	buffer_fini(&body);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_payload),
		cmocka_unit_test(test_too_many_values),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
