/*
 * helper/engine_fill.c - LoadRecords in batches in the order of app ids,
 * Checksum, SetReady.
 *
 * Some batches are in flight at a time: while the engine opens one we read the
 * next from disk, and an engine with several threads opens several.  A batch
 * that is refused as a whole is sent again record by record, to find the one
 * that is to blame.
 */
#include "e3/helper/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

#define BATCH_BYTES_MAX		(4u << 20)	/* three of them: half a frame */
#define BATCH_RECORDS_MAX	1024	/* so that a reply is one frame */
#define BATCHES_MAX		3	/* one is opened, one waits, one is read */

/* Records of (after, upto]; owned by its call. */
struct batch {
	struct engine	*engine;		/* borrowed: cancels us */
	char		after[RPC_APP_ID_BYTES];	/* loaded up to here */
	char		sent[RPC_APP_ID_BYTES];	/* in flight up to here */
	char		upto[RPC_APP_ID_BYTES];
	unsigned	n;			/* in flight */
	bool		one_by_one;
};

static void fill_more(struct engine *);

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
    rpc_reply_cb *cb)
{
	uint64_t id;
	enum rc rc;

	rc = rpc_link_call(e->link, op, body, CALL_TIMEOUT_MS, cb, e, &id);
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
	crash_point("engine.ready");
	log_info("engine ready records=%zu refused=%zu",
	    record_store_count(e->store), count_refused(e));
	e->backoff_ms = BACKOFF_MIN_MS;
	e->failures = 0;
	e->unequal_told = false;
	timer_start_ms(&e->tick, e->draining ? TICK_DRAIN_MS : 0);
	engine_set_state(e, ENGINE_READY);
}

static void
set_ready(struct engine *e, const uint8_t sum[ENGINE_CHECKSUM_BYTES])
{
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "checksum");
	rpc_put_bin(&body, (struct span){ (const char *)sum, ENGINE_CHECKSUM_BYTES });
	engine_set_state(e, ENGINE_SETTING_READY);
	call_or_start_over(e, RPC_OP_SET_READY, &body, on_set_ready);
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
	uint8_t want[ENGINE_CHECKSUM_BYTES];
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
	if (got.len != ENGINE_CHECKSUM_BYTES ||
	    memcmp(got.p, want, ENGINE_CHECKSUM_BYTES) != 0)
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
	call_or_start_over(e, RPC_OP_CHECKSUM, &body, on_checksum);
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

/* The one record of this call opens, but the engine uses a higher version or
 * other bytes.  Not refused: the checksum says that we differ, a record of
 * Redis or a restart of the engine heals it, loading it again does not. */
static void
note_conflict(const struct batch *b)
{
	struct record_entry *entry =
	    record_store_find(b->engine->store, b->sent);

	if (entry == NULL)
		return;
	entry->active = entry->version;
	log_error("engine uses another record app=%s disk=%llu", entry->app,
	    (unsigned long long)entry->version);
}

