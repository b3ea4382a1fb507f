/* Only white space between tokens goes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl/compact.h"
#include "ctl/table.h"

static void
test_compact(void **state)
{
	static const struct {
		const char	*in;
		const char	*want;
	} table[] = {
		{ "1", "1" }, { "", "" }, { " 1 ", "1" },
		{ "{ \"a\" : [ 1 ,\t2\r\n, { } ] }", "{\"a\":[1,2,{}]}" },
		{ "\" a\tb \"", "\" a\tb \"" },
		{ "[\"\\\" \", \"\\\\\" , \" \"]", "[\"\\\" \",\"\\\\\",\" \"]" },
		{ "{\"k \": \"v\\u0020 \" }", "{\"k \":\"v\\u0020 \"}" },
		{ "1.0e+2", "1.0e+2" },
	};
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		buffer_init(&out, 0, false);
		json_compact(span_of(table[i].in), &out);
		assert_string_equal(buffer_cstr(&out), table[i].want);
		buffer_fini(&out);
	}
}

static void
test_table(void **state)
{
	static const char *const heads[] = { "NAME", "N" };
	struct table *t = table_new(2, heads);
	struct buffer out;

	(void)state;
	table_cell_str(t, "a-long-name");
	table_cell_u64(t, 7);
	table_cell_str(t, "caf\xc3\xa9");
	table_cell_str(t, "x\033[2Jy");
	buffer_init(&out, 0, false);
	table_text(t, &out);
	assert_string_equal(buffer_cstr(&out),
	    "NAME         N\n"
	    "a-long-name  7\n"
	    "caf\xc3\xa9         x?[2Jy\n");
	buffer_fini(&out);
	table_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_table),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
