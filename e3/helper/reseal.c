/*
 * helper/reseal.c - one record after the other, then the proof.
 *
 *   IDLE -> NEXT -> SEAL (the engine) -> STORE (store_change.c) -> NEXT ...
 *            |                                  | somebody was faster:
 *            |                                  +-> NEXT, the same app
 *            +-> PROVE (checksums, and the engine says none is left) -> IDLE
 *
 * PAUSE    the engine is away or busy: the same app again, soon
 */
#include "e3/helper/reseal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"

#define WAITERS_MAX	8	/* operators who ask for the same */
#define TRIES_MAX	20	/* of one record: changed under us, or no engine */
#define PAUSE_MS	500	/* 20 of them are longer than a restart takes */
#define PROVE_MS	10000
#define TEXT_BYTES	160
#define NO_NEXT_KEY	"the engine has no next root key"

enum reseal_state {
	RESEAL_IDLE,
	RESEAL_NEXT,
	RESEAL_PAUSE,
	RESEAL_SEAL,
	RESEAL_STORE,
	RESEAL_PROVE
};

struct reseal {
	unsigned		magic;
#define RESEAL_MAGIC		0x4d17c0b9
	struct reseal_config	config;
	const struct reseal_ops	*ops;		/* borrowed: static */
	void			*arg;		/* borrowed: owns us */
	enum reseal_state	state;
	bool			draining;
	struct store_changes	changes;	/* at most one */
	struct timer		timer;		/* PAUSE, PROVE */
	uint64_t		t_prove_ms;
	char			at[RPC_APP_ID_BYTES];	/* all up to here */
	char			app[RPC_APP_ID_BYTES];	/* the one under way */
	unsigned		tries;		/* of it */
	size_t			done;		/* are under the next key */
	size_t			unreadable;	/* damaged or refused records */
	size_t			n_waiters;
	uint64_t		waiters[WAITERS_MAX];
};

static void next(struct reseal *);

/* ---- the end ------------------------------------------------------------------------ */

