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
 * Every tick (2 s) statistics are asked for, and a record that is on disk but
 * not active (its LoadRecords timed out) is loaded again.
 */
#include "e3/helper/engine.h"

#include <stdlib.h>
#include <string.h>

#include "e3/helper/engine_stats.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/timer.h"
#include "lib/rpc/link.h"

#define BATCH_BYTES_MAX		(8u << 20)	/* a quarter of a frame */
#define BATCH_RECORDS_MAX	4096	/* so that a reply is one frame */
#define LOAD_TIMEOUT_MS		30000	/* 8 MiB to decrypt on a busy engine */
#define CALL_TIMEOUT_MS		5000
#define TICK_MS			2000
#define TICK_DRAIN_MS		200
#define BACKOFF_MIN_MS		50	/* the engine starts when we do */
#define BACKOFF_MAX_MS		2000
#define CHECKSUM_BYTES		32

struct engine {
	unsigned		magic;
#define ENGINE_MAGIC		0x0e31f6a9
	struct loop		*loop;		/* borrowed: main's */
	struct engine_config	config;
	struct record_store	*store;		/* borrowed: outlives us */
	const struct engine_ops	*ops;		/* borrowed: static */
	void			*arg;		/* borrowed: owns us */
	struct rpc_link		*link;		/* owned; NULL while DOWN */
	enum engine_state	state;
	struct timer		retry;
	struct timer		tick;
	unsigned		backoff_ms;
	unsigned		failures;	/* since the last success */
	bool			draining;
	bool			reloading;	/* the tick's single load */
	bool			asking;		/* GetStatistics in flight */
	bool			unequal_told;
	uint64_t		links;		/* of the engine, last known */
	/* LOADING */
	char			done[RPC_APP_ID_BYTES];	/* loaded up to here */
	char			upto[RPC_APP_ID_BYTES];	/* batch in flight */
	unsigned		in_batch;
	unsigned		batch_max;	/* 1 once a batch was refused */
	struct buffer		statistics;	/* JSON */
};

/* A single load in flight; owned by its call. */
struct load {
	struct engine	*engine;		/* borrowed: cancels us */
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;
	engine_load_cb	*cb;
	void		*arg;
};

static void load_next(struct engine *);
static void connect_now(struct engine *);

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

static void
set_state(struct engine *e, enum engine_state state)
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

static void
link_lost(struct engine *e, const char *why)
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
	set_state(e, ENGINE_DOWN);
}

static void
on_down(void *arg, const char *why)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	link_lost(e, why);
}

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	log_info("engine link up engine=%s serial=%s", peer->name,
	    peer->serial);
	e->done[0] = '\0';
	e->batch_max = BATCH_RECORDS_MAX;
	for (size_t i = 0; i < record_store_count(e->store); i++)
		record_store_at(e->store, i)->refused = false;
	set_state(e, ENGINE_LOADING);
	load_next(e);
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

	set_state(e, ENGINE_CONNECTING);
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

/* A step of the start failed: nothing to repair in place, begin anew. */
static void
start_over(struct engine *e, const char *op, enum rc rc,
    enum rpc_status status)
{
	if (e->failures == 0)
		log_error("engine start failed op=%s rc=%s status=%s", op,
		    rc_name(rc), rpc_status_name(status));
	link_lost(e, "start failed");
}

/* The link itself ended: on_down follows (or we closed it), nothing to do. */
static bool
link_ended(enum rc rc)
{
	return (rc == RC_CANCELLED || rc == RC_UNAVAILABLE || rc == RC_SYNTAX);
}

static void
call_or_start_over(struct engine *e, enum rpc_op op, struct buffer *body,
    unsigned timeout_ms, rpc_reply_cb *cb)
{
	uint64_t id;
	enum rc rc;

	rc = rpc_link_call(e->link, op, body, timeout_ms, cb, e, &id);
	buffer_fini(body);
	if (rc != RC_OK)
		start_over(e, rpc_op_info(op)->name, rc, RPC_STATUS_OK);
}

