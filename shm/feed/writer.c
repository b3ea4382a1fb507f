/*
 * shm/feed/writer.c - the link to the write endpoint.
 *
 * It may be another server than the one that is read, it may be away, and it
 * may refuse (READONLY): none of that touches what is served.
 */
#include "shm/feed/writer.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "shm/feed/redis.h"

#define COMMAND_MS	10000
#define PUT_MS		5000	/* somebody waits at a control socket */
#define REPORT_MS	100	/* between reports: a burst is one */

/* A write under way. */
struct put {
	TAILQ_ENTRY(put)	link;
	struct feed_writer	*writer;	/* borrowed: owns us */
	uint64_t		id;
	bool			compare;	/* 0 says conflict */
	size_t			len;
	char			key[];		/* len bytes */
};

struct feed_writer {
	unsigned		magic;
#define FEED_WRITER_MAGIC	0x3b17e0f9
	struct feed		*feed;		/* borrowed: owns us */
	struct redis_endpoint	*endpoint;	/* owned */
	uint64_t		log_ms;		/* see feed_log_down */
	bool			muted;		/* a report was refused: until it
						   reconnects */
	bool			due;		/* a report is */
	struct timer		report;
	TAILQ_HEAD(, put)	puts;		/* owned */
};

/* ---- reports ------------------------------------------------------------------ */

static void
on_reported(void *arg, enum rc rc, const struct redis_value *v)
{
	struct feed_writer *w = arg;
	char code[REDIS_CODE_BYTES];

	if (rc != RC_OK || v->type != REDIS_ERROR)
		return;
	/* READONLY, NOPERM, OOM: the map is served all the same. */
	redis_value_error_code(v, code);
	if (!w->muted)
		log_warn("relay:nodes not written code=%s server=%s: no reports "
		    "until it reconnects", code[0] != '\0' ? code : "?",
		    redis_endpoint_server(w->endpoint));
	w->muted = true;
}

static void
send_report(struct feed_writer *w)
{
	struct redis_client *client = redis_endpoint_client(w->endpoint);
	struct buffer json;
	struct span words[4];

	if (client == NULL || w->muted)
		return;			/* on_up reports anew */
	buffer_init(&json, 0, false);
	feed_report(w->feed, &json);
	words[0] = SPAN_LIT("HSET");
	words[1] = SPAN_LIT("relay:nodes");
	words[2] = span_of(w->feed->node);
	words[3].p = buffer_data(&json);
	words[3].len = buffer_len(&json);
	(void)!redis_command(client, COMMAND_MS, on_reported, w, 4, words);
	buffer_fini(&json);
}

/* The first of a burst goes out at once, the rest as one. */
static void
on_report_timer(void *arg)
{
	struct feed_writer *w = arg;

	if (!w->due)
		return;
	w->due = false;
	send_report(w);
	timer_start_ms(&w->report, REPORT_MS);
}

void
feed_writer_report(struct feed_writer *w)
{
	obj_check(w, FEED_WRITER_MAGIC);
	w->due = true;
	if (!timer_running(&w->report))
		timer_start_ms(&w->report, 0);
}

/* ---- the endpoint ---------------------------------------------------------------- */

static void
on_up(void *arg, struct redis_client *client)
{
	struct feed_writer *w = arg;

	(void)client;
	w->muted = false;
	w->log_ms = 0;
	if (w->feed->applied_ms != 0)
		feed_writer_report(w);
}

static void
on_down(void *arg, bool was_up, const char *server, const char *why)
{
	struct feed_writer *w = arg;

	feed_log_down(&w->log_ms, "redis for writing", was_up, server, why);
}

static const struct redis_endpoint_ops endpoint_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

/* ---- changes ---------------------------------------------- */

static void
put_free(struct put *p)
{
	TAILQ_REMOVE(&p->writer->puts, p, link);
	free(p);
}

static void
on_put(void *arg, enum rc rc, const struct redis_value *v)
{
	struct put *p = arg;
	struct feed *feed = p->writer->feed;
	char code[REDIS_CODE_BYTES] = "";
	uint64_t id = p->id;

	if (rc == RC_OK && v->type == REDIS_ERROR) {
		redis_value_error_code(v, code);
		rc = RC_DENIED;
	} else if (rc == RC_OK && v->type == REDIS_INTEGER && p->compare &&
	    v->integer == 0) {
		rc = RC_CONFLICT;
	}
	/* The published hint may be refused by an ACL: do not depend on it. */
	if (rc == RC_OK)
		feed_redis_hint(feed->redis,
		    (struct span){ p->key, p->len });
	put_free(p);
	feed_changes_written(feed->changes, id, rc, code);
}

