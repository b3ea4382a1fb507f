/*
 * worker/transform.c where every token is opened, wherever it stands: in bodies
 * of each type, whole and cut at every place, in heads; with more of them than
 * one call takes, with engines that leave, and with what does not open.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_action.h"

#define JSON	"application/json"
#define FORM	"application/x-www-form-urlencoded"
#define XML	"text/xml"
#define TEXT	"text/csv"
#define MIXED	"multipart/form-data; boundary=b"
#define SLASHED	"ev:QkTC:" IV ":" KEY ":b25l:\\u0024"	/* T1 */

static const struct item nothing[1];

static struct transform_scan
scan_of(const char *media)
{
	return ((struct transform_scan){
		.media = span_of(media),
		.limits = { 4096, 1 << 20 },
	});
}

static void
begin(struct bench *b, const struct transform_scan *scan)
{
	bench_relay(b, "response", "decrypt", "", SELECT("json", "$.unused"));
	b->syntax = REWRITE_TOKENS;
	b->scan = scan;
}

/* Texts of what opens, in order; a type is said by its first letter. */
static size_t
items_of(const char *const *opened, struct item *items)
{
	size_t n = 0;

	for (; opened[n] != NULL; n++)
		items[n] = (struct item){
			.status = RPC_OPEN_OK,
			.type = opened[n][0] == 'n' ? RPC_FIELD_NUMBER :
			    opened[n][0] == 'b' ? RPC_FIELD_BOOLEAN :
			    RPC_FIELD_STRING,
			.text = opened[n] + 1,
		};
	return (n);
}

/* ---- places ---- */

struct row {
	const char	*media, *body, *want;
	const char	*opened[4];	/* "s": a string, "n", "b" */
};

static const struct row rows[] = {
	/* JSON values, with the quotes around them */
	{ JSON, "{\"a\": \"" T1 "\" }", "{\"a\": \"x\\\"\\u0001\" }",
	    { "sx\"\1" } },
	{ JSON, "[\"" T1 "\",\"" T1 "\",\"" T1 "\"]", "[1.5,true,\"1.5\"]",
	    { "n1.5", "btrue", "s1.5" } },
	{ JSON, "[\"" JSON_TOKEN("b25l") "\"]", "[7]", { "n7" } },
	{ JSON, "[\"" T1 "\"]", "[\"\"]", { "s" } },
	/* in a longer string, and as a name */
	{ JSON, "{\"" T1 "\":\"a" T1 "b" T1 "\"}", "{\"\\n\":\"a7b\\\"\"}",
	    { "s\n", "n7", "s\"" } },
	{ "application/problem+json", "{\"" T1 "\" :1}", "{\"true\" :1}",
	    { "btrue" } },
	/* forms: written as they must be, however they came */
	{ FORM, "a=" FORM_TOKEN("b25l") "&b=" T1, "a=x%26y%3D%20&b=%2B",
	    { "sx&y= ", "s+" } },
	{ XML, "<a b=\"" T1 "\">" T1 "</a>",
	    "<a b=\"&quot;&#10;\">&lt;/a&gt;&amp;</a>", { "s\"\n", "s</a>&" } },
	/* as they are; a URL's stay a URL's */
	{ TEXT, "a," T1 "\r\n" T1 ",", "a,x\"\r\ny\r\n7,", { "sx\"\r\ny", "n7" } },
	{ TEXT, "https://a/?b=" FORM_TOKEN("b25l"), "https://a/?b=x%20y",
	    { "sx y" } },
	{ TEXT, "\"" SLASHED "\"", "\"\\\"\"", { "s\"" } },
	/* by their first byte */
	{ "", " {\"a\":\"" T1 "\"}", " {\"a\":7}", { "n7" } },
	{ "text/plain", "\"" T1 "\"", "\"7\"", { "n7" } },
	{ MIXED, "--b\r\n\r\n" T1 "\r\n--b\r\nContent-Type: " JSON "\r\n\r\n[\""
	    T1 "\"]\r\n--b--", "--b\r\n\r\nx\"\r\n--b\r\nContent-Type: " JSON
	    "\r\n\r\n[true]\r\n--b--", { "sx\"", "btrue" } },
	/* files */
	{ "application/octet-stream", "%EVENC123", "a\r\nb", { "sa\r\nb" } },
	{ MIXED, "--b\r\n\r\n%EVENC\r\n--b\r\n\r\n" T1 "\r\n--b--",
	    "--b\r\n\r\nfile\r\n--b\r\n\r\none\r\n--b--", { "sfile", "sone" } },
	/* AWS, and others whose type only says json somewhere */
	{ "application/x-amz-json-1.1", "{\"a\":\"" T1 "\"}",
	    "{\"a\":\"x\\\",\\\"b\\\":\\\"y\"}", { "sx\",\"b\":\"y" } },
	/* nothing to open */
	{ JSON, "{\"a\":\"ev:QkTC:\"}", "{\"a\":\"ev:QkTC:\"}", { NULL } },
	{ TEXT, "x", "x", { NULL } },
};

