/*
 * Heads: each row is read whole, cut at every byte, and byte by byte from
 * memory that moves; all three must tell the same.  Input is copied to exact
 * heap blocks, so that reading one byte too far is seen.
 */
#include "lib/http/message_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)	s, sizeof(s) - 1

typedef enum rc (*parse_fn)(struct http_head *, const char *, size_t,
    const struct http_limits *);

static const struct http_limits defaults = {
	HTTP_HEAD_BYTES_MAX, HTTP_TARGET_BYTES_MAX, HTTP_FIELDS_MAX
};

static char *
copy(const char *text, size_t len)
{
	char *p = malloc(len != 0 ? len : 1);

	assert_non_null(p);
	memcpy(p, text, len);
	return (p);
}

/* What was understood, as one line of text. */
static void
describe(const struct http_head *h, enum rc rc, char *out, size_t size)
{
	size_t n;

	if (rc != RC_OK) {
		(void)snprintf(out, size, "%s %d %s", rc_name(rc), (int)h->fault,
		    h->detail != NULL ? h->detail : "");
		return;
	}
	n = (size_t)snprintf(out, size, "%d %.*s %.*s %u %.*s 1.%u %zu", h->method,
	    (int)h->method_text.len, h->method_text.p, (int)h->target.len,
	    h->target.p, h->status, (int)h->reason.len, h->reason.p, h->minor,
	    h->bytes);
	for (size_t i = 0; i < h->n_fields && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, " [%d %.*s=%.*s]",
		    (int)h->fields[i].id, (int)h->fields[i].name.len,
		    h->fields[i].name.p, (int)h->fields[i].value.len,
		    h->fields[i].value.p);
}

static enum rc
parse_whole(parse_fn fn, const char *text, size_t len, char *out, size_t size)
{
	char *in = copy(text, len);
	struct http_head h;
	enum rc rc;

	http_head_init(&h);
	rc = fn(&h, in, len, &defaults);
	describe(&h, rc, out, size);
	assert_int_equal(fn(&h, in, len, &defaults), rc);	/* idempotent */
	http_head_fini(&h);
	free(in);
	return (rc);
}

/* One cut; the second call sees the same block, or a moved one. */
static void
check_cut(parse_fn fn, const char *text, size_t len, size_t at, bool moved,
    const char *want)
{
	char *in = copy(text, len), *first = moved ? copy(text, at) : in;
	char got[4096];
	struct http_head h;
	enum rc rc;

	http_head_init(&h);
	rc = fn(&h, first, at, &defaults);
	if (rc == RC_MORE) {
		if (first != in)
			memset(first, 'Z', at);	/* stale views would show */
		rc = fn(&h, in, len, &defaults);
	}
	describe(&h, rc, got, sizeof(got));
	assert_string_equal(got, want);
	http_head_fini(&h);
	if (first != in)
		free(first);
	free(in);
}

static void
check_drip(parse_fn fn, const char *text, size_t len, const char *want)
{
	char *in = copy(text, len), got[4096];
	struct http_head h;
	enum rc rc = RC_MORE;

	http_head_init(&h);
	for (size_t n = 0; n <= len && rc == RC_MORE; n++)
		rc = fn(&h, in, n, &defaults);
	describe(&h, rc, got, sizeof(got));
	assert_string_equal(got, want);
	http_head_fini(&h);
	free(in);
}

static enum rc
parse(parse_fn fn, const char *text, size_t len, char *out, size_t size)
{
	enum rc rc = parse_whole(fn, text, len, out, size);

	for (size_t at = 0; at <= len; at++) {
		check_cut(fn, text, len, at, false, out);
		check_cut(fn, text, len, at, true, out);
	}
	check_drip(fn, text, len, out);
	return (rc);
}

