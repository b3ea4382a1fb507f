/* tests/unit/lib_base_loop_test.c - idle hooks, turns, timers, clocks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/loop.h"
#include "lib/base/timer.h"

struct hook {
	struct loop	*loop;
	char		mark;
	loop_idle_cb	*del;		/* in its run: this hook of ... */
	struct hook	*del_arg;	/* ... that owner */
	bool		again;
	bool		stop;
};

static char trace[64];

static void
hook(void *arg)
{
	struct hook *h = arg;
	size_t n = strlen(trace);

	trace[n] = h->mark;
	trace[n + 1] = '\0';
	if (h->del != NULL)
		loop_idle_del(h->loop, h->del, h->del_arg);
	if (h->again)
		loop_again(h->loop);
	if (h->stop)
		loop_stop(h->loop);
}

static void
test_hooks_in_order(void **state)
{
	struct loop *loop = loop_new();
	struct hook h[3];

	(void)state;
	memset(h, 0, sizeof(h));
	assert_null(loop_idle_find(loop, hook));
	for (int i = 0; i < 3; i++) {
		h[i].loop = loop;
		h[i].mark = (char)('a' + i);
		loop_idle_add(loop, hook, &h[i]);
	}
	assert_ptr_equal(loop_idle_find(loop, hook), &h[0]);
	trace[0] = '\0';
	loop_turn(loop, false);
	assert_string_equal(trace, "abc");
	/* Deleting itself, one before or one behind skips none. */
	h[1].del = hook;
	h[1].del_arg = &h[0];
	trace[0] = '\0';
	loop_turn(loop, false);
	assert_string_equal(trace, "abc");
	h[1].del_arg = &h[1];
	trace[0] = '\0';
	loop_turn(loop, false);
	assert_string_equal(trace, "bc");
	loop_idle_add(loop, hook, &h[0]);
	h[2].del = hook;
	h[2].del_arg = &h[0];
	trace[0] = '\0';
	loop_turn(loop, false);
	assert_string_equal(trace, "c");
	loop_idle_del(loop, hook, &h[0]);	/* not there: nothing */
	loop_free(&loop);
	assert_null(loop);
	loop_free(&loop);
}

static void
on_timer(void *arg)
{
	unsigned *n = arg;

	(*n)++;
}

static void
stop_on_timer(void *arg)
{
	loop_stop(arg);
}

/* loop_again from a hook: the loop does not wait but runs the hooks again. */
static void
test_again(void **state)
{
	struct loop *loop = loop_new();
	struct hook h = { .loop = loop, .mark = 'x', .again = true };
	struct timer far;
	unsigned n = 0;
	uint64_t from;

	(void)state;
	timer_init(&far, loop, on_timer, &n);
	timer_start_ms(&far, 3600 * 1000);
	loop_idle_add(loop, hook, &h);
	trace[0] = '\0';
	from = clock_mono_ms();
	loop_turn(loop, true);
	loop_turn(loop, true);
	assert_true(clock_mono_ms() - from < 15);
	assert_string_equal(trace, "xx");
	/* Asked for before the hooks run, it is theirs to see. */
	h.again = false;
	loop_again(loop);
	from = clock_mono_ms();
	loop_turn(loop, true);
	assert_true(clock_mono_ms() - from >= 15);
	assert_int_equal(n, 0);
	timer_fini(&far);
	loop_free(&loop);
}

static void
test_run_and_stop(void **state)
{
	struct loop *loop = loop_new();
	struct hook h = { .loop = loop, .mark = 'x', .stop = true };
	struct timer t;

	(void)state;
	timer_init(&t, loop, stop_on_timer, loop);
	timer_start_ms(&t, 1);
	loop_run(loop);
	timer_fini(&t);
	loop_free(&loop);
	loop = loop_new();
	h.loop = loop;
	loop_idle_add(loop, hook, &h);
	loop_run(loop);			/* stopped by a hook, no event at all */
	loop_free(&loop);
}

static void
test_timer(void **state)
{
	struct loop *loop = loop_new();
	struct timer t, zero;
	unsigned n = 0;
	uint64_t from;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	timer_fini(&zero);
	timer_stop(&zero);
	assert_false(timer_running(&zero));
	timer_init(&t, loop, on_timer, &n);
	assert_false(timer_running(&t));
	from = clock_mono_ms();
	timer_start_ms(&t, 3600 * 1000);
	timer_start_ms(&t, 5);		/* moved, not doubled */
	assert_true(timer_running(&t));
	while (n == 0)
		loop_turn(loop, true);
	assert_true(clock_mono_ms() - from >= 4);
	assert_false(timer_running(&t));
	timer_start_ms(&t, 0);
	timer_stop(&t);
	loop_turn(loop, false);
	assert_int_equal(n, 1);
	timer_fini(&t);
	loop_free(&loop);
}

/* Moved away, back, stopped and started again: it fires when it was last told
 * to, once, whatever libevent still has of its earlier deadlines. */
static void
test_timer_moved(void **state)
{
	struct loop *loop = loop_new();
	struct timer t;
	unsigned n = 0;
	uint64_t from;

	(void)state;
	timer_init(&t, loop, on_timer, &n);
	from = clock_mono_ms();
	timer_start_ms(&t, 1);
	timer_start_ms(&t, 40);
	while (n == 0)
		loop_turn(loop, true);
	assert_true(clock_mono_ms() - from >= 40);
	/* A deadline that was stopped is not the next one's. */
	from = clock_mono_ms();
	timer_start_ms(&t, 5);
	timer_stop(&t);
	assert_false(timer_running(&t));
	timer_start_ms(&t, 60);
	while (n == 1)
		loop_turn(loop, true);
	assert_true(clock_mono_ms() - from >= 60);
	assert_int_equal(n, 2);
	/* Far away, then near, then at once; taken back; gone before it fires. */
	from = clock_mono_ms();
	timer_start_ms(&t, 3600 * 1000);
	timer_start_ms(&t, 20);
	while (n == 2)
		loop_turn(loop, true);
	assert_in_range(clock_mono_ms() - from, 20, 1000);
	timer_start_ms(&t, 1000);
	timer_start_ms(&t, 0);
	loop_turn(loop, true);
	assert_int_equal(n, 4);
	timer_start_ms(&t, 0);
	timer_stop(&t);
	loop_turn(loop, true);
	assert_int_equal(n, 4);
	timer_start_ms(&t, 0);
	timer_fini(&t);
	loop_turn(loop, true);
	assert_int_equal(n, 4);
	loop_free(&loop);
}

static void
test_clocks(void **state)
{
	uint64_t a = clock_mono_ns(), b = clock_mono_ns();

	(void)state;
	assert_true(b >= a);
	assert_true(clock_mono_ms() >= a / 1000000);
	assert_true(clock_mono_ms() <= clock_mono_ns() / 1000000);
	assert_true(clock_wall_ms() > 1577836800000u);	/* after 2020 */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hooks_in_order),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_run_and_stop),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_timer_moved),
		cmocka_unit_test(test_clocks),
	};

	alarm(30);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
