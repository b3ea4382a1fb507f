/*
 * worker/accept.h - listener descriptor -> conn.
 * Context:   the loop's thread.
 *
 * All workers watch the same inherited sockets, level-triggered, and take at
 * most ACCEPTS_PER_WAKE at a time, so that a burst spreads over them.
 */
#ifndef RELAY_WORKER_ACCEPT_H
#define RELAY_WORKER_ACCEPT_H

#include "worker/worker.h"

#define ACCEPTS_PER_WAKE	8

struct accept_listener {
	int			fd;	/* owned from accept_new on */
	enum conf_listen_kind	kind;
};

/* Nothing is accepted before accept_start. */
struct accept *accept_new(struct worker *, const struct accept_listener *,
    size_t n);
void accept_free(struct accept **);
void accept_start(struct accept *);

/* Stop for good and close the listeners: the worker leaves. */
void accept_stop(struct accept *);

/* A connection has closed: go on if the limit had stopped us. */
void accept_room(struct accept *);

#endif
