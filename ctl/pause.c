/* ctl/pause.c - a timer on a loop of its own. */
#include "ctl/pause.h"

#include <stdbool.h>

#include "lib/base/loop.h"
#include "lib/base/timer.h"

static void
on_end(void *arg)
{
	bool *over = arg;

	*over = true;
}

void
pause_ms(unsigned ms)
{
	struct loop *loop = loop_new();
	struct timer timer;
	bool over = false;

	timer_init(&timer, loop, on_end, &over);
	timer_start_ms(&timer, ms);
	while (!over)
		loop_turn(loop, true);
	timer_fini(&timer);
	loop_free(&loop);
}
