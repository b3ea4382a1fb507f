/* Only the bytes of edits change. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/body/splice.h"

#define BODY	"0123456789"

static const struct {
	const char	*want;
	struct body_edit edits[3];
	size_t		n;
} cases[] = {
#define E(start, end, text) { start, end, SPAN_LIT(text) }
	{ BODY, { { 0 } }, 0 },
	{ "x", { E(0, 10, "x") }, 1 },
	{ "", { E(0, 10, "") }, 1 },
	{ "ab123456789", { E(0, 1, "ab") }, 1 },
	{ "012345678ab", { E(9, 10, "ab") }, 1 },
	{ "x" BODY, { E(0, 0, "x") }, 1 },
	{ BODY "x", { E(10, 10, "x") }, 1 },
	{ "0abc3defgh9", { E(1, 3, "abc"), E(4, 9, "defgh") }, 2 },
	{ "0ab3", { E(1, 2, "a"), E(2, 3, "b"), E(4, 10, "") }, 3 },
};

static void
test_splice(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span want = span_of(cases[i].want);
		struct buffer out;

		buffer_init(&out, want.len + 1, true);
		buffer_puts(&out, "<");
		assert_int_equal(body_splice(BODY, 10, cases[i].edits,
		    cases[i].n, &out), RC_OK);
		assert_int_equal(body_splice_len(10, cases[i].edits,
		    cases[i].n), want.len);
		buffer_consume(&out, 1);
		assert_string_equal(buffer_cstr(&out), cases[i].want);
		buffer_fini(&out);
	}
}

static void
test_limit_adds_nothing(void **state)
{
	const struct body_edit edit = E(0, 1, "abc");
	struct buffer out;

	(void)state;
	buffer_init(&out, 11, false);
	assert_int_equal(body_splice(BODY, 10, &edit, 1, &out), RC_LIMIT);
	assert_int_equal(buffer_len(&out), 0);
	assert_int_equal(body_splice(NULL, 0, NULL, 0, &out), RC_OK);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_limit_adds_nothing),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
