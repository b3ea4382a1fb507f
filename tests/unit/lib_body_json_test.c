/* The index: what is accepted, and whether every span is where it should be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/json.h"
#include "lib_body_suite.h"

static enum rc
read_rc(struct span text)
{
	struct body_json doc;
	struct body_json_fault fault = { 0 };
	enum rc rc = body_json_read(&doc, text.p, text.len, 0, &fault);

	assert_non_null(fault.reason);
	assert_true(fault.offset <= text.len);
	if (rc != RC_OK) {
		assert_null(doc.nodes);
		assert_int_equal(doc.n, 0);
	}
	body_json_fini(&doc);
	return (rc);
}

/*
 * Each node must lie inside its parent, behind its elder siblings, and its raw
 * bytes alone must be a document of the same type and the same length.
 */
static void
check_spans(struct span text, bool containers)
{
	struct body_json doc, alone;
	size_t pos[BODY_JSON_DEPTH_MAX + 1] = { 0 };
	uint32_t i;

	assert_int_equal(body_json_read(&doc, text.p, text.len, 0, NULL),
	    RC_OK);
	for (i = 0; i < doc.n; i++) {
		const struct body_json_node *n = &doc.nodes[i];
		const struct body_json_node *parent = &doc.nodes[n->parent];
		struct span raw = body_json_raw(&doc, i);
		unsigned depth = 0;

		for (uint32_t up = i; up != 0; up = doc.nodes[up].parent)
			depth++;
		if (i != 0) {
			assert_true(n->start > parent->start);
			assert_true(n->end < parent->end);
			assert_true(n->next <= parent->next);
			assert_true(n->has_key ==
			    (parent->type == BODY_JSON_OBJECT));
			assert_true(n->start >= pos[depth] ||
			    n->parent + 1 == i);
		}
		pos[depth] = n->end;
		if (n->has_key) {
			struct span key = body_json_raw_key(&doc, i);

			assert_true(n->key_end <= n->start);
			assert_int_equal(body_json_read(&alone, key.p, key.len,
			    0, NULL), RC_OK);
			assert_int_equal(alone.nodes[0].type, BODY_JSON_STRING);
			assert_int_equal(alone.nodes[0].escaped, n->key_escaped);
			body_json_fini(&alone);
		}
		if (!containers && n->type >= BODY_JSON_ARRAY)
			continue;
		assert_int_equal(body_json_read(&alone, raw.p, raw.len, 0,
		    NULL), RC_OK);
		assert_int_equal(alone.nodes[0].type, n->type);
		assert_int_equal(alone.nodes[0].end, raw.len);
		assert_int_equal(alone.nodes[0].escaped, n->escaped);
		assert_int_equal(alone.n, n->next - i);
		body_json_fini(&alone);
	}
	body_json_fini(&doc);
}

/* ---- own cases ----------------------------------------------------------- */

