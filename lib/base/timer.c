/*
 * base/timer.c - a one-shot timer on a libevent event that may fire early.
 *
 * Most deadlines are moved or stopped long before they come.  So the event
 * stays where it is in libevent's heap, and whoever comes too early is sent
 * back: one useless wake-up for each timer and deadline, at most, instead of
 * work in the heap for each request.
 */
#include "lib/base/timer.h"

#include "lib/base/clock.h"
#include "lib/base/object.h"

static void
arm(struct timer *t, uint64_t wait_ms)
{
	struct timeval tv = {
		.tv_sec = (time_t)(wait_ms / 1000),
		.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000),
	};

	ensure(event_add(&t->ev, &tv) == 0);
	t->armed = true;
	t->wake_ms = t->due_ms;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;
	uint64_t now = clock_mono_ms();

	(void)fd;
	(void)what;
	t->armed = false;
	if (!t->running)
		return;
	if (now < t->due_ms) {
		arm(t, t->due_ms - now);
		return;
	}
	t->running = false;
	t->cb(t->arg);		/* may free t */
}

void
timer_init(struct timer *t, struct loop *loop, timer_cb *cb, void *arg)
{
	t->running = t->armed = false;
	t->cb = cb;
	t->arg = arg;
	ensure(event_assign(&t->ev, loop_base(loop), -1, 0, on_event, t) == 0);
}

void
timer_fini(struct timer *t)
{
	if (t->cb != NULL)
		(void)event_del(&t->ev);
	t->cb = NULL;
	t->running = t->armed = false;
}

void
timer_start_ms(struct timer *t, uint64_t timeout_ms)
{
	ensure(t->cb != NULL);
	t->due_ms = clock_mono_ms() + timeout_ms;
	t->running = true;
	if (!t->armed || t->due_ms < t->wake_ms)
		arm(t, timeout_ms);
}

void
timer_stop(struct timer *t)
{
	t->running = false;
}

bool
timer_running(const struct timer *t)
{
	return (t->running);
}
