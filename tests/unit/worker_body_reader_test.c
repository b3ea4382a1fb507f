/*
 * worker/body_reader.c: every framing, the input cut at every place, and what
 * follows the body left alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worker/body_reader.h"

#define NEXT	"GET /next HTTP/1.1\r\n\r\n"	/* must not be touched */

struct row {
	const char		*what;
	enum http_body_kind	kind;
	uint64_t		length;
	const char		*wire;
	const char		*body;
	enum rc			rc;
	const char		*left;	/* of the wire, when rc is RC_OK */
};

static const struct row rows[] = {
	{ "none", HTTP_BODY_NONE, 0, NEXT, "", RC_OK, NEXT },
	{ "length 0", HTTP_BODY_LENGTH, 0, NEXT, "", RC_OK, NEXT },
	{ "length", HTTP_BODY_LENGTH, 5, "hello" NEXT, "hello", RC_OK, NEXT },
	{ "length, short", HTTP_BODY_LENGTH, 6, "hello", "hello", RC_MORE, NULL },
	{ "chunked", HTTP_BODY_CHUNKED, 0,
	    "3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\n\r\n" NEXT, "abcdefgh", RC_OK, NEXT },
	{ "chunked, nothing in it", HTTP_BODY_CHUNKED, 0, "0\r\n\r\n" NEXT, "",
	    RC_OK, NEXT },
	{ "chunked, trailers", HTTP_BODY_CHUNKED, 0,
	    "1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n" NEXT, "a", RC_OK, NEXT },
	{ "chunked, no end", HTTP_BODY_CHUNKED, 0, "1\r\na\r\n0\r\nX: 1\r\n", "a",
	    RC_MORE, NULL },
	{ "chunked, longer than it says", HTTP_BODY_CHUNKED, 0,
	    "3\r\nabcd\r\n0\r\n\r\n", "abc", RC_SYNTAX, NULL },
	{ "chunked, bare LF", HTTP_BODY_CHUNKED, 0, "3\nabc\r\n0\r\n\r\n", "",
	    RC_SYNTAX, NULL },
	{ "chunked, sign", HTTP_BODY_CHUNKED, 0, "+3\r\nabc\r\n0\r\n\r\n", "",
	    RC_SYNTAX, NULL },
	{ "chunked, 17 digits", HTTP_BODY_CHUNKED, 0,
	    "00000000000000003\r\nabc\r\n0\r\n\r\n", "", RC_SYNTAX, NULL },
	{ "chunked, framing in trailers", HTTP_BODY_CHUNKED, 0,
	    "1\r\na\r\n0\r\nContent-Length: 3\r\n\r\n" NEXT, "a", RC_OK, NEXT },
	{ "chunked, folded trailer", HTTP_BODY_CHUNKED, 0,
	    "1\r\na\r\n0\r\nX: 1\r\n 2\r\n\r\n", "a", RC_SYNTAX, NULL },
	{ "until close", HTTP_BODY_UNTIL_CLOSE, 0, "all of it", "all of it",
	    RC_MORE, NULL },
};
#define N_ROWS	(sizeof(rows) / sizeof(rows[0]))

struct run {
	struct body_reader	r;
	struct buffer		in;	/* as a stream's input */
	struct buffer		body;
};

static void
run_begin(struct run *run, enum http_body_kind kind, uint64_t length,
    const struct http_limits *limits)
{
	struct http_framing f = { .kind = kind, .length = length };

	body_reader_init(&run->r, &f, limits);
	buffer_init(&run->in, 0, true);
	buffer_init(&run->body, 0, false);
}

static void
run_end(struct run *run)
{
	body_reader_fini(&run->r);
	buffer_fini(&run->in);
	buffer_fini(&run->body);
}

/* As the exchange does: pieces until the reader needs more, or is done. */
static enum rc
run_feed(struct run *run, const char *p, size_t len)
{
	struct span piece;
	size_t used;
	enum rc rc;

	buffer_put(&run->in, p, len);
	do {
		rc = body_reader_next(&run->r, &run->in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (rc);
		if (rc == RC_OK)
			assert_int_equal(piece.len, 0);
		buffer_put(&run->body, piece.p, piece.len);
		buffer_consume(&run->in, used);
	} while (rc == RC_MORE && used != 0);
	return (rc);
}

static void
assert_holds(const struct buffer *b, const char *want)
{
	assert_int_equal(buffer_len(b), strlen(want));
	assert_memory_equal(buffer_data(b) == NULL ? "" : buffer_data(b), want,
	    strlen(want));
}

static void
check(const struct row *row, size_t cut1, size_t cut2)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	size_t len = strlen(row->wire);
	struct run run;
	enum rc rc;

	run_begin(&run, row->kind, row->length, &limits);
	rc = run_feed(&run, row->wire, cut1);
	if (rc == RC_OK || rc == RC_MORE)
		rc = run_feed(&run, row->wire + cut1, cut2 - cut1);
	if (rc == RC_OK || rc == RC_MORE)
		rc = run_feed(&run, row->wire + cut2, len - cut2);
	if (rc != row->rc)
		fail_msg("%s cut at %zu and %zu: %s", row->what, cut1, cut2,
		    rc_name(rc));
	assert_holds(&run.body, row->body);
	assert_int_equal(run.r.total, strlen(row->body));
	assert_int_equal(run.r.done, rc == RC_OK);
	if (rc == RC_OK)
		assert_holds(&run.in, row->left);
	run_end(&run);
}

