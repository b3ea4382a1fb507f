/* One at a time, in order, and nobody is forgotten. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "e3/helper/turn.h"

static char order[32];
static struct turn turn;

struct one {
	struct turn_waiter	w;
	char			name;
	bool			leave_at_once;
};

static void
on_turn(void *arg)
{
	struct one *o = arg;
	size_t n = strlen(order);

	order[n] = o->name;
	order[n + 1] = '\0';
	if (o->leave_at_once)
		turn_leave(&turn, &o->w);
}

static void
make(struct one *o, char name, bool leave_at_once)
{
	o->name = name;
	o->leave_at_once = leave_at_once;
	turn_waiter_init(&o->w, on_turn, o);
}

static void
test_order(void **state)
{
	struct one a, b, c, d;

	(void)state;
	order[0] = '\0';
	turn_init(&turn);
	make(&a, 'a', false);
	make(&b, 'b', false);
	make(&c, 'c', true);
	make(&d, 'd', false);
	turn_take(&turn, &a.w);
	assert_string_equal(order, "a");	/* at once */
	turn_take(&turn, &b.w);
	turn_take(&turn, &c.w);
	turn_take(&turn, &d.w);
	assert_string_equal(order, "a");
	turn_leave(&turn, &b.w);		/* gives up waiting */
	turn_leave(&turn, &b.w);		/* harmless twice */
	assert_string_equal(order, "a");
	turn_leave(&turn, &a.w);		/* c leaves inside its turn */
	assert_string_equal(order, "acd");
	turn_take(&turn, &a.w);
	assert_string_equal(order, "acd");
	turn_leave(&turn, &d.w);
	assert_string_equal(order, "acda");
	turn_leave(&turn, &a.w);
	assert_null(turn.holder);
}

static void
test_closed(void **state)
{
	struct one a, b;

	(void)state;
	order[0] = '\0';
	turn_init(&turn);
	make(&a, 'a', false);
	make(&b, 'b', false);
	turn_take(&turn, &a.w);
	turn_take(&turn, &b.w);
	turn_close(&turn);
	turn_leave(&turn, &a.w);
	assert_string_equal(order, "a");
	turn_take(&turn, &a.w);
	assert_string_equal(order, "a");
	turn_leave(&turn, &a.w);
	turn_leave(&turn, &b.w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_closed),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
