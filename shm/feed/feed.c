/* shm/feed/feed.c - what is applied, what is held back, what is told. */
#include "shm/feed/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "shm/feed/apply.h"
#include "shm/feed/change.h"
#include "shm/feed/check.h"
#include "shm/feed/control.h"
#include "shm/feed/engines_ask.h"
#include "shm/feed/key_check.h"
#include "shm/feed/manage.h"
#include "shm/feed/redis.h"
#include "shm/feed/writer.h"

/* relay:nodes lists no more: a hash of 10,000 broken records is one fact. */
#define ERRORS_MAX	100
#define LOG_AGAIN_MS	60000	/* a server that stays away, a disk that is full */
#define RETRY_FIRST_MS	1000	/* room may be made at any moment, */
#define RETRY_MAX_MS	30000	/* but a try reads all of Redis */
#define FIELD_TEXT_BYTES	128	/* of a damaged name in a log line */

static void on_retry(void *);

static size_t
live_relays(const struct feed *f)
{
	return (sync_live_count(f->index, TABLE_RELAYS));
}

static size_t
live_egress(const struct feed *f)
{
	return (sync_live_count(f->index, TABLE_EGRESS));
}

enum rc
feed_init(struct feed *f, struct loop *loop, struct shm_map *map)
{
	bool had_state;
	uint64_t epoch;
	enum rc rc;

	memset(f, 0, sizeof(*f));
	f->magic = FEED_MAGIC;
	f->loop = loop;
	f->map = map;
	f->index = sync_index_new();
	f->changes = feed_changes_new(f);
	f->engines = xcalloc(1, sizeof(*f->engines));
	timer_init(&f->retry, loop, on_retry, f);
	if ((rc = apply_load(map, f->index, &had_state)) != RC_OK ||
	    (rc = engines_load(map, f->engines)) != RC_OK)
		return (rc);
	if ((rc = shm_map_begin(map, &epoch)) != RC_OK)
		return (rc);
	shm_map_end(map);
	f->epoch = epoch;
	log_info("map open relays=%zu damaged=%zu egress=%zu engines=%zu "
	    "epoch=%llu state=%s", live_relays(f),
	    sync_damaged_count(f->index), live_egress(f), f->engines->n,
	    (unsigned long long)epoch, had_state ? "synced" : "new");
	return (RC_OK);
}

void
feed_fini(struct feed *f)
{
	feed_check_free(&f->check);
	key_check_free(&f->keys);		/* these two answer by the others */
	feed_changes_free(&f->changes);
	feed_manage_free(&f->manage);
	feed_control_free(&f->control);
	feed_redis_free(&f->redis);
	feed_engines_free(&f->engines_ask);
	feed_writer_free(&f->writer);
	timer_fini(&f->retry);
	sync_index_free(&f->index);
	free(f->engines);
	shm_map_close(&f->map);
	f->magic = 0;
}

/* A burst of hints that fail is one failure, or the wait would be at its
 * longest before it began. */
static void
next_retry(struct feed *f, uint64_t now)
{
	if (f->retry_ms != 0 && now - f->tried_ms < f->retry_ms)
		return;
	f->tried_ms = now;
	f->retry_ms = f->retry_ms == 0 ? RETRY_FIRST_MS : f->retry_ms * 2;
	if (f->retry_ms > RETRY_MAX_MS)
		f->retry_ms = RETRY_MAX_MS;
}

/* What is in the map serves; whatever else there is waits for room, or for who
 * asked without Redis to ask again. */
static void
on_no_room(struct feed *f)
{
	uint64_t now = clock_mono_ms();
	bool again = f->retry_ms != 0;

	next_retry(f, now);
	(void)snprintf(f->no_room, sizeof(f->no_room), "%s",
	    shm_map_why(f->map));
	if (f->redis != NULL)
		f->synced = false;
	if (again && now - f->told_ms < LOG_AGAIN_MS)
		return;
	f->told_ms = now;
	log_error("map not written rc=%s why=\"%s\" relays=%zu: the old map "
	    "serves; make room, it is tried again", rc_name(RC_LIMIT),
	    f->no_room, live_relays(f));
}

static void
room_again(struct feed *f)
{
	if (f->retry_ms == 0)
		return;
	f->retry_ms = 0;
	log_info("map written again relays=%zu", live_relays(f));
}

/* A write failed: what is in the map serves. */
static void
not_written(struct feed *f, enum rc rc)
{
	if (rc == RC_LIMIT) {
		on_no_room(f);
	} else if (rc == RC_CORRUPT || rc == RC_IO) {
		log_error("map not written rc=%s why=\"%s\": starting again",
		    rc_name(rc), shm_map_why(f->map));
		f->broken = true;	/* the next start verifies the map */
		loop_stop(f->loop);
	} else {
		log_error("map not written rc=%s relays=%zu: the old map serves",
		    rc_name(rc), live_relays(f));
	}
}

