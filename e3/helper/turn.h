/*
 * helper/turn.h - one change at a time: a record from relayctl and one from
 * Redis must not pass each other between disk and engine.
 * Context:   the loop's thread.
 * Ownership: waiters are embedded in what waits; turn_leave before they go.
 */
#ifndef RELAY_E3_HELPER_TURN_H
#define RELAY_E3_HELPER_TURN_H

#include <stdbool.h>

#include "lib/base/list.h"

typedef void turn_cb(void *arg);

struct turn_waiter {
	TAILQ_ENTRY(turn_waiter) link;
	turn_cb		*cb;
	void		*arg;		/* borrowed: embeds us */
	bool		waiting;
	bool		has;
};

struct turn {
	struct turn_waiter	*holder;	/* borrowed; NULL: free */
	bool			closed;		/* nobody gets it any more */
	TAILQ_HEAD(, turn_waiter) waiting;
};

void turn_init(struct turn *);
/* At the end of the process: whoever leaves hands over to nobody. */
void turn_close(struct turn *);
void turn_waiter_init(struct turn_waiter *, turn_cb *, void *arg);

/* cb runs when it is this waiter's turn: at once if nobody has it. */
void turn_take(struct turn *, struct turn_waiter *);
/* Give the turn on, or stop waiting; harmless for one who does neither. */
void turn_leave(struct turn *, struct turn_waiter *);

#endif
