/* bench/e3load_times.c: percentiles beside those of the sorted values. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Nothing is built in bench/, which the tarball takes as it is. */
#include "bench/e3load_times.c"

static struct load_times a, b;		/* large */

static int
setup(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	return (0);
}

static int
compare(const void *x, const void *y)
{
	uint64_t m = *(const uint64_t *)x, n = *(const uint64_t *)y;

	return ((m > n) - (m < n));
}

static void
test_none(void **state)
{
	(void)state;
	assert_int_equal(load_times_percentile(&a, 50), 0);
	assert_int_equal(a.max_ns, 0);
}

/* Each slot's largest value is in it, and the next one is not. */
static void
test_slots(void **state)
{
	(void)state;
	for (size_t i = 0; i < LOAD_TIMES_SLOTS; i++) {
		assert_int_equal(slot_of(slot_value(i)), i);
		if (i + 1 < LOAD_TIMES_SLOTS)
			assert_int_equal(slot_of(slot_value(i) + 1), i + 1);
	}
	assert_int_equal(slot_of(UINT64_MAX), LOAD_TIMES_SLOTS - 1);
	assert_int_equal(slot_of(0), 0);
}

/* From single nanoseconds to minutes: never below the true one, and above it
 * by a thousandth at most. */
static void
test_percentiles(void **state)
{
	static const double percents[] = { 0.1, 1, 50, 90, 99, 99.9, 100 };
	enum { N = 1000 };
	uint64_t values[N], x = 1;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		values[i] = (x >> 24) >> (i % 40);
		load_times_add(i % 3 == 0 ? &a : &b, values[i]);
	}
	load_times_merge(&a, &b);
	qsort(values, N, sizeof(values[0]), compare);
	assert_int_equal(a.count, N);
	assert_int_equal(a.max_ns, values[N - 1]);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		uint64_t want = values[(size_t)ceil(N * percents[i] / 100) - 1];
		uint64_t got = load_times_percentile(&a, percents[i]);

		assert_true(got >= want);
		assert_true(got - want <= want / 1000);
	}
}

/* What is over the scale counts, and the maximum is its own. */
static void
test_beyond(void **state)
{
	(void)state;
	load_times_add(&a, UINT64_MAX);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.max_ns, UINT64_MAX);
	assert_true(load_times_percentile(&a, 50) >=
	    ((uint64_t)1 << LOAD_TIMES_MAX_BITS) - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_none, setup),
		cmocka_unit_test_setup(test_slots, setup),
		cmocka_unit_test_setup(test_percentiles, setup),
		cmocka_unit_test_setup(test_beyond, setup),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
