/* How often yajl reads a byte, and where its memory is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/body/json_scan.h"
#include "lib_body_suite.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

struct reader {
	struct json_scan	scan;
	size_t			scalars, keys, opened, closed;
	size_t			pos;	/* tokens rise and never overlap */
	enum rc			answer;	/* to every event */
};

static enum rc
token(struct reader *r, size_t start, size_t end)
{
	assert_true(start >= r->pos && end > start);
	r->pos = end;
	return (r->answer);
}

static enum rc
on_scalar(void *reader, enum body_json_type type, size_t start, size_t end,
    bool escaped)
{
	struct reader *r = reader;

	assert_true(type < BODY_JSON_ARRAY);
	assert_true(!escaped || type == BODY_JSON_STRING);
	r->scalars++;
	return (token(r, start, end));
}

static enum rc
on_key(void *reader, size_t start, size_t end, bool escaped)
{
	struct reader *r = reader;

	(void)escaped;
	r->keys++;
	return (token(r, start, end));
}

static enum rc
on_open(void *reader, enum body_json_type type, size_t start)
{
	struct reader *r = reader;

	assert_int_equal(*json_scan_at(&r->scan, start),
	    type == BODY_JSON_ARRAY ? '[' : '{');
	r->opened++;
	return (token(r, start, start + 1));
}

static enum rc
on_close(void *reader, size_t end)
{
	struct reader *r = reader;

	r->closed++;
	return (token(r, end - 1, end));
}

static const struct json_scan_events events = {
	.on_scalar = on_scalar,
	.on_key = on_key,
	.on_open = on_open,
	.on_close = on_close,
};

/* Scan in pieces; returns how many bytes yajl read, repeats included. */
static size_t
work_of(struct span text, size_t piece, struct reader *r)
{
	struct json_scan *scan = &r->scan;
	size_t work = 0, end = 0, fed, cut;
	enum rc rc;

	memset(r, 0, sizeof(*r));
	json_scan_init(scan, &events, r);
	do {
		end = text.len - end > piece ? end + piece : text.len;
		fed = scan->fed;
		cut = fed - scan->pos;
		rc = json_scan_feed(scan, (struct span){ text.p + scan->pos,
		    end - scan->pos }, scan->pos, end == text.len);
		assert_int_equal(rc, RC_OK);
		if (scan->fed > fed)
			work += scan->fed - fed + cut;
	} while (end < text.len);
	assert_true(scan->done);
	assert_int_equal(scan->fed, text.len);
	json_scan_fini(scan);
	return (work);
}

/* Whatever fills the document and however it is cut. */
static void
test_work_is_linear(void **state)
{
	static const struct {
		const char	*before, *fill, *after;
	} docs[] = {
		{ "\"", "0123456789abcdef", "\"" },
		{ "\"", "\\u00e9\\\\\\\"", "\"" },
		{ "{\"", "0123456789abcdef", "\":1}" },
		{ "", "1234567890", "" },
		{ "-1.5E+1", "1234567890", "" },
		{ " ", "  \n\r\t", "3 " },
		{ "[1", ",\"abc\"", "]" },
		{ "[1", ",\"0123456789012345678901234567890123456789\"", "]" },
		{ "[1", ",true,false,null", "]" },
		{ "[1", ",{\"key\":[]}", "]" },
	};
	static const size_t pieces[] = { 1, 7, 64, 1400, 65536 };
	struct reader r, whole;
	struct buffer b;

	(void)state;
	for (size_t i = 0; i < N(docs); i++) {
		buffer_init(&b, 0, false);
		buffer_puts(&b, docs[i].before);
		while (buffer_len(&b) < 300000)
			buffer_puts(&b, docs[i].fill);
		buffer_puts(&b, docs[i].after);
		assert_true(work_of(suite_span(&b), SIZE_MAX, &whole) <=
		    buffer_len(&b));
		for (size_t k = 0; k < N(pieces); k++) {
			/* A literal may be read once for each of its bytes. */
			assert_true(work_of(suite_span(&b), pieces[k], &r) <=
			    4 * buffer_len(&b));
			assert_int_equal(r.scalars, whole.scalars);
			assert_int_equal(r.keys, whole.keys);
			assert_int_equal(r.opened, whole.opened);
			assert_int_equal(r.closed, whole.closed);
		}
		buffer_fini(&b);
	}
}

/* What an event answers ends the scan and is handed on. */
static void
test_events_end_the_scan(void **state)
{
	static const struct {
		const char	*text;
		size_t		events;
	} docs[] = {
		{ "{\"a\":1}", 1 }, { "[]", 1 }, { "\"x\"", 1 }, { "true", 1 },
		{ "null ", 1 }, { "12", 1 },
	};
	struct reader r;

	(void)state;
	for (size_t i = 0; i < N(docs); i++) {
		memset(&r, 0, sizeof(r));
		r.answer = RC_NOMEM;
		json_scan_init(&r.scan, &events, &r);
		assert_int_equal(json_scan_feed(&r.scan, span_of(docs[i].text),
		    0, true), RC_NOMEM);
		assert_int_equal(r.scalars + r.keys + r.opened + r.closed,
		    docs[i].events);
		json_scan_fini(&r.scan);
		json_scan_fini(&r.scan);
	}
}

/* An ordinary document costs no allocation but its reader's own. */
static void
test_arena_is_enough(void **state)
{
	static const char text[] = "{\"a\":[1,\"text\",{\"b\":null}],\"c\":true}";
	const unsigned char *yajl;
	struct reader r;

	(void)state;
	memset(&r, 0, sizeof(r));
	json_scan_init(&r.scan, &events, &r);
	yajl = r.scan.yajl;
	assert_true(yajl >= r.scan.arena &&
	    yajl < r.scan.arena + sizeof(r.scan.arena));
	assert_int_equal(json_scan_feed(&r.scan, SPAN_LIT(text), 0, true),
	    RC_OK);
	/* The last block yajl asked for, a state stack of 128 bytes, is in. */
	assert_in_range(r.scan.arena_used, 350, sizeof(r.scan.arena));
	json_scan_fini(&r.scan);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_is_linear),
		cmocka_unit_test(test_events_end_the_scan),
		cmocka_unit_test(test_arena_is_enough),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
