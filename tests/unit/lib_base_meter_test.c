/* lib/base/meter.c: rates over time, debts, uses at once, owners apart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/meter.h"

#define OK	RC_OK

static enum rc
once(struct meters *m, const char *owner, size_t amount, uint64_t now_ms)
{
	enum rc rc = meter_admit(m, owner, amount, now_ms);

	if (rc == OK)
		meter_done(m, owner);
	return (rc);
}

static void
test_without_limits_everything_passes(void **state)
{
	struct meters m = { .per_s = 0 };

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(meter_admit(&m, "a", 65536, 0), OK);
	meters_fini(&m);
	assert_null(m.all.root);
}

static void
test_a_debt_is_paid_by_time(void **state)
{
	struct meters m = { .per_s = 1000 };

	(void)state;
	assert_int_equal(once(&m, "a", 5000, 100), OK);
	assert_int_equal(once(&m, "a", 1, 100), RC_AGAIN);
	assert_int_equal(once(&m, "b", 1, 100), OK);	/* not its debt */
	assert_int_equal(once(&m, "a", 1, 5099), RC_AGAIN);
	assert_int_equal(once(&m, "a", 1, 5100), OK);
	assert_int_equal(once(&m, "a", 0, 5100), RC_AGAIN);
	meters_fini(&m);
}

/* However calls are cut, an hour sees the rate and a second's saving. */
static void
test_the_rate_holds_over_time(void **state)
{
	static const size_t sizes[] = { 1, 7, 30, 999, 65536 };

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct meters m = { .per_s = 1000 };
		uint64_t sum = 0;

		for (uint64_t t = 0; t < 600000; t++)
			for (unsigned i = 0; i < 3; i++)
				if (once(&m, "a", sizes[k], t) == OK)
					sum += sizes[k];
		assert_in_range(sum, 600000 - 1000 - sizes[k],
		    600000 + 1000 + 2 * sizes[k]);
		meters_fini(&m);
	}
}

static void
test_silence_saves_a_second_and_no_more(void **state)
{
	struct meters m = { .per_s = 100 };
	unsigned n = 0;

	(void)state;
	assert_int_equal(once(&m, "a", 0, 0), OK);
	while (once(&m, "a", 1, UINT64_C(1) << 50) == OK)
		n++;
	assert_int_equal(n, 101);	/* the last one makes the debt */
	meters_fini(&m);
}

/* Who comes first may be given the saving of a second at once. */
static void
test_a_new_owner_with_a_saving(void **state)
{
	struct meters m = { .per_s = 10, .saved = true };
	unsigned n = 0;

	(void)state;
	while (once(&m, "a", 1, 5) == OK)
		n++;
	assert_int_equal(n, 11);
	assert_int_equal(once(&m, "b", 1, 5), OK);
	meters_fini(&m);
}

/* However long it takes: the largest call at the lowest rate. */
static void
test_a_long_debt_is_paid_by_silence(void **state)
{
	struct meters m = { .per_s = 1 };

	(void)state;
	assert_int_equal(once(&m, "a", 65536, 0), OK);
	assert_int_equal(once(&m, "a", 1, 65535999), RC_AGAIN);
	assert_int_equal(once(&m, "b", 65536, 0), OK);
	assert_int_equal(once(&m, "b", 1, 65536000), OK);
	meters_fini(&m);
}

static void
test_uses_at_once(void **state)
{
	struct meters m = { .at_once = 2 };

	(void)state;
	assert_int_equal(meter_admit(&m, "a", 1, 0), OK);
	assert_int_equal(meter_admit(&m, "a", 1, 0), OK);
	assert_int_equal(meter_admit(&m, "a", 1, 0),
	    RC_LIMIT);
	assert_int_equal(meter_admit(&m, "b", 1, 0), OK);
	meter_done(&m, "a");
	assert_int_equal(meter_admit(&m, "a", 1, 0), OK);
	assert_int_equal(meter_admit(&m, "a", 1, 0),
	    RC_LIMIT);
	meters_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_limits_everything_passes),
		cmocka_unit_test(test_a_debt_is_paid_by_time),
		cmocka_unit_test(test_the_rate_holds_over_time),
		cmocka_unit_test(test_silence_saves_a_second_and_no_more),
		cmocka_unit_test(test_a_long_debt_is_paid_by_silence),
		cmocka_unit_test(test_uses_at_once),
		cmocka_unit_test(test_a_new_owner_with_a_saving),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
