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
	/* each slot: raw bytes, type, selection; e escaped, 0 empty */
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
print_slot(struct buffer *out, const char *doc, const struct body_slot *slot)
{
	if (buffer_len(out) != 0)
		buffer_puts(out, " ");
	buffer_put(out, doc + slot->start, slot->end - slot->start);
	buffer_printf(out, "%c%u%s%s", "snb"[slot->type],
	    (unsigned)slot->selection, slot->escaped ? "e" : "",
	    slot->empty ? "_" : "");
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

		buffer_init(&got, 0, false);
		assert_int_equal(body_json_read(&doc, cases[i].doc,
		    strlen(cases[i].doc), 0, NULL), RC_OK);
		assert_int_equal(body_slots_select(&doc,
		    (const struct body_jsonpath *const *)paths, n, 100,
		    &slots), RC_OK);
		for (size_t k = 0; k < slots.n; k++)
			print_slot(&got, cases[i].doc, &slots.v[k]);
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
	buffer_init(&b, 0, false);
	for (unsigned i = 0; i < 100; i++)
		buffer_puts(&b, "[1,");
	buffer_puts(&b, "2");
	for (unsigned i = 0; i < 100; i++)
		buffer_puts(&b, "]");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_descendants_do_not_multiply),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
