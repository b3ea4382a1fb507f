/*
 * helper/store_change.c - turn, refresh, disk, engine, Redis, answer.
 *
 *   TURN -> [READY] -> REFRESH -> (disk) -> LOAD -> [ENGINE] -> [REPLICA]
 *                       ^   |
 *                       CLAIMED
 *
 * TURN     others' changes end first
 * READY    the engine (or we) just started: nothing is written before it is
 *          filled, for who else should open the record
 * REFRESH  the version is claimed in Redis, which is asked for a higher one:
 *          two machines must not both make the same; skipped while it is away
 * CLAIMED  another machine is at it, which takes milliseconds: again, soon
 * LOAD     LoadRecords is in flight
 * ENGINE   the link broke meanwhile: the load after the reconnect counts
 * REPLICA  only with require_replica: until Redis has it
 * CONFLICT the disk has another record than the engine knows: it is loaded
 *          first, so that the next attempt starts from the truth
 */
#include "e3/helper/store_change.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"

#define CHANGES_MAX		64	/* people at a terminal, not a load */
#define WAIT_MS			10000	/* for a turn, the engine, Redis; each */
#define CLAIM_POLL_MS		20

enum change_state {
	CHANGE_TURN,
	CHANGE_READY,
	CHANGE_REFRESH,
	CHANGE_CLAIMED,
	CHANGE_LOAD,
	CHANGE_ENGINE,
	CHANGE_REPLICA,
	CHANGE_CONFLICT
};

#define FOREIGN_RECORD	"redis holds another record of this app, made apart "	\
			"from ours or under another root key: on this machine "	\
			"alone, see forked in e3-helper(8)"

struct store_change {
	unsigned		magic;
#define STORE_CHANGE_MAGIC	0x2c60b7e5
	TAILQ_ENTRY(store_change) link;
	struct store_changes	*all;		/* borrowed: owns us */
	uint64_t		who;
	enum change_state	state;
	char			app[RPC_APP_ID_BYTES];
	uint64_t		version;
	bool			written;	/* the disk has it */
	bool			alone;		/* Redis holds a record that our
						   engine cannot open */
	uint64_t		t_claim_ms;	/* CLAIMED since; 0: never */
	struct buffer		record;
	struct turn_waiter	waiter;
	struct timer		deadline;
};

static void
change_free(struct store_change *c)
{
	struct store_changes *all = c->all;

	TAILQ_REMOVE(&all->list, c, link);
	all->n--;
	timer_fini(&c->deadline);
	buffer_fini(&c->record);
	turn_leave(all->turn, &c->waiter);
	c->magic = 0;
	free(c);
}

/* It is not pushed, which would end our claim. */
static bool
is_forked(const struct store_change *c)
{
	const struct record_entry *e = record_store_find(c->all->store, c->app);

	return (e != NULL && e->forked);
}

/* c is gone after. */
static void
change_end(struct store_change *c, enum rc rc, const char *why)
{
	struct store_changes *all = c->all;
	uint64_t who = c->who;
	bool later = c->written && (rc == RC_TIMEOUT || rc == RC_IO);

	if (rc == RC_OK)
		log_info("record stored app=%s version=%llu", c->app,
		    (unsigned long long)c->version);
	else
		log_warn("record not acknowledged app=%s version=%llu rc=%s "
		    "why=%s", c->app, (unsigned long long)c->version,
		    rc_name(rc), why);
	if (all->replica != NULL && (!c->written || rc == RC_DENIED ||
	    is_forked(c)))
		replica_release(all->replica, c->app, c->version);
	change_free(c);
	all->on_done(all->arg, who, later ? RC_MORE : rc, why);
}

static void
wait_in(struct store_change *c, enum change_state state)
{
	c->state = state;
	timer_start_ms(&c->deadline, WAIT_MS);
}

/* ---- Redis, at the end ----------------------------------------------------------- */

/* RC_MORE: not yet. */
static enum rc
look_at_replica(const struct store_change *c, const char **why)
{
	const struct record_entry *e;

	*why = "";
	e = record_store_find(c->all->store, c->app);
	if (e == NULL || e->version != c->version || e->forked) {
		*why = "redis holds another record of this app";
		return (RC_CONFLICT);
	}
	return (e->replicated ? RC_OK : RC_MORE);
}

