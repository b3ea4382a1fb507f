/*
 * JSONPath against the public compliance suite, without exceptions: a path is
 * refused as broken, refused as not available, or gives the suite's nodelist
 * and normalized paths.  The set evaluation of the data path must agree.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/jsonpath_private.h"
#include "lib_body_suite.h"

#define CTS_CASES	703
#define CTS_INVALID	247

static struct body_json
read_doc(struct span text)
{
	struct body_json doc;

	assert_int_equal(body_json_read(&doc, text.p, text.len, 0, NULL),
	    RC_OK);
	return (doc);
}

static enum rc
compile(struct span text, struct body_jsonpath **path)
{
	struct body_jsonpath_fault fault = { 0, NULL };
	enum rc rc = body_jsonpath_compile(text, path, &fault);

	if (rc != RC_OK) {
		assert_null(*path);
		assert_non_null(fault.reason);
		assert_true(fault.offset <= text.len);
	}
	return (rc);
}

/* ---- equality of values ---------------------------------------------------- */

static bool value_equal(const struct body_json *, uint32_t,
    const struct body_json *, uint32_t);

static bool
text_equal(struct span a, struct span b)
{
	struct buffer x, y;
	bool equal;

	buffer_init(&x, 0, false);
	buffer_init(&y, 0, false);
	assert_int_equal(body_json_unescape(a, &x), RC_OK);
	assert_int_equal(body_json_unescape(b, &y), RC_OK);
	equal = span_eq(suite_span(&x), suite_span(&y));
	buffer_fini(&x);
	buffer_fini(&y);
	return (equal);
}

/* Members and elements alike: in order, with equal keys. */
static bool
children_equal(const struct body_json *a, uint32_t i, const struct body_json *b,
    uint32_t j)
{
	i = body_json_child(a, i);
	j = body_json_child(b, j);
	while (i != 0 && j != 0) {
		if (a->nodes[i].has_key && !text_equal(body_json_raw_key(a, i),
		    body_json_raw_key(b, j)))
			return (false);
		if (!value_equal(a, i, b, j))
			return (false);
		i = body_json_sibling(a, i);
		j = body_json_sibling(b, j);
	}
	return (i == j);
}

static bool
value_equal(const struct body_json *a, uint32_t i, const struct body_json *b,
    uint32_t j)
{
	if (a->nodes[i].type != b->nodes[j].type)
		return (false);
	switch ((enum body_json_type)a->nodes[i].type) {
	case BODY_JSON_STRING:
		return (text_equal(body_json_raw(a, i), body_json_raw(b, j)));
	case BODY_JSON_ARRAY:
	case BODY_JSON_OBJECT:
		return (children_equal(a, i, b, j));
	case BODY_JSON_NULL:
	case BODY_JSON_TRUE:
	case BODY_JSON_FALSE:
	case BODY_JSON_NUMBER:
		return (span_eq(body_json_raw(a, i), body_json_raw(b, j)));
	}
	return (false);
}

/* ---- the suite ------------------------------------------------------------- */

/* Our own reading of what is not available, apart from the parser: outside
 * quotes, `?` is only in filters and `:` only in slices or filters. */
static bool
needs_more(struct span text)
{
	char quote = '\0';

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (quote != '\0' && c == '\\')
			i++;
		else if (quote != '\0')
			quote = c == quote ? '\0' : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '?' || c == ':')
			return (true);
	}
	return (false);
}

/* The set and the list hold the same nodes. */
static void
check_marks(const struct body_jsonpath *path, const struct body_json *doc,
    const struct body_nodelist *list)
{
	struct jsonpath_set marked, listed;

	assert_int_equal(jsonpath_set_init(&marked, doc->n), RC_OK);
	assert_int_equal(jsonpath_set_init(&listed, doc->n), RC_OK);
	assert_int_equal(jsonpath_mark(path, doc, &marked), RC_OK);
	for (size_t i = 0; i < list->n; i++)
		jsonpath_set_add(&listed, list->nodes[i]);
	for (uint32_t i = 0; i < doc->n; i++)
		assert_int_equal(jsonpath_set_has(&marked, i),
		    jsonpath_set_has(&listed, i));
	jsonpath_set_fini(&marked);
	jsonpath_set_fini(&listed);
}

