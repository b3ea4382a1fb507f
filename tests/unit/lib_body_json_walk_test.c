/* The walk by hand: which slots, which refusals, which bytes it asks for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib_body_suite.h"
#include "lib_body_truth.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- which paths --------------------------------------------------------- */

static void
test_streams(void **state)
{
	static const struct {
		const char	*path;
		bool		streams;
	} cases[] = {
		{ "$", true },
		{ "$.a.b['c']", true },
		{ "$.*", true },
		{ "$..*", true },
		{ "$..a[0]", true },
		{ "$['a','b',1,*]", true },
		{ "$[0]", true },
		{ "$[-1]", false },
		{ "$.a[0,-1]", false },
		{ "$[:]", true },
		{ "$[1:]", true },
		{ "$[:2]", true },
		{ "$[1:5:2]", true },
		{ "$[0:0]", true },
		{ "$[-1:]", false },
		{ "$[:-1]", false },
		{ "$[::-1]", false },
		{ "$[::0]", false },
		{ "$[5:1:-2]", false },
		{ "$..[1:3, 'a']", true },
		{ "$[?@.a]", false },
		{ "$.a[0, ?@ == 1]", false },
		{ "$..a.b[?@.c > 1].d", false },
	};
	struct body_jsonpath *path;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		if (body_jsonpath_compile(span_of(cases[i].path), &path,
		    NULL) != RC_OK)
			fail_msg("no path: %s", cases[i].path);
		if (body_jsonpath_streams(path) != cases[i].streams)
			fail_msg("%s", cases[i].path);
		body_jsonpath_free(&path);
	}
}

/* ---- by hand ------------------------------------------------------------- */

