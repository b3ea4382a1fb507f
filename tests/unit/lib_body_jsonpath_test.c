/*
 * JSONPath against the public compliance suite, without exceptions: a path is
 * refused, or gives the suite's nodelist and normalized paths.  The set
 * evaluation of the data path must agree.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/iregexp.h"
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
	struct body_jsonpath_fault fault = { .reason = NULL };
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
	unsigned	cases, invalid;
};

static void
cts_case(const struct body_json *cts, uint32_t test, struct tally *t)
{
	struct body_jsonpath *path;
	struct buffer selector;
	struct span text;
	enum rc rc, want = RC_OK;

	suite_text(cts, body_json_member(cts, test, "selector"), &selector);
	text = suite_span(&selector);
	t->cases++;
	if (body_json_member(cts, test, "invalid_selector") != 0) {
		want = RC_SYNTAX;
		t->invalid++;
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
	print_message("jsonpath-cts: %u cases, %u of them invalid\n", t.cases,
	    t.invalid);
	assert_int_equal(t.cases, CTS_CASES);
	assert_int_equal(t.invalid, CTS_INVALID);
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
	{ "$[:]", RC_OK },
	{ "$[::]", RC_OK },
	{ "$[1 : 2 : 3]", RC_OK },
	{ "$[ : : 1 ]", RC_OK },
	{ "$[1:2:3:4]", RC_SYNTAX },
	{ "$[1::", RC_SYNTAX },
	{ "$[1:2", RC_SYNTAX },
	{ "$[1:2].", RC_SYNTAX },
	{ "$[1:2]['\\x']", RC_SYNTAX },
	{ "$[?@.a]", RC_OK },
	{ "$[?@.a].", RC_SYNTAX },
	{ "$[?]", RC_SYNTAX },
	{ "$[?()]", RC_SYNTAX },
	{ "$[?(@.a]", RC_SYNTAX },
	{ "$[?@.a==1 && !(@.b<2 || $..c)]", RC_OK },
	{ "$[?!@.a==1]", RC_SYNTAX },
	{ "$[?!!@.a]", RC_SYNTAX },
	{ "$[?@.a=1]", RC_SYNTAX },
	{ "$[?@.a==]", RC_SYNTAX },
	{ "$[?@.a & @.b]", RC_SYNTAX },
	{ "$[?@.a &| @.b]", RC_SYNTAX },
	{ "$[?@.a==-0]", RC_OK },
	{ "$[?@.a==-0.5e+3]", RC_OK },
	{ "$[?@.a==1==1]", RC_SYNTAX },
	{ "$[?@[?@.b]]", RC_OK },
	{ "$[?@[?@.b]==1]", RC_SYNTAX },
	{ "$[?count(@..*)>1]", RC_OK },
	{ "$[?count(count(@..*))>1]", RC_SYNTAX },
	{ "$[?length(value(@.a))>1]", RC_OK },
	{ "$[?length(match(@.a,'x'))>1]", RC_SYNTAX },
	{ "$[?match(@.a,'x')]", RC_OK },
	{ "$[?match(@.a,'x') && search(@.b, $.c)]", RC_OK },
	{ "$[?match(@.a==1,'x')]", RC_SYNTAX },
	{ "$[?length(@.a]", RC_SYNTAX },
	{ "$[?other(@.a)]", RC_SYNTAX },
	{ "$[?Length(@.a)>1]", RC_SYNTAX },
	{ "$[?true(@.a)]", RC_SYNTAX },
	{ "$[?@.a==truex]", RC_SYNTAX },
	{ "$[9007199254740991:-9007199254740991:-9007199254740991]", RC_OK },
	{ "$[0:9007199254740992]", RC_SYNTAX },
	{ "$[::-9007199254740992]", RC_SYNTAX },
	{ "$[?@[1:2]==1]", RC_SYNTAX },
	{ "$[?@.a||@.b&&@.c]", RC_OK },
	{ "$[?@.a|| ]", RC_SYNTAX },
	{ "$[?!match(@.a,'x')==true]", RC_SYNTAX },
	{ "$[?value(@..a)]", RC_SYNTAX },
	{ "$[?value(@..a)==value($..b)]", RC_OK },
	{ "$[?length(@..a)>1]", RC_SYNTAX },
	{ "$[?match(@..a,'x')]", RC_SYNTAX },
	{ "$[?match(@.a,'(')]", RC_OK },	/* matches nothing */
	{ "$[?match(@.a,'a{99999}')]", RC_LIMIT },
	{ "$[?search(@.a,'((a{1000}){1000}){9}')]", RC_LIMIT },
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
			    &path), RC_OK);
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
	/* slices at the borders of arrays and of integers */
	{ "[0,1,2,3]", "$[1:3]", "$[1] $[2]" },
	{ "[0,1,2,3]", "$[::-2]", "$[3] $[1]" },
	{ "[0,1,2,3]", "$[-1:-4:-1]", "$[3] $[2] $[1]" },
	{ "[0,1,2,3]", "$[2::-9007199254740991]", "$[2]" },
	{ "[0,1,2,3]", "$[1::9007199254740991]", "$[1]" },
	{ "[0,1]", "$[-9007199254740991:9007199254740991]", "$[0] $[1]" },
	{ "[0,1]", "$[9007199254740991:-9007199254740991:-1]", "$[1] $[0]" },
	{ "[0,1]", "$[9007199254740991:]", "" },
	{ "[0,1]", "$[::0]", "" },
	{ "[]", "$[::-1]", "" },
	{ "[0,1,2]", "$[2:1]", "" },
	{ "[0,1,2]", "$[0:2:-1]", "" },
	{ "{\"a\":1}", "$[:]", "" },
	{ "[[0,1],[2]]", "$..[::-1]", "$[1] $[0] $[0][1] $[0][0] $[1][0]" },
	/* && binds closer than ||, parentheses closer still */
	{ "[{\"a\":1},{\"b\":1},{\"b\":1,\"c\":1}]", "$[?@.a||@.b&&@.c]",
	    "$[0] $[2]" },
	{ "[{\"a\":1},{\"b\":1},{\"b\":1,\"c\":1}]", "$[?(@.a||@.b)&&@.c]",
	    "$[2]" },
	{ "[{\"a\":1},{\"b\":1}]", "$[?!(@.a||@.c)]", "$[1]" },
	/* numbers are exact */
	{ "[9007199254740992,9007199254740993]", "$[?@==9007199254740993]",
	    "$[1]" },
	{ "[9007199254740992,9007199254740993]", "$[?@>9007199254740992]",
	    "$[1]" },
	{ "[1,1.0,10e-1,0.1e1,100E-2,1.01]", "$[?@==1]",
	    "$[0] $[1] $[2] $[3] $[4]" },
	{ "[0,-0,0.0,-0e9,0e99999999999999999999]", "$[?@==0]",
	    "$[0] $[1] $[2] $[3] $[4]" },
	{ "[-2,-1.5,-1,0,1e-9,12]", "$[?@<-1]", "$[0] $[1]" },
	{ "[-2,-1.5,-1,0,1e-9,12]", "$[?@>=0&&@<9]", "$[3] $[4]" },
	{ "[1e400,1e401,-1e401]", "$[?@>1e400]", "$[1]" },
	{ "[1e400,1e-400]", "$[?@<1e-399]", "$[1]" },
	{ "[123,1234,12.5,0.00124]", "$[?@<123.5&&@>1.24e-3]", "$[0] $[2]" },
	/* strings: escapes do not count, order is that of code points */
	{ "[\"\\u0061b\",\"ab\",\"a\\u0062c\"]", "$[?@=='ab']",
	    "$[0] $[1]" },
	{ "[\"\\ud83d\\ude00\",\"\\uffee\"]", "$[?@>'\\uffff']", "$[0]" },
	{ "[\"a\",\"ab\",\"\",\"b\"]", "$[?@<'ab']", "$[0] $[2]" },
	{ "[{\"\\u0061\":\"\\u0062\"},{\"a\":\"b\"},{\"a\":\"c\"}]",
	    "$[?@==$[1]]", "$[0] $[1]" },
	/* objects in any order of members, names that occur twice */
	{ "[{\"a\":1,\"b\":[{}]},{\"b\":[{}],\"a\":1.0},{\"a\":1,\"b\":[[]]}]",
	    "$[?@==$[0]]", "$[0] $[1]" },
	{ "[{\"a\":1,\"a\":2},{\"a\":2,\"a\":1},{\"a\":1,\"a\":1},{\"a\":1}]",
	    "$[?@==$[0]]", "$[0] $[1]" },
	{ "[{\"a\":1,\"b\":1},{\"a\":1,\"a\":1}]", "$[?@==$[0]]", "$[0]" },
	{ "[[1,[2]],[1,[2]],[1,[2],3],[1]]", "$[?@==$[0]]", "$[0] $[1]" },
	{ "[[[1]],[1]]", "$..[?@==$[1]]", "$[1] $[0][0]" },
	/* Nothing equals Nothing only */
	{ "[{},{\"a\":null}]", "$[?@.a==@.b]", "$[0]" },
	{ "[{},{\"a\":null}]", "$[?@.a==null]", "$[1]" },
	{ "[{},{\"a\":null}]", "$[?@.a<=@.b]", "$[0]" },
	{ "[true,[1],{}]", "$[?@<=@]", "$[0] $[1] $[2]" },
	{ "[true,false]", "$[?@<true]", "" },
	/* two members of a name are two nodes, and no single value */
	{ "[{\"a\":1,\"a\":1}]", "$[?@.a==1]", "" },
	{ "[{\"a\":1,\"a\":1}]", "$[?count(@.a)==2]", "$[0]" },
	/* functions */
	{ "[\"\\ud83d\\ude00x\",\"\xc3\xa9y\",\"abc\"]", "$[?length(@)==2]",
	    "$[0] $[1]" },
	{ "[[1,2],{\"a\":1,\"b\":2},5,null]", "$[?length(@)==2]",
	    "$[0] $[1]" },
	{ "[5,null]", "$[?length(@)==length(@)]", "$[0] $[1]" },
	{ "[[1,2]]", "$[?count(@[0,0,1])==3.0]", "$[0]" },
	{ "[[1,[2]]]", "$[?count(@..*)==3&&count($..*)==4]", "$[0]" },
	{ "[[1,2],[3]]", "$[?value(@[*])==3]", "$[1]" },
	{ "[[1,1]]", "$[?value(@[0,0])==1]", "" },
	{ "[\"a\\nb\",\"a b\"]", "$[?match(@,'a.b')]", "$[1]" },
	{ "[\"a\\u0062c\"]", "$[?search(@,'bc')]", "$[0]" },
	{ "[{\"s\":\"ab\",\"p\":\"a.\"},{\"s\":\"ab\",\"p\":\"b\"},"
	    "{\"s\":\"ab\",\"p\":\"\\u0061b\"},{\"s\":\"ab\",\"p\":\"(\"}]",
	    "$[?match(@.s,@.p)]", "$[0] $[2]" },
	{ "[\"\",\"x\"]", "$[?match(@,'')]", "$[0]" },
	/* filters in filters; @ is the innermost one's */
	{ "[[{\"a\":1}],[{\"a\":2}],[]]", "$[?@[?@.a==2]]", "$[1]" },
	{ "[[1,5],[2]]", "$[?count(@[?@>$[1][0]])==1]", "$[0]" },
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
		if (strcmp(buffer_cstr(&got), selects[i].want) != 0)
			fail_msg("%s of %s: %s, want %s", selects[i].path,
			    selects[i].doc, buffer_cstr(&got), selects[i].want);
		check_marks(path, &doc, &list);
		buffer_fini(&got);
		body_nodelist_fini(&list);
		body_jsonpath_free(&path);
		body_json_fini(&doc);
	}
}