static const struct {
	const char	*text;
	size_t		len;
	enum rc		rc;
} cases[] = {
#define CASE(s, rc) { s, sizeof(s) - 1, rc }
	CASE("", RC_SYNTAX),
	CASE(" ", RC_SYNTAX),
	CASE("\n", RC_SYNTAX),
	CASE("1", RC_OK),
	CASE("12345678901234567890123456789", RC_OK),
	CASE("-0", RC_OK),
	CASE(" 1e5", RC_OK),
	CASE("1 \r\n\t", RC_OK),
	CASE("1\f", RC_SYNTAX),
	CASE("\f1", RC_SYNTAX),
	CASE("1,", RC_SYNTAX),
	CASE(",1", RC_SYNTAX),
	CASE(":1", RC_SYNTAX),
	CASE("1:", RC_SYNTAX),
	CASE("1 2", RC_SYNTAX),
	CASE("true", RC_OK),
	CASE("tru", RC_SYNTAX),
	CASE("truefalse", RC_SYNTAX),
	CASE("true\f", RC_SYNTAX),
	CASE("\"\"", RC_OK),
	CASE("\"a", RC_SYNTAX),
	CASE("\"\f\"", RC_SYNTAX),
	CASE("\f\"\"", RC_SYNTAX),
	CASE("[\f]", RC_SYNTAX),
	CASE("[\f1]", RC_SYNTAX),
	CASE("[1\f]", RC_SYNTAX),
	CASE("[1\f,2]", RC_SYNTAX),
	CASE("[1,\f2]", RC_SYNTAX),
	CASE("[\v1]", RC_SYNTAX),
	CASE("{\f\"a\":1}", RC_SYNTAX),
	CASE("{\"a\"\f:1}", RC_SYNTAX),
	CASE("{\"a\":\f1}", RC_SYNTAX),
	CASE("{\"a\":\ftrue}", RC_SYNTAX),
	CASE("{\"a\":\fnull}", RC_SYNTAX),
	CASE("{\"a\":\f{}}", RC_SYNTAX),
	CASE("{\"a\":\f\"b\"}", RC_SYNTAX),
	CASE("{\"a\":1\f}", RC_SYNTAX),
	CASE("{}\f", RC_SYNTAX),
	CASE("[1]\0", RC_SYNTAX),
	CASE("[1\0]", RC_SYNTAX),
	CASE("[\0001]", RC_SYNTAX),
	CASE("[1] ]", RC_SYNTAX),
	CASE("[1] // a", RC_SYNTAX),
	CASE("/* a */ 1", RC_SYNTAX),
	CASE("[1]{}", RC_SYNTAX),
	CASE("[1}", RC_SYNTAX),
	CASE("[1,,2]", RC_SYNTAX),
	CASE("{\"a\"::1}", RC_SYNTAX),
	CASE("{\"a\",1}", RC_SYNTAX),
	CASE("{,\"a\":1}", RC_SYNTAX),
	CASE("{1:1}", RC_SYNTAX),
	CASE("[01]", RC_SYNTAX),
	CASE("[-]", RC_SYNTAX),
	CASE("-", RC_SYNTAX),
	CASE("1.", RC_SYNTAX),
	CASE("1e", RC_SYNTAX),
	CASE("1.e1", RC_SYNTAX),
	CASE("+1", RC_SYNTAX),
	CASE("nan", RC_SYNTAX),
	CASE("\xef\xbb\xbf[]", RC_SYNTAX),		/* a BOM */
	CASE("[\"\xc0\xaf\"]", RC_SYNTAX),		/* overlong */
	CASE("[\"\xe0\x80\xaf\"]", RC_SYNTAX),
	CASE("[\"\xed\xa0\x80\"]", RC_SYNTAX),		/* a surrogate */
	CASE("[\"\xf4\x90\x80\x80\"]", RC_SYNTAX),
	CASE("[\"\xe2\x82\"]", RC_SYNTAX),
	CASE("[\"\xf0\x9f\x98\x80\"]", RC_OK),
	CASE("{\"\xff\":1}", RC_SYNTAX),
	CASE("[\"\\ud800\"]", RC_OK),		/* nobody reads it: it stays */
	CASE("[\"\\x41\"]", RC_SYNTAX),
	CASE("[\"\\u12\"]", RC_SYNTAX),
	CASE("[\"\\u12g4\"]", RC_SYNTAX),
	CASE("[\"\x7f\"]", RC_OK),
	CASE("[\"a\nb\"]", RC_SYNTAX),
};

static void
test_accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = { cases[i].text, cases[i].len };

		if (read_rc(text) != cases[i].rc)
			fail_msg("case %zu: %s", i, cases[i].text);
		if (cases[i].rc == RC_OK)
			check_spans(text, true);
	}
}

/* A document cut anywhere is broken, and reading it touches nothing behind. */
static void
test_every_prefix_is_refused(void **state)
{
	static const char text[] = "{\"a\":[1.5e3,true,null,\"x\\u00e9\\n\"],"
	    "\"\\u0062\":{\"c\":{}},\"d\":\"\xc3\xa9\"}";

	(void)state;
	check_spans(SPAN_LIT(text), true);
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		char *copy = malloc(len + 1);	/* exact for the sanitizer */

		assert_non_null(copy);
		memcpy(copy, text, len);
		assert_int_equal(read_rc((struct span){ copy, len }), RC_SYNTAX);
		free(copy);
	}
}

static void
test_depth(void **state)
{
	struct buffer b;

	(void)state;
	suite_nest(&b, BODY_JSON_DEPTH_MAX, "[", "]");
	assert_int_equal(read_rc(suite_span(&b)), RC_OK);
	check_spans(suite_span(&b), false);
	buffer_fini(&b);
	suite_nest(&b, BODY_JSON_DEPTH_MAX + 1, "[", "]");
	assert_int_equal(read_rc(suite_span(&b)), RC_LIMIT);
	buffer_fini(&b);
	suite_nest(&b, BODY_JSON_DEPTH_MAX, "{\"a\":", "}");
	assert_int_equal(read_rc(suite_span(&b)), RC_OK);
	buffer_fini(&b);
	suite_nest(&b, BODY_JSON_DEPTH_MAX + 1, "{\"a\":", "}");
	assert_int_equal(read_rc(suite_span(&b)), RC_LIMIT);
	buffer_fini(&b);
	suite_nest(&b, 100000, "[", "");
	assert_int_equal(read_rc(suite_span(&b)), RC_LIMIT);
	buffer_fini(&b);
}

