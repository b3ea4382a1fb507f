/*
 * worker/engine_pool_private.h - what engine_pool.c (engines, choosing) and
 * engine_call.c (calls) share.
 * Context:   the loop's thread; these two files only.
 */
#ifndef RELAY_WORKER_ENGINE_POOL_PRIVATE_H
#define RELAY_WORKER_ENGINE_POOL_PRIVATE_H

#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "worker/engine.h"
#include "worker/engine_pool.h"

#define ENGINE_CALL_BUCKETS	1024

struct member {
	TAILQ_ENTRY(member)	link;
	struct engine_pool	*pool;	/* borrowed: owns us */
	struct engine		*engine; /* owned */
	uint64_t		id;	/* never 0, never used again */
	bool			of_conf; /* stays for good */
	bool			announced;
	bool			drains;	/* by its announcement */
	bool			left;	/* gone when its last call has ended */
	unsigned		n_calls; /* running on it */
};

struct call;
TAILQ_HEAD(call_queue, call);
LIST_HEAD(call_chain, call);

struct engine_pool {
	unsigned	magic;
#define ENGINE_POOL_MAGIC	0x4d27b6a9
	struct engine_config cfg;	/* of its engines */
	unsigned	timeout_ms;
	TAILQ_HEAD(, member) members;	/* owned; conf's first */
	uint64_t	next_member;
	struct call_queue waiting;
	unsigned	n_waiting;
	unsigned	n_calls;
	uint64_t	next_id;
	uint64_t	keys_seen;	/* see engine_pool_keys_seen */
	struct timer	kick;		/* start waiting calls, from the loop */
	struct timer	tidy;		/* let go who left or drains, from the
					   loop */
	struct call_chain by_id[ENGINE_CALL_BUCKETS];
};

/* ---- engine_pool.c ---- */

struct choice {
	struct member	*member;
	struct rpc_link	*link;		/* NULL: nobody can take a call now */
};
/* The best place for a call, not on the member of this id (0: on any). */
void engine_pool_choose(struct engine_pool *, uint64_t but_id, struct choice *);
/* A call ended on it, or left it. */
void engine_pool_call_left(struct member *);

/* ---- engine_call.c ---- */

void engine_calls_init(struct engine_pool *);
void engine_calls_fini(struct engine_pool *);
/* Some that wait may be taken now: soon, from the loop. */
void engine_calls_kick(struct engine_pool *);
/* Those that run on it wait again. */
void engine_calls_move(struct member *);

#endif