/* ---- hostile ---------------------------------------------------------------- */

/* Both evaluators, which have budgets of different sizes. */
static void
check_marked(const char *text, struct span doc_text, enum rc want)
{
	struct body_json doc = read_doc(doc_text);
	struct body_jsonpath *path;
	struct jsonpath_set set;
	enum rc rc;

	assert_int_equal(compile(span_of(text), &path), RC_OK);
	assert_int_equal(jsonpath_set_init(&set, doc.n), RC_OK);
	rc = jsonpath_mark(path, &doc, &set);
	if (rc != want)
		fail_msg("%s: %s, want %s", text, rc_name(rc), rc_name(want));
	jsonpath_set_fini(&set);
	body_jsonpath_free(&path);
	body_json_fini(&doc);
}

/* Work that grows with a power of the document has an end; each of these
 * would take minutes without one. */
static void
test_budget(void **state)
{
	struct buffer b;
	struct span flat, text;

	(void)state;
	buffer_init(&b, 0, false);
	flat = repeat(&b, "[0", ",1", 20000, "]");
	check_marked("$[?@==1]", flat, RC_OK);
	check_marked("$[?count($[*])>1]", flat, RC_OK);	/* counted once */
	check_marked("$[?$[-1]==@ && $[1:]]", flat, RC_OK);
	check_marked("$..[?count($..[?$..[?@==1]])>1]", flat, RC_OK);
	check_marked("$[?$[?@==1 && count($[*])>@]]", flat, RC_OK);
	text = repeat(&b, "[0", ",[0,1]", 20000, "]");
	check_marked("$..[?@..*]", text, RC_OK);
	text = repeat(&b, "[[", "[0,1],", 20000, "9],7]");
	check_marked("$[?@[?$[0][?@[0]==9]]]", text, RC_OK);
	(void)repeat(&b, "", "[0,", 100, "9");
	for (unsigned i = 0; i < 100; i++)
		buffer_puts(&b, "]");
	text = suite_span(&b);
	check_marked("$..[?@..[?@..[?@..[?@..[?@..[?@==8]]]]]]", text, RC_LIMIT);
	check_marked("$[?count(@..*..*..*..*..*)>1]", text, RC_LIMIT);
	buffer_fini(&b);
}

