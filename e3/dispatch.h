/*
 * e3/dispatch.h - who may call what, and the op that answers.
 * Context:   the network thread.
 *
 * Permission is decided here, once, by the one table of lib/rpc/op.h: role of
 * the link certificate, ready or not, signed or not; what depends on the
 * body (app_system, scopes) is the handler's.
 */
#ifndef RELAY_E3_DISPATCH_H
#define RELAY_E3_DISPATCH_H

#include "e3/engine.h"

#define E3_SYSTEM_APP		RPC_SYSTEM_APP	/* holds certificate keys */

/*
 * Permit and handle.  After it, served.submitted says whether a crypto thread
 * has the call; if not, its answer is in served.job.made.
 */
void e3_dispatch(struct e3_engine *, struct e3_call *);
/* The job of a call is done: count it and end its answer. */
void e3_dispatch_done(struct e3_engine *, struct e3_call *);

/*
 * A handler answers (rpc_answer, rpc_pieces_answer) or submits and returns
 * RPC_STATUS_OK; any other status becomes the answer.
 */
typedef enum rpc_status e3_handler(struct e3_engine *, struct e3_call *);

/* Take the app of this id for the call: RPC_STATUS_OK or NO_SUCH_APP. */
enum rpc_status e3_dispatch_app(struct e3_engine *, struct e3_call *,
    struct span id);
/* The app that the body names; also BAD_REQUEST. */
enum rpc_status e3_dispatch_named_app(struct e3_engine *, struct e3_call *);
/* The key, and so the app, that an API key's secret belongs to. */
enum rpc_status e3_dispatch_authenticate(struct e3_engine *, struct span secret,
    const struct e3_api_key **);
/* Hand the job to the crypto threads, in its app's turn; fields: what its app's
 * limit counts.  RPC_STATUS_OK, OVERLOADED (the queue is full, or the app has
 * too much in it) or RATE_LIMITED. */
enum rpc_status e3_dispatch_submit(struct e3_engine *, struct e3_call *,
    sched_run_fn *, size_t fields, size_t cost);

#endif
