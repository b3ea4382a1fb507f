/* Body lengths: the rows are heads that two readers have judged differently,
 * beside those that mean one thing. */
#include "lib/http/framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))

struct row {
	const char		*start;
	const char		*fields;
	enum rc			rc;
	enum http_body_kind	kind;
	uint64_t		length;
};

static const struct row requests[] = {
	{ "GET / HTTP/1.1", "", RC_OK, HTTP_BODY_NONE, 0 },
	{ "POST / HTTP/1.1", "", RC_OK, HTTP_BODY_NONE, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 0\r\n", RC_OK, HTTP_BODY_LENGTH, 0 },
	{ "GET / HTTP/1.1", "Content-Length: 7\r\n", RC_OK, HTTP_BODY_LENGTH, 7 },
	{ "POST / HTTP/1.0", "Content-Length: 7\r\n", RC_OK, HTTP_BODY_LENGTH, 7 },
	{ "POST / HTTP/1.1", "content-length:\t007 \r\n", RC_OK, HTTP_BODY_LENGTH, 7 },
	{ "POST / HTTP/1.1", "Content-Length: 9223372036854775807\r\n", RC_OK,
	    HTTP_BODY_LENGTH, INT64_MAX },
	{ "POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", RC_OK,
	    HTTP_BODY_CHUNKED, 0 },
	{ "POST / HTTP/1.1", "transfer-encoding:Chunked\r\n", RC_OK,
	    HTTP_BODY_CHUNKED, 0 },
	{ "CONNECT a:1 HTTP/1.1", "", RC_OK, HTTP_BODY_NONE, 0 },
	{ "CONNECT a:1 HTTP/1.1", "Content-Length: 0\r\n", RC_OK, HTTP_BODY_LENGTH, 0 },
	{ "POST / HTTP/1.1", "X-Content-Length: 1\r\nContent-Lengths: 2\r\n", RC_OK,
	    HTTP_BODY_NONE, 0 },

	{ "POST / HTTP/1.1", "Content-Length:\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: +1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: -1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1 2\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1, 1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1,\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 0x1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1e1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: \"1\"\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1\xa0\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 9223372036854775808\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 18446744073709551617\r\n", RC_SYNTAX,
	    0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1\r\nContent-Length: 2\r\n", RC_SYNTAX,
	    0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1\r\nA: b\r\ncontent-length: 1\r\n",
	    RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
	    RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n"
	    "Content-Length: 1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: chunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: gzip\r\n"
	    "Transfer-Encoding: chunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding:\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: identity\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: xchunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: chunked,\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: , chunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: chunked, chunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: chunked, gzip\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: chunked;q=1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: \"chunked\"\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: gzip;x, chunked\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n", RC_UNSUPPORTED,
	    0, 0 },
	{ "POST / HTTP/1.1", "Content_Length: 1\r\n", RC_SYNTAX, 0, 0 },
	{ "POST / HTTP/1.1", "Content-Length: 1\r\ntransfer_ENCODING: chunked\r\n",
	    RC_SYNTAX, 0, 0 },
	{ "CONNECT a:1 HTTP/1.1", "Content-Length: 1\r\n", RC_SYNTAX, 0, 0 },
	{ "CONNECT a:1 HTTP/1.1", "Transfer-Encoding: chunked\r\n", RC_SYNTAX, 0, 0 },
};

static void
check(const struct row *r, enum rc rc,
    const struct http_framing *f)
{
	if (rc != r->rc)
		fail_msg("%s %s: %s", r->start, r->fields, rc_name(rc));
	if (rc == RC_OK) {
		assert_int_equal(f->kind, r->kind);
		assert_int_equal(f->length, r->length);
	} else
		assert_non_null(f->detail);
}

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(requests); i++) {
		struct http_head h;
		struct http_framing f;
		char text[256];

		(void)snprintf(text, sizeof(text), "%s\r\n%s\r\n",
		    requests[i].start, requests[i].fields);
		http_head_init(&h);
		assert_int_equal(http_head_request(&h, text, strlen(text),
		    &HTTP_LIMITS_DEFAULT), RC_OK);
		check(&requests[i], http_framing_request(&h, &f), &f);
		http_head_fini(&h);
	}
}

