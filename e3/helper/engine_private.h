/*
 * helper/engine_private.h - what engine.c (the link, single records, the tick)
 * and engine_fill.c (the start) share.
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
	bool			draining;
	bool			reloading;	/* the tick's single load */
	bool			asking;		/* GetStatistics in flight */
	bool			unequal_told;
	uint64_t		links;		/* of the engine, last known */
	/* LOADING */
	char			done[RPC_APP_ID_BYTES];	/* loaded up to here */
	char			upto[RPC_APP_ID_BYTES];	/* batch in flight */
	unsigned		in_batch;
	unsigned		batch_max;	/* 1 once a batch was refused */
	struct buffer		statistics;	/* JSON */
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

#endif