static void
copy_out(struct store_change *c)
{
	const char *why;
	enum rc rc;

	if (c->all->replica != NULL && c->all->require_replica) {
		wait_in(c, CHANGE_REPLICA);
		replica_kick(c->all->replica);
		if ((rc = look_at_replica(c, &why)) != RC_MORE)
			change_end(c, rc, why);
		return;
	}
	if (c->all->replica != NULL)
		replica_kick(c->all->replica);
	/* Whoever holds the other record does not know of this one, and may
	 * replace it: done here, and not more. */
	if (c->alone)
		change_end(c, RC_TIMEOUT, FOREIGN_RECORD);
	else
		change_end(c, RC_OK, "");
}

/* ---- the engine ------------------------------------------------------------------- */

/* Not what the engine made: the version before it must not be lost to it. */
static void
refused(struct store_change *c)
{
	if (record_store_undo(c->all->store, c->app) != RC_OK)
		log_error("record cannot be undone app=%s; see e3-helper(8), "
		    "FILES", c->app);
	change_end(c, RC_DENIED, "the engine refuses the record");
}

static void
look_at_engine(struct store_change *c)
{
	const struct record_entry *e;

	if (engine_state(c->all->engine) != ENGINE_READY)
		return;
	e = record_store_find(c->all->store, c->app);
	if (e == NULL || e->version != c->version)
		change_end(c, RC_CONFLICT, "the disk holds another record");
	else if (e->refused)
		refused(c);
	else if (e->active == c->version)
		copy_out(c);
}

static void
on_load(void *arg, enum rc rc)
{
	struct store_change *c = arg;

	obj_check(c, STORE_CHANGE_MAGIC);
	if (c->state == CHANGE_CONFLICT) {
		change_end(c, RC_CONFLICT, "the disk has another version");
		return;
	}
	ensure(c->state == CHANGE_LOAD);
	switch ((int)rc) {
	case RC_OK:
		crash_point("change.loaded");
		copy_out(c);
		return;
	case RC_DENIED:
		refused(c);
		return;
	case RC_CONFLICT:
		change_end(c, RC_CONFLICT, "the engine has a higher version");
		return;
	default:
		wait_in(c, CHANGE_ENGINE);
		look_at_engine(c);
		return;
	}
}

/* Load what the disk has, then answer conflict. */
static void
conflict(struct store_change *c)
{
	const struct record_entry *e;
	struct buffer record;
	bool loading = false;

	e = record_store_find(c->all->store, c->app);
	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	if (e != NULL && !e->damaged && e->active != e->version &&
	    record_store_read(c->all->store, e, &record) == RC_OK) {
		c->state = CHANGE_CONFLICT;
		loading = engine_load(c->all->engine, (struct span){
		    buffer_data(&record), buffer_len(&record) }, on_load,
		    c) == RC_OK;
	}
	buffer_fini(&record);
	if (!loading)
		change_end(c, RC_CONFLICT, "the disk has another version");
}

/* ---- the disk ---------------------------------------------------------------------- */

/* Also after a failed write: what fsync of the folder did not confirm is loaded
 * all the same. */
static bool
on_disk(const struct store_change *c)
{
	const struct record_entry *e = record_store_find(c->all->store, c->app);
	uint8_t sha256[32];

	record_sha256((struct span){ buffer_data(&c->record),
	    buffer_len(&c->record) }, sha256);
	return (e != NULL && !e->damaged &&
	    memcmp(e->sha256, sha256, sizeof(sha256)) == 0);
}

static void
write_down(struct store_change *c)
{
	struct span record = { buffer_data(&c->record),
	    buffer_len(&c->record) };
	enum rc rc;

	if (engine_state(c->all->engine) != ENGINE_READY) {
		change_end(c, RC_UNAVAILABLE, "the engine is not ready");
		return;
	}
	rc = record_store_put(c->all->store, record);
	if (rc == RC_CONFLICT) {
		conflict(c);
		return;
	}
	c->written = on_disk(c);
	if (rc != RC_OK) {
		change_end(c, rc, "the disk does not take it");
		return;
	}
	crash_point("change.written");
	c->state = CHANGE_LOAD;
	if (engine_load(c->all->engine, record, on_load, c) != RC_OK)
		wait_in(c, CHANGE_ENGINE);
}

static void
claimed(struct store_change *c)
{
	uint64_t now = clock_mono_ms();

	if (c->t_claim_ms == 0)
		c->t_claim_ms = now;
	if (now - c->t_claim_ms > WAIT_MS) {
		change_end(c, RC_UNAVAILABLE, "another machine is changing "
		    "this app, or died of it: try again in half a minute");
		return;
	}
	c->state = CHANGE_CLAIMED;
	timer_start_ms(&c->deadline, CLAIM_POLL_MS);
}