static void
test_node_limit(void **state)
{
	static const char text[] = "[1,[2,3],{\"a\":4}]";	/* 7 nodes */
	struct body_json doc;

	(void)state;
	for (uint32_t max = 1; max < 7; max++) {
		assert_int_equal(body_json_read(&doc, text, sizeof(text) - 1,
		    max, NULL), RC_LIMIT);
		assert_null(doc.nodes);
	}
	assert_int_equal(body_json_read(&doc, text, sizeof(text) - 1, 7, NULL),
	    RC_OK);
	assert_int_equal(doc.n, 7);
	body_json_fini(&doc);
}

/* More values than the first array holds. */
static void
test_growth(void **state)
{
	struct body_json doc;
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	buffer_puts(&b, "[0");
	for (unsigned i = 1; i < 10000; i++)
		buffer_puts(&b, ",7");
	buffer_puts(&b, "]");
	assert_int_equal(body_json_read(&doc, buffer_data(&b), buffer_len(&b),
	    0, NULL), RC_OK);
	assert_int_equal(doc.n, 10001);
	assert_int_equal(doc.nodes[10000].start, buffer_len(&b) - 2);
	body_json_fini(&doc);
	assert_int_equal(body_json_read(&doc, buffer_data(&b), buffer_len(&b),
	    10000, NULL), RC_LIMIT);
	body_json_fini(&doc);
	buffer_fini(&b);
}

/* ---- walking ------------------------------------------------------------- */

static void
test_walk(void **state)
{
	static const char text[] =
	    "{\"a\":1, \"\\u0061\":[2,{}], \"\":3, \"b\\\"\":4, \"\\ud800\":5}";
	static const uint32_t children[] = { 1, 2, 5, 6, 7 };
	struct body_json doc;
	uint32_t i, n = 0;

	(void)state;
	assert_int_equal(body_json_read(&doc, text, sizeof(text) - 1, 0, NULL),
	    RC_OK);
	for (i = body_json_child(&doc, 0); i != 0;
	    i = body_json_sibling(&doc, i)) {
		assert_true(n < 5);
		assert_int_equal(i, children[n++]);
	}
	assert_int_equal(n, 5);
	assert_int_equal(body_json_sibling(&doc, 0), 0);
	assert_int_equal(body_json_child(&doc, 1), 0);
	assert_int_equal(body_json_child(&doc, 2), 3);
	assert_int_equal(body_json_sibling(&doc, 3), 4);
	assert_int_equal(body_json_child(&doc, 4), 0);
	assert_int_equal(body_json_sibling(&doc, 4), 0);

	assert_int_equal(body_json_member(&doc, 0, "a"), 1);
	assert_true(body_json_key_is(&doc, 2, SPAN_LIT("a")));
	assert_false(body_json_key_is(&doc, 2, SPAN_LIT("aa")));
	assert_false(body_json_key_is(&doc, 2, SPAN_LIT("")));
	assert_int_equal(body_json_member(&doc, 0, ""), 5);
	assert_int_equal(body_json_member(&doc, 0, "b\""), 6);
	assert_int_equal(body_json_member(&doc, 0, "b"), 0);
	assert_int_equal(body_json_member(&doc, 0, "nothing"), 0);
	assert_int_equal(body_json_member(&doc, 1, "a"), 0);
	/* A lone surrogate is no name. */
	assert_false(body_json_key_is(&doc, 7, SPAN_LIT("\xed\xa0\x80")));
	assert_false(body_json_key_is(&doc, 7, SPAN_LIT("?")));
	assert_false(body_json_key_is(&doc, 3, SPAN_LIT("")));
	body_json_fini(&doc);
}

/* ---- public suites ------------------------------------------------------- */

struct tally {
	unsigned	accepted, refused, free_accepted, free_refused;
};

static void
parsing_file(const char *name, struct span text, void *arg)
{
	struct tally *t = arg;
	enum rc rc = read_rc(text);

	if (name[0] == 'y' && rc == RC_OK)
		t->accepted++;
	else if (name[0] == 'n' && rc != RC_OK)
		t->refused++;
	else if (name[0] == 'i' && rc == RC_OK)
		t->free_accepted++;
	else if (name[0] == 'i')
		t->free_refused++;
	else
		fail_msg("%s: %s", name, rc_name(rc));
	if (rc == RC_OK)
		check_spans(text, true);
}

static void
test_suite_parsing(void **state)
{
	struct tally t = { 0 };
	unsigned n = suite_each_file(suite_path("json-parsing"), parsing_file,
	    &t);

	(void)state;
	print_message("json-parsing: %u files: %u accepted, %u refused, "
	    "%u + %u free\n", n, t.accepted, t.refused, t.free_accepted,
	    t.free_refused);
	assert_true(t.accepted > 20 && t.refused > 50);
}

