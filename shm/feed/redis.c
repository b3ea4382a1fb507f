/*
 * shm/feed/redis.c - from messages and answers of Redis to changes.
 *
 * Two connections: `reader` answers HSCAN and HMGET; `subscriber` is a second
 * one to the same server (another replica could lag behind the hint).  What is
 * written goes another way: writer.c.  The order is fixed: subscribe, read
 * everything, then follow hints; a hint that comes during the read is followed
 * at once (sync_settle).  Losing either connection starts all over.
 */
#include "shm/feed/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "shm/feed/apply.h"
#include "shm/feed/change.h"
#include "shm/feed/engines_ask.h"

#define CHANNEL		"relay:updates"

#define COALESCE_MS	20	/* hints of one script become one transaction */
#define COMMAND_MS	10000	/* a piece may be slow on a busy server */
#define RETRY_MS	2000	/* after a full read that failed */
#define SCAN_COUNT	"64"	/* 64 relays of the largest size fit one reply */
#define BATCH_MAX	64	/* likewise for HMGET */
#define HINTS_MAX	4096	/* more at once: reading everything is cheaper */
#define CURSOR_BYTES	24	/* a u64 in decimal */
#define WHY_BYTES	160

struct hint {
	STAILQ_ENTRY(hint)	link;
	struct span		key;	/* view into bytes */
	char			bytes[];
};
STAILQ_HEAD(hints, hint);

struct feed_redis {
	unsigned		magic;
#define FEED_REDIS_MAGIC	0x2ed1f33d
	struct feed		*feed;		/* borrowed: owns us */
	int			db;
	unsigned		compare_ms;

	struct redis_endpoint	*reader;	/* owned */
	struct redis_client	*subscriber;	/* owned; NULL while down */
	unsigned		subscriptions;	/* answers still to come */
	bool			up;		/* subscribed */
	uint64_t		log_ms;	/* last line about it being away */

	/* full read */
	bool			reading;
	bool			read_again;	/* asked for during a read */
	bool			accept;		/* the next one skips the guard */
	bool			accepting;	/* this one does */
	enum table		table;		/* being read: one after another */
	size_t			single[TABLES];	/* HDELs since the last one began */
	size_t			single_before[TABLES];	/* those of before this */
	struct sync_changes	changes;
	struct timer		compare;

	/* hints */
	struct hints		hints;		/* owned; each key once */
	size_t			n_hints;
	bool			want_read;	/* a hint said: everything */
	struct timer		coalesce;
	struct hints		batch;		/* owned; being asked for: keys of
						   one table */
};

static void read_begin(struct feed_redis *);
static void batch_begin(struct feed_redis *);

/* The next full read, sooner while something waits for room. */
static void
compare_arm(struct feed_redis *r)
{
	unsigned retry_ms = r->feed->retry_ms;

	timer_start_ms(&r->compare, retry_ms != 0 && retry_ms < r->compare_ms ?
	    retry_ms : r->compare_ms);
}

/* ---- hints: a set of keys ------------------------------------------------------ */

static struct hint *
hint_new(struct span key)
{
	struct hint *h = xcalloc(1, sizeof(*h) + key.len);

	if (key.len > 0)
		memcpy(h->bytes, key.p, key.len);
	h->key.p = h->bytes;
	h->key.len = key.len;
	return (h);
}

