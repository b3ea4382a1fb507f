/*
 * helper/replica_pull.c - a pull is a change like one of relayctl: it waits for
 * its turn, reads the record again (HGET), has the engine open it, and only
 * then writes it over ours: a record that somebody forged in Redis fails to
 * open and changes nothing.
 */
#include "e3/helper/replica_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"

#define PULLS_MAX		100000	/* ids remembered between two scans */

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

	/* Beyond the limit the next scan finds the rest. */
	if (replica_find_pull(r, app) != NULL || r->n_pulls == PULLS_MAX)
		return;
	p = xcalloc(1, sizeof(*p));
	memcpy(p->app, app, strlen(app) + 1);
	TAILQ_INSERT_TAIL(&r->pulls, p, link);
	r->n_pulls++;
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
		rc = record_store_take(r->store, record);
		e = record_store_find(r->store, r->pulling.app);
		if (rc == RC_OK && e != NULL) {
			e->replicated = true;
			e->active = e->version;
			log_info("record taken from redis app=%s version=%llu",
			    e->app, (unsigned long long)e->version);
		} else
			log_error("record of redis not written app=%s why=%s",
			    r->pulling.app, rc_name(rc));
	}
	/* Without an engine it stays wanted; else the next scan asks again. */
	if (rc == RC_OK || rc == RC_DENIED || rc == RC_CONFLICT)
		replica_drop_pull(r, replica_find_pull(r, r->pulling.app));
	else
		replica_retry_later(r);
	/* What the engine cannot open must not keep the app from changing. */
	pull_end(r, rc == RC_DENIED ? RC_OK : RC_CONFLICT);
}

static void
on_pull_read(void *arg, enum rc rc, const struct redis_value *v)
{
	struct replica *r = arg;
	enum replica_verdict verdict = REPLICA_LOWER;	/* none is there */
	struct record_entry *e;

	obj_check(r, REPLICA_MAGIC);
	ensure(r->pulling.active);
	if (rc != RC_OK || v->type == REDIS_ERROR) {
		if (rc == RC_OK)	/* first: pull_end would ask at once */
			replica_refused(r, "HGET", v);
		pull_end(r, RC_UNAVAILABLE);
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
	/* The script took it for a higher version, and would again. */
	if (verdict == REPLICA_FOREIGN && e != NULL)
		replica_mark_forked(e);
	replica_drop_pull(r, replica_find_pull(r, r->pulling.app));
	pull_end(r, RC_OK);
}

static enum rc
pull_start(struct replica *r, const char *app, replica_refresh_cb *cb,
    void *arg)
{
	if (r->client == NULL || redis_commandl(r->client, COMMAND_TIMEOUT_MS,
	    on_pull_read, r, "HGET", APPS_KEY, app,
	    (const char *)NULL) != RC_OK)
		return (RC_UNAVAILABLE);
	ensure(!r->pulling.active);	/* the turn sees to that */
	r->pulling.active = true;
	memcpy(r->pulling.app, app, strlen(app) + 1);
	r->pulling.cb = cb;
	r->pulling.arg = arg;
	return (RC_OK);
}

enum rc
replica_refresh(struct replica *r, const char *app, replica_refresh_cb *cb,
    void *arg)
{
	obj_check(r, REPLICA_MAGIC);
	return (pull_start(r, app, cb, arg));
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
	    pull_start(r, p->app, NULL, NULL) == RC_OK)
		return;
	r->pulling.own_turn = false;
	turn_leave(r->turn, &r->waiter);
}
