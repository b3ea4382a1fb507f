/*
 * rpc/pieces.h - a reply that is an array of any length, in frames of a
 * bounded one.
 * Context:   whoever has the call: its thread, or the network thread.
 * Ownership: embedded in the work for the call.
 */
#ifndef RELAY_RPC_PIECES_H
#define RELAY_RPC_PIECES_H

#include "lib/rpc/served.h"

struct rpc_pieces {
	struct rpc_served	*served;	/* borrowed: its call */
	struct buffer		piece;		/* owned; sensitive */
	/* private to pieces.c */
	enum rc			rc;		/* what failed first */
	size_t			left;		/* entries to come: a guess */
	size_t			entries, from;	/* in the piece; the last one */
	bool			open;		/* it was begun */
};
/* n: entries, as far as one knows. */
void rpc_pieces_init(struct rpc_pieces *, struct rpc_served *, size_t n);
void rpc_pieces_fini(struct rpc_pieces *);

/* Begin an entry: append it to `piece`.  RC_OK, or RC_LIMIT, RC_NOMEM, now and
 * from here on: the reply cannot be made. */
enum rc rpc_pieces_next(struct rpc_pieces *) must_check;
/* The last frame: what is left, an empty array if there never was an entry. */
enum rc rpc_pieces_end(struct rpc_pieces *) must_check;
/* The same and fini, for a handler that has no more to say. */
enum rpc_status rpc_pieces_answer(struct rpc_pieces *);

#endif
