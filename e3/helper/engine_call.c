/*
 * helper/engine_call.c - calls of one record or none, and the tick.
 *
 * Every 2 s statistics are asked for, and a record that is on disk but not
 * active (its LoadRecords timed out) is loaded again.  They are asked for at
 * once, too, when something was changed: what is announced of the engine, and
 * compared with others, is what it says itself.
 */
#include "e3/helper/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

/* A load in flight; owned by its call. */
struct load {
	struct engine	*engine;		/* borrowed: cancels us */
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;
	engine_load_cb	*cb;
	void		*arg;
};

/* ---- loading one ---------------------------------------------------------------- */

/* What LoadRecords of one record came to. */
static enum rc
load_result(const struct load *l, enum rc rc, enum rpc_status status,
    const struct rpc_value *body)
{
	const struct rpc_value *active, *pair;
	struct span id;
	uint64_t version;
	size_t n;

	if (rc != RC_OK)
		return (rc);
	if (status == RPC_STATUS_CONFLICT)
		return (RC_CONFLICT);
	if (status != RPC_STATUS_OK)
		return (engine_status_blames_records(status) ? RC_DENIED :
		    RC_UNAVAILABLE);
	active = rpc_map_get(body, "active");
	n = rpc_array_len(active);
	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		pair = rpc_array_at(active, i);
		if (!rpc_get_bytes(rpc_array_at(pair, 0), &id) ||
		    !rpc_get_u64(rpc_array_at(pair, 1), &version) ||
		    !span_eq_str(id, l->app))
			continue;
		if (version == l->version)
			return (RC_OK);
		return (version > l->version ? RC_CONFLICT : RC_DENIED);
	}
	return (RC_DENIED);
}

static void
on_one_loaded(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct load *l = arg;
	struct engine *e = l->engine;
	struct record_entry *entry;

	if (rc == RC_OK && more)
		return;		/* one record: one frame; the last decides */
	rc = load_result(l, rc, status, body);
	entry = record_store_find(e->store, l->app);
	if (rc == RC_OK && entry != NULL)
		entry->active = l->version;
	l->cb(l->arg, rc);
	free(l);
	if (rc == RC_OK)
		engine_ask(e);
}

enum rc
engine_load(struct engine *e, struct span record, engine_load_cb *cb,
    void *arg)
{
	struct rpc_record_head head;
	struct buffer body;
	struct load *l;
	uint64_t id;
	enum rc rc;

	obj_check(e, ENGINE_MAGIC);
	if (!engine_is_loaded(e))
		return (RC_UNAVAILABLE);
	if ((rc = rpc_record_head_read(record, &head)) != RC_OK)
		return (rc);
	l = xcalloc(1, sizeof(*l));
	l->engine = e;
	memcpy(l->app, head.app, sizeof(l->app));
	l->version = head.version;
	l->cb = cb;
	l->arg = arg;
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "records");
	rpc_put_array(&body, 1);
	rpc_put_bin(&body, record);
	rc = rpc_link_call(e->link, RPC_OP_LOAD_RECORDS, &body,
	    LOAD_TIMEOUT_MS, on_one_loaded, l, &id);
	buffer_fini(&body);
	if (rc == RC_OK)
		return (RC_OK);
	free(l);
	return (RC_UNAVAILABLE);
}

/* ---- Reseal, SetDraining --------------------------------------------------------- */

/* Owned by its call. */
struct reseal_call {
	engine_reseal_cb	*cb;
	void			*arg;		/* borrowed: the asker */
};

struct drain_call {
	struct engine	*engine;		/* borrowed: cancels us */
	bool		on;
	engine_load_cb	*cb;			/* may be NULL */
	void		*arg;			/* borrowed: the asker */
};

static enum rc
status_rc(enum rpc_status status)
{
	switch ((int)status) {
	case RPC_STATUS_OK:
		return (RC_OK);
	case RPC_STATUS_CONFLICT:
		return (RC_CONFLICT);
	case RPC_STATUS_NO_SUCH_APP:
		return (RC_NOTFOUND);
	case RPC_STATUS_OVERLOADED:
	case RPC_STATUS_NOT_READY:
		return (RC_UNAVAILABLE);
	default:
		return (RC_DENIED);
	}
}

static void
on_resealed(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct reseal_call *c = arg;
	struct span record = { NULL, 0 };
	uint64_t version = 0;

	if (rc == RC_OK && more)
		return;		/* one record: one frame; the last decides */
	if (rc == RC_OK)
		rc = status_rc(status);
	if (rc == RC_OK && !rpc_unpack(body, RPC_WANT_U64("version", &version),
	    RPC_WANT_BYTES("record", &record)))
		rc = RC_SYNTAX;
	c->cb(c->arg, rc, version, record);
	free(c);
}

