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
 * either side.  Two machines that changed an app while they could not see each
 * other have each what the other lacks.  Where that is sure neither record takes
 * the other's place, and an operator decides; where it may be, what is replaced
 * is kept as a file and told.
 *
 * Who wrote a record says so on the channel relay:updates ("apps <id>"): the
 * helpers of other machines take it at once.  What an engine uses is told in
 * the hash relay:applied:<app>, field: the engine's name.
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
#include "lib/redis/client.h"

struct replica;

struct replica_ops {
	/* A record was copied, or the way to Redis came or went. */
	void	(*on_change)(void *arg);
};

struct replica_config {
	const struct conf_redis	*redis;	/* used by replica_new only; names at
					   least one endpoint */
	const char		*name;	/* the engine's, as announced; copied */
	struct record_store	*store;		/* these are borrowed */
	struct engine		*engine;
	struct turn		*turn;
};

enum rc replica_new(struct loop *, const struct replica_config *,
    const struct replica_ops *, void *arg, struct replica **out, char *why,
    size_t why_size) must_check;
void replica_free(struct replica **);

bool replica_is_up(const struct replica *);
/* The connection, for what else is said there; NULL while it is down. */
struct redis_client *replica_client(const struct replica *);
/* It is up, and all that it holds was compared with ours. */
bool replica_is_compared(const struct replica *);

/* The engine or the store changed: go on with what waited for that. */
void replica_kick(struct replica *);

/*
 * Before `version` of app is written, by the holder of the turn: it is claimed,
 * so that no other machine makes the same one, and Redis is asked for a higher
 * one (made on another machine), which is taken first.
 * RC_OK: cb comes once, later, with RC_OK (ours to make), RC_DENIED (ours to
 * make, but Redis keeps a record of this app that our engine cannot open, or
 * one that was made apart from ours),
 * RC_AGAIN (another machine is changing this app), RC_CONFLICT (Redis was ahead; the disk and the
 * engine have its version now, or cannot) or RC_UNAVAILABLE (Redis did not
 * answer).  RC_UNAVAILABLE: Redis is down, cb does not come.
 */
typedef void replica_refresh_cb(void *arg, enum rc);
enum rc replica_refresh(struct replica *, const char *app, uint64_t version,
    replica_refresh_cb *, void *arg) must_check;

/* The claim of that version ends: it was not written.  (A push ends it too, and
 * time does where we cannot.) */
void replica_release(struct replica *, const char *app, uint64_t version);

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
	REPLICA_FORK,		/* made without knowledge of each other */
	REPLICA_FOREIGN		/* no record of this app */
};
enum replica_verdict replica_judge(const struct record_entry *ours,
    const char *app, struct span theirs);

/* The compare-and-set that Redis runs: KEYS[1] the hash, ARGV[1] the app,
 * ARGV[2] the record.  Answers ok, same, newer or fork. */
extern const char replica_script[];

#endif