static void
test_places(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan;
	struct item items[4];

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		size_t n = items_of(r->opened, items);

		scan = scan_of(r->media);
		begin(b, &scan);
		bench_says(b, items, n);
		b->script.n_calls = 0;
		if (bench_run(b, START, r->body) != TRANSFORM_DONE)
			fail_msg("%s: %s", r->body, b->why);
		assert_text(&b->body, r->want);
		assert_text(&b->head, START);
		assert_int_equal(b->tx.opened, n);
		assert_int_equal(b->tx.kept, 0);
		assert_int_equal(b->script.n_calls, n != 0);
		if (n != 0)
			assert_int_equal(b->script.n_fields[0], n);
	}
}

/* The engine gets the token itself, however it is written; of a file all. */
static void
test_the_engine_sees_tokens(void **state)
{
	static const struct {
		const char	*media, *body, *token;
	} seen[] = {
		{ JSON, "[\"" JSON_TOKEN("b25l") "\"]", T1 },
		{ JSON, "[\"x" SLASHED "\"]", T1 },
		{ FORM, "a=" FORM_TOKEN("b25l"), T1 },
		{ XML, "<a>ev&#58;QkTC&#x3a;" IV ":" KEY ":b25l:$</a>", T1 },
		{ TEXT, "a" T2 "b", T2 },
		{ "", "%EVENC\\u0041%41&#65;", "%EVENC\\u0041%41&#65;" },
	};
	static const struct item one = { RPC_OPEN_OK, RPC_FIELD_STRING, "1", 1 };
	struct bench *b = *state;
	struct transform_scan scan;

	bench_says(b, &one, 1);
	for (size_t i = 0; i < COUNT(seen); i++) {
		scan = scan_of(seen[i].media);
		begin(b, &scan);
		assert_int_equal(bench_run(b, "", seen[i].body), TRANSFORM_DONE);
		assert_int_equal(b->script.decrypt.n_tokens, 1);
		assert_string_equal(b->script.seen[0].text, seen[i].token);
		assert_int_equal(b->script.seen[0].len, strlen(seen[i].token));
		assert_string_equal(b->script.seen[0].role, "");
	}
}

