/*
 * helper/engine_private.h - what engine.c (the link), engine_fill.c (the start)
 * and engine_call.c (single calls, the tick) share.
 */
#ifndef RELAY_E3_HELPER_ENGINE_PRIVATE_H
#define RELAY_E3_HELPER_ENGINE_PRIVATE_H

#include "e3/helper/engine.h"
#include "lib/base/timer.h"
#include "lib/rpc/link.h"

#define LOAD_TIMEOUT_MS		30000	/* 8 MiB to decrypt on a busy engine */
#define CALL_TIMEOUT_MS		5000
#define TICK_MS			2000
#define TICK_DRAIN_MS		200
#define SILENT_MS		5000	/* two ticks without an answer; its network
					   thread answers within milliseconds */
#define BACKOFF_MIN_MS		50	/* the engine starts when we do */

struct engine {
	unsigned		magic;
#define ENGINE_MAGIC		0x0e31f6a9
	struct loop		*loop;		/* borrowed: main's */
	struct engine_config	config;
	struct record_store	*store;		/* borrowed: outlives us */
	const struct engine_ops	*ops;		/* borrowed: static */
	void			*arg;		/* borrowed: owns us */
	struct rpc_link		*link;		/* owned; NULL while DOWN */
	enum engine_state	state;
	struct timer		retry;
	struct timer		tick;
	unsigned		backoff_ms;
	unsigned		failures;	/* since the last success */
	bool			draining;	/* we leave */
	bool			drain_wish;	/* SetDraining is to be kept on */
	bool			reloading;	/* the tick's single load */
	bool			asking;		/* GetStatistics in flight */
	bool			ask_again;	/* and what it says may be old */
	bool			unequal_told;
	/* LOADING */
	char			sent[RPC_APP_ID_BYTES];	/* in batches, up to here */
	unsigned		batches;	/* in flight */
	bool			all_sent;

	struct buffer		statistics;	/* JSON */
	struct engine_facts	facts;
	uint64_t		t_answered_ms;
	uint64_t		t_heard_ms;	/* the same, or since it is loaded */
};

/* engine.c */
void engine_set_state(struct engine *, enum engine_state);
/* Close the link and connect again after a pause. */
void engine_link_lost(struct engine *, const char *why);

/* engine_fill.c: from the first record to READY or UNEQUAL. */
void engine_fill(struct engine *);
/* The last part of it alone: does the engine hold what the disk has? */
void engine_compare(struct engine *);
/* Is a refusal about the records, or about the moment? */
bool engine_status_blames_records(enum rpc_status);

/* engine_call.c */
timer_cb engine_on_tick;

#endif