static void
hints_fini(struct hints *list)
{
	struct hint *h;

	while ((h = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		free(h);
	}
}

static void
hints_clear(struct feed_redis *r)
{
	hints_fini(&r->hints);
	r->n_hints = 0;
	r->want_read = false;
	timer_stop(&r->coalesce);
}

static void
coalesce_arm(struct feed_redis *r)
{
	if (!timer_running(&r->coalesce))
		timer_start_ms(&r->coalesce, COALESCE_MS);
}

static void
hint_all(struct feed_redis *r)
{
	r->want_read = true;
	coalesce_arm(r);
}

/* Up to 4,096 are compared one by one: they come from people and scripts, and
 * at that number the list gives way to a full read. */
static void
hint_key(struct feed_redis *r, struct span key)
{
	struct hint *h;

	STAILQ_FOREACH(h, &r->hints, link)
		if (span_eq(h->key, key))
			return;
	if (r->n_hints == HINTS_MAX) {
		hint_all(r);
		return;
	}
	h = hint_new(key);
	STAILQ_INSERT_TAIL(&r->hints, h, link);
	r->n_hints++;
	coalesce_arm(r);
}

static void
hint_field(struct feed_redis *r, enum table t, struct span field)
{
	struct buffer key;

	buffer_init(&key, 0, false);
	hint_key(r, table_key(t, field, &key));
	buffer_fini(&key);
}

static void
on_coalesced(void *arg)
{
	struct feed_redis *r = arg;

	if (r->want_read) {
		r->want_read = false;
		read_begin(r);
	}
	batch_begin(r);
}

/* ---- one batch of hinted keys ------------------------------------------------------ */

/* What did not fit is read again with everything else: by the read that runs,
 * or by one that comes no later for hints that go on failing. */
static void
batch_write(struct feed_redis *r, struct sync_changes *list)
{
	bool waiting = r->feed->retry_ms != 0;

	if (feed_apply(r->feed, list) == RC_LIMIT && !waiting && !r->reading)
		compare_arm(r);
}

/* [value or nil, ...] in the order of r->batch. */
static void
batch_apply(struct feed_redis *r, const struct redis_value *v)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	const struct hint *h;
	size_t i = 0;

	STAILQ_FOREACH(h, &r->batch, link) {
		bool has = v->items[i].type == REDIS_STRING;

		sync_settle(r->feed->index, h->key);
		(void)feed_note(r->feed, &list, h->key,
		    has ? &v->items[i].text : NULL);
		i++;
	}
	hints_fini(&r->batch);
	if (!STAILQ_EMPTY(&list))
		batch_write(r, &list);
}

static void
on_batch(void *arg, enum rc rc, const struct redis_value *v)
{
	struct feed_redis *r = arg;
	char code[REDIS_CODE_BYTES];
	const struct hint *h;
	size_t n = 0;

	STAILQ_FOREACH(h, &r->batch, link)
		n++;
	if (rc == RC_OK && v->type == REDIS_ARRAY && v->n == n) {
		batch_apply(r, v);
		batch_begin(r);
		return;
	}
	hints_fini(&r->batch);
	if (rc != RC_OK)
		return;			/* the link is gone: all is read again */
	redis_value_error_code(v, code);
	log_warn("HMGET refused code=%s: hints are left to the next compare",
	    code[0] != '\0' ? code : "?");
}

/* The oldest hint, and others of its table. */
static enum table
batch_fill(struct feed_redis *r)
{
	struct hints rest = STAILQ_HEAD_INITIALIZER(rest);
	enum table t = table_of(STAILQ_FIRST(&r->hints)->key);
	struct hint *h;
	size_t n = 0;

	while ((h = STAILQ_FIRST(&r->hints)) != NULL && n < BATCH_MAX) {
		STAILQ_REMOVE_HEAD(&r->hints, link);
		if (table_of(h->key) != t) {
			STAILQ_INSERT_TAIL(&rest, h, link);
			continue;
		}
		r->n_hints--;
		STAILQ_INSERT_TAIL(&r->batch, h, link);
		n++;
	}
	STAILQ_CONCAT(&rest, &r->hints);
	STAILQ_CONCAT(&r->hints, &rest);
	return (t);
}