/* An equal object costs its members, a different order of them their square. */
static void
test_budget_of_objects(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	for (int reversed = 0; reversed < 2; reversed++) {
		buffer_clear(&b);
		buffer_puts(&b, "[{\"k\":1");
		for (int i = 0; i < 20000; i++)
			buffer_printf(&b, ",\"k%d\":%d", i, i);
		buffer_puts(&b, "},{");
		for (int i = 0; i < 20000; i++)
			buffer_printf(&b, "\"k%d\":%d,",
			    reversed ? 19999 - i : i,
			    reversed ? 19999 - i : i);
		buffer_puts(&b, "\"k\":1}]");
		check_marked("$[?@==$[0]]", suite_span(&b),
		    reversed ? RC_LIMIT : RC_OK);
	}
	buffer_fini(&b);
}

/* A pattern without an answer is an error, never "no". */
static void
test_budget_of_patterns(void **state)
{
	struct buffer b;
	struct span text;

	(void)state;
	buffer_init(&b, 0, false);
	text = repeat(&b, "[\"", "a", 20000, "c\"]");
	check_marked("$[?match(@,'(a*)*[bd]')]", text, RC_LIMIT);
	check_marked("$[?search(@,'(a|aa)+$')]", text, RC_LIMIT);
	check_marked("$[?!search(@,'(a|aa)+$')]", text, RC_LIMIT);
	check_marked("$[?match(@,'a*c')]", text, RC_OK);
	text = repeat(&b, "[{\"p\":\"(x+x+)+[yw]\",\"s\":\"", "x", 100,
	    "z\"}]");
	check_marked("$[?match(@.s,@.p)]", text, RC_LIMIT);
	check_marked("$[?@.s=='' || search(@.s,@.p)]", text, RC_LIMIT);
	text = repeat(&b, "[\"", "x", IREGEXP_BYTES_MAX + 1, "\"]");
	check_marked("$[?match(@,@)]", text, RC_LIMIT);
	/* another pattern each time: compiling is work too */
	buffer_clear(&b);
	buffer_puts(&b, "[0");
	for (int i = 0; i < 20000; i++)
		buffer_printf(&b, ",\"a{%d}\"", i);
	buffer_puts(&b, "]");
	check_marked("$[?match('a',@)]", suite_span(&b), RC_LIMIT);
	buffer_fini(&b);
}