/* What opens may not end its part and begin another: it stays sealed. */
static void
test_boundaries_in_values(void **state)
{
	static const struct {
		const char	*media, *body;
		const char	*opened[3];
		unsigned	kept;
		const char	*want;
	} t[] = {
		{ MIXED, "--b\r\n\r\n" T1 "\r\n--b--",
		    { "sx\r\n--b\r\n\r\ny" }, 1, NULL },
		{ MIXED, "--b\r\n\r\n" T1 "\r\n--b--", { "s--b--" }, 1, NULL },
		{ MIXED, "--b\r\n\r\n" T1 "\r\n--b--", { "sa\n--b\n" }, 1,
		    NULL },
		/* in two halves */
		{ MIXED, "--b\r\n\r\n" T1 T1 "\r\n--b--",
		    { "s\r\n-", "s-b--" }, 1,
		    "--b\r\n\r\n\r\n-" T1 "\r\n--b--" },
		{ MIXED, "--b\r\n\r\n-" T1 "\r\n--b--", { "s-b--" }, 1, NULL },
		/* also where nothing else of it would be written otherwise */
		{ MIXED, "--b\r\nContent-Type: " XML "\r\n\r\n<a>\r\n" T1
		    "\r\n</a>\r\n--b--", { "s--b" }, 1, NULL },
		{ MIXED, "--b\r\n\r\n%EVENC1\r\n--b--",
		    { "sa\r\n--b--\r\n" }, 1, NULL },
		/* a part behind what is no head, and outside of all parts */
		{ MIXED, "--b\r\nx\n" T1 "\r\n--b--", { "s\r\n--b" }, 1, NULL },
		{ MIXED, T1 "\r\n--b--", { "s--b\r\n\r\n" }, 1, NULL },
		/* the boundary's text alone ends nothing */
		{ MIXED, "--b\r\n\r\n" T1 "\r\n--b--", { "s-b" }, 0,
		    "--b\r\n\r\n-b\r\n--b--" },
		{ TEXT, T1, { "s\r\n--b--" }, 0, "\r\n--b--" },
	};
	struct bench *b = *state;
	struct transform_scan scan;
	struct item items[3];

	for (size_t i = 0; i < COUNT(t); i++) {
		size_t n = items_of(t[i].opened, items);

		scan = scan_of(t[i].media);
		begin(b, &scan);
		bench_says(b, items, n);
		if (bench_run(b, START, t[i].body) != TRANSFORM_DONE)
			fail_msg("%zu: %s", i, b->why);
		assert_text(&b->body, t[i].want != NULL ? t[i].want : t[i].body);
		assert_int_equal(b->tx.kept, t[i].kept);
		assert_int_equal(b->tx.opened, n - t[i].kept);
	}
}

/* ---- pieces ---- */

struct taker {
	struct buffer	out;
	unsigned	takes;		/* per cent, between pieces */
};

static void
take(struct taker *t, struct buffer *from, size_t len)
{
	buffer_put(&t->out, buffer_data(from), len);
	buffer_consume(from, len);
}

/* What the engine opens by itself; calls that end whole, but not all of it,
 * are fed again. */
static enum transform_result
feed(struct bench *b, struct taker *t, const char *p, size_t len, bool whole)
{
	enum transform_result result;
	struct buffer *out;

	assert_int_equal(buffer_append(&b->body, p, len), RC_OK);
	do {
		result = bench_feed(b, whole);
		if (result == TRANSFORM_PIECE) {
			out = transform_output(b->transform);
			take(t, out, buffer_len(out) * t->takes / 100);
		} else if (result == TRANSFORM_DONE) {
			take(t, &b->body, buffer_len(&b->body));
		}
	} while (whole && result == TRANSFORM_PIECE);
	return (result);
}

static void
start(struct bench *b, struct taker *t, unsigned takes)
{
	b->pieces = true;
	bench_begin(b, START, "", 0);
	buffer_init(&t->out, 0, false);
	t->takes = takes;
}

/* Each opens to its own data: one, four. */
static const struct {
	const char	*media, *body, *want;
	size_t		n;
} cut[] = {
	{ JSON, "{\"a\":\"" T1 "\",\"b\":\"x" T4 "\"}", "{\"a\":\"one\",\"b\":\"xfour\"}",
	    2 },
	{ FORM, "a=" FORM_TOKEN("b25l") "&b=" T4, "a=one&b=four", 2 },
	{ XML, "<a>" T1 "</a>" T4, "<a>one</a>four", 2 },
	{ TEXT, T1 T4, "onefour", 2 },
	{ MIXED, "--b\r\n\r\n" T1 "\r\n--b\r\nContent-Type: " JSON "\r\n\r\n[\"" T4
	    "\"]\r\n--b--\r\n", "--b\r\n\r\none\r\n--b\r\nContent-Type: " JSON
	    "\r\n\r\n[\"four\"]\r\n--b--\r\n", 2 },
	{ TEXT, "ev:QkTC:x", "ev:QkTC:x", 0 },
};

