/*
 * helper/replica_private.h - what replica.c (scan and push), replica_pull.c and
 * replica_follow.c share.
 */
#ifndef RELAY_E3_HELPER_REPLICA_PRIVATE_H
#define RELAY_E3_HELPER_REPLICA_PRIVATE_H

#include "e3/helper/replica.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/redis/endpoint.h"

#define APPS_KEY		"relay:apps"
#define COMMAND_TIMEOUT_MS	5000
#define RESCAN_MS		60000	/* hints that were lost, what Redis lost */
#define CLAIM_PREFIX		"relay:changing:"	/* then the app */

struct pull {
	TAILQ_ENTRY(pull)	link;
	char			app[RPC_APP_ID_BYTES];
};

/* The one pull under way: from the list, or for who asked for a refresh. */
struct pulling {
	bool			active;
	bool			reading;	/* HGET is in flight */
	bool			own_turn;	/* we hold it, not the asker */
	bool			again;		/* a hint came since it was asked:
						   what is read may be older */
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
	struct redis_client	*subscriber;	/* owned; NULL while down */
	char			*name;		/* owned: of our engine */
	struct turn_waiter	waiter;
	struct timer		retry;
	struct timer		rescan;
	unsigned		retry_ms;
	unsigned		failures;	/* attempts since it was up */
	bool			scanned;	/* since it came up */
	bool			scanning;
	bool			told;		/* it is not the first scan */
	size_t			push_from;	/* where the last one was found */
	bool			pushing;
	char			push_app[RPC_APP_ID_BYTES];
	uint8_t			push_sha256[32];
	uint64_t		push_version;
	size_t			apply_from;	/* likewise */
	bool			applying;
	bool			apply_refused;	/* told; until it comes up again */
	struct pulling		pulling;
	size_t			n_pulls;
	TAILQ_HEAD(, pull)	pulls;
};

/* replica.c */
void replica_scan(struct replica *);
void replica_mark_forked(struct record_entry *);
/* The same of one that is RECORD_KIN_APART: for good. */
void replica_apart(struct replica *, struct record_entry *);
/* Keep their record, which ours is going to replace, if it may be worth it;
 * once. */
void replica_spare(struct replica *, struct record_entry *, struct span theirs);
/* Redis holds ours. */
void replica_copied(struct replica *, struct record_entry *);
void replica_retry_later(struct replica *);
/* An error reply: another server may do, or later. */
void replica_refused(struct replica *, const char *command,
    const struct redis_value *);

/* replica_pull.c: the list of apps whose record of Redis is to be taken. */
void replica_want_pull(struct replica *, const char *app);
/* Before all others: somebody waits for it. */
void replica_want_pull_first(struct replica *, const char *app);
struct pull *replica_find_pull(const struct replica *, const char *app);
void replica_drop_pull(struct replica *, struct pull *);	/* NULL: none */
/* The connection is gone, and with it a read's answer. */
void replica_pull_lost(struct replica *);
/* It is our turn: take the first one. */
turn_cb replica_on_turn;

/* replica_follow.c: hints in and out, and what our engine uses. */
void replica_follow(struct replica *);		/* the way to Redis is up */
void replica_hint(struct replica *, const char *app);	/* tell the others */
void replica_apply(struct replica *);

#endif
