/*
 * helper/replica.h - the copy of the records in Redis (hash relay:apps).
 * Context:   the loop's thread; replica_new reads files (password, CA) and so
 *            comes before the sandbox.
 * Ownership: the creator owns it; store, engine and turn are borrowed and
 *            outlive it.
 *
 * Redis is a second place and a way between machines, never the authority: what
 * it lacks is written again, what it has lower is written over, what it has
 * higher is taken once the engine has opened it.  Nothing is ever deleted, on
 * either side.
 */
#ifndef RELAY_E3_HELPER_REPLICA_H
#define RELAY_E3_HELPER_REPLICA_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf_file.h"
#include "e3/helper/engine.h"
#include "e3/helper/record_store.h"
#include "e3/helper/turn.h"
#include "lib/base/loop.h"

struct replica;

struct replica_ops {
	/* A record was copied, or the way to Redis came or went. */
	void	(*on_change)(void *arg);
};

/* conf: used during the call only; must name at least one endpoint. */
enum rc replica_new(struct loop *, const struct conf_redis *conf,
    struct record_store *, struct engine *, struct turn *,
    const struct replica_ops *, void *arg, struct replica **out, char *why,
    size_t why_size) must_check;
void replica_free(struct replica **);

bool replica_is_up(const struct replica *);

/* The engine or the store changed: go on with what waited for that. */
void replica_kick(struct replica *);

/*
 * Before a change of app, by the holder of the turn: does Redis have a higher
 * version (made on another machine)?  Then it is taken first.
 * RC_OK: cb comes once, later, with RC_OK (Redis is not ahead), RC_CONFLICT (it
 * was; the disk and the engine have its version now, or cannot) or
 * RC_UNAVAILABLE (Redis did not answer).  RC_UNAVAILABLE: Redis is down, cb
 * does not come.
 */
typedef void replica_refresh_cb(void *arg, enum rc);
enum rc replica_refresh(struct replica *, const char *app,
    replica_refresh_cb *, void *arg) must_check;

/* Records that Redis is not known to hold. */
size_t replica_pending(const struct replica *);

/*
 * What Redis' record says against ours (NULL: we have none); exported for the
 * tests.
 */
enum replica_verdict {
	REPLICA_SAME,		/* the very bytes */
	REPLICA_LOWER,		/* ours is to be written there */
	REPLICA_HIGHER,		/* theirs is to be taken */
	REPLICA_FORK,		/* one version, two contents */
	REPLICA_FOREIGN		/* no record of this app */
};
enum replica_verdict replica_judge(const struct record_entry *ours,
    const char *app, struct span theirs);

/* The compare-and-set that Redis runs: KEYS[1] the hash, ARGV[1] the app,
 * ARGV[2] the record.  Answers ok, same, newer or fork. */
extern const char replica_script[];

#endif
