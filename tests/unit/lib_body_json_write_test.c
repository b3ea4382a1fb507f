/* Small documents: commas, quotes, nesting, and text that is not UTF-8. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/body/json_write.h"

static void
test_document(void **state)
{
	struct body_json_writer w;
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	body_json_writer_init(&w, &out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "code", "bad-\"request\"\n");
	body_json_put_u64(&w, "sta\ttus", UINT64_MAX);
	body_json_open_array(&w, "list");
	body_json_open_object(&w, NULL);
	body_json_close_object(&w);
	body_json_put_bool(&w, NULL, true);
	body_json_put_bool(&w, NULL, false);
	body_json_open_array(&w, NULL);
	body_json_put_u64(&w, NULL, 0);
	body_json_close_array(&w);
	body_json_put_raw(&w, NULL, SPAN_LIT("1.0"));
	body_json_close_array(&w);
	body_json_put_raw(&w, "raw", SPAN_LIT("{\"a\": null}"));
	body_json_close_object(&w);
	assert_string_equal(buffer_cstr(&out),
	    "{\"code\":\"bad-\\\"request\\\"\\n\","
	    "\"sta\\ttus\":18446744073709551615,"
	    "\"list\":[{},true,false,[0],1.0],\"raw\":{\"a\": null}}");
	buffer_fini(&out);
}

static void
test_bytes_that_are_not_utf8(void **state)
{
#define R "\xef\xbf\xbd"
	static const struct {
		struct span	in;
		const char	*want;
	} cases[] = {
		{ SPAN_LIT("a\xff" "b"), "\"a" R "b\"" },
		{ SPAN_LIT("\xc3\xa9\x80\xf0\x9f\x98\x80"),
		    "\"\xc3\xa9" R "\xf0\x9f\x98\x80\"" },
		{ SPAN_LIT("\xed\xa0\x80\""), "\"" R R R "\\\"\"" },
		{ SPAN_LIT("\xe2\x82"), "\"" R R "\"" },
		{ SPAN_LIT("\xc0\xaf\n"), "\"" R R "\\n\"" },
		{ SPAN_LIT(""), "\"\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct body_json_writer w;
		struct buffer out;

		buffer_init(&out, 0, true);
		body_json_writer_init(&w, &out);
		body_json_put_string(&w, NULL, cases[i].in);
		assert_string_equal(buffer_cstr(&out), cases[i].want);
		buffer_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_bytes_that_are_not_utf8),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
