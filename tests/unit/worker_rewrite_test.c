/*
 * worker/rewrite.c: slots of a text get their answers one by one.  Tables of
 * texts with what becomes of each slot; rounds that begin again; windows on a
 * text that still comes; every limit.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "worker/rewrite.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define TOKEN		"ev:QkTC:+/$"	/* its form is nobody's business here */

/* In a text, [ and ] stand around each slot. */
struct fixture {
	struct buffer	text;
	struct rewrite	r;
};

static void
add_slot(struct rewrite *r, struct body_slot slot)
{
	struct body_slot *v = realloc(r->slots.v,
	    (r->slots.n + 1) * sizeof(*v));

	assert_non_null(v);
	r->slots.v = v;
	r->slots.cap = r->slots.n + 1;
	v[r->slots.n++] = slot;
}

static enum body_value_type
type_of(enum rewrite_syntax syntax, char first)
{
	if (syntax != REWRITE_JSON || first == '"')
		return (BODY_VALUE_STRING);
	return (first == 't' || first == 'f' ? BODY_VALUE_BOOLEAN :
	    BODY_VALUE_NUMBER);
}

/* More of the text, which the buffer gets without the brackets. */
static void
add(struct fixture *f, const char *marked)
{
	const char *end;
	size_t at;

	for (; *marked != '\0'; marked++) {
		if (*marked != '[') {
			buffer_put(&f->text, marked, 1);
			continue;
		}
		end = strchr(++marked, ']');
		at = f->r.base + buffer_len(&f->text);
		add_slot(&f->r, (struct body_slot){
			.start = at,
			.end = at + (size_t)(end - marked),
			.type = type_of(f->r.syntax, *marked),
			.escaped = memchr(marked, f->r.syntax == REWRITE_JSON ?
			    '\\' : '%', (size_t)(end - marked)) != NULL,
			.bare = f->r.syntax == REWRITE_FORM && end == marked,
		});
		buffer_put(&f->text, marked, (size_t)(end - marked));
		marked = end;
	}
}

static void
start(struct fixture *f, enum rewrite_syntax syntax, const char *marked,
    size_t max)
{
	buffer_init(&f->text, 0, true);
	rewrite_init(&f->r, syntax, &f->text, max);
	add(f, marked);
}

static void
stop(struct fixture *f)
{
	rewrite_fini(&f->r);
	buffer_fini(&f->text);
}

static void
assert_text(struct buffer *b, const char *want)
{
	assert_int_equal(buffer_len(b), strlen(want));
	assert_string_equal(buffer_cstr(b), want);
}

/* One letter for each slot: keep, seal, open "v" as string, open "1" as
 * number; anything else is RC_SYNTAX and then kept. */
static enum rc
answer(struct rewrite *r, char what)
{
	enum rc rc;

	switch (what) {
	case 'k':
		return (rewrite_keep(r));
	case 's':
		return (rewrite_replace(r, BODY_VALUE_STRING, SPAN_LIT(TOKEN)));
	case 'v':
		return (rewrite_replace(r, BODY_VALUE_STRING, SPAN_LIT("v")));
	case '1':
		return (rewrite_replace(r, BODY_VALUE_NUMBER, SPAN_LIT("1")));
	default:
		rc = rewrite_replace(r, BODY_VALUE_STRING, SPAN_LIT("\xff\n"));
		return (rc != RC_SYNTAX ? rc : rewrite_keep(r));
	}
}

static enum rc
answer_all(struct rewrite *r, const char *answers)
{
	enum rc rc = RC_OK;

	for (; *answers != '\0' && rc == RC_OK; answers++)
		rc = answer(r, *answers);
	return (rc);
}

