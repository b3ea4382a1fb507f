/* base/timer.c - a one-shot libevent timer. */
#include "lib/base/timer.h"

#include "lib/base/object.h"

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->cb(t->arg);		/* may free t */
}

void
timer_init(struct timer *t, struct loop *loop, timer_cb *cb, void *arg)
{
	t->cb = cb;
	t->arg = arg;
	t->ev = event_new(loop_base(loop), -1, 0, on_timer, t);
	ensure(t->ev != NULL);
}

void
timer_fini(struct timer *t)
{
	if (t->ev != NULL)
		event_free(t->ev);
	t->ev = NULL;
}

void
timer_start_ms(struct timer *t, uint64_t timeout_ms)
{
	struct timeval tv = {
		.tv_sec = (time_t)(timeout_ms / 1000),
		.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000),
	};

	ensure(event_add(t->ev, &tv) == 0);
}

void
timer_stop(struct timer *t)
{
	if (t->ev != NULL)
		event_del(t->ev);
}

bool
timer_running(const struct timer *t)
{
	return (t->ev != NULL && event_pending(t->ev, EV_TIMEOUT, NULL) != 0);
}
