/*
 * e3/call.h - one call from a link, and the caller it came from.
 * Context:   made and freed by the network thread; while submitted, `job` and
 *            `work` belong to the crypto thread that runs it, and what is
 *            marked so below stays with the network thread.
 * Ownership: the call owns the bytes of its frame: values are views of them.
 */
#ifndef RELAY_E3_CALL_H
#define RELAY_E3_CALL_H

#include <stdint.h>

#include <openssl/ssl.h>

#include "e3/app.h"
#include "e3/sched.h"
#include "lib/net/tls.h"
#include "lib/rpc/frame.h"
#include "lib/rpc/sign.h"

struct e3_call;

struct e3_caller {			/* embedded in a link; network thread */
	enum rpc_role		role;
	char			name[NET_LINK_NAME_BYTES];
	SSL			*ssl;		/* borrowed: the stream's */
	struct e3_source	*source;	/* owned by the link */
	TAILQ_HEAD(, e3_call)	calls;		/* not yet answered in full */
	uint64_t		challenge_end_ms;	/* 0: none given */
	uint8_t			challenge[RPC_CHALLENGE_BYTES];
};

struct e3_call {
	struct e3_job		job;		/* first: a job is its call */
	unsigned		magic;
#define E3_CALL_MAGIC		0xca11e3d0
	struct buffer		bytes;		/* owned: the frame */
	struct rpc_call_frame	frame;		/* views of bytes */
	const struct rpc_op_info *info;		/* NULL: unknown op */
	struct e3_app		*app;		/* counted, or NULL */
	void			*work;		/* owned: the op's state */
	void			(*work_free)(void *);
	uint64_t		n_sealed, n_opened;	/* fields done */

	/* network thread only */
	struct e3_caller	*caller;	/* NULL once its link is gone */
	bool			submitted;
	bool			done;		/* no further piece comes */
	/* Answers a job that needs the network thread's state at its end. */
	void			(*finish)(void *engine, struct e3_call *);
	TAILQ_ENTRY(e3_call)	entry;		/* caller->calls */
	TAILQ_ENTRY(e3_call)	sending_entry;	/* the link's turn to send */
	bool			sending;
	struct e3_pieces	to_send;	/* owned */
};

/* Takes the content of bytes: one whole frame.  RC_OK, or why the frame could
 * not be read; the call exists in both cases, frame.id 0 if unknown. */
enum rc e3_call_new(struct buffer *bytes, struct e3_caller *,
    struct e3_call **) must_check;
void e3_call_free(struct e3_call **);

/* The call that a job is embedded in. */
struct e3_call *e3_call_of(struct e3_job *);

/* Add one reply frame to job.made; body is left empty.  more: others follow.
 * RC_LIMIT (over the frame limit), RC_NOMEM: nothing was added. */
enum rc e3_call_emit(struct e3_call *, struct buffer *body, bool more)
    must_check;
/* The last frame of a call that failed: a status, no body. */
void e3_call_fail(struct e3_call *, enum rpc_status);
/* What a result of ours means on the wire. */
enum rpc_status e3_call_status(enum rc);

#endif