/* Does the list equal these two arrays, of values and of paths? */
static bool
list_is(const struct body_json *doc, const struct body_nodelist *list,
    const struct body_json *cts, uint32_t values, uint32_t paths)
{
	uint32_t value = body_json_child(cts, values);
	uint32_t path = body_json_child(cts, paths);

	for (size_t i = 0; i < list->n; i++) {
		struct buffer normal, want;
		bool same;

		if (value == 0 || path == 0 ||
		    !value_equal(doc, list->nodes[i], cts, value))
			return (false);
		buffer_init(&normal, 0, false);
		assert_int_equal(body_jsonpath_normalized(doc, list->nodes[i],
		    &normal), RC_OK);
		suite_text(cts, path, &want);
		same = span_eq(suite_span(&normal), suite_span(&want));
		buffer_fini(&normal);
		buffer_fini(&want);
		if (!same)
			return (false);
		value = body_json_sibling(cts, value);
		path = body_json_sibling(cts, path);
	}
	return (value == 0 && path == 0);
}

static void
check_result(const struct body_json *cts, uint32_t test,
    const struct body_jsonpath *path, struct span selector)
{
	uint32_t member = body_json_member(cts, test, "document");
	struct body_json doc = read_doc(body_json_raw(cts, member));
	struct body_nodelist list = { 0 };
	uint32_t values = body_json_member(cts, test, "result");
	uint32_t paths = body_json_member(cts, test, "result_paths");
	bool good;

	assert_int_equal(body_jsonpath_select(path, &doc, 1000, &list), RC_OK);
	if (values != 0) {
		good = list_is(&doc, &list, cts, values, paths);
	} else {		/* any of several is right */
		values = body_json_child(cts, body_json_member(cts, test,
		    "results"));
		paths = body_json_child(cts, body_json_member(cts, test,
		    "results_paths"));
		assert_int_not_equal(values, 0);
		for (good = false; values != 0 && !good;
		    values = body_json_sibling(cts, values),
		    paths = body_json_sibling(cts, paths))
			good = list_is(&doc, &list, cts, values, paths);
	}
	if (!good)
		fail_msg("%.*s: another result", (int)selector.len, selector.p);
	check_marks(path, &doc, &list);
	body_nodelist_fini(&list);
	body_json_fini(&doc);
}

struct tally {
	unsigned	cases, invalid, executed, not_available;
};

static void
cts_case(const struct body_json *cts, uint32_t test, struct tally *t)
{
	struct body_jsonpath *path;
	struct buffer selector;
	struct span text;
	enum rc rc, want;

	suite_text(cts, body_json_member(cts, test, "selector"), &selector);
	text = suite_span(&selector);
	t->cases++;
	if (body_json_member(cts, test, "invalid_selector") != 0) {
		want = RC_SYNTAX;
		t->invalid++;
	} else if (needs_more(text)) {
		want = RC_UNSUPPORTED;
		t->not_available++;
	} else {
		want = RC_OK;
		t->executed++;
	}
	rc = compile(text, &path);
	if (rc != want)
		fail_msg("%.*s: %s, want %s", (int)text.len, text.p,
		    rc_name(rc), rc_name(want));
	if (rc == RC_OK)
		check_result(cts, test, path, text);
	body_jsonpath_free(&path);
	buffer_fini(&selector);
}