static void
test_every_pair_of_cuts(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		size_t len = strlen(rows[i].wire);

		for (size_t a = 0; a <= len; a++)
			for (size_t b = a; b <= len; b++)
				check(&rows[i], a, b);
	}
}

static void
test_byte_by_byte(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct run run;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		rc = RC_MORE;
		run_begin(&run, rows[i].kind, rows[i].length, &limits);
		for (const char *p = rows[i].wire; *p != '\0' && rc == RC_MORE; p++)
			rc = run_feed(&run, p, 1);
		assert_int_equal(rc, rows[i].rc);
		assert_holds(&run.body, rows[i].body);
		run_end(&run);
	}
}

/* What the end of the stream means for what had come. */
static void
test_eof(void **state)
{
	static const struct {
		enum http_body_kind	kind;
		uint64_t		length;
		const char		*wire;
		enum rc			rc;
	} eofs[] = {
		{ HTTP_BODY_NONE, 0, "", RC_OK },
		{ HTTP_BODY_LENGTH, 3, "abc", RC_OK },
		{ HTTP_BODY_LENGTH, 3, "ab", RC_SYNTAX },
		{ HTTP_BODY_LENGTH, 3, "", RC_SYNTAX },
		{ HTTP_BODY_CHUNKED, 0, "1\r\na\r\n0\r\n\r\n", RC_OK },
		{ HTTP_BODY_CHUNKED, 0, "1\r\na\r\n0\r\n", RC_SYNTAX },
		{ HTTP_BODY_CHUNKED, 0, "1\r\na\r\n", RC_SYNTAX },
		{ HTTP_BODY_UNTIL_CLOSE, 0, "abc", RC_OK },
		{ HTTP_BODY_UNTIL_CLOSE, 0, "", RC_OK },
	};
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct run run;

	(void)state;
	for (size_t i = 0; i < sizeof(eofs) / sizeof(eofs[0]); i++) {
		run_begin(&run, eofs[i].kind, eofs[i].length, &limits);
		(void)run_feed(&run, eofs[i].wire, strlen(eofs[i].wire));
		assert_int_equal(body_reader_eof(&run.r), eofs[i].rc);
		run_end(&run);
	}
}

/* A trailer section has the limits of a head. */
static void
test_trailer_limits(void **state)
{
	struct http_limits few = { 1024, 256, 2 }, small = { 64, 64, 100 };
	static const char lines[] = "0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
	char field[128];
	struct run run;

	(void)state;
	run_begin(&run, HTTP_BODY_CHUNKED, 0, &few);
	assert_int_equal(run_feed(&run, lines, strlen(lines)), RC_LIMIT);
	run_end(&run);

	memset(field, 'a', sizeof(field));
	memcpy(field, "0\r\nX: ", 6);
	run_begin(&run, HTTP_BODY_CHUNKED, 0, &small);
	assert_int_equal(run_feed(&run, field, sizeof(field)), RC_LIMIT);
	run_end(&run);
}

/* 2^63 - 1 bytes announced: counted, not allocated. */
static void
test_huge_length(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct run run;

	(void)state;
	run_begin(&run, HTTP_BODY_LENGTH, INT64_MAX, &limits);
	assert_int_equal(run_feed(&run, "abc", 3), RC_MORE);
	assert_holds(&run.body, "abc");
	assert_true(run.r.left == (uint64_t)INT64_MAX - 3);
	run_end(&run);
}

/* Bytes that were taken without the reader, before, between and at the end of
 * what it gave out. */
static void
test_taken_without_it(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct run run;

	(void)state;
	for (size_t first = 0; first <= 5; first++) {
		for (size_t later = 0; first + later <= 5; later++) {
			run_begin(&run, HTTP_BODY_LENGTH, 5, &limits);
			body_reader_took(&run.r, first);
			assert_int_equal(run.r.done, first == 5);
			assert_int_equal(run_feed(&run, "hello", 5 - first - later),
			    first == 5 || later == 0 ? RC_OK : RC_MORE);
			assert_int_equal(body_reader_eof(&run.r),
			    later == 0 ? RC_OK : RC_SYNTAX);
			body_reader_took(&run.r, later);
			assert_true(run.r.done);
			assert_int_equal(run.r.left, 0);
			assert_int_equal(run.r.total, 5);
			assert_int_equal(run_feed(&run, NEXT, strlen(NEXT)), RC_OK);
			assert_holds(&run.in, NEXT);
			run_end(&run);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair_of_cuts),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_eof),
		cmocka_unit_test(test_trailer_limits),
		cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_taken_without_it),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
