/*
 * base/timer.h - one deadline, embedded in what waits for it.
 * Context:   the loop's thread.
 * Ownership: the caller embeds the struct; timer_fini before it goes.
 *
 * Made to be moved often: a start that only moves the deadline away, and a
 * stop, touch no queue of the loop's.
 */
#ifndef RELAY_BASE_TIMER_H
#define RELAY_BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event_struct.h>

#include "lib/base/loop.h"

typedef void timer_cb(void *arg);

struct timer {
	struct event	ev;		/* private to timer.c, all of it */
	bool		running;
	bool		armed;		/* ev fires, at wake_ms or later */
	uint64_t	due_ms;		/* on the monotonic clock, if running */
	uint64_t	wake_ms;
	timer_cb	*cb;
	void		*arg;	/* borrowed: embeds us */
};

void timer_init(struct timer *, struct loop *, timer_cb *, void *arg);
void timer_fini(struct timer *);	/* safe on a zeroed struct */

/* Fire once in timeout_ms; a running timer is moved.  0: from the loop, after
 * the sockets were asked for events once more. */
void timer_start_ms(struct timer *, uint64_t timeout_ms);
void timer_stop(struct timer *);
bool timer_running(const struct timer *);

#endif
