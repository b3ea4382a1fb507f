/* Selectors on documents: which bytes are slots, in which order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/body/slot.h"
#include "lib_body_suite.h"

#define PATHS_MAX	3

static const struct {
	const char	*doc;
	const char	*paths[PATHS_MAX];
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
	{ "{\"a\":{\"b\":[1,{\"c\":2}],\"d\":null},\"e\":3}", { "$..*" },
	    "1n0 2n0 3n0" },
	/* chosen twice: one slot, of the first selector; document order */
	{ "{\"a\":1,\"b\":2,\"c\":3}", { "$.c", "$.a", "$.*" },
	    "1n1 2n2 3n0" },
	{ "[1,2,3]", { "$[2,0,0,-1]" }, "1n0 3n0" },
	{ "{\"a\":1,\"a\":2}", { "$.a" }, "1n0 2n0" },
	{ "{\"a\":[1,2]}", { "$.a[1]", "$.a" }, "1n1 2n0" },
	{ "null", { "$" }, "" },
	{ "\"x\"", { "$" }, "\"x\"s0" },
	{ " 5 ", { "$" }, "5n0" },
	{ "{\"a\":{},\"b\":[]}", { "$.*", "$" }, "" },
	{ "{\"a\":1}", { "$.b", "$.a.b" }, "" },
	/* slices and filters; an order of theirs does not matter here */
	{ "[1,2,3,4]", { "$[::-2]" }, "2n0 4n0" },
	{ "[1,[2,3],4]", { "$[1:]", "$[:2]" }, "1n1 2n0 3n0 4n0" },
	{ "[{\"t\":\"x\",\"n\":\"1\"},{\"t\":\"y\",\"n\":\"2\"}]",
	    { "$[?@.t=='y'].n", "$..n" }, "\"1\"s1 \"2\"s0" },
	{ "[\"a\\u0031\",\"b1\"]", { "$[?match(@,'[a-c][0-9]')]" },
	    "\"a\\u0031\"s0e \"b1\"s0" },
};

static size_t
compile(const char *const *texts, struct body_jsonpath **paths)
{
	size_t n;

	for (n = 0; n < PATHS_MAX && texts[n] != NULL; n++)
		assert_int_equal(body_jsonpath_compile(span_of(texts[n]),
		    &paths[n], NULL), RC_OK);
	return (n);
}

static void
test_select(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct body_jsonpath *paths[PATHS_MAX] = { NULL };
		struct body_slots slots;
		struct body_json doc;
		struct buffer got;
		size_t n = compile(cases[i].paths, paths);

		assert_int_equal(body_json_read(&doc, cases[i].doc,
		    strlen(cases[i].doc), 0, NULL), RC_OK);
		assert_int_equal(body_slots_select(&doc,
		    (const struct body_jsonpath *const *)paths, n, 100,
		    &slots), RC_OK);
		suite_slots(span_of(cases[i].doc), &slots, &got);
		assert_string_equal(buffer_cstr(&got), cases[i].want);
		body_slots_fini(&slots);
		for (size_t k = 0; k < n; k++)
			body_jsonpath_free(&paths[k]);
		body_json_fini(&doc);
		buffer_fini(&got);
	}
}

static void
test_limit(void **state)
{
	static const char text[] = "[1,null,2,[3,4]]";
	static const char *const texts[PATHS_MAX] = { "$[0]", "$" };
	struct body_jsonpath *paths[PATHS_MAX] = { NULL };
	struct body_slots slots;
	struct body_json doc;

	(void)state;
	(void)compile(texts, paths);
	assert_int_equal(body_json_read(&doc, text, sizeof(text) - 1, 0, NULL),
	    RC_OK);
	for (size_t max = 0; max < 4; max++) {
		assert_int_equal(body_slots_select(&doc,
		    (const struct body_jsonpath *const *)paths, 2, max, &slots),
		    RC_LIMIT);
		assert_null(slots.v);
	}
	assert_int_equal(body_slots_select(&doc,
	    (const struct body_jsonpath *const *)paths, 2, 4, &slots), RC_OK);
	assert_int_equal(slots.n, 4);
	body_slots_fini(&slots);
	assert_int_equal(body_slots_select(&doc, NULL, 0, 0, &slots), RC_OK);
	assert_int_equal(slots.n, 0);
	body_jsonpath_free(&paths[0]);
	body_jsonpath_free(&paths[1]);
	body_json_fini(&doc);
}

/* A path that multiplies nodelists costs no more than the document is long. */
static void
test_descendants_do_not_multiply(void **state)
{
	static const char *const texts[PATHS_MAX] = { "$..*..*..*..*..*..*" };
	struct body_jsonpath *paths[PATHS_MAX] = { NULL };
	struct body_slots slots;
	struct body_json doc;
	struct buffer b;

	(void)state;
	suite_nest(&b, 100, "[1,", "]");
	assert_int_equal(body_json_read(&doc, buffer_data(&b), buffer_len(&b),
	    0, NULL), RC_OK);
	(void)compile(texts, paths);
	assert_int_equal(body_slots_select(&doc,
	    (const struct body_jsonpath *const *)paths, 1, 1000, &slots),
	    RC_OK);
	assert_int_equal(slots.n, 96);	/* not the five outermost ones */
	body_slots_fini(&slots);
	body_jsonpath_free(&paths[0]);
	body_json_fini(&doc);
	buffer_fini(&b);
}

/* A filter without an answer leaves no slots: nobody may take what it did not
 * reach for not chosen. */
static void
test_filter_without_an_answer(void **state)
{
	static const struct {
		const char	*path;
		enum rc		rc;
	} filters[] = {
		{ "$[?@==1 || match(@,'(a*)*[bc]')]", RC_LIMIT },
		{ "$[?@==1 || !search(@,'(a|aa)+[bc]')]", RC_LIMIT },
		{ "$[?@==1 || length(@)>9999]", RC_SYNTAX },
		{ "$[?@==1]", RC_OK },
	};
	struct body_json doc;
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	buffer_puts(&b, "[1,\"");
	for (unsigned i = 0; i < 2000; i++)
		buffer_puts(&b, "a");
	buffer_puts(&b, "\",\"\\ud800\"]");
	assert_int_equal(body_json_read(&doc, buffer_data(&b), buffer_len(&b),
	    0, NULL), RC_OK);
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		const char *texts[PATHS_MAX] = { "$[0]", filters[i].path };
		struct body_jsonpath *paths[PATHS_MAX] = { NULL };
		struct body_slots slots;
		size_t n = compile(texts, paths);

		assert_int_equal(body_slots_select(&doc,
		    (const struct body_jsonpath *const *)paths, n, 100,
		    &slots), filters[i].rc);
		assert_int_equal(slots.n, filters[i].rc == RC_OK ? 1 : 0);
		body_slots_fini(&slots);
		for (size_t k = 0; k < n; k++)
			body_jsonpath_free(&paths[k]);
	}
	body_json_fini(&doc);
	buffer_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_descendants_do_not_multiply),
		cmocka_unit_test(test_filter_without_an_answer),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
