/*
 * rpc/frame.h - length-prefixed frames: calls and replies (docs/rpc.md).
 * Context:   pure; fuzzed.
 *
 *   call   [version, id, op, body, signature?]
 *   reply  [version, id, status, body, more]
 */
#ifndef RELAY_RPC_FRAME_H
#define RELAY_RPC_FRAME_H

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
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
/* RC_OK or RC_SYNTAX (another version too) / RC_LIMIT / RC_NOMEM; id is set
 * when it could be read (else 0), so that a refusal can name it.  The payload
 * must stay unchanged until fini, which is not needed after a failure. */
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
/* As above. */
enum rc rpc_reply_frame_read(struct rpc_reply_frame *, struct span payload)
    must_check;
void rpc_reply_frame_fini(struct rpc_reply_frame *);

/* Append one whole frame.  body is encoded MessagePack, an empty span writes
 * an empty map; signature may be empty.  id is not 0.
 * RC_OK; RC_LIMIT (over RPC_FRAME_BYTES_MAX) and RC_NOMEM: nothing is
 * written. */
enum rc rpc_call_frame_write(struct buffer *out, uint64_t id, enum rpc_op,
    struct span body, struct span signature) must_check;
enum rc rpc_reply_frame_write(struct buffer *out, uint64_t id,
    enum rpc_status, struct span body, bool more) must_check;

/* All that stands before the body: for a caller who queues head, body and
 * (as a bin) signature one after the other and saves copying the body. */
enum rc rpc_call_frame_put_head(struct buffer *out, uint64_t id, enum rpc_op,
    size_t body_len, size_t signature_len) must_check;

/* The bytes that a signature covers besides the challenge: encoded id, op and
 * body, as they will stand in the frame. */
void rpc_signed_part(struct buffer *out, uint64_t id, enum rpc_op,
    struct span body);

#endif