enum rc
engine_reseal(struct engine *e, const char *app, engine_reseal_cb *cb,
    void *arg)
{
	struct reseal_call *c;
	struct buffer body;
	uint64_t id;
	enum rc rc;

	obj_check(e, ENGINE_MAGIC);
	if (e->state != ENGINE_READY)
		return (RC_UNAVAILABLE);
	c = xcalloc(1, sizeof(*c));
	c->cb = cb;
	c->arg = arg;
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_STR("app", app));
	rc = rpc_link_call(e->link, RPC_OP_RESEAL, &body, CALL_TIMEOUT_MS,
	    on_resealed, c, &id);
	buffer_fini(&body);
	if (rc == RC_OK)
		return (RC_OK);
	free(c);
	return (RC_UNAVAILABLE);
}

static void
on_draining_set(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct drain_call *c = arg;
	struct engine *e = c->engine;

	(void)body;
	if (rc == RC_OK && more)
		return;
	if (rc == RC_OK)
		rc = status_rc(status);
	if (rc == RC_OK) {
		log_info("engine draining=%s", c->on ? "on" : "off");
		e->drain_wish = e->facts.draining = c->on;
	}
	if (c->cb != NULL)
		c->cb(c->arg, rc);
	free(c);
	if (rc == RC_OK) {
		engine_ask(e);
		e->ops->on_change(e->arg);
	}
}

enum rc
engine_set_draining(struct engine *e, bool on, engine_load_cb *cb, void *arg)
{
	struct drain_call *c;
	struct buffer body;
	uint64_t id;
	enum rc rc;

	obj_check(e, ENGINE_MAGIC);
	if (e->state != ENGINE_READY)
		return (RC_UNAVAILABLE);
	c = xcalloc(1, sizeof(*c));
	*c = (struct drain_call){ e, on, cb, arg };
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_BOOL("on", on));
	rc = rpc_link_call(e->link, RPC_OP_SET_DRAINING, &body,
	    CALL_TIMEOUT_MS, on_draining_set, c, &id);
	buffer_fini(&body);
	if (rc == RC_OK)
		return (RC_OK);
	free(c);
	return (RC_UNAVAILABLE);
}

bool
engine_is_draining(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->drain_wish || (e->facts.known && e->facts.draining));
}

/* ---- statistics ------------------------------------------------------------------- */

static bool
facts_equal(const struct engine_facts *a, const struct engine_facts *b)
{
	return (a->known == b->known && a->draining == b->draining &&
	    a->resealing == b->resealing && a->apps == b->apps &&
	    a->resealed == b->resealed && a->keys_epoch == b->keys_epoch &&
	    a->has_checksum == b->has_checksum &&
	    memcmp(a->checksum, b->checksum, sizeof(a->checksum)) == 0);
}

static void
on_statistics(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct engine *e = arg;
	struct engine_facts before = e->facts;

	obj_check(e, ENGINE_MAGIC);
	if (rc == RC_OK && more)
		return;
	e->asking = false;
	if (rc != RC_OK || status != RPC_STATUS_OK)
		return;		/* the old numbers stand, and grow old; a dead
				   link is noticed by its own stall timer */
	engine_stats_read(body, &e->statistics, &e->facts);
	e->t_answered_ms = e->t_heard_ms = clock_mono_ms();
	if (e->ask_again)
		engine_ask(e);
	if (e->draining || !facts_equal(&before, &e->facts))
		e->ops->on_change(e->arg);
}

void
engine_ask(struct engine *e)
{
	struct buffer body;
	uint64_t id;

	obj_check(e, ENGINE_MAGIC);
	e->ask_again = e->asking;
	if (e->asking || !engine_is_loaded(e))
		return;
	buffer_init(&body, 0, false);
	e->asking = rpc_link_call(e->link, RPC_OP_GET_STATISTICS, &body,
	    CALL_TIMEOUT_MS, on_statistics, e, &id) == RC_OK;
	buffer_fini(&body);
}

/* ---- the tick --------------------------------------------------------------------- */

static void
on_reloaded(void *arg, enum rc rc)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	e->reloading = false;
	if (rc == RC_OK)
		e->ops->on_change(e->arg);
}

/* One record that is on disk and not active, if there is one. */
static void
reload_missing(struct engine *e)
{
	struct record_entry *entry = NULL;
	struct buffer record;

	if (e->reloading)
		return;
	for (size_t i = 0; i < record_store_count(e->store); i++) {
		entry = record_store_at(e->store, i);
		if (!entry->damaged && !entry->refused &&
		    entry->active < entry->version)
			break;
		entry = NULL;
	}
	if (entry == NULL)
		return;
	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	if (record_store_read(e->store, entry, &record) == RC_OK)
		e->reloading = engine_load(e, (struct span){
		    buffer_data(&record), buffer_len(&record) }, on_reloaded,
		    e) == RC_OK;
	buffer_fini(&record);
}

void
engine_on_tick(void *arg)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	if (!engine_is_loaded(e))
		return;
	timer_start_ms(&e->tick, e->draining ? TICK_DRAIN_MS : TICK_MS);
	engine_ask(e);
	reload_missing(e);
	/* One that restarted does not remember what it was told. */
	if (e->drain_wish && e->facts.known && !e->facts.draining &&
	    engine_set_draining(e, true, NULL, NULL) != RC_OK)
		log_debug("engine draining not set yet");
	if (e->state == ENGINE_UNEQUAL)
		engine_compare(e);
}
