/* rpc/batch.c - value by value, until the slice is used up. */
#include "lib/rpc/batch.h"

void
rpc_batch_init(struct rpc_batch *b, struct rpc_served *served,
    rpc_batch_one *one, size_t n, size_t slice_cost)
{
	b->one = one;
	b->n = n;
	b->slice_cost = slice_cost;
	rpc_pieces_init(&b->out, served, n);
}

void
rpc_batch_fini(struct rpc_batch *b)
{
	rpc_pieces_fini(&b->out);
}

/* RC_OK: more is left; RC_EOF: the last piece was emitted. */
static enum rc
slice(struct rpc_batch *b, struct sched_job *job, void *ctx, size_t *cost)
{
	enum rc rc;

	for (; b->at < b->n; b->at++) {
		if (*cost >= b->slice_cost)
			return (RC_OK);
		if ((rc = rpc_pieces_next(&b->out)) != RC_OK ||
		    (rc = b->one(job, ctx, b->at, &b->out.piece, cost)) != RC_OK)
			return (rc);
	}
	rc = rpc_pieces_end(&b->out);
	return (rc == RC_OK ? RC_EOF : rc);
}

bool
rpc_batch_run(struct sched_job *job, void *ctx, size_t *cost)
{
	struct rpc_served *c = rpc_served_of(job);
	enum rc rc = RC_CANCELLED;

	if (!atomic_load(&job->cancelled))
		rc = slice(c->work, job, ctx, cost);
	if (rc == RC_OK)
		return (false);
	if (rc != RC_EOF)
		rpc_served_fail(c, rpc_served_status(rc));
	return (true);
}
