/*
 * rpc/batch.h - a call over many values: its work in slices, its reply in
 * pieces.
 * Context:   the thread that has the call.
 * Ownership: embedded first in the work for the call (served->work).
 */
#ifndef RELAY_RPC_BATCH_H
#define RELAY_RPC_BATCH_H

#include "lib/rpc/pieces.h"

/* Do value i and append its entry to out; *cost grows by what it took.  Not
 * RC_OK: the whole call fails. */
typedef enum rc rpc_batch_one(struct sched_job *, void *ctx, size_t i,
    struct buffer *out, size_t *cost);

struct rpc_batch {
	rpc_batch_one		*one;
	size_t			n;		/* values */
	size_t			at;		/* the next one */
	size_t			slice_cost;	/* where a slice ends */
	struct rpc_pieces	out;		/* owned */
};

void rpc_batch_init(struct rpc_batch *, struct rpc_served *, rpc_batch_one *,
    size_t n, size_t slice_cost);
void rpc_batch_fini(struct rpc_batch *);

/* A sched_run_fn for calls whose work begins with a batch. */
bool rpc_batch_run(struct sched_job *, void *ctx, size_t *cost);

#endif