/* One transaction and the consequences of its result. */
static enum rc
apply(struct feed *f, struct sync_changes *list, const char *source)
{
	struct apply_result res;
	enum rc rc;

	obj_check(f, FEED_MAGIC);
	rc = apply_changes(f->map, f->index, list, source, &res);
	sync_changes_fini(list);
	if (rc != RC_OK) {
		not_written(f, rc);
		return (rc);
	}
	if (source != NULL || f->redis == NULL)
		room_again(f);		/* a hint may fit where others did not */
	f->applied_ms = clock_wall_ms();
	if (res.epoch != 0) {
		f->epoch = res.epoch;
		log_info("applied put=%zu removed=%zu unchanged=%zu refused=%zu"
		    " relays=%zu egress=%zu epoch=%llu", res.put, res.removed,
		    res.unchanged, res.refused, live_relays(f), live_egress(f),
		    (unsigned long long)res.epoch);
	}
	if (f->writer != NULL)
		feed_writer_report(f->writer);
	feed_changes_wake(f->changes);
	return (RC_OK);
}

enum rc
feed_start_alone(struct feed *f)
{
	struct sync_changes none = STAILQ_HEAD_INITIALIZER(none);
	enum rc rc;

	if ((rc = apply(f, &none, "empty")) == RC_LIMIT)
		timer_start_ms(&f->retry, f->retry_ms);
	if (rc != RC_OK)
		return (rc);
	f->synced = true;
	feed_engines_none(f);
	return (RC_OK);
}

static void
on_retry(void *arg)
{
	(void)!feed_start_alone(arg);	/* it says so itself */
}

/* ---- engines ------------------------------------------------------------------------ */

/* Neither counted nor told with the relays: they come and go by themselves. */
void
feed_engines_write(struct feed *f)
{
	struct engines_result res;
	enum rc rc;

	obj_check(f, FEED_MAGIC);
	rc = engines_apply(f->map, f->engines, &res);
	if (rc == RC_LIMIT) {
		if (!f->engines_no_room)
			log_error("engines not written why=\"%s\": workers use "
			    "those they know; it is tried again",
			    shm_map_why(f->map));
		f->engines_no_room = true;
		return;
	}
	f->engines_no_room = false;
	if (rc != RC_OK) {
		not_written(f, rc);
		return;
	}
	if (res.epoch == 0)
		return;
	f->epoch = res.epoch;
	log_info("engines put=%zu removed=%zu engines=%zu epoch=%llu", res.put,
	    res.removed, f->engines->n, (unsigned long long)res.epoch);
}

void
feed_engines_none(struct feed *f)
{
	f->engines->n = 0;
	feed_engines_write(f);
}

/* ---- records ------------------------------------------------------------------------ */

bool
feed_note(struct feed *f, struct sync_changes *list, struct span key,
    const struct span *value)
{
	const struct sync_entry *e = sync_find(f->index, key);

	if (e != NULL && e->live && !apply_readable(f->map, key))
		(void)sync_set_damaged(f->index, key);
	return (sync_note(f->index, list, key, value));
}

static void
record_damaged(struct feed *f, struct span key)
{
	const struct table_form *t = table_form(table_of(key));
	static struct log_rate rate;
	char field[FIELD_TEXT_BYTES];
	unsigned suppressed;

	if (!sync_set_damaged(f->index, key))
		return;		/* Redis was asked, and has nothing better */
	if (log_rate_ok(&rate, 1, &suppressed))
		log_error("%s record damaged %s=\"%s\" suppressed=%u: %s",
		    t->record, t->field,
		    apply_printable(table_field(key), field, sizeof(field)),
		    suppressed, f->redis != NULL ? "read again from Redis" :
		    table_of(key) == TABLE_RELAYS ?
		    "relayctl relay put repairs it" :
		    "relayctl egress set repairs it");
	if (f->redis != NULL)
		feed_redis_hint(f->redis, key);
}

void
feed_damaged(struct feed *f, const char *key)
{
	obj_check(f, FEED_MAGIC);
	if (strncmp(key, SHM_ENGINES, strlen(SHM_ENGINES)) == 0) {
		log_warn("engine record damaged: written again");
		feed_engines_write(f);
		return;
	}
	if (strncmp(key, SHM_RELAYS, strlen(SHM_RELAYS)) == 0 ||
	    strncmp(key, SHM_EGRESS, strlen(SHM_EGRESS)) == 0)
		record_damaged(f, span_of(key));
	else if (f->redis != NULL)		/* sync/state */
		feed_redis_compare(f->redis);
	else
		(void)!feed_start_alone(f);
}

enum rc
feed_apply(struct feed *f, struct sync_changes *list)
{
	return (apply(f, list, NULL));
}

/* Each table by itself: a hash that is lost is not small beside another. */
static bool
may_remove(struct feed *f, const size_t removals[TABLES],
    const size_t single[TABLES])
{
	for (unsigned t = 0; t < TABLES; t++)
		if (!sync_may_remove(sync_live_count(f->index, (enum table)t),
		    removals[t], single[t], f->max_delete_percent))
			return (false);
	return (true);
}

