/*
 * helper/replica_pull.c - a pull is a change like one of relayctl: it waits for
 * its turn, reads the record again (HGET), has the engine open it, and only
 * then writes it over ours: a record that somebody forged in Redis fails to
 * open and changes nothing.
 *
 * A refresh reads it for a change that is about to be made here, and claims the
 * version of that in the same step: of two machines that change an app at the
 * same moment both would find Redis behind, both tell their user that it is
 * done, and one be wrong.  The claim ends with the push.
 */
#include "e3/helper/replica_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

#define PULLS_MAX		100000	/* ids remembered between two scans */
#define CLAIM_MS		"30000"	/* longer than a change may wait for
					   engine and Redis; the machine may die */
#define CLAIM_BYTES		(RPC_APP_ID_BYTES + sizeof(CLAIM_PREFIX))
#define VERSION_BYTES		24

/* ---- the list ------------------------------------------------------------------ */

struct pull *
replica_find_pull(const struct replica *r, const char *app)
{
	struct pull *p;

	TAILQ_FOREACH(p, &r->pulls, link)
		if (strcmp(p->app, app) == 0)
			break;
	return (p);
}

void
replica_want_pull(struct replica *r, const char *app)
{
	struct pull *p;

	if (r->pulling.active && strcmp(r->pulling.app, app) == 0)
		r->pulling.again = true;
	/* Beyond the limit the next scan finds the rest. */
	if (replica_find_pull(r, app) != NULL || r->n_pulls == PULLS_MAX)
		return;
	p = xcalloc(1, sizeof(*p));
	memcpy(p->app, app, strlen(app) + 1);
	TAILQ_INSERT_TAIL(&r->pulls, p, link);
	r->n_pulls++;
}

void
replica_want_pull_first(struct replica *r, const char *app)
{
	struct pull *p;

	replica_want_pull(r, app);
	if ((p = replica_find_pull(r, app)) == NULL)
		return;
	TAILQ_REMOVE(&r->pulls, p, link);
	TAILQ_INSERT_HEAD(&r->pulls, p, link);
}

void
replica_drop_pull(struct replica *r, struct pull *p)
{
	if (p == NULL)
		return;
	TAILQ_REMOVE(&r->pulls, p, link);
	r->n_pulls--;
	free(p);
}

/* ---- pulling -------------------------------------------------------------------- */

/* It is wanted no more, unless somebody came to want it meanwhile. */
static void
pull_done(struct replica *r)
{
	if (!r->pulling.again)
		replica_drop_pull(r, replica_find_pull(r, r->pulling.app));
}

/* rc as replica_refresh_cb says. */
static void
pull_end(struct replica *r, enum rc rc)
{
	replica_refresh_cb *cb = r->pulling.cb;
	void *arg = r->pulling.arg;

	r->pulling.active = false;
	r->pulling.cb = NULL;
	buffer_clear(&r->pulling.record);
	if (r->pulling.own_turn) {
		r->pulling.own_turn = false;
		turn_leave(r->turn, &r->waiter);
	}
	if (cb != NULL)
		cb(arg, rc);
	replica_kick(r);
	r->ops->on_change(r->arg);
}

/* The engine opened it, or not. */
static void
on_pull_loaded(void *arg, enum rc rc)
{
	struct replica *r = arg;
	struct span record;
	struct record_entry *e;

	obj_check(r, REPLICA_MAGIC);
	ensure(r->pulling.active);
	record = (struct span){ buffer_data(&r->pulling.record),
	    buffer_len(&r->pulling.record) };
	if (rc == RC_DENIED) {
		e = record_store_find(r->store, r->pulling.app);
		if (e == NULL ? !r->told : !e->forked)
			log_error("record of redis refused by the engine "
			    "app=%s; not taken", r->pulling.app);
		if (e != NULL && !e->refused)
			replica_mark_forked(e);		/* do not push against it */
	}
	if (rc == RC_OK) {
		crash_point("pull.opened");
		rc = record_store_take(r->store, record);
		crash_point("pull.taken");
		e = record_store_find(r->store, r->pulling.app);
		if (rc == RC_OK && e != NULL) {
			replica_copied(r, e);
			e->active = e->version;
			log_info("record taken from redis app=%s version=%llu",
			    e->app, (unsigned long long)e->version);
		} else
			log_error("record of redis not written app=%s why=%s",
			    r->pulling.app, rc_name(rc));
	}
	/* Without an engine it stays wanted; else the next scan asks again. */
	if (rc == RC_OK || rc == RC_DENIED || rc == RC_CONFLICT)
		pull_done(r);
	else
		replica_retry_later(r);
	/* What the engine cannot open does not keep the app from changing (a
	 * stolen key must go, whatever somebody wrote there), but is told. */
	pull_end(r, rc == RC_DENIED ? RC_DENIED : RC_CONFLICT);
}

