/*
 * worker/transform.h - one action carried out on a message: slots found by
 * lib/body in its head and its body, engine calls, the new texts.
 * Context:   the loop's thread.
 * Ownership: the exchange owns the transform and frees it when it goes; head
 *            and body stay the exchange's.  While a call is out it may add to
 *            the body's end and change nothing else.
 *
 * A body may come in pieces (job.pieces): each transform_feed works on what is
 * complete so far, while the rest arrives.
 */
#ifndef RELAY_WORKER_TRANSFORM_H
#define RELAY_WORKER_TRANSFORM_H

#include "conf/relay_json.h"
#include "lib/base/buffer.h"
#include "lib/body/scan.h"
#include "lib/rpc/message.h"
#include "worker/engine_pool.h"
#include "worker/rewrite.h"
#include "worker/transaction.h"

struct transform;

enum transform_result {
	TRANSFORM_PENDING,	/* an engine call is out: the callback comes */
	TRANSFORM_PIECE,	/* what is complete is done: feed the rest */
	TRANSFORM_DONE,		/* head and body are as they must be */
	/* errors: what was not taken out yet is lost */
	TRANSFORM_MALFORMED,	/* not what its selectors can read */
	TRANSFORM_TOO_MANY,	/* fields over the limit */
	TRANSFORM_TOO_LARGE,	/* the result or its call passes a limit */
	TRANSFORM_OVERLOADED,	/* no memory may be held for it now */
	TRANSFORM_UNDECRYPTABLE, /* a token did not open, and the relay rejects */
	TRANSFORM_FORBIDDEN,	/* a role's policy says no, see forbidden_fails */
	TRANSFORM_RATE_LIMITED,	/* the app's share of the engine is used up */
	TRANSFORM_ENGINE	/* no usable answer in time */
};

/* In place of an action: open every token and file, wherever it stands. */
struct transform_scan {
	struct span			media;	/* Content-Type; empty: none */
	struct body_scan_limits		limits;
	bool				headers; /* in field values, too */
	bool				query;	/* in the target's query, too */
};

struct transform_job {
	struct engine_pool		*engines;
	const struct relay		*relay;
	const struct relay_action	*action;	/* or NULL, and ... */
	const struct transform_scan	*scan;		/* ... this; read by
						   transform_new alone */
	enum rpc_place			place;	/* where it happens: policies of */
	const char			*destination; /* roles look at it; NULL: none */
	const char			*client;	/* address, for the engine */
	struct buffer			*head;	/* start line and fields, no empty
						   line; replaced when done */
	struct buffer			*body;	/* replaced when done */
	enum rewrite_syntax		syntax;	/* of the body; NONE: not read */
	bool				forbidden_fails; /* what a policy forbids is
						   an error; else it stays sealed,
						   whatever the relay says */
	bool				pieces;	/* the body is fed as it comes;
						   only if transform_streams, or a
						   scan */
	struct transaction		*tx;	/* counted in */
	size_t				max_fields;
	size_t				max_bytes;	/* of the new body */
	/* May these bytes be held besides?  Counted until the piece is over. */
	bool				(*reserve)(void *arg, size_t bytes);
};

/* A call's answer came; PENDING is no result here.  why: a literal. */
typedef void transform_cb(void *arg, enum transform_result, const char *why);

/* The action can be carried out on a body in pieces. */
bool transform_streams(const struct relay_action *);

struct transform *transform_new(const struct transform_job *, transform_cb *,
    void *arg);
/* Stops; an engine call is cancelled, no callback comes. */
void transform_free(struct transform **);

/*
 * Go on with what is in job.body.  whole: nothing more comes.  A result other
 * than PENDING is the answer and no callback comes for it; *why is set when it
 * is an error.  Not while a call is out.  PIECE, though it was whole: there was
 * too much for one call, feed it again.
 */
enum transform_result transform_feed(struct transform *, bool whole,
    const char **why) must_check;
bool transform_is_pending(const struct transform *);

/* After PIECE: what is done of the body, for who passes it on at once.  It
 * may be taken out; the rest comes after. */
struct buffer *transform_output(struct transform *);
/* Bytes this transform holds besides job.head and job.body. */
size_t transform_held(const struct transform *);

#endif
