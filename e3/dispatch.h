/*
 * e3/dispatch.h - who may call what, and the op that answers.
 * Context:   the network thread.
 * Ownership: struct e3_engine is embedded in main(); its parts are borrowed
 *            from there.
 *
 * Permission is decided here, once, by the one table of lib/rpc/op.h: role of
 * the link certificate, ready or not, signed or not; what depends on the
 * body (app_system, scopes) is the handler's.
 */
#ifndef RELAY_E3_DISPATCH_H
#define RELAY_E3_DISPATCH_H

#include "e3/call.h"
#include "e3/keyring.h"
#include "e3/p256_table.h"
#include "e3/platform.h"

#define E3_CHALLENGE_MS		30000
#define E3_SYSTEM_APP		"app_system"	/* holds certificate keys */

struct e3_engine {
	const uint8_t		*root_key;	/* view: the platform's */
	struct e3_keyring	*keyring;
	struct e3_sched		*sched;
	struct e3_p256_tables	*tables;	/* of points often sealed to */
	struct e3_crypto	*crypto;	/* the network thread's own */
	bool			ready;		/* SetReady came */
	unsigned		auth_cache_s;	/* callers may remember a key */
	uint64_t		t_start_ms;
	/* since start */
	uint64_t		calls, refused, fields_sealed, fields_opened;
	unsigned		links;
};

/*
 * Permit and handle.  After it, c->submitted says whether a crypto thread has
 * the call; if not, its answer is in c->job.made.
 */
void e3_dispatch(struct e3_engine *, struct e3_call *);

/*
 * A handler answers (e3_call_emit) or submits and returns RPC_STATUS_OK; any
 * other status becomes the answer.
 */
typedef enum rpc_status e3_handler(struct e3_engine *, struct e3_call *);

/* Take the app of this id for the call: RPC_STATUS_OK or NO_SUCH_APP. */
enum rpc_status e3_dispatch_app(struct e3_engine *, struct e3_call *,
    struct span id);
/* The app and key that an API key's secret belongs to. */
enum rpc_status e3_dispatch_authenticate(struct e3_engine *, struct span secret,
    struct e3_app **, const struct e3_api_key **);
/* Hand c->job to the crypto threads: RPC_STATUS_OK or OVERLOADED. */
enum rpc_status e3_dispatch_submit(struct e3_engine *, struct e3_call *,
    e3_run_fn *, size_t cost);

#endif