static const struct {
	const char	*doc;
	const char	*paths[4];
	/* as suite_slots writes them */
	const char	*want;
} cases[] = {
	{ "{\"card\": {\"number\":\"4111\"}, \"n\":1.0}", { "$.card.number" },
	    "\"4111\"s0" },
	{ "{\"a\":1,\"b\":[true,false,null,\"\",\"x\\n\"]}", { "$.*" },
	    "1n0 trueb0 falseb0 \"\"s0_ \"x\\n\"s0e" },
	{ "{\"a\":{\"b\":[1,{\"c\":2}],\"d\":null},\"e\":3}", { "$.a" },
	    "1n0 2n0" },
	{ "{\"a\":{\"b\":[1,{\"c\":2}],\"d\":null},\"e\":3}", { "$" },
	    "1n0 2n0 3n0" },
	/* the first selection in the list, whichever stands further out */
	{ "{\"a\":1,\"b\":2,\"c\":3}", { "$.c", "$.a", "$.*" },
	    "1n1 2n2 3n0" },
	{ "{\"a\":{\"b\":1,\"c\":2}}", { "$.a.b", "$.a" }, "1n0 2n1" },
	{ "{\"a\":{\"b\":1,\"c\":2}}", { "$.a", "$.a.b" }, "1n0 2n0" },
	{ "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":3},\"f\":4}",
	    { "$..c", "$.a.b", "$.a", "$" }, "1n0 2n1 3n2 4n3" },
	/* arrays */
	{ "[1,2,3]", { "$[2,0,0]" }, "1n0 3n0" },
	{ "[[1,2],[3,4],[5]]", { "$[*][1]", "$[2]" }, "2n0 4n0 5n1" },
	{ "[0,1,2,3,4,5,6]", { "$[1:6:2]", "$[5:]", "$[:1]" },
	    "0n2 1n0 3n0 5n0 6n1" },
	{ "[0,1,2]", { "$[2:1]", "$[7:]", "$[0:0]" }, "" },
	{ "[0,1,2]", { "$[:]" }, "0n0 1n0 2n0" },
	{ "{\"0\":1,\"1\":[5]}", { "$[0]", "$[0:]", "$.*[0]" }, "5n2" },
	{ "[{\"a\":1},{\"b\":2}]", { "$.a", "$[1].a", "$.b" }, "" },
	/* descendants */
	{ "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}", { "$..a.a" }, "1n0" },
	{ "{\"a\":{\"x\":{\"a\":{\"b\":1}}},\"b\":2}", { "$..a..b" }, "1n0" },
	{ "{\"a\":[{\"b\":1},[{\"b\":2}]],\"b\":3}", { "$..[0].b", "$..b" },
	    "1n0 2n0 3n1" },
	{ "[[[1,2],3],4]", { "$..*..*" }, "1n0 2n0 3n0" },
	{ "[[[1,2],3],4]", { "$..[1]" }, "2n0 3n0 4n0" },
	/* names are compared decoded, and every member of a name counts */
	{ "{\"a\":1,\"a\":2,\"\\u0061\":3,\"A\":4}", { "$.a" }, "1n0 2n0 3n0" },
	{ "{\"\":1,\"\\\"\":2,\"a\\\\\":3}", { "$['']", "$['\"']", "$['a\\\\']" },
	    "1n0 2n1 3n2" },
	{ "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}",
	    { "$['\xf0\x9f\x98\x80']" }, "1n0 2n0" },
	{ "{\"ab\":1,\"ba\":2,\"abab\":3,\"a\":4}", { "$.ab", "$.abab", "$.ba" },
	    "1n0 2n2 3n1" },
	/* a lone surrogate in a key is no name, in a value it is the caller's */
	{ "{\"\\ud800\":1,\"a\":2}", { "$.a", "$['\xef\xbf\xbd']", "$['?']" },
	    "2n0" },
	{ "{\"\\ud800\":1}", { "$.*" }, "1n0" },
	{ "{\"a\":\"\\udc00x\"}", { "$.a" }, "\"\\udc00x\"s0e" },
	/* nothing */
	{ "null", { "$" }, "" },
	{ "\"x\"", { "$" }, "\"x\"s0" },
	{ " 5 ", { "$" }, "5n0" },
	{ "5", { "$" }, "5n0" },
	{ "-0.0e+1", { "$" }, "-0.0e+1n0" },
	{ "true", { "$" }, "trueb0" },
	{ "\"\"", { "$", "$" }, "\"\"s0_" },
	{ "[]", { "$", "$..*" }, "" },
	{ "{\"a\":{},\"b\":[]}", { "$.*", "$" }, "" },
	{ "{\"a\":1}", { "$.b", "$.a.b" }, "" },
	{ "{\"a\":1}", { NULL }, "" },
};

static void
test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct span text = span_of(cases[i].doc);
		struct body_slots slots = { 0 };
		struct body_json_walk *walk;
		struct paths paths = { 0 };
		struct buffer got;
		size_t settled;

		for (size_t k = 0; k < N(cases[i].paths) &&
		    cases[i].paths[k] != NULL; k++)
			paths_add(&paths, cases[i].paths[k]);
		walk = body_json_walk_new(paths_borrow(&paths), paths.n, SIZE_MAX);
		assert_int_equal(body_json_walk_feed(walk, text, 0, true, &slots,
		    &settled, NULL), RC_OK);
		suite_slots(text, &slots, &got);
		assert_string_equal(buffer_cstr(&got), cases[i].want);
		buffer_fini(&got);
		body_slots_fini(&slots);
		body_json_walk_free(&walk);
		check_document(text, &paths);
		paths_fini(&paths);
	}
}

/* ---- hostile ------------------------------------------------------------- */