static void end(struct reseal *, enum rc, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

static void
end(struct reseal *r, enum rc rc, const char *fmt, ...)
{
	uint64_t waiters[WAITERS_MAX];
	size_t n = r->n_waiters;
	char text[TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (rc == RC_OK)
		log_info("resealed records=%zu", r->done);
	else
		log_error("reseal ended records=%zu why=\"%s\"", r->done, text);
	r->state = RESEAL_IDLE;
	timer_stop(&r->timer);
	memcpy(waiters, r->waiters, sizeof(waiters));
	r->n_waiters = 0;
	for (size_t i = 0; i < n; i++)
		r->ops->on_done(r->arg, waiters[i], rc, text);
}

/* For good: RC_MORE when some are under the next key by now. */
static void
give_up(struct reseal *r, const char *why)
{
	if (r->done == 0)
		end(r, RC_IO, "%s", why);
	else
		end(r, RC_MORE, "%zu of %zu records are under the next root "
		    "key: %s", r->done, record_store_count(r->config.store),
		    why);
}

/* ---- the proof ------------------------------------------------------------------------ */

static bool
proved(const struct reseal *r)
{
	const struct engine_facts *f = engine_facts(r->config.engine);
	uint8_t sum[32];

	if (!f->known || f->resealed != f->apps || !f->has_checksum ||
	    engine_answered_ms(r->config.engine) <= r->t_prove_ms)
		return (false);
	record_store_checksum(r->config.store, sum);
	return (memcmp(f->checksum, sum, sizeof(sum)) == 0);
}

static void
prove(struct reseal *r)
{
	const struct engine_facts *f = engine_facts(r->config.engine);
	uint64_t now = clock_mono_ms();

	if (f->known && !f->resealing) {
		give_up(r, NO_NEXT_KEY);	/* it was restarted without */
		return;
	}
	if (r->state != RESEAL_PROVE) {
		r->state = RESEAL_PROVE;
		r->t_prove_ms = now;
	}
	if (proved(r)) {
		crash_point("reseal.proved");
		if (r->unreadable == 0)
			end(r, RC_OK, "%zu", r->done);
		else
			end(r, RC_MORE, "%zu records are under the next root "
			    "key; %zu are damaged or refused", r->done,
			    r->unreadable);
	} else if (now - r->t_prove_ms > PROVE_MS) {
		give_up(r, "engine and disk do not hold the same records, or "
		    "some are under the old one");
	} else {
		engine_ask(r->config.engine);
		timer_start_ms(&r->timer, PAUSE_MS / 10);
	}
}

/* ---- one record ------------------------------------------------------------------------ */

static void
again(struct reseal *r, const char *why)
{
	if (++r->tries > TRIES_MAX) {
		give_up(r, why);
		return;
	}
	r->state = RESEAL_PAUSE;
	timer_start_ms(&r->timer, PAUSE_MS);
}

static void
one_done(struct reseal *r, uint64_t version)
{
	struct record_entry *e = record_store_find(r->config.store, r->app);

	if (e != NULL && e->version == version)
		e->resealed = version;
	memcpy(r->at, r->app, sizeof(r->at));
	r->tries = 0;
	r->done++;
	r->state = RESEAL_NEXT;
	next(r);
}

/* The number that a change is known by is its version here. */
static void
on_stored(void *arg, uint64_t version, enum rc rc, const char *why)
{
	struct reseal *r = arg;

	obj_check(r, RESEAL_MAGIC);
	ensure(r->state == RESEAL_STORE);
	crash_point("reseal.stored");
	switch ((int)rc) {
	case RC_OK:
		one_done(r, version);
		return;
	case RC_MORE:
		if (engine_state(r->config.engine) == ENGINE_READY) {
			give_up(r, why);	/* Redis: so would the others */
			return;
		}
		again(r, why);
		return;
	case RC_CONFLICT:		/* changed meanwhile: seal that one */
	case RC_UNAVAILABLE:
		again(r, why);
		return;
	default:
		give_up(r, why);
		return;
	}
}

static void
store(struct reseal *r, uint64_t version, struct span record)
{
	struct buffer bytes;
	enum rc rc;

	crash_point("reseal.sealed");
	buffer_init(&bytes, RPC_RECORD_BYTES_MAX, false);
	rc = buffer_append(&bytes, record.p, record.len);
	r->state = RESEAL_STORE;
	if (rc == RC_OK)
		rc = store_change_begin(&r->changes, version, r->app, version,
		    &bytes);
	buffer_fini(&bytes);
	if (rc != RC_OK)
		give_up(r, "the engine answered with something else");
}

/* No next key, or it seals this app already, as for who begins again. */
static void
conflict(struct reseal *r)
{
	const struct engine_facts *f = engine_facts(r->config.engine);
	const struct record_entry *e =
	    record_store_find(r->config.store, r->app);

	if (!f->known)
		again(r, "the engine does not answer");
	else if (!f->resealing)
		give_up(r, NO_NEXT_KEY);
	else
		one_done(r, e == NULL ? 0 : e->version);
}

static void
on_sealed(void *arg, enum rc rc, uint64_t version, struct span record)
{
	struct reseal *r = arg;

	obj_check(r, RESEAL_MAGIC);
	ensure(r->state == RESEAL_SEAL);
	switch ((int)rc) {
	case RC_OK:
		store(r, version, record);
		return;
	case RC_CONFLICT:
		conflict(r);
		return;
	case RC_UNAVAILABLE:
	case RC_TIMEOUT:
		again(r, "the engine does not answer");
		return;
	case RC_CANCELLED:
		r->state = RESEAL_PAUSE;	/* we end, or it comes back */
		timer_start_ms(&r->timer, PAUSE_MS);
		return;
	default:
		give_up(r, "the engine refuses to seal a record anew");
		return;
	}
}

/* ---- which one ---------------------------------------------------------------------------- */

/* The next app that is not done, into r->app; false: none is left. */
static bool
choose(struct reseal *r)
{
	struct record_store *s = r->config.store;

	for (size_t i = record_store_after(s, r->at);
	    i < record_store_count(s); i++) {
		struct record_entry *e = record_store_at(s, i);

		memcpy(r->app, e->app, sizeof(r->app));
		if (!e->damaged && !e->refused && e->resealed != e->version)
			return (true);
		if (e->damaged || e->refused)
			r->unreadable++;
		else
			r->done++;		/* of an earlier run */
		memcpy(r->at, e->app, sizeof(r->at));
	}
	return (false);
}

static void
next(struct reseal *r)
{
	if (r->draining) {
		give_up(r, "the helper leaves");
		return;
	}
	if (!choose(r)) {
		prove(r);
		return;
	}
	r->state = RESEAL_SEAL;
	if (engine_reseal(r->config.engine, r->app, on_sealed, r) != RC_OK)
		again(r, "the engine is not ready");
}

static void
on_timer(void *arg)
{
	struct reseal *r = arg;

	obj_check(r, RESEAL_MAGIC);
	if (r->state == RESEAL_PROVE)
		prove(r);
	else if (r->state == RESEAL_PAUSE)
		next(r);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct reseal *
reseal_new(struct loop *loop, const struct reseal_config *config,
    const struct reseal_ops *ops, void *arg)
{
	struct reseal *r = xcalloc(1, sizeof(*r));

	r->magic = RESEAL_MAGIC;
	r->config = *config;
	r->ops = ops;
	r->arg = arg;
	r->changes = (struct store_changes){
		.loop = loop,
		.store = config->store,
		.engine = config->engine,
		.replica = config->replica,
		.turn = config->turn,
		.require_replica = config->require_replica,
		.on_done = on_stored,
		.arg = r,
	};
	store_changes_init(&r->changes);
	timer_init(&r->timer, loop, on_timer, r);
	return (r);
}

void
reseal_free(struct reseal **rp)
{
	struct reseal *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	obj_check(r, RESEAL_MAGIC);
	store_changes_fini(&r->changes);
	timer_fini(&r->timer);
	r->magic = 0;
	free(r);
}

enum rc
reseal_begin(struct reseal *r, uint64_t who)
{
	obj_check(r, RESEAL_MAGIC);
	if (r->n_waiters == WAITERS_MAX)
		return (RC_LIMIT);
	r->waiters[r->n_waiters++] = who;
	if (r->state != RESEAL_IDLE)
		return (RC_OK);
	log_info("reseal begins records=%zu",
	    record_store_count(r->config.store));
	r->at[0] = '\0';
	r->tries = 0;
	r->done = r->unreadable = 0;
	r->state = RESEAL_NEXT;
	next(r);
	return (RC_OK);
}

bool
reseal_is_running(const struct reseal *r)
{
	obj_check(r, RESEAL_MAGIC);
	return (r->state != RESEAL_IDLE);
}

void
reseal_kick(struct reseal *r)
{
	obj_check(r, RESEAL_MAGIC);
	store_changes_kick(&r->changes);
	if (r->state == RESEAL_PROVE)
		prove(r);
}

void
reseal_drain(struct reseal *r)
{
	obj_check(r, RESEAL_MAGIC);
	r->draining = true;
	if (r->state == RESEAL_PAUSE || r->state == RESEAL_PROVE)
		give_up(r, "the helper leaves");
}
