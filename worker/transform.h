/*
 * worker/transform.h - one action on one whole body: slots found by lib/body,
 * one engine call, the spliced body.
 * Context:   the loop's thread.
 * Ownership: the exchange owns the transform and aborts it when it goes; the
 *            body stays the exchange's and must not change meanwhile.
 */
#ifndef RELAY_WORKER_TRANSFORM_H
#define RELAY_WORKER_TRANSFORM_H

#include "conf/relay_json.h"
#include "lib/base/buffer.h"
#include "worker/engine_pool.h"
#include "worker/transaction.h"

struct transform;

enum transform_result {
	TRANSFORM_PENDING,	/* the callback will come */
	TRANSFORM_DONE,		/* body is as it must be (perhaps unchanged) */
	TRANSFORM_MALFORMED,	/* no JSON, or a chosen value cannot be read */
	TRANSFORM_TOO_MANY,	/* fields over the limit */
	TRANSFORM_TOO_LARGE,	/* the result or its call passes a limit */
	TRANSFORM_ENGINE	/* no usable answer in time */
};

struct transform_job {
	struct engine_pool		*engines;
	const struct relay		*relay;
	const struct relay_action	*action;
	const char			*client;	/* address, for the engine */
	struct buffer			*body;		/* replaced when done */
	struct transaction		*tx;		/* counted in */
	size_t				max_fields;
	size_t				max_bytes;	/* of the new body */
};

typedef void transform_cb(void *arg, enum transform_result, const char *why);

/*
 * Begin.  A result other than TRANSFORM_PENDING is final: *out stays NULL and
 * no callback comes.  why: a literal for the log, set when the result is an
 * error.
 */
enum transform_result transform_start(const struct transform_job *,
    transform_cb *, void *arg, struct transform **out, const char **why)
    must_check;

/* Stop; the engine call is cancelled.  Accepts NULL inside. */
void transform_abort(struct transform **);

#endif
