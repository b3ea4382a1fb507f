/*
 * scheme/ready_pairs.h - ephemeral key pairs made ahead while nothing else is to
 * do, so that a call on an idle engine need not wait for one.
 * Context:   crypto threads, any of them; a lock of its own, held for copies.
 * Ownership: the engine owns it; secrets lie in the secure heap, each is
 *            given out once and wiped here as it leaves.
 */
#ifndef RELAY_SCHEME_READY_PAIRS_H
#define RELAY_SCHEME_READY_PAIRS_H

#include <stdbool.h>

#include "lib/scheme/ecies.h"

/* Of a curve: 4 KiB of the secure heap for both; some milliseconds refill
 * them. */
#define SCHEME_READY_PAIRS_MAX	64

struct scheme_ready_pairs;

/* NULL: the secure heap is full. */
struct scheme_ready_pairs *scheme_ready_pairs_new(void);
void scheme_ready_pairs_free(struct scheme_ready_pairs **);

/* secret: 32 bytes of the secure heap.  False: none is ready. */
bool scheme_ready_pairs_take(struct scheme_ready_pairs *, enum rpc_curve,
    uint8_t *secret, struct scheme_public_key *);
/* Make one more of the curve that has fewer.  False: there are enough, or it
 * could not be made. */
bool scheme_ready_pairs_make(struct scheme_ready_pairs *, struct scheme_crypto *);
/* Of both curves. */
unsigned scheme_ready_pairs_count(struct scheme_ready_pairs *);

#endif