static void
on_refreshed(void *arg, enum rc rc)
{
	struct store_change *c = arg;

	obj_check(c, STORE_CHANGE_MAGIC);
	ensure(c->state == CHANGE_REFRESH);
	if (rc == RC_CONFLICT)
		change_end(c, RC_CONFLICT, "redis has a higher version");
	else if (rc == RC_AGAIN)
		claimed(c);
	else if (rc != RC_OK && rc != RC_DENIED && c->all->require_replica)
		change_end(c, RC_UNAVAILABLE,
		    "require_replica is set and redis is away or refuses");
	else if ((c->alone = rc == RC_DENIED) && c->all->require_replica)
		change_end(c, RC_UNAVAILABLE, FOREIGN_RECORD);
	else
		write_down(c);
}

static void
refresh(struct store_change *c)
{
	timer_stop(&c->deadline);
	c->state = CHANGE_REFRESH;
	if (c->all->replica != NULL && replica_refresh(c->all->replica, c->app,
	    c->version, on_refreshed, c) == RC_OK)
		return;
	on_refreshed(c, c->all->replica == NULL ? RC_OK : RC_UNAVAILABLE);
}

static void
on_turn(void *arg)
{
	struct store_change *c = arg;

	obj_check(c, STORE_CHANGE_MAGIC);
	if (engine_state(c->all->engine) == ENGINE_READY)
		refresh(c);
	else
		wait_in(c, CHANGE_READY);
}

static void
on_deadline(void *arg)
{
	struct store_change *c = arg;

	obj_check(c, STORE_CHANGE_MAGIC);
	switch (c->state) {
	case CHANGE_TURN:
		change_end(c, RC_TIMEOUT, "other changes take too long");
		return;
	case CHANGE_READY:
		change_end(c, RC_UNAVAILABLE, "the engine is not ready");
		return;
	case CHANGE_CLAIMED:
		refresh(c);
		return;
	case CHANGE_ENGINE:
		change_end(c, RC_TIMEOUT, "it is on disk, the engine does not "
		    "answer");
		return;
	case CHANGE_REPLICA:
		change_end(c, RC_TIMEOUT, "it is on disk, redis does not take "
		    "the copy");
		return;
	case CHANGE_REFRESH:
	case CHANGE_LOAD:
	case CHANGE_CONFLICT:
		return;		/* a call is in flight, with its own deadline */
	}
}

/* ---- life ----------------------------------------------------------------------------- */

void
store_changes_init(struct store_changes *all)
{
	all->n = 0;
	TAILQ_INIT(&all->list);
}

void
store_changes_fini(struct store_changes *all)
{
	struct store_change *c;

	while ((c = TAILQ_FIRST(&all->list)) != NULL)
		change_free(c);
}

enum rc
store_change_begin(struct store_changes *all, uint64_t who, const char *app,
    uint64_t version, struct buffer *record)
{
	struct rpc_record_head head;
	struct store_change *c;
	struct span bytes = { buffer_data(record), buffer_len(record) };

	if (rpc_record_head_read(bytes, &head) != RC_OK ||
	    strcmp(head.app, app) != 0 || head.version != version)
		return (RC_SYNTAX);
	if (all->n == CHANGES_MAX)
		return (RC_LIMIT);
	c = xcalloc(1, sizeof(*c));
	c->magic = STORE_CHANGE_MAGIC;
	c->all = all;
	c->who = who;
	memcpy(c->app, head.app, sizeof(c->app));
	c->version = version;
	buffer_init(&c->record, RPC_RECORD_BYTES_MAX, false);
	buffer_move(&c->record, record);
	turn_waiter_init(&c->waiter, on_turn, c);
	timer_init(&c->deadline, all->loop, on_deadline, c);
	TAILQ_INSERT_TAIL(&all->list, c, link);
	all->n++;
	wait_in(c, CHANGE_TURN);
	turn_take(all->turn, &c->waiter);
	return (RC_OK);
}

void
store_changes_kick(struct store_changes *all)
{
	struct store_change *c, *next;
	const char *why;
	enum rc rc;

	/* Only the holder of the turn waits for anything else, so at most one
	 * is looked at; ending it may begin another, which is not. */
	TAILQ_FOREACH_SAFE(c, &all->list, link, next) {
		if (c->state == CHANGE_READY) {
			if (engine_state(all->engine) == ENGINE_READY)
				refresh(c);
			return;
		}
		if (c->state == CHANGE_ENGINE) {
			look_at_engine(c);
			return;
		}
		if (c->state == CHANGE_REPLICA) {
			if ((rc = look_at_replica(c, &why)) != RC_MORE)
				change_end(c, rc, why);
			return;
		}
	}
}
