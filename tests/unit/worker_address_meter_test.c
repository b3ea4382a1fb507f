/* worker/address_meter.c: rate, networks, the bounded table. */
#include "worker/address_meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define T0	1000000u

static void
test_limit_and_refill(void **state)
{
	struct address_meter *m = address_meter_new(6);	/* one in 10 s */

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_false(address_meter_over(m, "192.0.2.1", T0));
		assert_true(address_meter_take(m, "192.0.2.1", T0));
	}
	assert_true(address_meter_over(m, "192.0.2.1", T0));
	assert_false(address_meter_take(m, "192.0.2.1", T0));
	/* What was refused does not push the next one further away. */
	assert_false(address_meter_take(m, "192.0.2.1", T0 + 9999));
	assert_false(address_meter_over(m, "192.0.2.1", T0 + 10000));
	assert_true(address_meter_take(m, "192.0.2.1", T0 + 10000));
	assert_true(address_meter_over(m, "192.0.2.1", T0 + 10000));
	/* A long silence saves up a minute, no more. */
	for (int i = 0; i < 6; i++)
		assert_true(address_meter_take(m, "192.0.2.1", T0 + 9000000));
	assert_false(address_meter_take(m, "192.0.2.1", T0 + 9000000));
	address_meter_free(&m);
	assert_null(m);
}

static void
test_clock_that_goes_back(void **state)
{
	struct address_meter *m = address_meter_new(1);

	(void)state;
	assert_true(address_meter_take(m, "192.0.2.1", T0));
	assert_false(address_meter_take(m, "192.0.2.1", T0 - 100000));
	assert_true(address_meter_over(m, "192.0.2.1", 0));
	assert_true(address_meter_over(m, "192.0.2.1", T0 + 59999));
	assert_false(address_meter_over(m, "192.0.2.1", T0 + 60000));
	address_meter_free(&m);
}

static void
test_networks(void **state)
{
	static const struct {
		const char	*a, *b;
		bool		same;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "2001:db8:0:1::1", "2001:db8:0:1:ffff::9", true },
		{ "2001:db8:0:1::1", "2001:db8:0:2::1", false },
		{ "::1", "0.0.0.0", false },
		{ "::", "unknown", true },	/* nobody connects from :: */
		{ "unknown", "also unknown", true },
		{ "unknown", "192.0.2.1", false },
		{ "1.0.0.0", "0:0:0:1::", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address_meter *m = address_meter_new(1);

		assert_true(address_meter_take(m, cases[i].a, T0));
		assert_int_equal(address_meter_over(m, cases[i].b, T0),
		    cases[i].same);
		assert_int_equal(address_meter_take(m, cases[i].b, T0),
		    !cases[i].same);
		address_meter_free(&m);
	}
}

static void
address(unsigned i, char out[32])
{
	(void)snprintf(out, 32, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255,
	    i & 255);
}

/* The one that was silent longest gives its place; who is active keeps it. */
static void
test_full_table(void **state)
{
	struct address_meter *m = address_meter_new(1);
	char ip[32];

	(void)state;
	for (unsigned i = 0; i < ADDRESS_METER_MAX; i++) {
		address(i, ip);
		assert_true(address_meter_take(m, ip, T0));
	}
	assert_false(address_meter_take(m, "10.0.0.0", T0));	/* a sign of life */
	assert_true(address_meter_take(m, "192.0.2.1", T0));
	assert_true(address_meter_over(m, "10.0.0.0", T0));
	assert_false(address_meter_over(m, "10.0.0.1", T0));	/* forgotten */
	assert_true(address_meter_over(m, "10.0.0.2", T0));
	for (unsigned i = 0; i < 3 * ADDRESS_METER_MAX; i++) {
		address(1u << 20 | i, ip);
		assert_true(address_meter_take(m, ip, T0));
		assert_true(address_meter_over(m, ip, T0));
	}
	assert_false(address_meter_over(m, "10.0.0.0", T0));
	address_meter_free(&m);
}

static void
test_nothing_allowed(void **state)
{
	struct address_meter *m = address_meter_new(0);

	(void)state;
	assert_true(address_meter_over(m, "192.0.2.1", T0));
	assert_false(address_meter_take(m, "192.0.2.1", T0));
	assert_false(address_meter_take(m, "192.0.2.1", T0 + 10000000));
	assert_true(address_meter_over(m, "192.0.2.1", T0 + 20000000));
	address_meter_free(&m);
	address_meter_free(&m);		/* NULL is taken */
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_and_refill),
		cmocka_unit_test(test_clock_that_goes_back),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_nothing_allowed),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