static void
test_good(void **state)
{
	static const struct {
		parse_fn	fn;
		const char	*text;
		size_t		len;
		const char	*want;
	} rows[] = {
		{ http_head_request, TEXT("GET / HTTP/1.1\r\n\r\nbody"),
		    "1 GET / 0  1.1 18" },
		{ http_head_request, TEXT("POST /a?b HTTP/1.0\r\nHost: x\r\n\r\n"),
		    "3 POST /a?b 0  1.0 31 [12 Host=x]" },
		{ http_head_request, TEXT("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
		    "1 GET / 0  1.1 26" },
		{ http_head_request, TEXT("M-SEARCH * HTTP/1.1\r\n\r\n"),
		    "0 M-SEARCH * 0  1.1 23" },
		{ http_head_request, TEXT("get / HTTP/1.1\r\n\r\n"),
		    "0 get / 0  1.1 18" },
		{ http_head_request, TEXT("GET /\xc3\xa4 HTTP/1.1\r\n\r\n"),
		    "1 GET /\xc3\xa4 0  1.1 20" },
		{ http_head_request, TEXT("GET / HTTP/1.1\r\nA:\r\nB: \t \r\n"
		    "C:c\r\nD: \td e\tf \r\n\r\n"),
		    "1 GET / 0  1.1 46 [0 A=] [0 B=] [0 C=c] [0 D=d e\tf]" },
		{ http_head_request, TEXT("GET / HTTP/1.1\r\nX: "
		    "0123456789abcdef\xff\x80g\r\n\r\n"),
		    "1 GET / 0  1.1 42 [0 X=0123456789abcdef\xff\x80g]" },
		{ http_head_response, TEXT("HTTP/1.1 200 OK\r\nETag: a\r\n\r\n"),
		    "0   200 OK 1.1 28 [9 ETag=a]" },
		{ http_head_response, TEXT("HTTP/1.0 301\r\n\r\n"),
		    "0   301  1.0 16" },
		{ http_head_response, TEXT("HTTP/1.1 999 \r\n\r\n"),
		    "0   999  1.1 17" },
		{ http_head_response, TEXT("HTTP/1.1 404 Ga\xc3\xaf z\r\n\r\n"),
		    "0   404 Ga\xc3\xaf z 1.1 23" },
		{ http_head_trailers, TEXT("\r\nGET"), "0   0  1.0 2" },
		{ http_head_trailers, TEXT("A: b\r\nHost: x\r\n\r\n"),
		    "0   0  1.0 17 [0 A=b] [12 Host=x]" },
		{ http_head_trailers, TEXT("A: b\r\nDigest: c\r\n\r\n"),
		    "0   0  1.0 19 [0 A=b] [8 Digest=c]" },
		{ http_head_request, TEXT(""), "more 0 " },
		{ http_head_request, TEXT("\r"), "more 0 " },
		{ http_head_request, TEXT("GET / HTTP/1.1\r\nA: b\r\n\r"), "more 0 " },
		{ http_head_response, TEXT("HTTP/1.1 20"), "more 0 " },
	};
	char got[4096];

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		(void)parse(rows[i].fn, rows[i].text, rows[i].len, got,
		    sizeof(got));
		assert_string_equal(got, rows[i].want);
	}
}

#define REQ	"GET / HTTP/1.1\r\n"
#define RES	"HTTP/1.1 200 OK\r\n"

