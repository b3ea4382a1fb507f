/*
 * e3/batch.h - a call over many values: its work in slices, its reply in
 * pieces.
 * Context:   a crypto thread, one at a time for each call.
 * Ownership: embedded first in the op's state (call->work).
 *
 * A piece is planned before its first value is done, since a MessagePack
 * array begins with its count; values are then written into it in place.
 */
#ifndef RELAY_E3_BATCH_H
#define RELAY_E3_BATCH_H

#include "e3/call.h"

struct e3_batch_ops {
	/* The most bytes that value i adds to the reply.  Not RC_OK: it cannot
	 * be served, and neither can the call. */
	enum rc	(*bound)(const void *work, size_t i, size_t *bytes);
	/* Do value i and append its entry to batch->piece; *cost grows by what
	 * it took. */
	enum rc	(*one)(struct e3_call *, struct e3_crypto *, size_t i,
		    size_t *cost);
};

struct e3_batch {
	const struct e3_batch_ops *ops;
	size_t			n;		/* values */
	size_t			at;		/* the next one */
	size_t			piece_end;	/* first one after the piece */
	struct buffer		piece;		/* owned; sensitive */
};

void e3_batch_init(struct e3_batch *, const struct e3_batch_ops *, size_t n);
void e3_batch_fini(struct e3_batch *);

/* An e3_run_fn for calls whose work begins with a batch. */
bool e3_batch_run(struct e3_job *, struct e3_crypto *, size_t *cost);

#endif