static void
test_compliance(void **state)
{
	struct tally t = { 0 };
	struct body_json cts;
	struct buffer text;

	(void)state;
	suite_file(suite_path("jsonpath-cts"), "cts.json", &text);
	cts = read_doc(suite_span(&text));
	for (uint32_t i = body_json_child(&cts,
	    body_json_member(&cts, 0, "tests")); i != 0;
	    i = body_json_sibling(&cts, i))
		cts_case(&cts, i, &t);
	print_message("jsonpath-cts: %u cases: %u invalid refused, "
	    "%u executed, %u not available\n", t.cases, t.invalid, t.executed,
	    t.not_available);
	assert_int_equal(t.cases, CTS_CASES);
	assert_int_equal(t.invalid, CTS_INVALID);
	assert_int_equal(t.cases, t.invalid + t.executed + t.not_available);
	body_json_fini(&cts);
	buffer_fini(&text);
}

/* ---- own cases ------------------------------------------------------------- */

static const struct {
	const char	*text;
	enum rc		rc;
} paths[] = {
	{ "", RC_SYNTAX },
	{ "$", RC_OK },
	{ "@", RC_SYNTAX },
	{ "a", RC_SYNTAX },
	{ "$a", RC_SYNTAX },
	{ "$.", RC_SYNTAX },
	{ "$.a.", RC_SYNTAX },
	{ "$..", RC_SYNTAX },
	{ "$...a", RC_SYNTAX },
	{ "$.['a']", RC_SYNTAX },
	{ "$..['a']", RC_OK },
	{ "$.a-b", RC_SYNTAX },
	{ "$['a-b']", RC_OK },
	{ "$['a'", RC_SYNTAX },
	{ "$['a", RC_SYNTAX },
	{ "$[\"a']", RC_SYNTAX },
	{ "$ .a [ 0 ] [ 'b' , * ]", RC_OK },
	{ "$.a ", RC_SYNTAX },
	{ "$.\xc3\xa9", RC_OK },
	{ "$.\xff", RC_SYNTAX },
	{ "$['\xff']", RC_SYNTAX },
	{ "$[0,-1,'a',*]", RC_OK },
	{ "$[9007199254740991]", RC_OK },
	{ "$[9007199254740992]", RC_SYNTAX },
	{ "$[99999999999999999999999999999999999999]", RC_SYNTAX },
	{ "$[:]", RC_UNSUPPORTED },
	{ "$[::]", RC_UNSUPPORTED },
	{ "$[1 : 2 : 3]", RC_UNSUPPORTED },
	{ "$[ : : 1 ]", RC_UNSUPPORTED },
	{ "$[1:2:3:4]", RC_SYNTAX },
	{ "$[1::", RC_SYNTAX },
	{ "$[1:2", RC_SYNTAX },
	{ "$[1:2].", RC_SYNTAX },	/* broken wins over not available */
	{ "$[1:2]['\\x']", RC_SYNTAX },
	{ "$[?@.a]", RC_UNSUPPORTED },
	{ "$[?@.a].", RC_SYNTAX },
	{ "$[?]", RC_SYNTAX },
	{ "$[?()]", RC_SYNTAX },
	{ "$[?(@.a]", RC_SYNTAX },
	{ "$[?@.a==1 && !(@.b<2 || $..c)]", RC_UNSUPPORTED },
	{ "$[?!@.a==1]", RC_SYNTAX },
	{ "$[?!!@.a]", RC_SYNTAX },
	{ "$[?@.a=1]", RC_SYNTAX },
	{ "$[?@.a==]", RC_SYNTAX },
	{ "$[?@.a & @.b]", RC_SYNTAX },
	{ "$[?@.a &| @.b]", RC_SYNTAX },
	{ "$[?@.a==-0]", RC_UNSUPPORTED },
	{ "$[?@.a==-0.5e+3]", RC_UNSUPPORTED },
	{ "$[?@.a==1==1]", RC_SYNTAX },
	{ "$[?@[?@.b]]", RC_UNSUPPORTED },
	{ "$[?@[?@.b]==1]", RC_SYNTAX },
	{ "$[?count(@..*)>1]", RC_UNSUPPORTED },
	{ "$[?count(count(@..*))>1]", RC_SYNTAX },
	{ "$[?length(value(@.a))>1]", RC_UNSUPPORTED },
	{ "$[?length(match(@.a,'x'))>1]", RC_SYNTAX },
	{ "$[?match(@.a,'x')]", RC_UNSUPPORTED },
	{ "$[?match(@.a,'x') && search(@.b, $.c)]", RC_UNSUPPORTED },
	{ "$[?match(@.a==1,'x')]", RC_SYNTAX },
	{ "$[?length(@.a]", RC_SYNTAX },
	{ "$[?other(@.a)]", RC_SYNTAX },
	{ "$[?Length(@.a)>1]", RC_SYNTAX },
	{ "$[?true(@.a)]", RC_SYNTAX },
	{ "$[?@.a==truex]", RC_SYNTAX },
};

