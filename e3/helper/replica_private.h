/*
 * helper/replica_private.h - what replica.c (scan and push) and replica_pull.c
 * share.
 */
#ifndef RELAY_E3_HELPER_REPLICA_PRIVATE_H
#define RELAY_E3_HELPER_REPLICA_PRIVATE_H

#include "e3/helper/replica.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/redis/endpoint.h"

#define APPS_KEY		"relay:apps"
#define COMMAND_TIMEOUT_MS	5000
#define RESCAN_MS		60000	/* what others wrote, what Redis lost */

struct pull {
	TAILQ_ENTRY(pull)	link;
	char			app[RPC_APP_ID_BYTES];
};

/* The one pull under way: from the list, or for who asked for a refresh. */
struct pulling {
	bool			active;
	bool			own_turn;	/* we hold it, not the asker */
	char			app[RPC_APP_ID_BYTES];
	struct buffer		record;		/* as Redis gave it */
	replica_refresh_cb	*cb;		/* NULL: from the list */
	void			*arg;
};

struct replica {
	unsigned		magic;
#define REPLICA_MAGIC		0x59d2c8f4
	struct record_store	*store;		/* borrowed: outlives us */
	struct engine		*engine;	/* borrowed: outlives us */
	struct turn		*turn;		/* borrowed: outlives us */
	const struct replica_ops *ops;		/* borrowed: static */
	void			*arg;		/* borrowed: owns us */
	struct net_dns		*dns;		/* owned */
	struct redis_endpoint	*endpoint;	/* owned */
	struct redis_client	*client;	/* view: while up */
	struct turn_waiter	waiter;
	struct timer		retry;
	struct timer		rescan;
	unsigned		retry_ms;
	unsigned		failures;	/* attempts since it was up */
	bool			scanned;	/* since it came up */
	bool			scanning;
	bool			told;		/* it is not the first scan */
	bool			pushing;
	char			push_app[RPC_APP_ID_BYTES];
	uint8_t			push_sha256[32];
	struct pulling		pulling;
	size_t			n_pulls;
	TAILQ_HEAD(, pull)	pulls;
};

/* replica.c */
void replica_mark_forked(struct record_entry *);
void replica_retry_later(struct replica *);
/* An error reply: another server may do, or later. */
void replica_refused(struct replica *, const char *command,
    const struct redis_value *);

/* replica_pull.c: the list of apps whose record of Redis is to be taken. */
void replica_want_pull(struct replica *, const char *app);
struct pull *replica_find_pull(const struct replica *, const char *app);
void replica_drop_pull(struct replica *, struct pull *);	/* NULL: none */
/* It is our turn: take the first one. */
turn_cb replica_on_turn;

#endif
