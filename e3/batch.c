/* e3/batch.c - slices of work, pieces of reply. */
#include "e3/batch.h"

#define PIECE_HEAD_BYTES	64	/* array head and frame head */

void
e3_batch_init(struct e3_batch *b, const struct e3_batch_ops *ops, size_t n)
{
	b->ops = ops;
	b->n = n;
	b->at = b->piece_end = 0;
	buffer_init(&b->piece, 0, true);
}

void
e3_batch_fini(struct e3_batch *b)
{
	buffer_fini(&b->piece);
}

/* How many values from here surely fit one piece, and its array head. */
static enum rc
plan(struct e3_batch *b)
{
	size_t bytes = PIECE_HEAD_BYTES, one, i;
	enum rc rc;

	for (i = b->at; i < b->n; i++) {
		if ((rc = b->ops->bound(b, i, &one)) != RC_OK)
			return (rc);
		if (i != b->at && bytes + one > RPC_REPLY_PIECE_BYTES)
			break;
		bytes += one;
	}
	b->piece_end = i;
	if ((rc = buffer_reserve(&b->piece, bytes, NULL)) != RC_OK)
		return (rc);
	rpc_put_array(&b->piece, i - b->at);
	return (RC_OK);
}

/* RC_OK: more is left; RC_EOF: the last piece was emitted. */
static enum rc
slice(struct e3_call *c, struct e3_crypto *crypto, size_t *cost)
{
	struct e3_batch *b = c->work;
	enum rc rc;

	while (*cost < E3_SLICE_COST) {
		if (buffer_len(&b->piece) == 0 && (rc = plan(b)) != RC_OK)
			return (rc);
		if (b->at < b->piece_end) {
			rc = b->ops->one(c, crypto, b->at, cost);
			if (rc != RC_OK)
				return (rc);
			b->at++;
		}
		if (b->at < b->piece_end)
			continue;
		rc = e3_call_emit(c, &b->piece, b->at != b->n);
		if (rc != RC_OK || b->at == b->n)
			return (rc == RC_OK ? RC_EOF : rc);
	}
	return (RC_OK);
}

bool
e3_batch_run(struct e3_job *job, struct e3_crypto *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	enum rc rc = RC_CANCELLED;

	if (!atomic_load(&job->cancelled))
		rc = slice(c, crypto, cost);
	if (rc == RC_OK)
		return (false);
	if (rc != RC_EOF)
		e3_call_fail(c, e3_call_status(rc));
	return (true);
}