static void
test_refusals(void **state)
{
	static const struct {
		const char	*text;
		size_t		len;
	} broken[] = {
#define BROKEN(s)	{ s, sizeof(s) - 1 }
		BROKEN(""), BROKEN(" "), BROKEN("["), BROKEN("{\"a\""),
		BROKEN("{\"a\":"), BROKEN("\"a"), BROKEN("\"a\\"), BROKEN("-"),
		BROKEN("1."), BROKEN("1e"), BROKEN("tru"), BROKEN("[1]]"),
		BROKEN("[1] 2"), BROKEN("5 5"), BROKEN("5,"), BROKEN("{},"),
		BROKEN("{}:"), BROKEN("1\f"), BROKEN("\v1"), BROKEN("[1\f]"),
		BROKEN("\"a\fb\""), BROKEN("{} t"), BROKEN("{} \""),
		BROKEN("[]\0"), BROKEN("\xef\xbb\xbf[]"), BROKEN("\"\xff\""),
		BROKEN("\"\xe2\x82\""), BROKEN("[\"\xed\xa0\x80\"]"),
		BROKEN("[1,\xc3\xa9]"), BROKEN("[]\xc3\xa9"),
		BROKEN("\"\xc0\xaf\""), BROKEN("[1,,2]"), BROKEN("[,1]"),
		BROKEN(",1"), BROKEN("{\"a\"::1}"), BROKEN("// a\n1"),
		BROKEN("\"\\u12g4\""), BROKEN("\"\\ud800"), BROKEN("{1:2}"),
	};
	struct paths paths = { 0 };
	struct truth t;

	(void)state;
	paths_add(&paths, "$..a");
	paths_add(&paths, "$");
	for (size_t i = 0; i < N(broken); i++) {
		truth_init(&t, (struct span){ broken[i].text, broken[i].len },
		    &paths);
		assert_int_equal(t.rc, RC_SYNTAX);
		truth_fini(&t);
		check_document((struct span){ broken[i].text, broken[i].len },
		    &paths);
	}
	paths_fini(&paths);
}

/* States of many paths on many levels outgrow their first room. */
static void
test_depth(void **state)
{
	static const char *const opens[] = { "[", "{\"a\":", "[{\"a\":" };
	static const char *const closes[] = { "]", "}", "}]" };
	struct paths paths = { 0 };
	struct truth t;
	struct buffer b;

	(void)state;
	paths_add(&paths, "$..b..*");
	paths_add(&paths, "$..a.a.a.a.a.a..a");
	paths_add(&paths, "$..*[0]..*[0]..*");
	paths_add(&paths, "$..a");
	paths_add(&paths, "$..[0]");
	for (size_t i = 0; i < N(opens); i++) {
		unsigned levels = i == 2 ? 64 : 128;

		for (unsigned depth = 15; depth <= levels + 1; depth++) {
			if (depth == 18)
				depth = levels;
			suite_nest(&b, depth, opens[i], closes[i]);
			truth_init(&t, suite_span(&b), &paths);
			assert_int_equal(t.rc, depth > levels ? RC_LIMIT :
			    RC_OK);
			check_whole(&t);
			check_steps(&t, 1);
			truth_fini(&t);
			buffer_fini(&b);
		}
	}
	suite_nest(&b, 100000, "[", "");
	truth_init(&t, suite_span(&b), &paths);
	assert_int_equal(t.rc, RC_LIMIT);
	check_whole(&t);
	check_steps(&t, 1000);
	truth_fini(&t);
	buffer_fini(&b);
	paths_fini(&paths);
}