/* ---- comparing, setting ready ------------------------------------------------ */

static size_t
count_refused(const struct engine *e)
{
	size_t n = 0;

	for (size_t i = 0; i < record_store_count(e->store); i++)
		n += record_store_at(e->store, i)->refused ? 1 : 0;
	return (n);
}

static void
on_set_ready(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct engine *e = arg;

	(void)body;
	obj_check(e, ENGINE_MAGIC);
	if (link_ended(rc) || (rc == RC_OK && more))
		return;
	if (rc != RC_OK || status != RPC_STATUS_OK) {
		start_over(e, "SetReady", rc, status);
		return;
	}
	log_info("engine ready records=%zu refused=%zu",
	    record_store_count(e->store), count_refused(e));
	e->backoff_ms = BACKOFF_MIN_MS;
	e->failures = 0;
	e->unequal_told = false;
	timer_start_ms(&e->tick, e->draining ? TICK_DRAIN_MS : 0);
	set_state(e, ENGINE_READY);
}

static void
set_ready(struct engine *e, const uint8_t sum[CHECKSUM_BYTES])
{
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "checksum");
	rpc_put_bin(&body, (struct span){ (const char *)sum, CHECKSUM_BYTES });
	set_state(e, ENGINE_SETTING_READY);
	call_or_start_over(e, RPC_OP_SET_READY, &body, CALL_TIMEOUT_MS,
	    on_set_ready);
}

static void
unequal(struct engine *e, const char *why)
{
	if (!e->unequal_told)
		log_error("engine not set ready why=%s records=%zu refused=%zu",
		    why, record_store_count(e->store), count_refused(e));
	e->unequal_told = true;
	timer_start_ms(&e->tick, e->draining ? TICK_DRAIN_MS : TICK_MS);
	set_state(e, ENGINE_UNEQUAL);
}

static void
on_checksum(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct engine *e = arg;
	uint8_t want[CHECKSUM_BYTES];
	struct span got;

	obj_check(e, ENGINE_MAGIC);
	if (link_ended(rc))
		return;
	if (rc != RC_OK || status != RPC_STATUS_OK || more ||
	    !rpc_get_bytes(rpc_map_get(body, "checksum"), &got)) {
		start_over(e, "Checksum", rc, status);
		return;
	}
	record_store_checksum(e->store, want);
	if (got.len != CHECKSUM_BYTES ||
	    memcmp(got.p, want, CHECKSUM_BYTES) != 0)
		unequal(e, "checksum-differs");
	else
		set_ready(e, want);
}

static void
compare(struct engine *e)
{
	size_t n = record_store_count(e->store), refused = count_refused(e);
	struct buffer body;

	if (refused != 0 && refused == n) {
		unequal(e, "it opens none of our records: another root key?");
		return;
	}
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	set_state(e, ENGINE_COMPARING);
	call_or_start_over(e, RPC_OP_CHECKSUM, &body, CALL_TIMEOUT_MS,
	    on_checksum);
}

/* ---- loading all -------------------------------------------------------------- */

/* Remember which versions the engine says it uses. */
static void
note_active(struct engine *e, const struct rpc_value *body)
{
	const struct rpc_value *active = rpc_map_get(body, "active"), *pair;
	size_t n = rpc_array_len(active);
	char app[RPC_APP_ID_BYTES];
	struct record_entry *entry;
	struct span id;
	uint64_t version;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		pair = rpc_array_at(active, i);
		if (!rpc_get_bytes(rpc_array_at(pair, 0), &id) ||
		    !rpc_get_u64(rpc_array_at(pair, 1), &version) ||
		    !span_copy(id, app, sizeof(app)))
			continue;
		if ((entry = record_store_find(e->store, app)) == NULL)
			continue;
		entry->active = version;
		if (version > entry->version)
			log_warn("engine is ahead of the disk app=%s "
			    "engine=%llu disk=%llu", app,
			    (unsigned long long)version,
			    (unsigned long long)entry->version);
	}
}