static void
test_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct body_jsonpath *path;
		enum rc rc = compile(span_of(paths[i].text), &path);

		if (rc != paths[i].rc)
			fail_msg("%s: %s", paths[i].text, rc_name(rc));
		body_jsonpath_free(&path);
	}
}

/* Every cut of a path that uses the whole grammar is broken or a path. */
static void
test_every_prefix(void **state)
{
	static const char text[] = "$.a['b\\u00e9\\ud83d\\ude00',\"c\"][-1,2:3:4]"
	    "..*[?!(@.a[0]<=-1.5e3&&count($..x)!=null)||search(@,'y')]";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		struct body_jsonpath *path;
		char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, text, len);
		if (len == sizeof(text) - 1)
			assert_int_equal(compile((struct span){ copy, len },
			    &path), RC_UNSUPPORTED);
		else
			(void)compile((struct span){ copy, len }, &path);
		body_jsonpath_free(&path);
		free(copy);
	}
}

static struct span
repeat(struct buffer *b, const char *head, const char *part, unsigned n,
    const char *tail)
{
	buffer_clear(b);
	buffer_puts(b, head);
	while (n-- > 0)
		buffer_puts(b, part);
	buffer_puts(b, tail);
	return (suite_span(b));
}

static void
test_limits(void **state)
{
	struct body_jsonpath *path;
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	assert_int_equal(compile(repeat(&b, "$", ".a",
	    BODY_JSONPATH_STEPS_MAX, ""), &path), RC_OK);
	body_jsonpath_free(&path);
	assert_int_equal(compile(repeat(&b, "$", ".a",
	    BODY_JSONPATH_STEPS_MAX + 1, ""), &path), RC_LIMIT);
	assert_int_equal(compile(repeat(&b, "$.", "a",
	    BODY_JSONPATH_BYTES_MAX - 2, ""), &path), RC_OK);
	body_jsonpath_free(&path);
	assert_int_equal(compile(repeat(&b, "$.", "a",
	    BODY_JSONPATH_BYTES_MAX - 1, ""), &path), RC_LIMIT);
	assert_int_equal(compile(repeat(&b, "$[0", ",0", 510, "]"), &path),
	    RC_OK);
	body_jsonpath_free(&path);
	assert_int_equal(compile(repeat(&b, "$[?", "(", 30, "@.a"), &path),
	    RC_SYNTAX);
	assert_int_equal(compile(repeat(&b, "$[?", "(", 1000, ""), &path),
	    RC_LIMIT);
	assert_int_equal(compile(repeat(&b, "$", "[?@", 300, ""), &path),
	    RC_LIMIT);
	assert_int_equal(compile(repeat(&b, "$[?", "value(", 100, ""), &path),
	    RC_LIMIT);
	buffer_fini(&b);
}