static const struct {
	enum rewrite_syntax	syntax;
	const char		*marked;
	const char		*answers;
	const char		*want;
} rows[] = {
	{ REWRITE_JSON, "{}", "", "{}" },
	{ REWRITE_JSON, "[1]", "s", "\"" TOKEN "\"" },
	{ REWRITE_JSON, "[\"\"]", "v", "\"v\"" },
	{ REWRITE_JSON, "{\"a\" :[\"x\\n\"],\t\"b\":[true] }\n", "ks",
	    "{\"a\" :\"x\\n\",\t\"b\":\"" TOKEN "\" }\n" },
	{ REWRITE_JSON, "{\"a\":[\"x\"],\"b\":[2],\"c\":[false]}", "v1s",
	    "{\"a\":\"v\",\"b\":1,\"c\":\"" TOKEN "\"}" },
	{ REWRITE_JSON, "{\"a\":[\"x\"],\"b\":[\"y\"]}", "??",
	    "{\"a\":\"x\",\"b\":\"y\"}" },
	{ REWRITE_FORM, "a=[x]&b=[y]&&c", "sk",
	    "a=ev%3AQkTC%3A%2B%2F%24&b=y&&c" },
	{ REWRITE_FORM, "a[]&b=[y%0]", "s1", "a=ev%3AQkTC%3A%2B%2F%24&b=1" },
	{ REWRITE_FORM, "a[]", "k", "a" },
	{ REWRITE_FORM, "a=[x]", "?", "a=%FF%0A" },
	{ REWRITE_HEAD, "GET / HTTP/1.1\r\na: [x]\r\nb: [y]\r\nc: z\r\n", "sv",
	    "GET / HTTP/1.1\r\na: " TOKEN "\r\nb: v\r\nc: z\r\n" },
	{ REWRITE_HEAD, "GET / HTTP/1.1\r\na: [x]\r\nb: [y]\r\n", "?1",
	    "GET / HTTP/1.1\r\na: x\r\nb: 1\r\n" },
};

static void
test_answers(void **state)
{
	struct fixture f;
	struct buffer got;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		start(&f, rows[i].syntax, rows[i].marked, 0);
		assert_int_equal(answer_all(&f.r, rows[i].answers), RC_OK);
		assert_int_equal(rewrite_settle(&f.r, buffer_len(&f.text), false),
		    RC_OK);
		buffer_init(&got, 0, false);
		rewrite_take(&f.r, &got);
		assert_text(&got, rows[i].want);
		assert_int_equal(buffer_len(&f.r.out), 0);
		buffer_fini(&got);
		stop(&f);
	}
}

/* After any number of answers the round can begin again. */
static void
test_begun_again(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		start(&f, rows[i].syntax, rows[i].marked, 0);
		for (size_t n = 0; n <= strlen(rows[i].answers); n++) {
			rewrite_restart(&f.r);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(answer(&f.r, "sk?v"[(k + n) % 4]),
				    RC_OK);
		}
		rewrite_restart(&f.r);
		assert_int_equal(answer_all(&f.r, rows[i].answers), RC_OK);
		assert_int_equal(rewrite_settle(&f.r, buffer_len(&f.text), false),
		    RC_OK);
		assert_text(&f.r.out, rows[i].want);
		stop(&f);
	}
}

/* Every byte of the result counts, and one too few is told. */
static void
test_limits(void **state)
{
	struct fixture f;
	size_t len;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		len = strlen(rows[i].want);
		for (size_t max = 1; max <= len; max++) {
			start(&f, rows[i].syntax, rows[i].marked, max);
			rc = answer_all(&f.r, rows[i].answers);
			if (rc == RC_OK)
				rc = rewrite_settle(&f.r, buffer_len(&f.text),
				    false);
			assert_int_equal(rc, max == len ? RC_OK : RC_LIMIT);
			assert_true(buffer_len(&f.r.out) <= max);
			stop(&f);
		}
	}
}

/* ---- values ---- */