static void
test_faults(void **state)
{
	static const char text[] = "[1,null,2,[\"\",4]]";
	struct body_json_fault fault;
	struct body_json_walk *walk;
	struct paths paths = { 0 };
	struct body_slots slots;
	struct buffer b;
	size_t settled, first;
	enum rc rc;

	(void)state;
	paths_add(&paths, "$[0]");
	paths_add(&paths, "$");
	for (size_t max = 0; max <= 4; max++) {
		memset(&slots, 0, sizeof(slots));
		walk = body_json_walk_new(paths_borrow(&paths), paths.n, max);
		/* The limit counts slots the caller took away, too. */
		rc = body_json_walk_feed(walk, (struct span){ text, 5 },
		    0, false, &slots, &settled, &fault);
		first = slots.n;
		slots.n = 0;
		if (rc == RC_OK)
			rc = body_json_walk_feed(walk, SPAN_LIT(text), 0, true,
			    &slots, &settled, &fault);
		assert_int_equal(rc, max < 4 ? RC_LIMIT : RC_OK);
		assert_int_equal(fault.too_many, max < 4);
		assert_int_equal(first + slots.n, max);
		body_json_walk_free(&walk);
		body_slots_fini(&slots);
	}
	suite_nest(&b, BODY_JSON_DEPTH_MAX + 1, "[", "]");
	memset(&slots, 0, sizeof(slots));
	walk = body_json_walk_new(paths_borrow(&paths), paths.n, 0);
	assert_int_equal(body_json_walk_feed(walk, suite_span(&b), 0, true,
	    &slots, &settled, &fault), RC_LIMIT);
	assert_false(fault.too_many);
	assert_string_not_equal(fault.reason, "");
	body_json_walk_free(&walk);
	body_json_walk_free(&walk);
	buffer_fini(&b);
	paths_fini(&paths);
}

/* ---- windows ------------------------------------------------------------- */

/* Nothing new, at the end and before; more than it asked for; less. */
static void
test_windows(void **state)
{
	static const char text[] = "{\"a\": [12, \"x\"] , \"b\":345} ";
	static const struct {
		size_t	base, end, settled;
		bool	final;
		size_t	slots;
	} steps[] = {
		{ 0, 0, 0, false, 0 },
		{ 0, 1, 1, false, 0 },
		{ 0, 1, 1, false, 0 },		/* nothing new */
		{ 0, 6, 6, false, 0 },		/* more than it asked for */
		{ 5, 9, 7, false, 0 },		/* 12 may go on */
		{ 7, 10, 10, false, 1 },
		{ 7, 8, 10, false, 1 },		/* less than before */
		{ 0, 13, 11, false, 1 },	/* "x has no end */
		{ 11, 12, 11, false, 1 },
		{ 11, 15, 15, false, 2 },
		{ 15, 25, 22, false, 2 },	/* 345 may go on */
		{ 22, 26, 26, false, 3 },
		{ 26, 27, 27, false, 3 },
		{ 27, 27, 27, true, 3 },
	};
	struct paths paths = { 0 };
	struct body_slots slots = { 0 };
	struct body_json_walk *walk;
	size_t settled;

	(void)state;
	paths_add(&paths, "$");
	walk = body_json_walk_new(paths_borrow(&paths), paths.n, 3);
	for (size_t i = 0; i < N(steps); i++) {
		size_t len = steps[i].end - steps[i].base;
		char *copy = len == 0 ? NULL : malloc(len);

		if (len != 0)
			memcpy(copy, text + steps[i].base, len);
		assert_int_equal(body_json_walk_feed(walk, (struct span){ copy,
		    len }, steps[i].base, steps[i].final, &slots, &settled,
		    NULL), RC_OK);
		free(copy);
		assert_int_equal(settled, steps[i].settled);
		assert_int_equal(slots.n, steps[i].slots);
	}
	body_json_walk_free(&walk);
	body_slots_fini(&slots);
	paths_fini(&paths);
}

/* A number that only the end of the document ends, known only then. */
static void
test_number_at_the_end(void **state)
{
	struct paths paths = { 0 };
	struct truth t;
	struct shown s;

	(void)state;
	paths_add(&paths, "$");
	truth_init(&t, SPAN_LIT(" 1234"), &paths);
	shown_init(&s, &t);
	for (size_t end = 0; end <= t.text.len; end++) {
		assert_int_equal(shown_feed(&s, end, false), RC_OK);
		assert_int_equal(s.slots.n, 0);
		assert_int_equal(s.settled, end == 0 ? 0 : 1);
	}
	assert_int_equal(shown_feed(&s, t.text.len, true), RC_OK);
	assert_int_equal(s.slots.n, 1);
	assert_int_equal(s.slots.v[0].start, 1);
	assert_int_equal(s.slots.v[0].end, 5);
	body_json_walk_free(&s.walk);
	body_slots_fini(&s.slots);
	truth_fini(&t);
	paths_fini(&paths);
}

