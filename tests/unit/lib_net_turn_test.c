/* tests/unit/lib_net_turn_test.c - who is looked at before the loop waits, and
 * who is warm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "lib/net/turn_private.h"

struct thing {
	struct net_turn_item	item;
	struct net_turn		*turn;
	struct thing		*forgets;	/* in its look */
	struct thing		*asks;		/* in its look */
	bool			watches;
	unsigned		looks;
	unsigned		cooled;
};

static void
look(void *arg)
{
	struct thing *t = arg;

	t->looks++;
	if (t->forgets != NULL)
		net_turn_forget(&t->forgets->item);
	if (t->asks != NULL)
		net_turn_ask(t->turn, &t->asks->item);
	if (t->watches)
		net_turn_watch(t->turn, &t->item);
}

static void
cool(void *arg)
{
	struct thing *t = arg;

	t->cooled++;
}

static void
things(struct thing *t, size_t n, struct loop *loop)
{
	memset(t, 0, n * sizeof(*t));
	for (size_t i = 0; i < n; i++) {
		t[i].turn = net_turn_ref(loop);
		assert_ptr_equal(t[i].turn, t[0].turn);
		net_turn_init(&t[i].item, look, cool, &t[i]);
	}
}

static void
test_ask_is_once(void **state)
{
	struct loop *loop = loop_new();
	struct thing t[2];

	(void)state;
	things(t, 2, loop);
	net_turn_ask(t[0].turn, &t[0].item);
	net_turn_ask(t[0].turn, &t[0].item);
	loop_turn(loop, false);
	loop_turn(loop, false);
	assert_int_equal(t[0].looks, 1);
	assert_int_equal(t[1].looks, 0);
	net_turn_unref(&t[0].turn);
	net_turn_unref(&t[1].turn);
	loop_free(&loop);
}

static void
test_watch_is_each_time(void **state)
{
	struct loop *loop = loop_new();
	struct thing t[1];

	(void)state;
	things(t, 1, loop);
	t[0].watches = true;
	net_turn_watch(t[0].turn, &t[0].item);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	assert_int_equal(t[0].looks, 3);
	t[0].watches = false;
	loop_turn(loop, false);
	loop_turn(loop, false);
	assert_int_equal(t[0].looks, 4);
	net_turn_unref(&t[0].turn);
	loop_free(&loop);
}

static void
test_forget_and_ask_within_a_look(void **state)
{
	struct loop *loop = loop_new();
	struct thing t[3];

	(void)state;
	things(t, 3, loop);
	for (int i = 0; i < 3; i++)
		net_turn_ask(t[i].turn, &t[i].item);
	t[0].forgets = &t[2];
	t[1].asks = &t[1];		/* itself: in the next round */
	loop_turn(loop, false);
	assert_int_equal(t[0].looks, 1);
	assert_int_equal(t[1].looks, 1);
	assert_int_equal(t[2].looks, 0);
	t[1].asks = NULL;
	loop_turn(loop, false);
	assert_int_equal(t[1].looks, 2);
	loop_turn(loop, false);
	assert_int_equal(t[1].looks, 2);
	for (int i = 0; i < 3; i++)
		net_turn_unref(&t[i].turn);
	loop_free(&loop);
}

static void
look_and_leave(void *arg)
{
	struct thing *t = arg;

	t->looks++;
	net_turn_unref(&t->turn);
}

static unsigned hook_ran;

static void
other_hook(void *arg)
{
	(void)arg;
	hook_ran++;
}

/* The last one goes in its own look; the hook behind ours still runs. */
static void
test_last_leaves_in_its_look(void **state)
{
	struct loop *loop = loop_new();
	struct thing t[1];

	(void)state;
	things(t, 1, loop);
	loop_idle_add(loop, other_hook, NULL);
	net_turn_init(&t[0].item, look_and_leave, cool, &t[0]);
	net_turn_ask(t[0].turn, &t[0].item);
	hook_ran = 0;
	loop_turn(loop, false);
	assert_null(t[0].turn);
	assert_int_equal(hook_ran, 1);
	loop_turn(loop, false);
	assert_int_equal(hook_ran, 2);
	loop_free(&loop);
}

/* Who worked longest ago goes first, once, and only when there are too many. */
static void
test_the_last_ones_stay_warm(void **state)
{
	static struct thing t[NET_TURN_WARM_MAX + 3];
	const size_t n = sizeof(t) / sizeof(t[0]);
	struct loop *loop = loop_new();
	struct net_turn *turn;

	(void)state;
	things(t, n, loop);
	turn = t[0].turn;
	for (size_t i = 0; i < NET_TURN_WARM_MAX; i++)
		net_turn_warm(turn, &t[i].item);
	net_turn_warm(turn, &t[0].item);	/* works again */
	for (size_t i = 0; i < n; i++)
		assert_int_equal(t[i].cooled, 0);
	net_turn_warm(turn, &t[n - 3].item);
	assert_int_equal(t[0].cooled, 0);
	assert_int_equal(t[1].cooled, 1);
	/* Being looked at has nothing to do with it. */
	net_turn_ask(turn, &t[2].item);
	loop_turn(loop, false);
	net_turn_warm(turn, &t[n - 2].item);
	assert_int_equal(t[2].cooled, 1);
	/* Who is forgotten makes room and hears nothing. */
	net_turn_forget(&t[3].item);
	net_turn_warm(turn, &t[n - 1].item);
	assert_int_equal(t[3].cooled, 0);
	assert_int_equal(t[4].cooled, 0);
	net_turn_warm(turn, &t[1].item);	/* back again */
	assert_int_equal(t[4].cooled, 1);
	assert_int_equal(t[1].cooled, 1);
	for (size_t i = 0; i < n; i++)
		net_turn_forget(&t[i].item);
	for (size_t i = 0; i < n; i++)
		net_turn_unref(&t[i].turn);
	loop_free(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ask_is_once),
		cmocka_unit_test(test_watch_is_each_time),
		cmocka_unit_test(test_forget_and_ask_within_a_look),
		cmocka_unit_test(test_last_leaves_in_its_look),
		cmocka_unit_test(test_the_last_ones_stay_warm),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