static void
test_values(void **state)
{
	static const struct {
		enum rewrite_syntax	syntax;
		const char		*marked;
		const char		*want;	/* NULL: it has none */
	} values[] = {
		{ REWRITE_JSON, " [\"abc\"] ", "abc" },
		{ REWRITE_JSON, " [\"\"] ", "" },
		{ REWRITE_JSON, " [\"a\\u0041\\\"\\ud83d\\ude00\"] ",
		    "aA\"\xf0\x9f\x98\x80" },
		{ REWRITE_JSON, " [\"\\ud800\"] ", NULL },
		{ REWRITE_JSON, " [\"\\udc00x\"] ", NULL },
		{ REWRITE_JSON, " [-1.5e+3] ", "-1.5e+3" },
		{ REWRITE_JSON, " [true] ", "true" },
		{ REWRITE_FORM, "a=[abc]&", "abc" },
		{ REWRITE_FORM, "a=[%41%zz%+]&", "A%zz% " },
		{ REWRITE_FORM, "a[]&", "" },
		{ REWRITE_HEAD, "a: [\"%41\\u0041]\r\n", "\"%41\\u0041" },
	};
	struct fixture f;
	struct span got;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		start(&f, values[i].syntax, values[i].marked, 0);
		if (values[i].syntax == REWRITE_HEAD)
			f.r.slots.v[0].escaped = false;
		rc = rewrite_value(&f.r, &f.r.slots.v[0], &got);
		assert_int_equal(rc, values[i].want != NULL ? RC_OK : RC_SYNTAX);
		if (rc == RC_OK && !span_eq_str(got, values[i].want))
			fail_msg("%.*s is not %s", (int)got.len, got.p,
			    values[i].want);
		stop(&f);
	}
}

/* What is refused leaves no trace: the slot can still be kept or sealed. */
static void
test_refused_text(void **state)
{
	static const struct {
		enum rewrite_syntax	syntax;
		struct span		text;
	} bad[] = {
		{ REWRITE_JSON, SPAN_LIT("\xc3(") },
		{ REWRITE_JSON, SPAN_LIT("abc\xed\xa0\x80") },
		{ REWRITE_HEAD, SPAN_LIT("a\r\nb: c") },
		{ REWRITE_HEAD, SPAN_LIT("a\0") },
		{ REWRITE_HEAD, SPAN_LIT(" a") },
		{ REWRITE_HEAD, SPAN_LIT("a ") },
		{ REWRITE_HEAD, SPAN_LIT("\t") },
		{ REWRITE_NONE, SPAN_LIT("a") },
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		start(&f, bad[i].syntax, "<[\"x\"]>", 0);
		assert_int_equal(rewrite_replace(&f.r, BODY_VALUE_STRING, bad[i].text),
		    RC_SYNTAX);
		assert_int_equal(f.r.at, 0);
		assert_int_equal(rewrite_keep(&f.r), RC_OK);
		assert_int_equal(rewrite_settle(&f.r, 5, false), RC_OK);
		assert_text(&f.r.out, "<\"x\">");
		stop(&f);
	}
	start(&f, REWRITE_NONE, "<[x]>", 0);
	assert_int_equal(rewrite_replace(&f.r, BODY_VALUE_STRING, SPAN_LIT(TOKEN)),
	    RC_SYNTAX);
	stop(&f);
}

/* ---- what was found by a scan ---- */

#define FULL	"ev:QkTC:AAAAAAAAAAAAAAAA:"					\
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:YQ:$"

/* One slot, between [ and ]. */
static void
found(struct fixture *f, enum rewrite_syntax syntax, const char *marked,
    enum body_found_place place, bool encoded)
{
	const char *open = strchr(marked, '['), *end = strrchr(marked, ']');
	size_t at = (size_t)(open - marked), len = (size_t)(end - open) - 1;

	buffer_init(&f->text, 0, true);
	rewrite_init(&f->r, syntax, &f->text, 0);
	buffer_put(&f->text, marked, at);
	buffer_put(&f->text, open + 1, len);
	buffer_puts(&f->text, end + 1);
	add_slot(&f->r, (struct body_slot){
		.start = at,
		.end = at + len,
		.type = BODY_VALUE_STRING,
		.place = place,
		.escaped = encoded,
	});
}

