/*
 * rpc/call_private.h - the calls in flight on one link, by id.
 * Context:   the loop's thread; link.c and its tests only.
 * Ownership: the link embeds the table; the table owns its calls and keeps
 *            them, with their timers, for reuse.
 *
 * A call lives here from rpc_link_call until its last piece came.  One that
 * was cancelled or timed out stays without a callback: it still occupies the
 * engine, and the pieces that come for it are known and dropped.
 */
#ifndef RELAY_RPC_CALL_PRIVATE_H
#define RELAY_RPC_CALL_PRIVATE_H

#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/rpc/link.h"

#define RPC_CALL_BUCKETS	256	/* as RPC_CALLS_MAX: short chains */

struct rpc_call {
	uint64_t		id;		/* 0: on the free list */
	rpc_reply_cb		*cb;		/* NULL: nobody waits */
	void			*arg;		/* borrowed: the asker's, with cb */
	uint64_t		end;		/* stream offset behind its frame */
	bool			is_cancel;	/* our own Cancel */
	struct timer		deadline;
	struct rpc_link		*link;		/* borrowed: embeds our table */
	TAILQ_ENTRY(rpc_call)	order;		/* oldest first; or free list */
	LIST_ENTRY(rpc_call)	bucket;
};
TAILQ_HEAD(rpc_call_list, rpc_call);
LIST_HEAD(rpc_call_bucket, rpc_call);

struct rpc_calls {
	struct rpc_link		*link;		/* borrowed: embeds us */
	struct loop		*loop;		/* borrowed: the link's */
	timer_cb		*on_deadline;	/* arg: struct rpc_call */
	unsigned		n;		/* in flight, Cancel left out */
	struct rpc_call_list	in_flight;	/* owned */
	struct rpc_call_list	free;		/* owned */
	struct rpc_call_bucket	buckets[RPC_CALL_BUCKETS];
};

void rpc_calls_init(struct rpc_calls *, struct rpc_link *, struct loop *,
    timer_cb *on_deadline);
/* All calls have been removed. */
void rpc_calls_fini(struct rpc_calls *);

static inline bool
rpc_calls_empty(const struct rpc_calls *t)
{
	return (TAILQ_EMPTY(&t->in_flight));
}

/* NULL when there is none. */
struct rpc_call *rpc_calls_find(const struct rpc_calls *, uint64_t id);
struct rpc_call *rpc_calls_add(struct rpc_calls *, uint64_t id, uint64_t end,
    rpc_reply_cb *, void *arg, bool is_cancel);
void rpc_calls_remove(struct rpc_calls *, struct rpc_call *);

/* From now on nobody waits for it. */
void rpc_call_forget(struct rpc_call *);
/* Its last callback, without an answer.  It stays in the table, so that
 * rpc_link_call_sent can still tell during the callback. */
void rpc_call_fail(struct rpc_call *, enum rc);
/* Fail and remove all, oldest first.  A callback may come here again. */
void rpc_calls_fail_all(struct rpc_calls *, enum rc);

#endif
