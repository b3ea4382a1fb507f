/*
 * ctl/engine_client.h - calls to an engine as role admin, one at a time.
 * Context:   blocks until the answer or the deadline.
 * Ownership: the creator owns the client.
 */
#ifndef RELAY_CTL_ENGINE_CLIENT_H
#define RELAY_CTL_ENGINE_CLIENT_H

#include "ctl/ctl.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/op.h"

struct engine_client;

enum engine_which {
	ENGINE_LOCAL,		/* of e3.conf: the one our helper serves */
	ENGINE_ANY		/* the first of relay.conf that answers, else
				   the local one */
};

/* CTL_DONE with *out, or an error told. */
enum ctl_exit engine_client_open(struct ctl *, enum engine_which,
    struct engine_client **out) must_check;
void engine_client_close(struct engine_client **);

/* Every piece of the reply, in order; body is a view. */
typedef void engine_reply_cb(void *arg, const struct rpc_value *body);

/*
 * body: moved.  A signed op gets a challenge and a signature first.
 * RC_OK: *status came (cb was called only when it is RPC_STATUS_OK); else the
 * link failed.
 */
enum rc engine_client_call(struct engine_client *, enum rpc_op,
    struct buffer *body, engine_reply_cb *cb, void *arg,
    enum rpc_status *status) must_check;

/* The same with its error told: CTL_DONE or CTL_FAILED.  CTL_USAGE when the
 * engine does not know the app or key, or refuses what was typed. */
enum ctl_exit engine_client_must(struct engine_client *, enum rpc_op,
    struct buffer *body, engine_reply_cb *cb, void *arg) must_check;
enum ctl_exit engine_client_tell(enum rpc_op, enum rc, enum rpc_status);

#endif