static void
test_every_cut(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan;
	struct taker t;

	for (size_t i = 0; i < COUNT(cut); i++) {
		size_t len = strlen(cut[i].body);

		for (size_t at = 0; at <= len; at++) {
			scan = scan_of(cut[i].media);
			begin(b, &scan);
			start(b, &t, (unsigned)(at % 3 * 50));
			assert_int_equal(feed(b, &t, cut[i].body, at, false),
			    TRANSFORM_PIECE);
			assert_int_equal(feed(b, &t, cut[i].body + at, len - at,
			    true), TRANSFORM_DONE);
			assert_text(&t.out, cut[i].want);
			assert_int_equal(b->tx.opened, cut[i].n);
			buffer_fini(&t.out);
		}
	}
}

static void
test_bytes_one_by_one(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan;
	struct taker t;

	for (size_t i = 0; i < COUNT(cut); i++) {
		size_t len = strlen(cut[i].body);

		scan = scan_of(cut[i].media);
		begin(b, &scan);
		start(b, &t, 100);
		for (size_t at = 0; at + 1 < len; at++)
			assert_int_equal(feed(b, &t, cut[i].body + at, 1, false),
			    TRANSFORM_PIECE);
		assert_int_equal(feed(b, &t, cut[i].body + len - 1, 1, true),
		    TRANSFORM_DONE);
		assert_text(&t.out, cut[i].want);
		assert_int_equal(b->tx.opened, cut[i].n);
		buffer_fini(&t.out);
	}
}

/* ---- more than one call takes ---- */

static void
put_tokens(struct buffer *doc, struct buffer *want, size_t n, const char *tail)
{
	for (size_t i = 0; i < n; i++) {
		buffer_puts(doc, T1 ",");
		buffer_puts(want, "one,");
	}
	buffer_puts(doc, tail);
	buffer_puts(want, tail);
}

/* PIECE, though it was whole: a body that is exactly full must not be taken
 * for one without anything to open. */
static void
test_more_than_one_call_takes(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan = scan_of(TEXT);
	struct buffer doc, want;
	struct taker t;

	begin(b, &scan);
	b->max_fields = 3;
	for (size_t n = 0; n <= 10; n++) {
		for (int pieces = 0; pieces < 4; pieces++) {
			const char *tail = pieces % 2 == 0 ? "" : "tail";

			buffer_init(&doc, 0, false);
			buffer_init(&want, 0, false);
			put_tokens(&doc, &want, n, tail);
			b->script.n_calls = 0;
			if (pieces < 2) {
				buffer_init(&t.out, 0, false);
				t.takes = 0;
				b->pieces = false;
				bench_begin(b, START, "", 0);
			} else {
				start(b, &t, 50);
			}
			assert_int_equal(feed(b, &t, buffer_data(&doc),
			    buffer_len(&doc), true), TRANSFORM_DONE);
			assert_text(&t.out, buffer_cstr(&want));
			assert_int_equal(b->tx.opened, n);
			assert_int_equal(b->script.n_calls, (n + 2) / 3);
			buffer_fini(&t.out);
			buffer_fini(&doc);
			buffer_fini(&want);
		}
	}
}

/* ---- engines that leave ---- */

/* The first answer of a call comes, then the link is cut: nothing counts or
 * stands twice. */
static void
test_an_engine_lost_in_between(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan = scan_of(JSON);
	struct taker t;

	scan.headers = true;
	begin(b, &scan);
	for (size_t first = 1; first <= 2; first++) {
		b->script.n_calls = 0;
		b->script.first = first;
		b->script.cut_at = 1;
		b->pieces = false;
		assert_int_equal(bench_run(b, START "A: " T4 "\r\n",
		    "[\"" T1 "\",\"" T4 "\"]"), TRANSFORM_DONE);
		assert_text(&b->head, START "A: four\r\n");
		assert_text(&b->body, "[\"one\",\"four\"]");
		assert_int_equal(b->tx.opened, 3);
		assert_int_equal(b->script.n_calls, 2);
	}
	/* In a later piece: what went before stays. */
	b->script.n_calls = 0;
	b->script.first = 1;
	b->script.cut_at = 2;
	start(b, &t, 100);
	assert_int_equal(feed(b, &t, "[\"" T1 "\",\"" T1 "\",", strlen("[\"" T1
	    "\",\"" T1 "\","), false), TRANSFORM_PIECE);
	assert_int_equal(feed(b, &t, "\"" T4 "\",\"" T4 "\"]", strlen("\"" T4
	    "\",\"" T4 "\"]"), true), TRANSFORM_DONE);
	assert_text(&t.out, "[\"one\",\"one\",\"four\",\"four\"]");
	assert_int_equal(b->tx.opened, 4);
	assert_int_equal(b->script.n_calls, 3);
	buffer_fini(&t.out);
}

