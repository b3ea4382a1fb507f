/*
 * tests/unit/worker_api_key_stage.h - engines that say what a script tells them
 * about every key, and who asks.
 */
#ifndef RELAY_TESTS_UNIT_WORKER_API_KEY_STAGE_H
#define RELAY_TESTS_UNIT_WORKER_API_KEY_STAGE_H

#include "lib/rpc/message.h"
#include "tests/unit/worker_engine_pair.h"
#include "worker/api_key.h"

#define APP	"app_0123456789ab"
#define OTHER	"app_ffffffffffff"
#define KEY	"ev:key:1:abc:def:ghi"

#define HELD_MAX	(API_KEY_ASKED_MAX + 8)

/* What the engine says to every key; held calls are answered by
 * key_stage_let_go. */
struct key_script {
	enum rpc_status		status;
	const char		*app;
	const char		*scopes[3];	/* NULL ends */
	uint64_t		cache_s;
	uint64_t		keys_epoch;	/* 0: the engine's */
	bool			hold;
	struct {
		struct engine_link	*link;
		uint64_t		id;
	}			held[HELD_MAX];
	size_t			n_held;
	char			key[RPC_API_KEY_BYTES_MAX + 1];	/* the last */
	size_t			key_len;
};

struct key_stage {
	struct engine_pair	engines;
	struct key_script	script;
	struct api_keys		*keys;
};

/* One asker. */
struct key_ask {
	struct api_keys		*keys;
	uint64_t		id;
	bool			ended;
	size_t			n_ends;
	enum api_key_verdict	verdict;
	uint64_t		cancels;	/* an id, from the callback */
	size_t			*count;		/* NULL, or: those that ended */
};

/* Setup and teardown of a test; then engines, a pool and what remembers. */
int key_stage_setup(void **state);
int key_stage_teardown(void **state);
void key_stage_begin(struct key_stage *, size_t n_engines, unsigned timeout_ms);

/* The engines' callback: plays the script. */
void key_stage_on_call(void *script, struct engine_link *,
    const struct rpc_call_frame *);
/* One answer, as the script says. */
void key_stage_say(struct key_script *, struct engine_link *, uint64_t id);
void key_stage_let_go(struct key_script *);

void key_ask_on_verdict(void *ask, const struct api_key_answer *);
/* True: an answer comes later. */
bool key_ask_span(struct key_ask *, struct api_keys *, const char *app,
    struct span key, api_key_cb *);
bool key_ask_start(struct key_ask *, struct key_stage *, const char *app,
    const char *key);
/* By a call of the engine, or from memory: as `called` says. */
enum api_key_verdict key_ask_verdict(struct key_stage *, const char *app,
    const char *key, bool called);

#endif
