/* How long a role that ended waits before it is started again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "master/backoff.h"

static void
test_table(void **state)
{
	static const struct {
		unsigned	previous_ms;
		uint64_t	lived_ms;
		unsigned	want_ms;
	} t[] = {
		{ 0, 0, 100 },
		{ 100, 0, 200 },
		{ 200, 29999, 400 },
		{ 400, 30000, 100 },		/* it was healthy */
		{ 499, 0, 998 },
		{ 500, 0, 1000 },
		{ 1000, 0, 1000 },
		{ 1000, 30000, 100 },
		{ UINT32_MAX, 0, 1000 },	/* never wraps */
		{ 0, UINT64_MAX, 100 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(backoff_next_ms(t[i].previous_ms,
		    t[i].lived_ms), t[i].want_ms);
}

static void
test_a_role_that_never_lives(void **state)
{
	static const unsigned want[] = { 100, 200, 400, 800, 1000, 1000, 1000,
	    1000, 1000, 1000 };
	unsigned ms = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		ms = backoff_next_ms(ms, 5);
		assert_int_equal(ms, want[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_a_role_that_never_lives),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
