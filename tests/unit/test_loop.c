/* test_loop.c - see test_loop.h. */
#include "tests/unit/test_loop.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/timer.h"

#define GIVE_UP_MS	10000
#define LOOK_MS		2	/* what an idle hook did is seen then */

static void
on_look(void *arg)
{
	timer_start_ms(arg, LOOK_MS);
}

static bool
run(struct loop *loop, const bool *flag, const size_t *count, size_t want,
    unsigned ms)
{
	uint64_t end_ms = clock_mono_ms() + ms;
	struct timer look;
	bool met;

	timer_init(&look, loop, on_look, &look);
	timer_start_ms(&look, LOOK_MS);
	do {
		loop_turn(loop, true);
		met = (flag != NULL && *flag) || (count != NULL && *count >= want);
	} while (!met && clock_mono_ms() < end_ms);
	timer_fini(&look);
	return (met);
}

void
loop_until(struct loop *loop, const bool *flag)
{
	if (!run(loop, flag, NULL, 0, GIVE_UP_MS))
		fail_msg("nothing happened for %d ms", GIVE_UP_MS);
}

void
loop_until_count(struct loop *loop, const size_t *count, size_t want)
{
	if (!run(loop, NULL, count, want, GIVE_UP_MS))
		fail_msg("%zu of %zu", *count, want);
}

void
loop_for_ms(struct loop *loop, unsigned ms)
{
	(void)run(loop, NULL, NULL, 0, ms);
}
