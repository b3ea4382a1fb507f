/*
 * helper/engine_fill.c - LoadRecords batch by batch in the order of app ids,
 * Checksum, SetReady.  A batch that is refused as a whole is sent again one by
 * one, to find the record that is to blame.
 */
#include "e3/helper/engine_private.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"

#define BATCH_BYTES_MAX		(8u << 20)	/* a quarter of a frame */
#define BATCH_RECORDS_MAX	4096	/* so that a reply is one frame */
#define CHECKSUM_BYTES		32

static void load_next(struct engine *);

/* A step of the start failed: nothing to repair in place, begin anew. */
static void
start_over(struct engine *e, const char *op, enum rc rc,
    enum rpc_status status)
{
	if (e->failures == 0)
		log_error("engine start failed op=%s rc=%s status=%s", op,
		    rc_name(rc), rpc_status_name(status));
	engine_link_lost(e, "start failed");
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
	engine_set_state(e, ENGINE_READY);
}

static void
set_ready(struct engine *e, const uint8_t sum[CHECKSUM_BYTES])
{
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "checksum");
	rpc_put_bin(&body, (struct span){ (const char *)sum, CHECKSUM_BYTES });
	engine_set_state(e, ENGINE_SETTING_READY);
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
	engine_set_state(e, ENGINE_UNEQUAL);
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

void
engine_compare(struct engine *e)
{
	size_t n = record_store_count(e->store), refused = count_refused(e);
	struct buffer body;

	if (refused != 0 && refused == n) {
		unequal(e, "it opens none of our records: another root key?");
		return;
	}
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	engine_set_state(e, ENGINE_COMPARING);
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

bool
engine_status_blames_records(enum rpc_status status)
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
	    (status != RPC_STATUS_OK && !engine_status_blames_records(status))) {
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
		engine_compare(e);
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

void
engine_fill(struct engine *e)
{
	e->done[0] = '\0';
	e->batch_max = BATCH_RECORDS_MAX;
	for (size_t i = 0; i < record_store_count(e->store); i++)
		record_store_at(e->store, i)->refused = false;
	engine_set_state(e, ENGINE_LOADING);
	load_next(e);
}
