/*
 * base/timer.h - one deadline, embedded in what waits for it.
 * Context:   the loop's thread.
 * Ownership: the caller embeds the struct; timer_fini before it goes.
 */
#ifndef RELAY_BASE_TIMER_H
#define RELAY_BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/loop.h"

typedef void timer_cb(void *arg);

struct timer {
	struct event	*ev;	/* owned */
	timer_cb	*cb;
	void		*arg;	/* borrowed: embeds us */
};

void timer_init(struct timer *, struct loop *, timer_cb *, void *arg);
void timer_fini(struct timer *);	/* safe on a zeroed struct */

/* Fire once in timeout_ms; a running timer is moved. */
void timer_start_ms(struct timer *, uint64_t timeout_ms);
void timer_stop(struct timer *);
bool timer_running(const struct timer *);

#endif
