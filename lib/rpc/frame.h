/*
 * rpc/frame.h - length-prefixed frames: calls and replies (docs/rpc.md).
 * Context:   pure; fuzzed.
 *
 *   call   [version, id, op, body, signature?]
 *   reply  [version, id, status, body, more]
 */
#ifndef RELAY_RPC_FRAME_H
#define RELAY_RPC_FRAME_H

#include "lib/rpc/codec.h"
#include "lib/rpc/op.h"

#define RPC_FRAME_HEAD_BYTES	4

/*
 * Is a whole frame at the front of in[0..len)?
 * RC_OK      *payload is a view of it, *used bytes belong to the frame
 * RC_MORE    *used is how many bytes the whole frame will have (0: unknown)
 * RC_LIMIT   announced longer than max_bytes (or empty): close the link
 */
enum rc rpc_frame_next(const char *in, size_t len, size_t max_bytes,
    struct span *payload, size_t *used) must_check;

struct rpc_call_frame {
	struct rpc_document	doc;		/* owned */
	uint64_t		id;
	struct span		op;		/* view */
	const struct rpc_value	*body;		/* view */
	struct span		signature;	/* view; empty when absent */
	struct span		signed_part;	/* view: id, op, body encoded */
};
/* RC_OK or RC_SYNTAX / RC_LIMIT / RC_NOMEM; id is set when it could be read
 * (else 0), so that a refusal can name it. */
enum rc rpc_call_frame_read(struct rpc_call_frame *, struct span payload)
    must_check;
void rpc_call_frame_fini(struct rpc_call_frame *);

struct rpc_reply_frame {
	struct rpc_document	doc;		/* owned */
	uint64_t		id;
	enum rpc_status		status;
	const struct rpc_value	*body;		/* view */
	bool			more;
};
enum rc rpc_reply_frame_read(struct rpc_reply_frame *, struct span payload)
    must_check;
void rpc_reply_frame_fini(struct rpc_reply_frame *);

/* Append one whole frame.  body is encoded MessagePack; signature may be
 * empty.  RC_OK; RC_LIMIT when it would pass RPC_FRAME_BYTES_MAX: nothing is
 * written; RC_NOMEM. */
enum rc rpc_call_frame_write(struct buffer *out, uint64_t id, enum rpc_op,
    struct span body, struct span signature) must_check;
enum rc rpc_reply_frame_write(struct buffer *out, uint64_t id,
    enum rpc_status, struct span body, bool more) must_check;

/* The bytes that a signature covers besides the challenge: encoded id, op and
 * body, as they will stand in the frame. */
void rpc_signed_part(struct buffer *out, uint64_t id, enum rpc_op,
    struct span body);

#endif