static void
batch_begin(struct feed_redis *r)
{
	struct redis_client *client = redis_endpoint_client(r->reader);
	struct span words[2 + BATCH_MAX];
	enum table t;
	struct hint *h;
	size_t n = 0;

	if (client == NULL || !STAILQ_EMPTY(&r->batch) || r->n_hints == 0)
		return;
	t = batch_fill(r);
	words[n++] = SPAN_LIT("HMGET");
	words[n++] = span_of(table_form(t)->hash);
	STAILQ_FOREACH(h, &r->batch, link)
		words[n++] = table_field(h->key);
	if (redis_command(client, COMMAND_MS, on_batch, r, n, words) != RC_OK)
		hints_fini(&r->batch);	/* on_down is on the way */
}

/* ---- full read -------------------------------------------------------------------------- */

static void
read_failed(struct feed_redis *r, const char *why)
{
	log_warn("full read failed why=\"%s\"", why);
	sync_read_abort(r->feed->index);
	sync_changes_fini(&r->changes);
	r->reading = false;
	if (r->accepting)
		feed_changes_read_done(r->feed->changes, false);
	r->accepting = false;
	timer_start_ms(&r->compare, RETRY_MS);
}

static void
read_complete(struct feed_redis *r)
{
	bool applied, accepting = r->accepting;

	(void)sync_read_end(r->feed->index, &r->changes);
	r->reading = false;
	r->accepting = false;
	applied = feed_read_done(r->feed, &r->changes, r->single, accepting);
	/* An HDEL during the read may concern a field that was seen before: it
	 * still counts for the next one. */
	for (unsigned t = 0; t < TABLES && applied; t++)
		r->single[t] -= r->single_before[t];
	compare_arm(r);
	if (accepting)
		feed_changes_read_done(r->feed->changes, applied);
	if (r->read_again || r->accept)
		read_begin(r);
}

/* [next cursor, [field, value, ...]] */
static bool
piece_is_sound(const struct redis_value *v)
{
	const struct redis_value *pairs;

	if (v->type != REDIS_ARRAY || v->n != 2 ||
	    v->items[0].type != REDIS_STRING ||
	    v->items[0].text.len >= CURSOR_BYTES)
		return (false);
	pairs = &v->items[1];
	if (pairs->type != REDIS_ARRAY || pairs->n % 2 != 0)
		return (false);
	for (size_t i = 0; i < pairs->n; i++)
		if (pairs->items[i].type != REDIS_STRING)
			return (false);
	return (true);
}

static void on_piece(void *, enum rc, const struct redis_value *);

static void
read_piece(struct feed_redis *r, const char *cursor)
{
	struct redis_client *client = redis_endpoint_client(r->reader);

	if (client == NULL || redis_commandl(client, COMMAND_MS, on_piece, r,
	    "HSCAN", table_form(r->table)->hash, cursor, "COUNT", SCAN_COUNT,
	    (char *)NULL) != RC_OK)
		read_failed(r, "the link is down");
}

static void
note_pairs(struct feed_redis *r, const struct redis_value *pairs)
{
	struct buffer key;

	buffer_init(&key, 0, false);
	for (size_t i = 0; i < pairs->n; i += 2)
		(void)sync_read_note(r->feed->index, &r->changes,
		    table_key(r->table, pairs->items[i].text, &key),
		    pairs->items[i + 1].text);
	buffer_fini(&key);
}

/* The piece was a table's last. */
static void
read_next_table(struct feed_redis *r)
{
	if (r->table == TABLES - 1) {
		read_complete(r);
		return;
	}
	r->table++;
	read_piece(r, "0");
}

static void
on_piece(void *arg, enum rc rc, const struct redis_value *v)
{
	struct feed_redis *r = arg;
	char why[REDIS_CODE_BYTES + 16], cursor[CURSOR_BYTES];

	if (rc != RC_OK) {
		read_failed(r, rc_name(rc));
		return;
	}
	if (!piece_is_sound(v)) {
		redis_value_error_code(v, cursor);
		(void)snprintf(why, sizeof(why), "%s: %s",
		    table_form(r->table)->hash,
		    cursor[0] != '\0' ? cursor : "no list");
		read_failed(r, why);
		return;
	}
	note_pairs(r, &v->items[1]);
	if (!span_copy(v->items[0].text, cursor, sizeof(cursor)))
		read_failed(r, "HSCAN: cursor");
	else if (strcmp(cursor, "0") == 0)
		read_next_table(r);
	else
		read_piece(r, cursor);
}