static void
test_places(void **state)
{
	static const struct {
		enum rewrite_syntax	syntax;
		const char		*marked;
		enum body_found_place	place;
		enum body_value_type	type;
		const char		*text;
		const char		*want;	/* NULL: cannot stand there */
	} places[] = {
		{ REWRITE_TOKENS, "a[" FULL "]b", BODY_FOUND_PLAIN,
		    BODY_VALUE_STRING, "\"\r\n<", "a\"\r\n<b" },
		{ REWRITE_TOKENS, "{[\"" FULL "\"]}", BODY_FOUND_JSON_VALUE,
		    BODY_VALUE_STRING, "\"\n", "{\"\\\"\\n\"}" },
		{ REWRITE_TOKENS, "{[\"" FULL "\"]}", BODY_FOUND_JSON_VALUE,
		    BODY_VALUE_NUMBER, "-1.5e3", "{-1.5e3}" },
		{ REWRITE_TOKENS, "{[\"" FULL "\"]}", BODY_FOUND_JSON_VALUE,
		    BODY_VALUE_BOOLEAN, "true", "{true}" },
		{ REWRITE_TOKENS, "{[\"" FULL "\"]}", BODY_FOUND_JSON_VALUE,
		    BODY_VALUE_STRING, "\xff", NULL },
		{ REWRITE_TOKENS, "\"x[" FULL "]\"", BODY_FOUND_JSON_TEXT,
		    BODY_VALUE_NUMBER, "1\"", "\"x1\\\"\"" },
		{ REWRITE_TOKENS, "a=[" FULL "]&", BODY_FOUND_PERCENT,
		    BODY_VALUE_STRING, "&=+ \xff", "a=%26%3D%2B%20%FF&" },
		{ REWRITE_TOKENS, "<a>[" FULL "]</a>", BODY_FOUND_XML,
		    BODY_VALUE_STRING, "<&'", "<a>&lt;&amp;&#39;</a>" },
		{ REWRITE_TOKENS, "<a>[" FULL "]</a>", BODY_FOUND_XML,
		    BODY_VALUE_STRING, "\1", NULL },
		{ REWRITE_TOKENS, "[%EVENC]", BODY_FOUND_FILE, BODY_VALUE_STRING,
		    "\xff\r\n", "\xff\r\n" },
		/* in a field nothing makes another line */
		{ REWRITE_HEAD_TOKENS, "A: [" FULL "]\r\n", BODY_FOUND_PLAIN,
		    BODY_VALUE_STRING, "x y\t\xe9", "A: x y\t\xe9\r\n" },
		{ REWRITE_HEAD_TOKENS, "A: [" FULL "]\r\n", BODY_FOUND_PLAIN,
		    BODY_VALUE_STRING, "x\ry", NULL },
		{ REWRITE_HEAD_TOKENS, "A: [" FULL "]\r\n", BODY_FOUND_PLAIN,
		    BODY_VALUE_STRING, "x\ny", NULL },
		{ REWRITE_HEAD_TOKENS, "A: [" FULL "]\r\n", BODY_FOUND_PLAIN,
		    BODY_VALUE_STRING, "\177", NULL },
		{ REWRITE_HEAD_TOKENS, "GET /?[" FULL "] HTTP/1.1\r\n",
		    BODY_FOUND_PERCENT, BODY_VALUE_STRING, " \r\n",
		    "GET /?%20%0D%0A HTTP/1.1\r\n" },
		{ REWRITE_HEAD_TOKENS, "A: \"[" FULL "]\"\r\n",
		    BODY_FOUND_JSON_TEXT, BODY_VALUE_STRING, "\r\n",
		    "A: \"\\r\\n\"\r\n" },
	};
	struct fixture f;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		found(&f, places[i].syntax, places[i].marked, places[i].place,
		    false);
		rc = rewrite_replace(&f.r, places[i].type, span_of(places[i].text));
		if (rc != (places[i].want != NULL ? RC_OK : RC_SYNTAX))
			fail_msg("%s: %s", places[i].marked, rc_name(rc));
		if (rc == RC_SYNTAX) {		/* nothing was done */
			assert_int_equal(f.r.at, 0);
			assert_int_equal(rewrite_keep(&f.r), RC_OK);
		}
		assert_int_equal(rewrite_settle(&f.r, buffer_len(&f.text), false),
		    RC_OK);
		assert_text(&f.r.out, rc == RC_OK ? places[i].want :
		    buffer_cstr(&f.text));
		stop(&f);
	}
}

