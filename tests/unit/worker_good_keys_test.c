/* worker/good_keys.c: an hour, whose they are, the bounded table. */
#include "worker/good_keys.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#define T0	UINT64_C(1000000)	/* ms */
#define HOUR	(GOOD_KEYS_S * UINT64_C(1000))
#define APP	"app_0123456789ab"
#define OTHER	"app_ffffffffffff"

/* The hash of key i; those of i and i + GOOD_KEYS_MAX are in one chain. */
static const uint8_t *
hash(unsigned i)
{
	static uint8_t h[GOOD_KEYS_HASH_BYTES];

	memset(h, 0x5a, sizeof(h));
	h[0] = (uint8_t)i;
	h[1] = (uint8_t)((i >> 8) % (GOOD_KEYS_MAX >> 8));
	h[GOOD_KEYS_HASH_BYTES - 1] = (uint8_t)(i / GOOD_KEYS_MAX);
	return (h);
}

static void
test_an_hour(void **state)
{
	struct good_keys *g = good_keys_new();

	(void)state;
	assert_false(good_keys_has(g, hash(1), "", T0));
	good_keys_add(g, hash(1), APP, T0);
	assert_true(good_keys_has(g, hash(1), "", T0));
	assert_false(good_keys_has(g, hash(2), "", T0));
	assert_false(good_keys_has(g, hash(1 + GOOD_KEYS_MAX), "", T0));
	assert_true(good_keys_has(g, hash(1), "", T0 + HOUR - 1));
	assert_false(good_keys_has(g, hash(1), "", T0 + HOUR));
	good_keys_add(g, hash(1), APP, T0 + HOUR);	/* said again */
	assert_true(good_keys_has(g, hash(1), "", T0 + 2 * HOUR - 1));
	good_keys_free(&g);
	assert_null(g);
	good_keys_free(&g);		/* NULL is taken */
}

static void
test_whose(void **state)
{
	struct good_keys *g = good_keys_new();

	(void)state;
	good_keys_add(g, hash(1), APP, T0);
	assert_true(good_keys_has(g, hash(1), APP, T0));
	assert_false(good_keys_has(g, hash(1), OTHER, T0));
	good_keys_add(g, hash(1), OTHER, T0);
	assert_true(good_keys_has(g, hash(1), OTHER, T0));
	assert_false(good_keys_has(g, hash(1), APP, T0));
	good_keys_free(&g);
}

static void
test_forget(void **state)
{
	struct good_keys *g = good_keys_new();

	(void)state;
	good_keys_forget(g, hash(1));		/* nothing is there */
	good_keys_add(g, hash(1), APP, T0);
	good_keys_add(g, hash(1 + GOOD_KEYS_MAX), APP, T0);
	good_keys_forget(g, hash(1));
	assert_false(good_keys_has(g, hash(1), "", T0));
	assert_true(good_keys_has(g, hash(1 + GOOD_KEYS_MAX), "", T0));
	good_keys_forget(g, hash(1));
	good_keys_add(g, hash(1), APP, T0);	/* a new life */
	assert_true(good_keys_has(g, hash(1), "", T0));
	good_keys_free(&g);
}

/* The one that was said to be good longest ago gives its place; but first the
 * place of a forgotten one is taken. */
static void
test_full_table(void **state)
{
	struct good_keys *g = good_keys_new();

	(void)state;
	for (unsigned i = 0; i < GOOD_KEYS_MAX; i++)
		good_keys_add(g, hash(i), APP, T0);
	for (unsigned i = 0; i < GOOD_KEYS_MAX; i++)
		assert_true(good_keys_has(g, hash(i), "", T0));
	good_keys_add(g, hash(0), APP, T0);	/* a sign of life */
	good_keys_add(g, hash(GOOD_KEYS_MAX), APP, T0);
	assert_true(good_keys_has(g, hash(0), "", T0));
	assert_false(good_keys_has(g, hash(1), "", T0));
	assert_true(good_keys_has(g, hash(2), "", T0));
	good_keys_forget(g, hash(9));
	good_keys_add(g, hash(GOOD_KEYS_MAX + 1), APP, T0);
	assert_true(good_keys_has(g, hash(2), "", T0));
	for (unsigned i = 0; i < 3 * GOOD_KEYS_MAX; i++)
		good_keys_add(g, hash(2 * GOOD_KEYS_MAX + i), APP, T0);
	assert_false(good_keys_has(g, hash(0), "", T0));
	for (unsigned i = 0; i < GOOD_KEYS_MAX; i++)
		assert_true(good_keys_has(g, hash(4 * GOOD_KEYS_MAX + i), "",
		    T0));
	good_keys_free(&g);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_hour),
		cmocka_unit_test(test_whose),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_full_table),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