/* A text with a lone surrogate has no answer either, if it must be read. */
static void
test_lone_surrogate(void **state)
{
	static const char doc[] = "[\"a\\ud800\"]";

	(void)state;
	check_marked("$[?@=='b']", SPAN_LIT(doc), RC_OK);
	check_marked("$[?@=='ab']", SPAN_LIT(doc), RC_SYNTAX);
	check_marked("$[?length(@)==2]", SPAN_LIT(doc), RC_SYNTAX);
	check_marked("$[?match(@,'a.')]", SPAN_LIT(doc), RC_SYNTAX);
	check_marked("$[?match('a',@)]", SPAN_LIT(doc), RC_SYNTAX);
	check_marked("$[?@.a]", SPAN_LIT(doc), RC_OK);
}

/* Whether the grammar or the types are at fault. */
static const struct {
	const char	*text;
	bool		well_formed;
} faults[] = {
	{ "$.", false },
	{ "$[?@.a=1]", false },
	{ "$[?1]", false },
	{ "$[?@.*==1]", false },
	{ "$[?length(@.a]", false },
	{ "$[9007199254740992]", true },
	{ "$[?other(@.a)]", true },
	{ "$[?length(@.a)]", true },
	{ "$[?length(@.*)==1]", true },
	{ "$[?count(1)==1]", true },
	{ "$[?length()==1]", false },	/* an argument is missing altogether */
	{ "$[?length(@.a,@.b)==1]", true },
	{ "$[?match(@.a)]", true },
	{ "$[?match(@.a==1,'x')]", true },
	{ "$[?match(@.a,'x')==true]", true },
};