static const struct {
	const char	*doc, *path, *want;	/* normalized paths */
} selects[] = {
	/* every member of that decoded name, duplicates too */
	{ "{\"a\":1,\"a\":2,\"\\u0061\":3}", "$.a", "$['a'] $['a'] $['a']" },
	{ "{\"a\":{\"b\":1},\"a\":{\"b\":2}}", "$.a.b",
	    "$['a']['b'] $['a']['b']" },
	{ "{\"\\ud83d\\ude00\":1}", "$['\\uD83D\\uDE00']",
	    "$['\xf0\x9f\x98\x80']" },
	{ "{\"it's\\n\\\\\\u0001\":1}", "$.*", "$['it\\'s\\n\\\\\\u0001']" },
	{ "{\"\":1}", "$['']", "$['']" },
	{ "[1,2,3]", "$[-1,0,0]", "$[2] $[0] $[0]" },
	{ "[1,2,3]", "$[3]", "" },
	{ "[1,2,3]", "$[-4]", "" },
	{ "[1,2,3]", "$.a", "" },
	{ "{\"0\":1}", "$[0]", "" },
	{ "5", "$", "$" },
	{ "5", "$.*", "" },
	{ "5", "$..*", "" },
	{ "[[1],[2]]", "$..[0]", "$[0] $[0][0] $[1][0]" },
	{ "{\"a\":[{\"b\":1},{\"c\":{\"b\":[2]}}]}", "$..b",
	    "$['a'][0]['b'] $['a'][1]['c']['b']" },
	{ "[[1]]", "$..*..*", "$[0][0]" },
	{ "[[[1]]]", "$..*..*", "$[0][0] $[0][0][0] $[0][0][0]" },
};

static void
test_select(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(selects) / sizeof(selects[0]); i++) {
		struct body_json doc = read_doc(span_of(selects[i].doc));
		struct body_nodelist list = { 0 };
		struct body_jsonpath *path;
		struct buffer got;

		buffer_init(&got, 0, false);
		assert_int_equal(compile(span_of(selects[i].path), &path),
		    RC_OK);
		assert_int_equal(body_jsonpath_select(path, &doc, 100, &list),
		    RC_OK);
		for (size_t k = 0; k < list.n; k++) {
			if (k > 0)
				buffer_puts(&got, " ");
			assert_int_equal(body_jsonpath_normalized(&doc,
			    list.nodes[k], &got), RC_OK);
		}
		assert_string_equal(buffer_cstr(&got), selects[i].want);
		check_marks(path, &doc, &list);
		buffer_fini(&got);
		body_nodelist_fini(&list);
		body_jsonpath_free(&path);
		body_json_fini(&doc);
	}
}

static void
test_select_limit(void **state)
{
	struct body_json doc = read_doc(SPAN_LIT("[[[[1,2],3],4],5]"));
	struct body_nodelist list = { 0 };
	struct body_jsonpath *path;

	(void)state;
	assert_int_equal(compile(SPAN_LIT("$..*"), &path), RC_OK);
	assert_int_equal(body_jsonpath_select(path, &doc, 8, &list), RC_OK);
	assert_int_equal(list.n, 8);
	/* It appends, so the list is full now. */
	assert_int_equal(body_jsonpath_select(path, &doc, 8, &list), RC_LIMIT);
	body_nodelist_fini(&list);
	assert_int_equal(body_jsonpath_select(path, &doc, 7, &list), RC_LIMIT);
	body_nodelist_fini(&list);
	body_jsonpath_free(&path);
	/* The list behind a segment on the way counts as well. */
	assert_int_equal(compile(SPAN_LIT("$..*.nothing"), &path), RC_OK);
	assert_int_equal(body_jsonpath_select(path, &doc, 7, &list), RC_LIMIT);
	assert_int_equal(body_jsonpath_select(path, &doc, 8, &list), RC_OK);
	assert_int_equal(list.n, 0);
	body_nodelist_fini(&list);
	body_jsonpath_free(&path);
	body_json_fini(&doc);
}

/* A name with a lone surrogate has no normalized path. */
static void
test_no_normalized_path(void **state)
{
	struct body_json doc = read_doc(SPAN_LIT("{\"\\ud800\":1}"));
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	assert_int_equal(body_jsonpath_normalized(&doc, 1, &b), RC_SYNTAX);
	buffer_fini(&b);
	body_json_fini(&doc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compliance),
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_limit),
		cmocka_unit_test(test_no_normalized_path),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
