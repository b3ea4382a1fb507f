/* Chunked bodies: every row whole, cut at every byte, and byte by byte. */
#include "lib/http/chunked.h"

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

#define MAX_BODY	20	/* bytes; some rows pass it */

struct result {
	enum rc	rc;
	char	body[64];
	size_t	body_len;
	size_t	used;
};

/* Feed in[from..to) as a reader does: until it wants more or has ended. */
static void
feed(struct http_chunked *c, struct result *r, const char *in, size_t to)
{
	size_t used, outlen;
	const char *out;

	do {
		/* A block of its own: a byte read behind it would be seen. */
		size_t len = to - r->used;
		char *block = malloc(len != 0 ? len : 1);

		assert_non_null(block);
		memcpy(block, in + r->used, len);
		r->rc = http_chunked_feed(c, block, len, &used, &out, &outlen);
		assert_true(used <= len);
		assert_true(r->body_len + outlen <= sizeof(r->body));
		if (outlen != 0) {
			assert_true(out >= block && out + outlen <= block + used);
			memcpy(r->body + r->body_len, out, outlen);
		}
		r->body_len += outlen;
		r->used += used;
		free(block);
	} while (r->rc == RC_MORE && used != 0);
}

static const struct {
	const char	*in;
	size_t		len;
	enum rc		rc;
	const char	*body;
	size_t		rest;	/* bytes left unread at RC_OK */
} rows[] = {
	{ TEXT("0\r\n"), RC_OK, "", 0 },
	{ TEXT("0\r\n\r\n"), RC_OK, "", 2 },
	{ TEXT("3\r\nabc\r\n0\r\n\r\nGET"), RC_OK, "abc", 5 },
	{ TEXT("3\r\nabc\r\n00a\r\n0123456789\r\n0000000000000000\r\nT: x\r\n"),
	    RC_OK, "abc0123456789", 6 },
	{ TEXT("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n"), RC_OK,
	    "01234567890123456789", 0 },
	{ TEXT("3;ext=\"v w\"\t;x\r\na\r\n\r\n0;\x80\r\n"), RC_OK, "a\r\n", 0 },
	{ TEXT("3\r\nab"), RC_MORE, "ab", 0 },
	{ TEXT("3\r\nabc\r"), RC_MORE, "abc", 0 },
	{ TEXT(""), RC_MORE, "", 0 },

	{ TEXT("\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT(";x\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT(" 3\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3 \r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3 ;x\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("+3\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("-3\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("0x3\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3h\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3\rabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3\r\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3;x\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3;x\rabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3;x\0\r\nabc\r\n"), RC_SYNTAX, "", 0 },
	{ TEXT("3\r\nabcd\r\n0\r\n"), RC_SYNTAX, "abc", 0 },
	{ TEXT("3\r\nabc\n0\r\n"), RC_SYNTAX, "abc", 0 },
	{ TEXT("3\r\nabc0\r\n"), RC_SYNTAX, "abc", 0 },
	{ TEXT("3\r\nabc\rX"), RC_SYNTAX, "abc", 0 },
	{ TEXT("3\r\nabc\r\n\r\n"), RC_SYNTAX, "abc", 0 },
	{ TEXT("00000000000000003\r\nabc"), RC_SYNTAX, "", 0 },
	{ TEXT("10000000000000003\r\nabc"), RC_SYNTAX, "", 0 },

	{ TEXT("15\r\n"), RC_LIMIT, "", 0 },
	{ TEXT("ffffffffffffffff\r\nabc"), RC_LIMIT, "", 0 },
	{ TEXT("3\r\nabc\r\nfffffffffffffffe\r\n"), RC_LIMIT, "abc", 0 },
	{ TEXT("3\r\nabc\r\n12\r\n"), RC_LIMIT, "abc", 0 },
};

static void
check(size_t i, const struct result *r)
{
	if (r->rc != rows[i].rc)
		fail_msg("row %zu: %s", i, rc_name(r->rc));
	assert_int_equal(r->body_len, strlen(rows[i].body));
	assert_memory_equal(r->body, rows[i].body, r->body_len);
	if (r->rc == RC_OK)
		assert_int_equal(rows[i].len - r->used, rows[i].rest);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		for (size_t at = 0; at <= rows[i].len; at++) {
			struct result r = { .rc = RC_MORE };
			struct http_chunked c;

			http_chunked_init(&c, MAX_BODY);
			feed(&c, &r, rows[i].in, at);
			feed(&c, &r, rows[i].in, rows[i].len);
			check(i, &r);
		}
	}
}

static void
test_drip(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct result r = { .rc = RC_MORE };
		struct http_chunked c;

		http_chunked_init(&c, MAX_BODY);
		for (size_t n = 0; n <= rows[i].len; n++)
			feed(&c, &r, rows[i].in, n);
		check(i, &r);
	}
}

/* After a refusal nothing is read any more, not even a good chunk. */
static void
test_never_resynchronises(void **state)
{
	struct http_chunked c;
	const char *out;
	size_t used, outlen;

	(void)state;
	http_chunked_init(&c, MAX_BODY);
	assert_int_equal(http_chunked_feed(&c, "x", 1, &used, &out, &outlen),
	    RC_SYNTAX);
	assert_int_equal(http_chunked_feed(&c, TEXT("1\r\na\r\n0\r\n"), &used, &out,
	    &outlen), RC_SYNTAX);
	assert_int_equal(used, 0);
	assert_int_equal(outlen, 0);
}

static void
test_extensions_are_bounded(void **state)
{
	struct http_chunked c;
	const char *out;
	size_t used, outlen, chunks = 0;
	enum rc rc = RC_MORE;

	(void)state;
	http_chunked_init(&c, UINT64_MAX);
	while (rc == RC_MORE && chunks < 100000) {
		rc = http_chunked_feed(&c, TEXT("1;0123456\r\n"), &used, &out,
		    &outlen);
		if (rc == RC_MORE)
			rc = http_chunked_feed(&c, "a", 1, &used, &out, &outlen);
		if (rc == RC_MORE)
			rc = http_chunked_feed(&c, "\r\n", 2, &used, &out, &outlen);
		chunks++;
	}
	assert_int_equal(rc, RC_SYNTAX);
	assert_int_equal(chunks, 4096 / 7 + 1);
}

static void
test_head(void **state)
{
	static const struct {
		uint64_t	len;
		const char	*text;
	} heads[] = {
		{ 0, "0\r\n" }, { 1, "1\r\n" }, { 15, "f\r\n" }, { 16, "10\r\n" },
		{ 0x1a2b, "1a2b\r\n" }, { UINT64_MAX, "ffffffffffffffff\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < N(heads); i++) {
		char out[HTTP_CHUNK_HEAD_BYTES];
		size_t n = http_chunk_head(heads[i].len, out);

		assert_int_equal(n, strlen(heads[i].text));
		assert_memory_equal(out, heads[i].text, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_never_resynchronises),
		cmocka_unit_test(test_extensions_are_bounded),
		cmocka_unit_test(test_head),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