/* ---- what does not open ---- */

static void
test_what_does_not_open(void **state)
{
	static const struct {
		enum rpc_open_status	status;
		bool			forbidden_fails;
		const char		*undecryptable;
		enum transform_result	want;
		unsigned		kept, forbidden;
	} faults[] = {
		{ RPC_OPEN_NOT_A_TOKEN, true, "keep", TRANSFORM_DONE, 1, 0 },
		{ RPC_OPEN_NOT_A_TOKEN, true, "reject", TRANSFORM_UNDECRYPTABLE,
		    0, 0 },
		{ RPC_OPEN_DEBUG, true, "keep", TRANSFORM_DONE, 1, 0 },
		{ RPC_OPEN_WRONG_APP_OR_CHANGED, true, "keep", TRANSFORM_DONE, 1,
		    0 },
		{ RPC_OPEN_WRONG_APP_OR_CHANGED, true, "reject",
		    TRANSFORM_UNDECRYPTABLE, 0, 0 },
		{ RPC_OPEN_OTHER_ROLE, true, "reject", TRANSFORM_DONE, 1, 0 },
		{ RPC_OPEN_FORBIDDEN, true, "keep", TRANSFORM_FORBIDDEN, 0, 0 },
		{ RPC_OPEN_FORBIDDEN, false, "reject", TRANSFORM_DONE, 1, 1 },
		{ RPC_OPEN_TOO_OLD, true, "keep", TRANSFORM_FORBIDDEN, 0, 0 },
		{ RPC_OPEN_TOO_OLD, false, "keep", TRANSFORM_DONE, 1, 1 },
	};
	struct bench *b = *state;
	struct transform_scan scan = scan_of(TEXT);
	char options[64];

	for (size_t i = 0; i < COUNT(faults); i++) {
		struct item items[] = {
			{ RPC_OPEN_OK, RPC_FIELD_STRING, "one", 0 },
			{ faults[i].status, RPC_FIELD_STRING, "", 0 },
			{ RPC_OPEN_OK, RPC_FIELD_STRING, "four", 0 },
		};

		begin(b, &scan);
		(void)snprintf(options, sizeof(options), ",\"onUndecryptable\":\"%s\"",
		    faults[i].undecryptable);
		bench_relay(b, "response", "decrypt", options,
		    SELECT("json", "$.unused"));
		b->forbidden_fails = faults[i].forbidden_fails;
		bench_says(b, items, COUNT(items));
		if (bench_run(b, START, T1 "," T2 "," T4) != faults[i].want)
			fail_msg("row %zu: %s", i, b->why);
		if (faults[i].want != TRANSFORM_DONE) {
			assert_text(&b->body, T1 "," T2 "," T4);
			assert_int_equal(b->tx.opened, 0);
			continue;
		}
		assert_text(&b->body, "one," T2 ",four");
		assert_int_equal(b->tx.opened, 2);
		assert_int_equal(b->tx.kept, faults[i].kept);
		assert_int_equal(b->tx.forbidden, faults[i].forbidden);
	}
}