static bool
in_batch(const struct engine *e, const struct record_entry *entry)
{
	return (!entry->damaged && strcmp(entry->app, e->done) > 0 &&
	    strcmp(entry->app, e->upto) <= 0);
}

/* The one record of this batch opens, but the engine uses a higher version or
 * other bytes.  Not refused: the checksum says that we differ, a record of
 * Redis or a restart of the engine heals it, loading it again does not. */
static void
note_conflict(struct engine *e)
{
	struct record_entry *entry = record_store_find(e->store, e->upto);

	if (entry == NULL)
		return;
	entry->active = entry->version;
	log_error("engine uses another record app=%s disk=%llu", entry->app,
	    (unsigned long long)entry->version);
}

static void
refuse_rest(struct engine *e)
{
	for (size_t i = 0; i < record_store_count(e->store); i++) {
		struct record_entry *entry = record_store_at(e->store, i);

		if (!in_batch(e, entry) || entry->active >= entry->version)
			continue;
		entry->refused = true;
		log_error("record refused by the engine app=%s version=%llu",
		    entry->app, (unsigned long long)entry->version);
	}
}

/* Is the refusal about the records, or about the moment? */
static bool
status_blames_records(enum rpc_status status)
{
	return (status == RPC_STATUS_BAD_REQUEST ||
	    status == RPC_STATUS_LIMIT || status == RPC_STATUS_CONFLICT ||
	    status == RPC_STATUS_UNAUTHORIZED);
}

static void
on_loaded(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	if (link_ended(rc))
		return;
	if (rc != RC_OK ||
	    (status != RPC_STATUS_OK && !status_blames_records(status))) {
		start_over(e, "LoadRecords", rc, status);
		return;
	}
	if (status != RPC_STATUS_OK && e->in_batch > 1) {
		e->batch_max = 1;	/* find the one */
		load_next(e);
		return;
	}
	if (status == RPC_STATUS_OK)
		note_active(e, body);
	if (more)
		return;
	if (status == RPC_STATUS_CONFLICT)
		note_conflict(e);
	refuse_rest(e);
	memcpy(e->done, e->upto, sizeof(e->done));
	load_next(e);
}

/* The next records in id order, encoded one after the other. */
static unsigned
gather(struct engine *e, struct buffer *items)
{
	struct buffer record;
	unsigned n = 0;

	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	for (size_t i = 0; i < record_store_count(e->store); i++) {
		struct record_entry *entry = record_store_at(e->store, i);

		if (entry->damaged || strcmp(entry->app, e->done) <= 0)
			continue;
		if (n == e->batch_max ||
		    (n != 0 && buffer_len(items) + entry->bytes >
		    BATCH_BYTES_MAX))
			break;
		buffer_clear(&record);
		if (record_store_read(e->store, entry, &record) != RC_OK) {
			entry->damaged = true;
			log_error("record changed behind our back app=%s; the "
			    "file is left as it is", entry->app);
			continue;
		}
		rpc_put_bin(items, (struct span){ buffer_data(&record),
		    buffer_len(&record) });
		memcpy(e->upto, entry->app, sizeof(e->upto));
		n++;
	}
	buffer_fini(&record);
	return (n);
}

static void
load_next(struct engine *e)
{
	struct buffer items, body;

	buffer_init(&items, 0, false);
	buffer_init(&body, 0, false);
	e->in_batch = gather(e, &items);
	if (e->in_batch == 0) {
		buffer_fini(&items);
		compare(e);
		return;
	}
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "records");
	rpc_put_array(&body, e->in_batch);
	buffer_put(&body, buffer_data(&items), buffer_len(&items));
	buffer_fini(&items);
	call_or_start_over(e, RPC_OP_LOAD_RECORDS, &body, LOAD_TIMEOUT_MS,
	    on_loaded);
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
		return (status_blames_records(status) ? RC_DENIED :
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
		compare(e);
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
