/*
 * rpc/served.h - one call that is being served, and the peer it came from.
 * Context:   made and freed by the network thread; while submitted, `job`
 *            belongs to the thread that runs it, and what is marked so below
 *            stays with the network thread.
 * Ownership: the call owns the bytes of its frame: values are views of them.
 */
#ifndef RELAY_RPC_SERVED_H
#define RELAY_RPC_SERVED_H

#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/sched.h"
#include "lib/net/tls.h"
#include "lib/rpc/frame.h"
#include "lib/rpc/sign.h"

#define RPC_CHALLENGE_MS	30000

struct rpc_served;

struct rpc_peer {			/* embedded in a link; network thread */
	enum rpc_role		role;
	char			name[NET_LINK_NAME_BYTES];
	SSL			*ssl;		/* borrowed: the stream's */
	struct sched		*sched;		/* borrowed: the server's */
	struct sched_outlet	*outlet;	/* owned by the link */
	TAILQ_HEAD(, rpc_served) calls;		/* not yet answered in full */
	uint64_t		challenge_end_ms;	/* 0: none given */
	uint8_t			challenge[RPC_CHALLENGE_BYTES];
	/* For links on which every call is signed. */
	bool			has_first;	/* the first challenge was given */
	uint8_t			first[RPC_CHALLENGE_BYTES];
	uint64_t		last_id;	/* of the last call signed by it */
};

typedef void rpc_served_free_cb(struct rpc_served *);

/* Embedded first in what a server keeps for a call. */
struct rpc_served {
	struct sched_job	job;		/* first: a job is its call */
	unsigned		magic;
#define RPC_SERVED_MAGIC	0xca11e3d0
	struct buffer		bytes;		/* owned: the frame */
	struct rpc_call_frame	frame;		/* views of bytes */
	const struct rpc_op_info *info;		/* NULL: unknown op */
	void			*work;		/* owned: what is done for it */
	void			(*work_free)(void *);

	/* network thread only */
	struct rpc_peer		*peer;		/* NULL once its link is gone */
	bool			submitted;
	bool			done;		/* no further piece comes */
	rpc_served_free_cb	*on_free;
	TAILQ_ENTRY(rpc_served)	entry;		/* peer->calls */
	TAILQ_ENTRY(rpc_served)	sending_entry;	/* the link's turn to send */
	bool			sending;
	struct sched_pieces	to_send;	/* owned */
};

/*
 * Takes the content of bytes: one whole frame.  size: of the zeroed struct
 * that begins with this one; on_free clears the rest of it.  RC_OK, or why the
 * frame could not be read; the call exists in both cases, frame.id 0 if
 * unknown.
 */
enum rc rpc_served_new(size_t size, rpc_served_free_cb *on_free,
    struct buffer *bytes, struct rpc_peer *, struct rpc_served **) must_check;
void rpc_served_free(struct rpc_served **);

/* The call that a job is embedded in. */
struct rpc_served *rpc_served_of(struct sched_job *);

/* Hand job to the threads, in the flow of its peer with this key: RPC_STATUS_OK
 * or OVERLOADED. */
enum rpc_status rpc_served_submit(struct rpc_served *, const char *flow,
    sched_run_fn *, size_t cost);

/* Zeroed: the work for the call, which has none yet. */
void *rpc_served_work(struct rpc_served *, size_t size,
    void (*work_free)(void *));

/* Add one reply frame to job.made; body is left empty.  more: others follow.
 * RC_LIMIT (over the frame limit), RC_NOMEM: nothing was added. */
enum rc rpc_served_emit(struct rpc_served *, struct buffer *body, bool more)
    must_check;
/* The only frame of an answer that is a small map, by one list of typed
 * members (codec.h).  What fails is the status to answer with. */
enum rpc_status rpc_served_answer(struct rpc_served *,
    const struct rpc_member *, size_t n);
#define rpc_answer(c, ...)						\
	rpc_served_answer(c, (const struct rpc_member[]){ __VA_ARGS__ }, \
	    sizeof((const struct rpc_member[]){ __VA_ARGS__ }) /	\
	    sizeof(struct rpc_member))
/* The last frame of a call that failed: a status, no body. */
void rpc_served_fail(struct rpc_served *, enum rpc_status);
/* What a result of ours means on the wire. */
enum rpc_status rpc_served_status(enum rc);

/* Cancel the peer's call of this id.  One that is foreign or already answered
 * is no error: the answer and the Cancel may have crossed. */
void rpc_peer_cancel(struct rpc_peer *, uint64_t id);

/* A new challenge, for one signature within RPC_CHALLENGE_MS; a view. */
struct span rpc_peer_challenge(struct rpc_peer *);
/* Is the call signed by its peer over the challenge?  That is spent by the
 * attempt, not by its success. */
bool rpc_peer_signed(struct rpc_peer *, const struct rpc_served *);
/* Is it signed over the first challenge of the link, with an id above that of
 * the last such call?  Nothing can be said twice. */
bool rpc_peer_link_signed(struct rpc_peer *, const struct rpc_served *);

#endif