/* What opened cannot stand there: the token does. */
static void
test_what_cannot_stand_there(void **state)
{
	static const struct {
		const char	*media, *body;
		struct item	item;
	} bad[] = {
		{ JSON, "[\"" T1 "\"]", { RPC_OPEN_OK, RPC_FIELD_STRING, "\xff", 1 } },
		{ JSON, "[\"x" T1 "\"]", { RPC_OPEN_OK, RPC_FIELD_STRING, "\xff", 1 } },
		{ XML, "<a>" T1 "</a>", { RPC_OPEN_OK, RPC_FIELD_STRING, "\1", 1 } },
		{ XML, "<a>" T1 "</a>", { RPC_OPEN_OK, RPC_FIELD_STRING, "\xff", 1 } },
	};
	struct bench *b = *state;
	struct transform_scan scan;

	for (size_t i = 0; i < COUNT(bad); i++) {
		scan = scan_of(bad[i].media);
		begin(b, &scan);
		bench_says(b, &bad[i].item, 1);
		assert_int_equal(bench_run(b, START, bad[i].body), TRANSFORM_DONE);
		assert_text(&b->body, bad[i].body);
		assert_int_equal(b->tx.opened, 0);
		assert_int_equal(b->tx.kept, 1);
	}
}

/* ---- heads ---- */

#define FIELDS	"Host: " T1 "\r\nCookie: a=" T1 "; b=" FORM_TOKEN("b25l") "\r\n"
#define OPEN_FIELDS	"Host: one\r\nCookie: a=one; b=one\r\n"
#define TARGET	"GET /" T1 "?a=" T1 "&b=" FORM_TOKEN("b25l") " HTTP/1.1\r\n"
#define OPEN_TARGET	"GET /" T1 "?a=one&b=one HTTP/1.1\r\n"

static void
test_heads(void **state)
{
	static const struct {
		bool		headers, query;
		const char	*want;
		size_t		n;
	} heads[] = {
		{ false, false, TARGET FIELDS, 0 },
		{ true, false, TARGET OPEN_FIELDS, 3 },
		{ false, true, OPEN_TARGET FIELDS, 2 },
		{ true, true, OPEN_TARGET OPEN_FIELDS, 5 },
	};
	struct bench *b = *state;
	struct transform_scan scan = scan_of(TEXT);

	for (size_t i = 0; i < COUNT(heads); i++) {
		for (int body = 0; body < 2; body++) {
			scan.headers = heads[i].headers;
			scan.query = heads[i].query;
			begin(b, &scan);
			b->syntax = body ? REWRITE_TOKENS : REWRITE_NONE;
			assert_int_equal(bench_run(b, TARGET FIELDS, body ? T4 :
			    ""), TRANSFORM_DONE);
			assert_text(&b->head, heads[i].want);
			assert_text(&b->body, body ? "four" : "");
			assert_int_equal(b->tx.opened, heads[i].n + (size_t)body);
		}
	}
	/* No query: a '?' in a field is none. */
	scan.headers = false;
	begin(b, &scan);
	assert_int_equal(bench_run(b, "GET /" T1 " HTTP/1.1\r\nA: ?" T1 "\r\n", ""),
	    TRANSFORM_DONE);
	assert_text(&b->head, "GET /" T1 " HTTP/1.1\r\nA: ?" T1 "\r\n");
	assert_int_equal(b->tx.opened, 0);
}

