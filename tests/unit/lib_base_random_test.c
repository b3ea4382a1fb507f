/* tests/unit/lib_base_random_test.c - random bytes from the pool. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "lib/base/random.h"

static void
test_no_byte_twice(void **state)
{
	uint64_t seen[3000];

	(void)state;
	/* Across many refills: no eight bytes repeat. */
	for (size_t i = 0; i < 3000; i++) {
		seen[i] = random_u64();
		for (size_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	}
}

static void
test_all_sizes(void **state)
{
	static unsigned char buf[10001];
	size_t zeros = 0;

	(void)state;
	for (size_t n = 0; n <= 10000; n += n < 40 ? 1 : 991) {
		memset(buf, 0, sizeof(buf));
		random_bytes(buf, n);
		assert_int_equal(buf[n], 0);	/* not one too many */
	}
	random_bytes(buf, 10000);
	for (size_t i = 0; i < 10000; i++)
		zeros += buf[i] == 0 ? 1 : 0;
	assert_true(zeros > 5 && zeros < 120);
}

static void
test_below(void **state)
{
	unsigned count[7] = { 0 };

	(void)state;
	assert_int_equal(random_below(1), 0);
	for (int i = 0; i < 70000; i++)
		count[random_below(7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9300, 10700);
	for (int i = 0; i < 1000; i++)
		assert_true(random_below(UINT32_MAX) < UINT32_MAX);
}

static void *
other_thread(void *arg)
{
	random_bytes(arg, 32);
	random_thread_end();
	random_bytes((char *)arg + 32, 32);	/* filled anew */
	random_thread_end();
	return (NULL);
}

static void
test_threads_differ(void **state)
{
	unsigned char a[64], b[64], zero[32] = { 0 };
	pthread_t ta, tb;

	(void)state;
	memset(a, 0, sizeof(a));
	assert_int_equal(pthread_create(&ta, NULL, other_thread, a), 0);
	assert_int_equal(pthread_create(&tb, NULL, other_thread, b), 0);
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	assert_memory_not_equal(a, b, 64);
	assert_memory_not_equal(a, a + 32, 32);
	assert_memory_not_equal(a + 32, zero, 32);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_byte_twice),
		cmocka_unit_test(test_all_sizes),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_threads_differ),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
