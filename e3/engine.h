/*
 * e3/engine.h - the engine's parts, and what it keeps for a call.
 * Context:   the network thread; while a call is submitted, its work and
 *            counts belong to the crypto thread that runs its job.
 * Ownership: struct e3_engine is embedded in main(); it owns what
 *            e3_engine_start makes, the other parts are borrowed from there.
 */
#ifndef RELAY_E3_ENGINE_H
#define RELAY_E3_ENGINE_H

#include "e3/app.h"
#include "e3/keyring.h"
#include "e3/platform.h"
#include "lib/base/meter.h"
#include "lib/rpc/server.h"
#include "lib/scheme/ecies.h"
#include "lib/scheme/p256_table.h"
#include "lib/scheme/ready_pairs.h"

/* Units of work, half a microsecond each. */
#define E3_SLICE_COST	512	/* ~0.25 ms: what a small call may wait for */
#define E3_COST_ECDH	128	/* one ephemeral key, made or agreed with */
#define E3_COST_TABLED	36	/* the same by a table of the other's point */
/* One value: its own cost and its bytes'. */
#define E3_COST_VALUE(bytes)	(1 + (bytes) / 512)

struct e3_engine {
	struct e3_platform	*platform;	/* borrowed */
	const uint8_t		*root_key;	/* view: the platform's */
	const uint8_t		*next_root_key;	/* the same; mostly NULL */
	struct e3_keyring	*keyring;
	struct scheme_crypto	*crypto;	/* the network thread's own */
	struct scheme_p256_tables *tables;	/* owned: of hot points */
	struct scheme_ready_pairs *pairs;	/* owned: made ahead */
	struct rpc_server	*server;	/* owned */
	struct sched		*sched;		/* borrowed: the server's */
	bool			ready;		/* SetReady came */
	bool			draining;	/* callers are told to go elsewhere */
	bool			ending;		/* for good: the process ends */
	bool			sign_all;	/* every call must be signed */
	unsigned		auth_cache_s;	/* callers may remember a key */
	unsigned		threads;
	struct meters		meters;		/* owned: what apps may take */
	struct meters		leaf_meters;	/* owned: leaves, by worker */
	uint64_t		once;		/* bit by op: it was done */
	uint64_t		t_start_ms;
	/* since start */
	uint64_t		calls, refused, fields_sealed, fields_opened;
	uint64_t		refused_role, refused_early, refused_signature;
	uint64_t		refused_limit, rate_limited, leaves;
	uint64_t		candidates, candidates_capped;
};

struct e3_call {
	struct rpc_served	served;		/* first: it is the call */
	struct e3_app		*app;		/* counted, or NULL */
	bool			metered;	/* counted at its app's meter */
	uint64_t		n_sealed, n_opened;	/* fields done */
	uint64_t		n_candidates, n_capped;	/* keys tried; tokens not
							   tried with all */
	/* Answers a job that needs the network thread's state at its end. */
	void			(*finish)(struct e3_engine *, struct e3_call *);
};

/* The call that a job is embedded in. */
struct e3_call *e3_call_of(struct sched_job *);

/* What a server of our calls and a scheduler of our jobs need to know: sizes,
 * ops, the context of each thread.  The rest of *config is the caller's. */
void e3_engine_config(struct rpc_server_config *config);
/* Make tables and server, and so all threads.  False: they could not be. */
bool e3_engine_start(struct e3_engine *, struct loop *,
    struct rpc_server_config *);
/* Waits for the slices that run; callers get no answer. */
void e3_engine_stop(struct e3_engine *);

#endif