/* Nothing that opens makes another line, or another word of the first one. */
static void
test_what_opens_in_a_head(void **state)
{
	static const struct {
		const char	*head, *text, *want;
		size_t		len;
	} lines[] = {
		{ START "A: " T1 "\r\n", "x\r\nEvil: 1", START "A: " T1 "\r\n", 0 },
		{ START "A: " T1 "\r\n", "x\ny", START "A: " T1 "\r\n", 0 },
		{ START "A: " T1 "\r\n", "x\ry", START "A: " T1 "\r\n", 0 },
		{ START "A: " T1 "\r\n", "x\0y", START "A: " T1 "\r\n", 3 },
		{ START "A: " T1 "\r\n", "x\177", START "A: " T1 "\r\n", 0 },
		{ START "A: " T1 "\r\n", "x\ty \xc3\xa9", START "A: x\ty \xc3\xa9\r\n",
		    0 },
		{ START "A: \"" SLASHED "\"\r\n", "x\r\n\"",
		    START "A: \"x\\r\\n\\\"\"\r\n", 0 },
		{ START "A: " FORM_TOKEN("b25l") "\r\n", "x\r\n",
		    START "A: x%0D%0A\r\n", 0 },
		{ "GET /?a=" T1 " HTTP/1.1\r\n", "x HTTP/1.0\r\nEvil: 1",
		    "GET /?a=x%20HTTP%2F1.0%0D%0AEvil%3A%201 HTTP/1.1\r\n", 0 },
		{ "GET /?a=" T1 " HTTP/1.1\r\n", "&b=\xff#",
		    "GET /?a=%26b%3D%FF%23 HTTP/1.1\r\n", 0 },
		/* no target may have these: it goes on as it came */
		{ "GET /?a=" SLASHED " HTTP/1.1\r\n", "x",
		    "GET /?a=" SLASHED " HTTP/1.1\r\n", 0 },
	};
	struct bench *b = *state;
	struct transform_scan scan = scan_of(TEXT);

	scan.headers = scan.query = true;
	for (size_t i = 0; i < COUNT(lines); i++) {
		const struct item item = { RPC_OPEN_OK, RPC_FIELD_STRING,
		    lines[i].text, lines[i].len };

		begin(b, &scan);
		bench_says(b, &item, 1);
		assert_int_equal(bench_run(b, lines[i].head, ""), TRANSFORM_DONE);
		assert_text(&b->head, lines[i].want);
		assert_int_equal(b->tx.opened + b->tx.kept, strcmp(lines[i].head,
		    "GET /?a=" SLASHED " HTTP/1.1\r\n") != 0);
		assert_int_equal(b->tx.opened,
		    strcmp(lines[i].head, lines[i].want) != 0);
	}
}

/* ---- limits ---- */

static void
test_limits(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan = scan_of(TEXT);
	const char *body = T1 "," T4 "tail";
	size_t len = strlen("one,fourtail");

	begin(b, &scan);
	for (size_t max = 1; max <= len; max++) {
		b->max_bytes = max;
		assert_int_equal(bench_run(b, START, body), max < len ?
		    TRANSFORM_TOO_LARGE : TRANSFORM_DONE);
		assert_text(&b->body, max < len ? body : "one,fourtail");
	}
	b->max_bytes = 1 << 20;
	b->may_reserve = 10;
	b->script.n_calls = 0;
	assert_int_equal(bench_run(b, START, body), TRANSFORM_OVERLOADED);
	assert_int_equal(b->script.n_calls, 0);
	assert_int_equal(bench_run(b, START, "x"), TRANSFORM_DONE);
}

/* Tokens and files that are longer stay, and do not hold up what follows. */
static void
test_longer_than_a_token_may_be(void **state)
{
	struct bench *b = *state;
	struct transform_scan scan = scan_of(TEXT);
	struct taker t;

	scan.limits.token_bytes = strlen(T1);
	scan.limits.file_bytes = 8;
	begin(b, &scan);
	assert_int_equal(bench_run(b, START, T2 "," T1), TRANSFORM_DONE);
	assert_text(&b->body, T2 ",one");
	scan = scan_of(TEXT);
	scan.limits.file_bytes = 8;
	start(b, &t, 100);
	assert_int_equal(feed(b, &t, "%EVENC12", 8, false), TRANSFORM_PIECE);
	assert_text(&t.out, "");
	assert_int_equal(feed(b, &t, "3", 1, false), TRANSFORM_PIECE);
	assert_int_equal(feed(b, &t, T1, strlen(T1), true), TRANSFORM_DONE);
	assert_int_equal(b->tx.opened, 0);
	assert_text(&t.out, "%EVENC123" T1);
	buffer_fini(&t.out);
	bench_says(b, nothing, 0);
	assert_int_equal(b->tx.kept, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_places),
		BENCH_TEST(test_boundaries_in_values),
		BENCH_TEST(test_the_engine_sees_tokens),
		BENCH_TEST(test_every_cut),
		BENCH_TEST(test_bytes_one_by_one),
		BENCH_TEST(test_more_than_one_call_takes),
		BENCH_TEST(test_an_engine_lost_in_between),
		BENCH_TEST(test_what_does_not_open),
		BENCH_TEST(test_what_cannot_stand_there),
		BENCH_TEST(test_heads),
		BENCH_TEST(test_what_opens_in_a_head),
		BENCH_TEST(test_limits),
		BENCH_TEST(test_longer_than_a_token_may_be),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