/* A value is reported as soon as it is there, and gaps are not kept. */
static void
test_nothing_waits(void **state)
{
	struct paths paths = { 0 };
	struct buffer b;
	struct truth t;
	struct shown s;

	(void)state;
	paths_add(&paths, "$[*]");
	buffer_init(&b, 0, false);
	for (unsigned i = 0; i < 50; i++)
		buffer_printf(&b, "%s \n \"value %u%s\"", i == 0 ? "[" : ",", i,
		    i % 3 == 0 ? "" : i % 3 == 1 ? "\\\\" : "\\\"\\\\");
	for (unsigned i = 0; i < 1000; i++)
		buffer_puts(&b, " ");
	buffer_puts(&b, "]");
	truth_init(&t, suite_span(&b), &paths);
	shown_init(&s, &t);
	for (size_t end = 1; end <= t.text.len; end++) {
		size_t due = 0;

		assert_int_equal(shown_feed(&s, end, false), RC_OK);
		assert_true(end - s.settled < sizeof("\"value 49\\\"\\\\\""));
		while (due < t.slots.n && t.slots.v[due].end <= end)
			due++;
		assert_int_equal(s.slots.n, due);
	}
	shown_end(&s, RC_OK);
	truth_fini(&t);
	buffer_fini(&b);
	paths_fini(&paths);
}

/* ---- size ---------------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

/*
 * One string, key or number that fills the document, in pieces of a packet.
 * What is quadratic takes hours here.
 */
static void
test_huge_tokens(void **state)
{
	static const struct {
		const char	*before, *fill, *after;
	} docs[] = {
		{ "{\"a\":\"", "0123456789abcdef", "\"}" },
		{ "{\"a\":\"", "\\u00e9\\\\\\\"", "\"}" },
		{ "{\"", "0123456789abcdef", "\":1,\"a\":2}" },
		{ "[", "1234567890", "]" },
		{ "[", "                ", "3]" },
		{ "[1", ",\"abc\"", "]" },
	};
	const size_t bytes = (size_t)60 << 20, piece = 1400;
	struct paths paths = { 0 };
	double begin = seconds();

	(void)state;
	paths_add(&paths, "$.a");
	paths_add(&paths, "$[0]");
	for (size_t i = 0; i < N(docs); i++) {
		size_t fill = strlen(docs[i].fill), settled = 0;
		struct body_slots slots = { 0 };
		struct body_json_walk *walk;
		struct buffer b;
		enum rc rc = RC_OK;

		buffer_init(&b, 0, false);
		buffer_puts(&b, docs[i].before);
		for (size_t k = 0; k < bytes / (i == 0 ? 1 : 8); k += fill)
			buffer_put(&b, docs[i].fill, fill);
		buffer_puts(&b, docs[i].after);
		walk = body_json_walk_new(paths_borrow(&paths), paths.n, SIZE_MAX);
		for (size_t end = piece; end < buffer_len(&b) && rc == RC_OK;
		    end += piece)
			rc = body_json_walk_feed(walk, (struct span){
			    buffer_data(&b) + settled, end - settled }, settled,
			    false, &slots, &settled, NULL);
		if (rc == RC_OK)
			rc = body_json_walk_feed(walk, (struct span){
			    buffer_data(&b) + settled,
			    buffer_len(&b) - settled }, settled, true, &slots,
			    &settled, NULL);
		assert_int_equal(rc, RC_OK);
		assert_int_equal(settled, buffer_len(&b));
		assert_int_equal(slots.n, 1);
		body_json_walk_free(&walk);
		body_slots_fini(&slots);
		buffer_fini(&b);
	}
	assert_true(seconds() - begin < 60);
	paths_fini(&paths);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_number_at_the_end),
		cmocka_unit_test(test_nothing_waits),
		cmocka_unit_test(test_huge_tokens),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