static const struct {
	enum http_method	to;
	struct row		r;
} responses[] = {
	{ HTTP_GET, { "HTTP/1.1 200 OK", "", RC_OK, HTTP_BODY_UNTIL_CLOSE, 0 } },
	{ HTTP_GET, { "HTTP/1.0 200 OK", "Content-Length: 5\r\n", RC_OK,
	    HTTP_BODY_LENGTH, 5 } },
	{ HTTP_GET, { "HTTP/1.1 404 No", "Transfer-Encoding: chunked\r\n", RC_OK,
	    HTTP_BODY_CHUNKED, 0 } },
	{ HTTP_HEAD, { "HTTP/1.1 200 OK", "Content-Length: 5\r\n", RC_OK,
	    HTTP_BODY_NONE, 0 } },
	{ HTTP_HEAD, { "HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n", RC_OK,
	    HTTP_BODY_NONE, 0 } },
	{ HTTP_GET, { "HTTP/1.1 304 NM", "Content-Length: 5\r\n", RC_OK,
	    HTTP_BODY_NONE, 0 } },
	{ HTTP_GET, { "HTTP/1.1 204 NC", "", RC_OK, HTTP_BODY_NONE, 0 } },
	{ HTTP_GET, { "HTTP/1.1 204 NC", "Content-Length: 0\r\n", RC_OK,
	    HTTP_BODY_NONE, 0 } },
	{ HTTP_GET, { "HTTP/1.1 100 Go", "", RC_OK, HTTP_BODY_NONE, 0 } },
	{ HTTP_GET, { "HTTP/1.1 101 Sw", "", RC_OK, HTTP_BODY_NONE, 0 } },
	{ HTTP_CONNECT, { "HTTP/1.1 200 OK", "", RC_OK, HTTP_BODY_NONE, 0 } },
	{ HTTP_CONNECT, { "HTTP/1.1 407 No", "Content-Length: 5\r\n", RC_OK,
	    HTTP_BODY_LENGTH, 5 } },

	{ HTTP_GET, { "HTTP/1.1 204 NC", "Content-Length: 1\r\n", RC_SYNTAX, 0, 0 } },
	{ HTTP_GET, { "HTTP/1.1 204 NC", "Transfer-Encoding: chunked\r\n", RC_SYNTAX,
	    0, 0 } },
	{ HTTP_HEAD, { "HTTP/1.1 100 Go", "Content-Length: 1\r\n", RC_SYNTAX, 0, 0 } },
	{ HTTP_GET, { "HTTP/1.1 200 OK", "Content-Length: 5\r\n"
	    "Content-Length: 5\r\n", RC_SYNTAX, 0, 0 } },
	{ HTTP_HEAD, { "HTTP/1.1 200 OK", "Content-Length: x\r\n", RC_SYNTAX, 0, 0 } },
	{ HTTP_GET, { "HTTP/1.1 200 OK", "Content-Length: 5\r\n"
	    "Transfer-Encoding: chunked\r\n", RC_SYNTAX, 0, 0 } },
	{ HTTP_GET, { "HTTP/1.1 200 OK", "Transfer-Encoding: gzip\r\n", RC_SYNTAX,
	    0, 0 } },
	{ HTTP_GET, { "HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked\r\n",
	    RC_SYNTAX, 0, 0 } },
	{ HTTP_GET, { "HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n", RC_SYNTAX,
	    0, 0 } },
};

static void
test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(responses); i++) {
		const struct row *r = &responses[i].r;
		struct http_head h;
		struct http_framing f;
		char text[256];

		(void)snprintf(text, sizeof(text), "%s\r\n%s\r\n", r->start, r->fields);
		http_head_init(&h);
		assert_int_equal(http_head_response(&h, text, strlen(text),
		    &HTTP_LIMITS_DEFAULT), RC_OK);
		check(r, http_framing_response(&h, responses[i].to, &f), &f);
		http_head_fini(&h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