/* Its own bytes, for the engine. */
static void
test_found_values(void **state)
{
	static const struct {
		const char		*marked;
		enum body_found_place	place;
		bool			encoded;
		const char		*want;
	} values[] = {
		{ "a[" FULL "]b", BODY_FOUND_PLAIN, false, FULL },
		{ "{[\"" FULL "\"]}", BODY_FOUND_JSON_VALUE, false, FULL },
		{ "{[\"\\u0065v:QkTC\"]}", BODY_FOUND_JSON_VALUE, true,
		    "ev:QkTC" },
		{ "\"x[\\u0065v\\/]\"", BODY_FOUND_JSON_TEXT, true, "ev/" },
		{ "a=[ev%3aQ%2B]", BODY_FOUND_PERCENT, true, "ev:Q+" },
		{ "a=[ev%3aQ%2B]", BODY_FOUND_PERCENT, false, "ev%3aQ%2B" },
		{ "<a>[ev&#58;Q&#x2b;]<", BODY_FOUND_XML, true, "ev:Q+" },
		{ "[%EVENC\\u0041%41&#65;]", BODY_FOUND_FILE, false,
		    "%EVENC\\u0041%41&#65;" },
	};
	struct fixture f;
	struct span got;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		found(&f, REWRITE_TOKENS, values[i].marked, values[i].place,
		    values[i].encoded);
		assert_int_equal(rewrite_value(&f.r, &f.r.slots.v[0], &got), RC_OK);
		if (!span_eq_str(got, values[i].want))
			fail_msg("%.*s is not %s", (int)got.len, got.p,
			    values[i].want);
		/* What is as large as a file is not copied. */
		assert_int_equal(got.p == buffer_data(&f.text) +
		    f.r.slots.v[0].start, values[i].place == BODY_FOUND_FILE);
		stop(&f);
	}
}

/* ---- rounds ---- */

/* The window loses what was copied; offsets go on from the document's start. */
static void
test_rounds(void **state)
{
	struct fixture f;
	struct buffer got;

	(void)state;
	for (int again = 0; again < 2; again++) {
		start(&f, REWRITE_JSON, "{\"a\":[\"x\"],\"b", 0);
		assert_int_equal(answer_all(&f.r, "s"), RC_OK);
		assert_int_equal(rewrite_settle(&f.r, 8, true), RC_OK);
		assert_text(&f.text, ",\"b");
		assert_int_equal(f.r.base, 8);
		assert_int_equal(f.r.slots.n, 0);
		assert_text(&f.r.out, "{\"a\":\"" TOKEN "\"");
		add(&f, "\": [2]  ,\"c\":[\"y\"]");
		if (again) {
			assert_int_equal(answer_all(&f.r, "vk"), RC_OK);
			rewrite_restart(&f.r);
			assert_text(&f.r.out, "{\"a\":\"" TOKEN "\"");
		}
		assert_int_equal(answer_all(&f.r, "1s"), RC_OK);
		assert_int_equal(rewrite_settle(&f.r, 8 +
		    buffer_len(&f.text), true), RC_OK);
		assert_int_equal(buffer_len(&f.text), 0);
		add(&f, "}");
		assert_int_equal(rewrite_settle(&f.r, f.r.base + 1, true), RC_OK);
		buffer_init(&got, 0, false);
		rewrite_take(&f.r, &got);
		assert_text(&got, "{\"a\":\"" TOKEN "\",\"b\": 1  ,\"c\":\"" TOKEN
		    "\"}");
		buffer_fini(&got);
		stop(&f);
	}
}

/* What is asked for covers the call's copy of the values and the result. */
static void
test_growth(void **state)
{
	struct fixture f;
	size_t before, values;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		start(&f, rows[i].syntax, rows[i].marked, 0);
		values = 0;
		for (size_t k = 0; k < f.r.slots.n; k++)
			values += f.r.slots.v[k].end - f.r.slots.v[k].start;
		before = rewrite_growth(&f.r, buffer_len(&f.text));
		assert_true(before >= values + strlen(rows[i].want));
		assert_int_equal(answer_all(&f.r, rows[i].answers), RC_OK);
		assert_int_equal(rewrite_settle(&f.r, buffer_len(&f.text), true),
		    RC_OK);
		assert_int_equal(rewrite_growth(&f.r, f.r.base), 0);
		stop(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_begun_again),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused_text),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_found_values),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_growth),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