static void
checker_file(const char *name, struct span text, void *arg)
{
	enum rc rc = read_rc(text);

	(void)arg;
	if (strstr(name, "EXCLUDE") == NULL &&
	    (rc == RC_OK) != (strncmp(name, "fail", 4) != 0))
		fail_msg("%s: %s", name, rc_name(rc));
	if (rc == RC_OK)
		check_spans(text, true);
}

static void
test_suite_documents(void **state)
{
	char folder[2048];

	(void)state;
	(void)snprintf(folder, sizeof(folder), "%s/jsonchecker",
	    suite_path("json-documents-2"));
	assert_true(suite_each_file(folder, checker_file, NULL) > 10);
	(void)snprintf(folder, sizeof(folder), "%s/roundtrip",
	    suite_path("json-documents-2"));
	assert_true(suite_each_file(folder, checker_file, NULL) > 10);
}

/* Inputs that others change when they read and write: UTF-8 ones are read. */
static void
transform_file(const char *name, struct span text, void *arg)
{
	enum rc rc = read_rc(text);

	(void)arg;
	if ((rc == RC_OK) != utf8_valid(text.p, text.len))
		fail_msg("%s: %s", name, rc_name(rc));
	if (rc == RC_OK)
		check_spans(text, true);
}

static void
test_suite_transform(void **state)
{
	(void)state;
	assert_true(suite_each_file(suite_path("json-transform"),
	    transform_file, NULL) > 5);
}

/* Counted by another JSON reader. */
static void
test_suite_twitter(void **state)
{
	static const uint32_t counts[] = {
		[BODY_JSON_NULL] = 1946, [BODY_JSON_FALSE] = 2446,
		[BODY_JSON_TRUE] = 345, [BODY_JSON_NUMBER] = 2109,
		[BODY_JSON_STRING] = 4754, [BODY_JSON_ARRAY] = 1050,
		[BODY_JSON_OBJECT] = 1264,
	};
	uint32_t found[BODY_JSON_OBJECT + 1] = { 0 };
	struct body_json doc;
	struct buffer b;

	(void)state;
	suite_file(suite_path("json-documents"), "twitter.json", &b);
	assert_int_equal(body_json_read(&doc, buffer_data(&b), buffer_len(&b),
	    0, NULL), RC_OK);
	for (uint32_t i = 0; i < doc.n; i++)
		found[doc.nodes[i].type]++;
	for (size_t i = 0; i <= BODY_JSON_OBJECT; i++)
		assert_int_equal(found[i], counts[i]);
	body_json_fini(&doc);
	check_spans(suite_span(&b), false);
	buffer_fini(&b);
}

/* The text behind three columns of bits is a number or it is not: the grammar
 * of ours and the parser must agree, and the span is the text. */
static void
number_line(struct span line)
{
	struct body_json doc;
	char text[8192];

	for (int column = 0; column < 3; column++) {
		const char *sp = memchr(line.p, ' ', line.len);

		assert_non_null(sp);
		line.len -= (size_t)(sp + 1 - line.p);
		line.p = sp + 1;
	}
	assert_true(line.len + 3 < sizeof(text));
	assert_int_equal(read_rc(line) == RC_OK, body_json_number_valid(line));
	if (!body_json_number_valid(line))
		return;
	(void)snprintf(text, sizeof(text), "[%.*s]", (int)line.len, line.p);
	assert_int_equal(body_json_read(&doc, text, line.len + 2, 0, NULL),
	    RC_OK);
	assert_true(span_eq(body_json_raw(&doc, 1), line));
	assert_int_equal(doc.nodes[1].type, BODY_JSON_NUMBER);
	body_json_fini(&doc);
}

static void
number_file(const char *name, struct span text, void *arg)
{
	unsigned *lines = arg;

	(void)name;
	while (text.len != 0) {
		const char *end = memchr(text.p, '\n', text.len);
		size_t len = end == NULL ? text.len : (size_t)(end - text.p);

		if (len != 0) {
			number_line((struct span){ text.p, len });
			(*lines)++;
		}
		len = end == NULL ? len : len + 1;
		text.p += len;
		text.len -= len;
	}
}

static void
test_suite_numbers(void **state)
{
	unsigned lines = 0;

	(void)state;
	(void)suite_each_file(suite_path("json-numbers"), number_file, &lines);
	print_message("json-numbers: %u texts\n", lines);
	assert_true(lines > 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_every_prefix_is_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_node_limit),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_suite_parsing),
		cmocka_unit_test(test_suite_documents),
		cmocka_unit_test(test_suite_transform),
		cmocka_unit_test(test_suite_twitter),
		cmocka_unit_test(test_suite_numbers),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