static void
read_begin(struct feed_redis *r)
{
	if (!r->up)
		return;			/* subscribing ends with a read */
	if (r->reading) {
		r->read_again = true;
		return;
	}
	timer_stop(&r->compare);
	r->reading = true;
	r->read_again = false;
	r->accepting = r->accept;
	r->accept = false;
	r->table = TABLE_RELAYS;
	memcpy(r->single_before, r->single, sizeof(r->single));
	sync_read_begin(r->feed->index);
	read_piece(r, "0");
}

static void
on_compare(void *arg)
{
	read_begin(arg);
}

/* ---- the subscribed connection ------------------------------------------------------- */

/* Even refused (an ACL without channels) the feed works: it compares. */
static void
on_subscribed(void *arg, enum rc rc, const struct redis_value *v)
{
	struct feed_redis *r = arg;
	char code[REDIS_CODE_BYTES];

	if (rc != RC_OK)
		return;			/* on_subscriber_down follows */
	if (v->type == REDIS_ERROR) {
		redis_value_error_code(v, code);
		log_warn("subscribe refused code=%s: changes wait for the next "
		    "compare", code);
	}
	if (--r->subscriptions > 0)
		return;
	r->up = true;
	log_info("redis up server=%s", redis_endpoint_server(r->reader));
	read_begin(r);
	feed_engines_hint(r->feed->engines_ask);
}

static void
on_subscriber_up(void *arg)
{
	struct feed_redis *r = arg;
	char pattern[64];

	(void)snprintf(pattern, sizeof(pattern), "__keyspace@%d__:relay:*",
	    r->db);
	r->subscriptions = 2;
	if (redis_commandl(r->subscriber, COMMAND_MS, on_subscribed, r,
	    "SUBSCRIBE", CHANNEL, (char *)NULL) != RC_OK ||
	    redis_commandl(r->subscriber, COMMAND_MS, on_subscribed, r,
	    "PSUBSCRIBE", pattern, (char *)NULL) != RC_OK)
		redis_endpoint_retry(r->reader, "cannot subscribe");
}

static void
on_subscriber_down(void *arg, const char *why)
{
	struct feed_redis *r = arg;
	char text[WHY_BYTES];

	(void)snprintf(text, sizeof(text), "subscription: %s", why);
	redis_endpoint_retry(r->reader, text);
}

static void
on_message(void *arg, struct span pattern, struct span channel,
    struct span payload)
{
	struct feed_redis *r = arg;
	struct span field = { NULL, 0 };
	enum table t = TABLE_RELAYS;
	enum sync_hint hint;

	hint = pattern.len > 0 ? sync_hint_keyspace(channel, payload, &t) :
	    sync_hint_update(payload, &t, &field);
	switch (hint) {
	case SYNC_HINT_FIELD:
		hint_field(r, t, field);
		break;
	case SYNC_HINT_REMOVED:
		r->single[t]++;
		hint_all(r);
		break;
	case SYNC_HINT_ALL:
		hint_all(r);
		break;
	case SYNC_HINT_ENGINES:
		feed_engines_hint(r->feed->engines_ask);
		break;
	case SYNC_HINT_OTHER:
		log_debug("hint about another hash ignored");
		break;
	}
}

static const struct redis_client_ops subscriber_ops = {
	.on_up = on_subscriber_up,
	.on_down = on_subscriber_down,
	.on_message = on_message,
};

/* ---- the reading endpoint ---------------------------------------------------------------- */