static void
publish(struct redis_client *client, struct span key)
{
	struct span words[3] = {
		SPAN_LIT("PUBLISH"), SPAN_LIT("relay:updates"),
	};
	struct span field = table_field(key);
	struct buffer text;

	buffer_init(&text, 0, false);
	buffer_printf(&text, "%s ", table_form(table_of(key))->name);
	buffer_put(&text, field.p, field.len);
	words[2].p = buffer_data(&text);
	words[2].len = buffer_len(&text);
	(void)!redis_command(client, PUT_MS, NULL, NULL, 3, words);
	buffer_fini(&text);
}

/* ARGV: the field; "1" and the value that must be there, or "0": none must;
 * "1" and the new value, or "0": remove it. */
static const char compare_script[] =
    "local have = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "if ARGV[2] == '1' then\n"
    "  if have ~= ARGV[3] then return 0 end\n"
    "elseif have then return 0 end\n"
    "if ARGV[4] == '1' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[5])\n"
    "else redis.call('HDEL', KEYS[1], ARGV[1]) end\n"
    "return 1";

#define WORDS_MAX	9

/* Returns how many words. */
static size_t
put_words(const struct feed_change *c, struct span words[WORDS_MAX])
{
	struct span hash = span_of(table_form(table_of(c->key))->hash);
	struct span field = table_field(c->key), none = SPAN_LIT("");

	if (!c->compare) {
		words[0] = c->value != NULL ? SPAN_LIT("HSET") : SPAN_LIT("HDEL");
		words[1] = hash;
		words[2] = field;
		words[3] = c->value != NULL ? *c->value : none;
		return (c->value != NULL ? 4 : 3);
	}
	words[0] = SPAN_LIT("EVAL");
	words[1] = span_of(compare_script);
	words[2] = SPAN_LIT("1");
	words[3] = hash;
	words[4] = field;
	words[5] = c->have != NULL ? SPAN_LIT("1") : SPAN_LIT("0");
	words[6] = c->have != NULL ? *c->have : none;
	words[7] = c->value != NULL ? SPAN_LIT("1") : SPAN_LIT("0");
	words[8] = c->value != NULL ? *c->value : none;
	return (WORDS_MAX);
}

enum rc
feed_writer_put(struct feed_writer *w, uint64_t id, const struct feed_change *c)
{
	struct redis_client *client = redis_endpoint_client(w->endpoint);
	struct span words[WORDS_MAX];
	size_t n = put_words(c, words);
	struct put *p;
	enum rc rc;

	obj_check(w, FEED_WRITER_MAGIC);
	if (client == NULL)
		return (RC_UNAVAILABLE);
	p = xcalloc(1, sizeof(*p) + c->key.len);
	p->writer = w;
	p->id = id;
	p->compare = c->compare;
	p->len = c->key.len;
	memcpy(p->key, c->key.p, c->key.len);
	TAILQ_INSERT_TAIL(&w->puts, p, link);
	rc = redis_command(client, PUT_MS, on_put, p, n, words);
	if (rc == RC_OK)
		publish(client, c->key);
	else
		put_free(p);
	return (rc);
}

/* ---- life ---------------------------------------------------------------------------- */

enum rc
feed_writer_new(struct feed *feed, struct net_dns *dns,
    const struct redis_endpoint_config *cfg, struct feed_writer **out,
    char *why, size_t why_size)
{
	struct feed_writer *w = xcalloc(1, sizeof(*w));
	enum rc rc;

	*out = NULL;
	w->magic = FEED_WRITER_MAGIC;
	w->feed = feed;
	TAILQ_INIT(&w->puts);
	timer_init(&w->report, feed->loop, on_report_timer, w);
	rc = redis_endpoint_new(feed->loop, dns, cfg, REDIS_FOR_WRITING,
	    &endpoint_ops, w, &w->endpoint, why, why_size);
	if (rc != RC_OK) {
		feed_writer_free(&w);
		return (rc);
	}
	*out = w;
	return (RC_OK);
}

void
feed_writer_free(struct feed_writer **wp)
{
	struct feed_writer *w = *wp;
	struct put *p;

	*wp = NULL;
	if (w == NULL)
		return;
	obj_check(w, FEED_WRITER_MAGIC);
	redis_endpoint_free(&w->endpoint);
	while ((p = TAILQ_FIRST(&w->puts)) != NULL)
		put_free(p);
	timer_fini(&w->report);
	w->magic = 0;
	free(w);
}
