/*
 * base/loop.h - the event loop of a single-threaded role, on libevent.
 * Context:   one per thread.  Nothing called from it may block.
 *
 * Besides libevent's own events (used as they are), the loop has idle hooks:
 * they run once before each wait, in the order they were added.  lib/net
 * flushes its output there, lib/rpc asserts there that a link with unsent
 * bytes has write interest armed.
 */
#ifndef RELAY_BASE_LOOP_H
#define RELAY_BASE_LOOP_H

#include <stdbool.h>

#include <event2/event.h>

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop **);
struct event_base *loop_base(struct loop *);

typedef void loop_idle_cb(void *arg);
void loop_idle_add(struct loop *, loop_idle_cb *, void *arg);
void loop_idle_del(struct loop *, loop_idle_cb *, void *arg);

/* The arg of the first hook with this callback, or NULL: how a library finds
 * what it keeps for a loop, without a global. */
void *loop_idle_find(const struct loop *, loop_idle_cb *);

/* There is more to do at idle: the coming wait returns at once, and the hooks
 * run again.  For work that an earlier hook would have to do. */
void loop_again(struct loop *);

/* Run until loop_stop (or no event is left, which is a bug and panics). */
void loop_run(struct loop *);

/* Run what is ready and return; with `wait`, wait for the next event, or 20 ms
 * at most.  For tests. */
void loop_turn(struct loop *, bool wait);
void loop_stop(struct loop *);

#endif