static void
test_refused(void **state)
{
	static const struct {
		parse_fn	fn;
		const char	*text;
		size_t		len;
		enum http_fault	fault;
	} rows[] = {
		/* start lines */
		{ http_head_request, TEXT("GET  / HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET /  HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET\t/ HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(" GET / HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1.1 \r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1.1\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1.1\rA: b\r\n\r\n"),
		    HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET /\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / http/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1.1.\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1,1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/01.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1.\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / ICE/1.0\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET / HTTP/1.2\r\n\r\n"), HTTP_FAULT_VERSION },
		{ http_head_request, TEXT("GET / HTTP/0.9\r\n\r\n"), HTTP_FAULT_VERSION },
		{ http_head_request, TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		    HTTP_FAULT_VERSION },
		{ http_head_request, TEXT("GET /a#b HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET /\x01 HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET /\x7f HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("GET /\0 HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("G@T / HTTP/1.1\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("\x16\x03\x01\x02"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("\n" REQ "\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("\rGET / HTTP/1.1\r\n\r\n"),
		    HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("\r\n\r\n\r\n\r\n\r\n" REQ "\r\n"),
		    HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / "),
		    HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1  200 OK\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1 099 OK\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1 20 OK\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1 2000 OK\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1 200\tOK\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1 200 O\0K\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/1.1 200 OK\nA: b\r\n\r\n"),
		    HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("\r\nHTTP/1.1 200 OK\r\n\r\n"),
		    HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT("HTTP/3.1 200 OK\r\n\r\n"), HTTP_FAULT_VERSION },
		/* field lines */
		{ http_head_request, TEXT(REQ " A: b\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\r\n c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\r\n\tc\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A : b\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A\t: b\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ ": b\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A B: c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A(: c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "\xc3\xa4: c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "\0A: c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A\0: c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\0c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\x0b\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: 12345678\x7f\r\n\r\n"),
		    HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\rc\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\nC: d\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\r\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\r\n\n"), HTTP_FAULT_SYNTAX },
		{ http_head_request, TEXT(REQ "A: b\r\n\rX"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT(RES "A : b\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_response, TEXT(RES "A: b\r\n c\r\n\r\n"), HTTP_FAULT_SYNTAX },
		{ http_head_trailers, TEXT("A b\r\n\r\n"), HTTP_FAULT_SYNTAX },
	};
	char got[4096], want[32];

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		enum rc rc = parse(rows[i].fn, rows[i].text, rows[i].len, got,
		    sizeof(got));

		(void)snprintf(want, sizeof(want), "syntax %d ", (int)rows[i].fault);
		if (rc != RC_SYNTAX || strncmp(got, want, strlen(want)) != 0)
			fail_msg("row %zu: %s", i, got);
		assert_true(strlen(got) > strlen(want));	/* says why */
	}
}

/* Just inside each limit, and one byte or line over it. */
static void
test_limits(void **state)
{
	static const char text[] = "GET /12345 HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n";
	static const struct {
		struct http_limits	lim;
		enum rc			rc;
		enum http_fault		fault;
	} rows[] = {
		{ { sizeof(text) - 1, 6, 2 }, RC_OK, HTTP_FAULT_NONE },
		{ { sizeof(text) - 2, 6, 2 }, RC_SYNTAX, HTTP_FAULT_HEAD_LONG },
		{ { sizeof(text) - 1, 5, 2 }, RC_SYNTAX, HTTP_FAULT_TARGET_LONG },
		{ { sizeof(text) - 1, 6, 1 }, RC_SYNTAX, HTTP_FAULT_HEAD_LONG },
		{ { 8, 6, 2 }, RC_SYNTAX, HTTP_FAULT_TARGET_LONG },
		{ { 2, 6, 2 }, RC_SYNTAX, HTTP_FAULT_HEAD_LONG },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_head h;
		enum rc rc = RC_MORE;

		http_head_init(&h);
		for (size_t n = 0; n < sizeof(text) && rc == RC_MORE; n++)
			rc = http_head_request(&h, text, n, &rows[i].lim);
		assert_int_equal(rc, rows[i].rc);
		assert_int_equal(h.fault, rows[i].fault);
		http_head_fini(&h);
	}
}

/* Many fields grow the array; it is used again, and a large one given back. */
static void
test_growth(void **state)
{
	char text[8192] = REQ;
	size_t n = strlen(text), len;
	struct http_head h;

	(void)state;
	for (int i = 0; i < HTTP_FIELDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "F%d: %d\r\n", i, i);
	len = n + (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
	http_head_init(&h);
	assert_int_equal(http_head_request(&h, text, len, &defaults), RC_OK);
	assert_int_equal(h.n_fields, HTTP_FIELDS_MAX);
	assert_true(span_eq_str(h.fields[255].value, "255"));
	http_head_reset(&h);
	assert_int_equal(h.cap_fields, 0);
	(void)snprintf(text + n, sizeof(text) - n, "One: more\r\n\r\n");
	assert_int_equal(http_head_request(&h, text, strlen(text), &defaults),
	    RC_SYNTAX);
	assert_int_equal(h.fault, HTTP_FAULT_HEAD_LONG);
	http_head_reset(&h);
	assert_int_equal(http_head_request(&h, TEXT(REQ "A: b\r\n\r\n"), &defaults),
	    RC_OK);
	http_head_reset(&h);
	assert_int_not_equal(h.cap_fields, 0);
	assert_int_equal(h.n_fields, 0);
	http_head_fini(&h);
}

static void
read_request(struct http_head *h, const char *text)
{
	http_head_init(h);
	assert_int_equal(http_head_request(h, text, strlen(text), &defaults), RC_OK);
}

static void
test_host(void **state)
{
	static const struct {
		const char	*text;
		enum rc		rc;
		const char	*host;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a:1\r\n\r\n", RC_OK, "a:1" },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", RC_OK, "" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", RC_SYNTAX, "" },
		{ "GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n", RC_SYNTAX, "" },
		{ "GET / HTTP/1.1\r\nHosts: a\r\n\r\n", RC_SYNTAX, "" },
		{ "GET / HTTP/1.0\r\n\r\n", RC_NOTFOUND, "" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_head h;
		struct span host;

		read_request(&h, rows[i].text);
		assert_int_equal(http_head_host(&h, &host), rows[i].rc);
		assert_true(span_eq_str(host, rows[i].host));
		http_head_fini(&h);
	}
}

static void
test_connection(void **state)
{
	static const struct {
		const char	*text;
		bool		keep;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nConnection: x\r\nConnection: close\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\nKeep-Alive: 5\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_head h;

		read_request(&h, rows[i].text);
		assert_int_equal(http_head_keep_alive(&h), rows[i].keep);
		http_head_fini(&h);
	}
}

/* Each option is compared with each field: their sum is bounded. */
static void
test_connection_is_bounded(void **state)
{
	char text[4096];
	struct http_head h;

	(void)state;
	for (int over = 0; over < 2; over++) {
		(void)snprintf(text, sizeof(text), REQ "Connection: %0*d\r\n"
		    "Connection: %0*d\r\n\r\n", 1000, 0,
		    HTTP_CONNECTION_BYTES_MAX - 1000 + over, 0);
		http_head_init(&h);
		assert_int_equal(http_head_request(&h, text, strlen(text),
		    &defaults), over ? RC_SYNTAX : RC_OK);
		assert_int_equal(h.fault,
		    over ? HTTP_FAULT_HEAD_LONG : HTTP_FAULT_NONE);
		http_head_fini(&h);
	}
}

static void
test_hop_by_hop(void **state)
{
	static const char text[] = REQ "Connection: X-Mine, host, content-type, "
	    "Content-Length, content-encoding\r\nHost: a\r\nContent-Type: b/c\r\n"
	    "Content-Encoding: d\r\nContent-Length: 0\r\nx-other: 1\r\n"
	    "x-mine: 2\r\nTE: trailers\r\nUpgrade: x\r\nTrailer: y\r\n"
	    "Transfer-Encoding: z\r\nKeep-Alive: 1\r\nProxy-Connection: 2\r\n"
	    "Proxy-Authorization: 3\r\nProxy-Authenticate: 4\r\n\r\n";
	static const bool hop[] = { true, false, false, false, false, false, true,
	    true, true, true, true, true, true, true, true };
	struct http_head h;

	(void)state;
	read_request(&h, text);
	assert_int_equal(h.n_fields, N(hop));
	for (size_t i = 0; i < N(hop); i++)
		assert_int_equal(http_head_is_hop_by_hop(&h, &h.fields[i]), hop[i]);
	assert_true(http_head_connection_has(&h, "x-mine"));
	assert_ptr_equal(http_head_field_named(&h, "X-OTHER"), &h.fields[5]);
	assert_null(http_head_field_named(&h, "x-othe"));
	assert_int_equal(http_head_count(&h, HTTP_FIELD_OTHER), 2);
	http_head_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_connection_is_bounded),
		cmocka_unit_test(test_hop_by_hop),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