static void
on_pull_read(void *arg, enum rc rc, const struct redis_value *v)
{
	struct replica *r = arg;
	enum replica_verdict verdict = REPLICA_LOWER;	/* none is there */
	struct record_entry *e;
	bool apart;

	obj_check(r, REPLICA_MAGIC);
	ensure(r->pulling.active);
	r->pulling.reading = false;
	if (rc != RC_OK || v->type == REDIS_ERROR) {
		if (rc == RC_OK)	/* first: pull_end would ask at once */
			replica_refused(r, "HGET", v);
		pull_end(r, RC_UNAVAILABLE);
		return;
	}
	if (v->type == REDIS_INTEGER) {		/* somebody else's claim */
		pull_end(r, RC_AGAIN);
		return;
	}
	e = record_store_find(r->store, r->pulling.app);
	if (v->type == REDIS_STRING)
		verdict = replica_judge(e, r->pulling.app, v->text);
	if (verdict == REPLICA_HIGHER) {
		if (buffer_append(&r->pulling.record, v->text.p,
		    v->text.len) == RC_OK &&
		    engine_load(r->engine, v->text, on_pull_loaded, r) == RC_OK)
			return;
		replica_want_pull(r, r->pulling.app);	/* once the engine is back */
		pull_end(r, RC_CONFLICT);
		return;
	}
	if (verdict == REPLICA_SAME && e != NULL)
		replica_copied(r, e);
	if (verdict == REPLICA_LOWER && e != NULL && v->type == REDIS_STRING)
		replica_spare(r, e, v->text);
	/* The script would not write over it. */
	apart = verdict == REPLICA_FOREIGN || verdict == REPLICA_FORK;
	if (verdict == REPLICA_FORK && e != NULL)
		replica_apart(r, e);
	else if (apart && e != NULL)
		replica_mark_forked(e);
	pull_done(r);
	pull_end(r, apart ? RC_DENIED : RC_OK);
}

static void
pull_started(struct replica *r, const char *app, replica_refresh_cb *cb,
    void *arg)
{
	ensure(!r->pulling.active);	/* the turn sees to that */
	r->pulling.active = r->pulling.reading = true;
	r->pulling.again = false;
	memcpy(r->pulling.app, app, strlen(app) + 1);
	r->pulling.cb = cb;
	r->pulling.arg = arg;
}

static enum rc
pull_start(struct replica *r, const char *app)
{
	if (r->client == NULL || redis_commandl(r->client, COMMAND_TIMEOUT_MS,
	    on_pull_read, r, "HGET", APPS_KEY, app,
	    (const char *)NULL) != RC_OK)
		return (RC_UNAVAILABLE);
	pull_started(r, app, NULL, NULL);
	return (RC_OK);
}

/* ---- for a change ------------------------------------------------------------------ */

/* KEYS: the hash, the claim.  ARGV: app, engine, version, ms.  A claim is the
 * engine's name, which has no space, and the version: of our own an older one
 * is over, for changes here wait for each other. */
static const char claim_script[] =
    "local held = redis.call('GET', KEYS[2])\n"
    "local mine = ARGV[2] .. ' '\n"
    "if held and held:sub(1, #mine) ~= mine then return 0 end\n"
    "redis.call('SET', KEYS[2], mine .. ARGV[3], 'PX', ARGV[4])\n"
    "return redis.call('HGET', KEYS[1], ARGV[1])\n";

static const char release_script[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] .. ' ' .. ARGV[2] then\n"
    "  redis.call('DEL', KEYS[1])\n"
    "end\n";

static void
claim_names(const char *app, uint64_t version, char key[CLAIM_BYTES],
    char number[VERSION_BYTES])
{
	(void)snprintf(key, CLAIM_BYTES, CLAIM_PREFIX "%s", app);
	(void)snprintf(number, VERSION_BYTES, "%llu",
	    (unsigned long long)version);
}

enum rc
replica_refresh(struct replica *r, const char *app, uint64_t version,
    replica_refresh_cb *cb, void *arg)
{
	char key[CLAIM_BYTES], number[VERSION_BYTES];

	obj_check(r, REPLICA_MAGIC);
	claim_names(app, version, key, number);
	if (r->client == NULL || redis_commandl(r->client, COMMAND_TIMEOUT_MS,
	    on_pull_read, r, "EVAL", claim_script, "2", APPS_KEY, key, app,
	    r->name, number, CLAIM_MS, (const char *)NULL) != RC_OK)
		return (RC_UNAVAILABLE);
	pull_started(r, app, cb, arg);
	return (RC_OK);
}

void
replica_release(struct replica *r, const char *app, uint64_t version)
{
	char key[CLAIM_BYTES], number[VERSION_BYTES];

	obj_check(r, REPLICA_MAGIC);
	claim_names(app, version, key, number);
	if (r->client != NULL && redis_commandl(r->client, COMMAND_TIMEOUT_MS,
	    NULL, NULL, "EVAL", release_script, "1", key, r->name, number,
	    (const char *)NULL) != RC_OK)
		log_debug("release not queued");	/* its time ends it */
}

void
replica_pull_lost(struct replica *r)
{
	if (!r->pulling.reading)
		return;
	r->pulling.reading = false;
	pull_end(r, RC_UNAVAILABLE);
}

/* It is our turn to take the first one of the list. */
void
replica_on_turn(void *arg)
{
	struct replica *r = arg;
	struct pull *p = TAILQ_FIRST(&r->pulls);

	obj_check(r, REPLICA_MAGIC);
	r->pulling.own_turn = true;
	if (p != NULL && engine_is_loaded(r->engine) &&
	    pull_start(r, p->app) == RC_OK)
		return;
	r->pulling.own_turn = false;
	turn_leave(r->turn, &r->waiter);
}