static void
test_well_formed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct body_jsonpath_fault fault = { .reason = NULL };
		struct body_jsonpath *path;

		assert_int_equal(body_jsonpath_compile(span_of(faults[i].text),
		    &path, &fault), RC_SYNTAX);
		if (fault.well_formed != faults[i].well_formed)
			fail_msg("%s: well_formed %d", faults[i].text,
			    fault.well_formed);
	}
}

static const struct {
	const char	*text;
	size_t		offset;		/* 0: no doubt */
} doubts[] = {
	{ "$[?match(@.a,'[0-9]+')]", 0 },
	{ "$[?match(@.a,$.b)]", 0 },
	{ "$[?match(@.a,'\\\\d+')]", 13 },
	{ "$[?search(@.a, '(?i)x') || match(@, 1)]", 15 },
	{ "$[?search(@.a, 'x') || match(@, 1)]", 32 },
};

static void
test_doubt(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(doubts) / sizeof(doubts[0]); i++) {
		const struct body_jsonpath_fault *doubt;
		struct body_jsonpath *path;

		assert_int_equal(compile(span_of(doubts[i].text), &path),
		    RC_OK);
		doubt = body_jsonpath_doubt(path);
		assert_int_equal(doubt != NULL, doubts[i].offset != 0);
		if (doubt != NULL) {
			assert_int_equal(doubt->offset, doubts[i].offset);
			assert_non_null(doubt->reason);
		}
		body_jsonpath_free(&path);
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
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_budget_of_objects),
		cmocka_unit_test(test_budget_of_patterns),
		cmocka_unit_test(test_lone_surrogate),
		cmocka_unit_test(test_well_formed),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_select_limit),
		cmocka_unit_test(test_no_normalized_path),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