bool
feed_read_done(struct feed *f, struct sync_changes *list,
    const size_t single[TABLES], bool accept)
{
	size_t of[TABLES] = { 0 }, removals = 0;
	const struct sync_change *c;

	obj_check(f, FEED_MAGIC);
	STAILQ_FOREACH(c, list, link) {
		of[table_of(c->key)] += c->remove ? 1 : 0;
		removals += c->remove ? 1 : 0;
	}
	/* What was accepted is what status showed: a hash that was emptied
	 * since then is held back again. */
	if (!(accept && removals <= f->pending_delete) &&
	    !may_remove(f, of, single)) {
		if (f->pending_delete != removals)
			log_error("full read held back removals=%zu relays=%zu "
			    "egress=%zu max_delete_percent=%u: the old map "
			    "serves; relayctl sync --accept applies it",
			    removals, live_relays(f), live_egress(f),
			    f->max_delete_percent);
		f->pending_delete = removals;
		f->synced = false;
		sync_changes_fini(list);
		return (false);
	}
	if (f->pending_delete != 0)
		log_info("full read no longer held back removals=%zu", removals);
	f->pending_delete = 0;
	if (apply(f, list, "redis") != RC_OK)
		return (false);
	f->synced = true;
	return (true);
}

void
feed_log_down(uint64_t *last_ms, const char *what, bool was_up,
    const char *server, const char *why)
{
	uint64_t now = clock_mono_ms();

	if (!was_up && *last_ms != 0 && now - *last_ms < LOG_AGAIN_MS) {
		log_debug("%s server=%s why=\"%s\"", what, server, why);
		return;
	}
	*last_ms = now;
	log_warn("%s %s server=%s why=\"%s\": the last good configuration "
	    "serves", what, was_up ? "lost" : "unreachable", server, why);
}

/* ---- what is told ---------------------------------------------------------------- */

struct errors {
	struct body_json_writer	*w;
	struct buffer		*out;
	unsigned		n;
};

static bool
put_error(void *arg, const struct sync_entry *e)
{
	struct errors *errs = arg;
	struct span key = { e->key, e->len };

	if (!e->refused && !e->damaged)
		return (true);
	if (errs->n == ERRORS_MAX || buffer_len(errs->out) > FEED_STATUS_BYTES)
		return (false);
	errs->n++;
	if (table_of(key) == TABLE_RELAYS)
		key = table_field(key);
	if (key.len > SYNC_PATH_BYTES)
		key.len = SYNC_PATH_BYTES;
	body_json_open_object(errs->w, NULL);
	body_json_put_string(errs->w, "key", key);
	body_json_put_str(errs->w, "path", e->refused ? e->path : "");
	body_json_put_str(errs->w, "reason", e->refused ? e->reason :
	    "the record in the map is damaged");
	body_json_close_object(errs->w);
	return (true);
}

static void
put_errors(struct feed *f, struct body_json_writer *w, struct buffer *out)
{
	struct errors errs = { .w = w, .out = out };

	body_json_open_array(w, "errors");
	sync_each(f->index, put_error, &errs);
	body_json_close_array(w);
	body_json_put_u64(w, "errors_total", sync_refused_count(f->index) +
	    sync_damaged_count(f->index));
}

static void
put_digest(struct feed *f, struct body_json_writer *w)
{
	char digest[2 * SYNC_HASH_BYTES + 1];

	sync_digest(f->index, digest);
	body_json_put_str(w, "digest", digest);
}

void
feed_status(struct feed *f, struct buffer *out)
{
	struct body_json_writer w;

	obj_check(f, FEED_MAGIC);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_bool(&w, "synced", f->synced);
	body_json_put_str(&w, "redis", f->redis == NULL ? "unset" :
	    feed_redis_is_up(f->redis) ? "up" : "down");
	body_json_put_u64(&w, "relays", live_relays(f));
	body_json_put_u64(&w, "egress", live_egress(f));
	put_digest(f, &w);
	body_json_put_u64(&w, "engines", f->engines->n);
	body_json_put_u64(&w, "epoch", f->epoch);
	body_json_put_u64(&w, "pending_delete", f->pending_delete);
	body_json_put_u64(&w, "damaged", sync_damaged_count(f->index));
	if (f->check != NULL)
		body_json_put_u64(&w, "checks", feed_check_count(f->check));
	if (f->retry_ms != 0)
		body_json_put_str(&w, "no_room", f->no_room);
	put_errors(f, &w, out);
	body_json_close_object(&w);
}

void
feed_report(struct feed *f, struct buffer *out)
{
	struct body_json_writer w;

	obj_check(f, FEED_MAGIC);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	put_digest(f, &w);
	body_json_put_u64(&w, "applied_ms", f->applied_ms);
	body_json_put_u64(&w, "relays", live_relays(f));
	body_json_put_u64(&w, "egress", live_egress(f));
	put_errors(f, &w, out);
	body_json_close_object(&w);
}
