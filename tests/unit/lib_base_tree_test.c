/* lib/base/tree.c: found, added once, taken out, walked in order, cleared. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/tree.h"

#define N	1000
#define STEP	37		/* prime to N: every place once, out of order */

struct number {
	unsigned	value, freed;
};

static struct number numbers[N];

static int
number_cmp(const void *a, const void *b)
{
	unsigned x = ((const struct number *)a)->value;
	unsigned y = ((const struct number *)b)->value;

	return ((x > y) - (x < y));
}

static void *
find(const struct tree *t, unsigned value)
{
	return (tree_find(t, &(struct number){ .value = value }));
}

static void
fill(struct tree *t)
{
	*t = (struct tree){ .cmp = number_cmp };
	for (unsigned i = 0, at = 0; i < N; i++, at = (at + STEP) % N) {
		numbers[at] = (struct number){ .value = at };
		assert_ptr_equal(tree_add(t, &numbers[at]), &numbers[at]);
	}
	assert_int_equal(t->n, N);
}

static void
test_an_empty_tree_has_nothing(void **state)
{
	struct tree t = { .cmp = number_cmp };

	(void)state;
	assert_null(find(&t, 0));
	assert_null(tree_remove(&t, &(struct number){ .value = 0 }));
	tree_clear(&t, NULL);
	assert_int_equal(t.n, 0);
}

static void
test_the_first_of_two_equal_ones_stays(void **state)
{
	struct number twin = { .value = 7 };
	struct tree t;

	(void)state;
	fill(&t);
	assert_ptr_equal(tree_add(&t, &twin), &numbers[7]);
	assert_ptr_equal(find(&t, 7), &numbers[7]);
	assert_int_equal(t.n, N);
	tree_clear(&t, NULL);
}

static void
test_what_is_taken_out_is_gone_alone(void **state)
{
	struct tree t;

	(void)state;
	fill(&t);
	for (unsigned i = 0; i < N; i += 2)
		assert_ptr_equal(tree_remove(&t, &numbers[i]), &numbers[i]);
	assert_int_equal(t.n, N / 2);
	for (unsigned i = 0; i < N; i++)
		assert_ptr_equal(find(&t, i), i % 2 == 0 ? NULL : &numbers[i]);
	assert_null(tree_remove(&t, &numbers[0]));
	assert_int_equal(t.n, N / 2);
	tree_clear(&t, NULL);
	assert_null(find(&t, 1));
}

static void
on_number(void *arg, void *object)
{
	unsigned *next = arg;

	assert_int_equal(((struct number *)object)->value, *next);
	++*next;
}

static void
on_free(void *object)
{
	((struct number *)object)->freed++;
}

static void
test_each_in_order_then_each_is_freed(void **state)
{
	unsigned next = 0;
	struct tree t;

	(void)state;
	fill(&t);
	tree_each(&t, on_number, &next);
	assert_int_equal(next, N);
	tree_clear(&t, on_free);
	assert_int_equal(t.n, 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(numbers[i].freed, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_tree_has_nothing),
		cmocka_unit_test(test_the_first_of_two_equal_ones_stays),
		cmocka_unit_test(test_what_is_taken_out_is_gone_alone),
		cmocka_unit_test(test_each_in_order_then_each_is_freed),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
