/*
 * e3/batch.h - the work for a call over many values: what opens and what seals
 * them, value by value (lib/rpc/batch.h).
 * Context:   made by a handler, then the call's crypto thread.
 * Ownership: embedded first in the op's state, which is the call's work.
 */
#ifndef RELAY_E3_BATCH_H
#define RELAY_E3_BATCH_H

#include "e3/opening.h"
#include "e3/sealing.h"
#include "lib/rpc/batch.h"

struct e3_batch {
	struct rpc_batch	values;		/* first */
	struct e3_opening	opening;
	struct e3_sealing	sealing;	/* as init left it, or zeroed */
};

/* The call's work: size zeroed bytes that begin with a batch of n values. */
void *e3_batch_new(struct e3_call *, size_t size, rpc_batch_one *, size_t n);

#endif