static void
on_reader_up(void *arg, struct redis_client *client)
{
	struct feed_redis *r = arg;

	(void)client;		/* used once the subscription stands */
	r->log_ms = 0;
	r->subscriber = redis_endpoint_open_second(r->reader, &subscriber_ops,
	    r);
}

static void
on_reader_down(void *arg, bool was_up, const char *server, const char *why)
{
	struct feed_redis *r = arg;

	feed_log_down(&r->log_ms, "redis", was_up, server, why);
	r->up = false;
	redis_client_close(&r->subscriber);
	feed_engines_down(r->feed->engines_ask);
	if (r->reading)
		read_failed(r, "the link was lost");
	timer_stop(&r->compare);
	r->read_again = false;
	/* What was missed may be anything, and what an administrator accepted
	 * may be something else when this server is back. */
	memset(r->single, 0, sizeof(r->single));
	memset(r->single_before, 0, sizeof(r->single_before));
	if (r->accept)
		feed_changes_read_done(r->feed->changes, false);
	r->accept = false;
	hints_clear(r);
	hints_fini(&r->batch);
}

static const struct redis_endpoint_ops reader_ops = {
	.on_up = on_reader_up,
	.on_down = on_reader_down,
};

/* ---- life ----------------------------------------------------------------------------------- */

enum rc
feed_redis_accept(struct feed_redis *r)
{
	obj_check(r, FEED_REDIS_MAGIC);
	if (!r->up)
		return (RC_UNAVAILABLE);
	r->accept = true;
	if (!r->reading)		/* else read_complete begins it */
		read_begin(r);
	return (RC_OK);
}

void
feed_redis_compare(struct feed_redis *r)
{
	obj_check(r, FEED_REDIS_MAGIC);
	if (r->up)
		hint_all(r);
}

void
feed_redis_hint(struct feed_redis *r, struct span key)
{
	obj_check(r, FEED_REDIS_MAGIC);
	if (r->up)
		hint_key(r, key);	/* else all is read soon */
}

struct redis_client *
feed_redis_client(struct feed_redis *r)
{
	obj_check(r, FEED_REDIS_MAGIC);
	return (r->up ? redis_endpoint_client(r->reader) : NULL);
}

bool
feed_redis_is_up(const struct feed_redis *r)
{
	obj_check(r, FEED_REDIS_MAGIC);
	return (r->up);
}

enum rc
feed_redis_new(struct feed *feed, struct net_dns *dns,
    const struct redis_endpoint_config *cfg, unsigned compare_interval_s,
    struct feed_redis **out, char *why, size_t why_size)
{
	struct feed_redis *r = xcalloc(1, sizeof(*r));
	enum rc rc;

	*out = NULL;
	r->magic = FEED_REDIS_MAGIC;
	r->feed = feed;
	r->db = cfg->db;
	r->compare_ms = compare_interval_s * 1000;
	STAILQ_INIT(&r->changes);
	STAILQ_INIT(&r->hints);
	STAILQ_INIT(&r->batch);
	timer_init(&r->compare, feed->loop, on_compare, r);
	timer_init(&r->coalesce, feed->loop, on_coalesced, r);
	rc = redis_endpoint_new(feed->loop, dns, cfg, REDIS_FOR_READING,
	    &reader_ops, r, &r->reader, why, why_size);
	if (rc != RC_OK) {
		feed_redis_free(&r);
		return (rc);
	}
	*out = r;
	return (RC_OK);
}

void
feed_redis_free(struct feed_redis **rp)
{
	struct feed_redis *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	obj_check(r, FEED_REDIS_MAGIC);
	redis_client_close(&r->subscriber);
	redis_endpoint_free(&r->reader);
	if (r->reading)
		sync_read_abort(r->feed->index);
	sync_changes_fini(&r->changes);
	hints_fini(&r->hints);
	hints_fini(&r->batch);
	timer_fini(&r->compare);
	timer_fini(&r->coalesce);
	r->magic = 0;
	free(r);
}