static void
refuse_rest(const struct batch *b)
{
	struct record_store *s = b->engine->store;

	for (size_t i = record_store_after(s, b->after);
	    i < record_store_count(s); i++) {
		struct record_entry *entry = record_store_at(s, i);

		if (strcmp(entry->app, b->sent) > 0)
			break;
		if (entry->damaged || entry->active >= entry->version)
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

/* ---- batches ------------------------------------------------------------------ */

/* Read the next records of the batch, encoded one after the other. */
static void
gather(struct batch *b, struct buffer *items)
{
	struct record_store *s = b->engine->store;
	unsigned max = b->one_by_one ? 1 : BATCH_RECORDS_MAX;
	struct buffer record;

	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	b->n = 0;
	for (size_t i = record_store_after(s, b->after);
	    i < record_store_count(s) && b->n < max; i++) {
		struct record_entry *entry = record_store_at(s, i);

		if (b->one_by_one && strcmp(entry->app, b->upto) > 0)
			break;
		if (entry->damaged)
			continue;
		if (b->n != 0 &&
		    buffer_len(items) + entry->bytes > BATCH_BYTES_MAX)
			break;
		buffer_clear(&record);
		if (record_store_read(s, entry, &record) != RC_OK) {
			entry->damaged = true;
			log_error("record changed behind our back app=%s; the "
			    "file is left as it is", entry->app);
			continue;
		}
		rpc_put_bin(items, (struct span){ buffer_data(&record),
		    buffer_len(&record) });
		memcpy(b->sent, entry->app, sizeof(b->sent));
		b->n++;
	}
	buffer_fini(&record);
}

static void
batch_free(struct batch *b)
{
	b->engine->batches--;
	free(b);
}

static rpc_reply_cb on_loaded;

/* The next call of this batch.  False: nothing is left of it, or the link is
 * lost; it is gone then. */
static bool
batch_send(struct batch *b)
{
	struct engine *e = b->engine;
	struct buffer items, body;
	enum rc rc = RC_OK;
	uint64_t id;

	buffer_init(&items, 0, false);
	buffer_init(&body, 0, false);
	gather(b, &items);
	if (b->n != 0) {
		rpc_put_map(&body, 1);
		rpc_put_str(&body, "records");
		rpc_put_array(&body, b->n);
		buffer_put(&body, buffer_data(&items), buffer_len(&items));
		rc = rpc_link_call(e->link, RPC_OP_LOAD_RECORDS, &body,
		    LOAD_TIMEOUT_MS, on_loaded, b, &id);
	}
	buffer_fini(&items);
	buffer_fini(&body);
	if (b->n != 0 && rc == RC_OK)
		return (true);
	batch_free(b);
	if (rc != RC_OK)
		start_over(e, "LoadRecords", rc, RPC_STATUS_OK);
	return (false);
}

static void
on_loaded(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct batch *b = arg;
	struct engine *e = b->engine;

	obj_check(e, ENGINE_MAGIC);
	if (rc != RC_OK ||
	    (status != RPC_STATUS_OK && !engine_status_blames_records(status))) {
		batch_free(b);
		if (!link_ended(rc))
			start_over(e, "LoadRecords", rc, status);
		return;
	}
	if (status != RPC_STATUS_OK && b->n > 1) {
		b->one_by_one = true;	/* find the one */
		memcpy(b->upto, b->sent, sizeof(b->upto));
		(void)batch_send(b);
		return;
	}
	if (status == RPC_STATUS_OK)
		note_active(e, body);
	if (more)
		return;
	if (status == RPC_STATUS_CONFLICT)
		note_conflict(b);
	refuse_rest(b);
	memcpy(b->after, b->sent, sizeof(b->after));
	if (b->one_by_one) {
		if (batch_send(b) || e->state != ENGINE_LOADING)
			return;
	} else
		batch_free(b);
	fill_more(e);
}

/* As many batches as may be in flight; after the last one, compare. */
static void
fill_more(struct engine *e)
{
	while (!e->all_sent && e->batches < BATCHES_MAX) {
		struct batch *b = xcalloc(1, sizeof(*b));

		b->engine = e;
		e->batches++;
		memcpy(b->after, e->sent, sizeof(b->after));
		if (!batch_send(b)) {
			if (e->state != ENGINE_LOADING)
				return;		/* the link is lost */
			e->all_sent = true;
		} else
			memcpy(e->sent, b->sent, sizeof(e->sent));
	}
	if (e->all_sent && e->batches == 0)
		engine_compare(e);
}

void
engine_fill(struct engine *e)
{
	ensure(e->batches == 0);
	e->sent[0] = '\0';
	e->all_sent = false;
	for (size_t i = 0; i < record_store_count(e->store); i++)
		record_store_at(e->store, i)->refused = false;
	engine_set_state(e, ENGINE_LOADING);
	fill_more(e);
}
