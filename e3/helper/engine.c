/*
 * helper/engine.c - connect, load, compare, set ready; then keep it so.
 *
 *   DOWN -> CONNECTING -> LOADING -> COMPARING -> SETTING_READY -> READY
 *     ^                                  |                           |
 *     |                                  +-> UNEQUAL (asked again)   |
 *     +--- link lost, from anywhere: pause, connect, all again <-----+
 *
 * An engine that restarted knows nothing, one that did not knows more than it
 * is told: loading everything after each connect is right for both, and one
 * code path.  A record that the engine cannot open is named, left out of the
 * checksum and does not keep the others from serving; if it can open none, the
 * root key is not the one that sealed them, and it is not set ready.
 *
 * The start itself is engine_fill.c.  Every tick (2 s) statistics are asked for, and a record that is on disk but
 * not active (its LoadRecords timed out) is loaded again.
 */
#include "e3/helper/engine.h"

#include <stdlib.h>
#include <string.h>

#include "e3/helper/engine_private.h"
#include "e3/helper/engine_stats.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define BACKOFF_MAX_MS		2000

/* A single load in flight; owned by its call. */
struct load {
	struct engine	*engine;		/* borrowed: cancels us */
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;
	engine_load_cb	*cb;
	void		*arg;
};

const char *
engine_state_name(enum engine_state state)
{
	switch (state) {
	case ENGINE_DOWN:
		return ("down");
	case ENGINE_CONNECTING:
		return ("connecting");
	case ENGINE_LOADING:
		return ("loading");
	case ENGINE_COMPARING:
		return ("comparing");
	case ENGINE_SETTING_READY:
		return ("setting-ready");
	case ENGINE_UNEQUAL:
		return ("unequal");
	case ENGINE_READY:
		return ("ready");
	}
	return ("unknown");
}

void
engine_set_state(struct engine *e, enum engine_state state)
{
	if (e->state == state)
		return;
	log_debug("engine state=%s was=%s", engine_state_name(state),
	    engine_state_name(e->state));
	e->state = state;
	e->ops->on_change(e->arg);
}

/* ---- the link comes and goes ------------------------------------------------ */

/* Full jitter: half the pause is fixed, half is chance. */
static void
pause_then_connect(struct engine *e)
{
	unsigned half = e->backoff_ms / 2;

	if (e->draining)
		return;
	timer_start_ms(&e->retry, half + random_below(half + 1));
	e->backoff_ms = e->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS :
	    e->backoff_ms * 2;
}

void
engine_link_lost(struct engine *e, const char *why)
{
	/* One line per outage, not one per attempt. */
	if (e->failures++ == 0)
		log_warn("engine link lost in=%s why=%s",
		    engine_state_name(e->state), why);
	else
		log_debug("engine link failed in=%s why=%s",
		    engine_state_name(e->state), why);
	timer_stop(&e->tick);
	rpc_link_close(&e->link);	/* loads in flight: RC_CANCELLED */
	e->reloading = e->asking = false;
	for (size_t i = 0; i < record_store_count(e->store); i++)
		record_store_at(e->store, i)->active = 0;
	pause_then_connect(e);
	engine_set_state(e, ENGINE_DOWN);
}

static void
on_down(void *arg, const char *why)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	engine_link_lost(e, why);
}

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	log_info("engine link up engine=%s serial=%s", peer->name,
	    peer->serial);
	engine_fill(e);
}

static const struct rpc_link_ops link_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

static void
connect_now(struct engine *e)
{
	struct rpc_link_config config = {
		.addr = e->config.addr,
		.ctx = e->config.ctx,
		.stall_ms = RPC_LINK_STALL_MS,
		.connect_ms = RPC_LINK_CONNECT_MS,
		.max_calls = RPC_CALLS_MAX,
	};

	engine_set_state(e, ENGINE_CONNECTING);
	e->link = rpc_link_open(e->loop, &config, &link_ops, e);
}

static void
on_retry(void *arg)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	if (!e->draining)
		connect_now(e);
}

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

/* ---- the tick -------------------------------------------------------------------- */

static void
on_statistics(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	if (rc == RC_OK && more)
		return;
	e->asking = false;
	if (rc != RC_OK || status != RPC_STATUS_OK)
		return;		/* the old numbers stand; a dead link is
				   noticed by its own stall timer */
	engine_stats_json(body, &e->statistics, &e->links);
	if (e->draining)
		e->ops->on_change(e->arg);
}

static void
ask_statistics(struct engine *e)
{
	struct buffer body;
	uint64_t id;

	if (e->asking)
		return;
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	e->asking = rpc_link_call(e->link, RPC_OP_GET_STATISTICS, &body,
	    CALL_TIMEOUT_MS, on_statistics, e, &id) == RC_OK;
	buffer_fini(&body);
}

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

static void
on_tick(void *arg)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	if (!engine_is_loaded(e))
		return;
	timer_start_ms(&e->tick, e->draining ? TICK_DRAIN_MS : TICK_MS);
	ask_statistics(e);
	reload_missing(e);
	if (e->state == ENGINE_UNEQUAL)
		engine_compare(e);
}

/* ---- life ------------------------------------------------------------------------- */

struct engine *
engine_new(struct loop *loop, const struct engine_config *config,
    struct record_store *store, const struct engine_ops *ops, void *arg)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	e->magic = ENGINE_MAGIC;
	e->loop = loop;
	e->config = *config;
	e->store = store;
	e->ops = ops;
	e->arg = arg;
	e->state = ENGINE_DOWN;
	e->backoff_ms = BACKOFF_MIN_MS;
	buffer_init(&e->statistics, 0, false);
	buffer_puts(&e->statistics, "{}");
	timer_init(&e->retry, loop, on_retry, e);
	timer_init(&e->tick, loop, on_tick, e);
	timer_start_ms(&e->retry, 0);
	return (e);
}

void
engine_free(struct engine **ep)
{
	struct engine *e = *ep;

	if (e == NULL)
		return;
	obj_check(e, ENGINE_MAGIC);
	rpc_link_close(&e->link);
	*ep = NULL;
	timer_fini(&e->retry);
	timer_fini(&e->tick);
	buffer_fini(&e->statistics);
	e->magic = 0;
	free(e);
}

enum engine_state
engine_state(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->state);
}

bool
engine_is_up(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->state != ENGINE_DOWN && e->state != ENGINE_CONNECTING);
}

bool
engine_is_loaded(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->state == ENGINE_UNEQUAL || e->state == ENGINE_READY);
}

void
engine_drain(struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	e->draining = true;
	e->links = 0;		/* what was said before does not count */
	timer_stop(&e->retry);
	if (engine_is_loaded(e))
		timer_start_ms(&e->tick, 0);
}

bool
engine_is_left_alone(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->draining && (e->state == ENGINE_DOWN || e->links == 1));
}

struct span
engine_statistics(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return ((struct span){ buffer_data(&e->statistics),
	    buffer_len(&e->statistics) });
}
