/*
 * shm/feed/engines_ask.c - SMEMBERS, then GETRANGE for each name: by its range
 * a value that somebody else put there costs no more than an announcement does.
 */
#include "shm/feed/engines_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "shm/feed/apply.h"
#include "shm/feed/redis.h"

#define KEY_ENGINES	"relay:engines"
#define KEY_ENGINE	"relay:engine:"
#define ASK_MS		1000	/* announcements live ten times as long */
#define COMMAND_MS	10000	/* behind pieces of a full read */
#define REFUSED_PER_S	1	/* lines in the log */
#define RANGE_END	"2048"	/* one more than ENGINE_TEXT_BYTES_MAX: seen as
				   too long */
_Static_assert(ENGINE_TEXT_BYTES_MAX == 2048, "see RANGE_END");

struct feed_engines {
	unsigned		magic;
#define FEED_ENGINES_MAGIC	0x62a9f0e3
	struct feed		*feed;		/* borrowed: owns us */
	struct timer		timer;		/* the next round */
	bool			asking;
	bool			again;		/* a hint came meanwhile */
	bool			failed;		/* this round changes nothing */
	bool			told;		/* that Redis refuses to say */
	size_t			n_names;	/* of this round, the first n_said */
	size_t			n_said;		/* of which were answered */
	char			(*names)[ENGINE_NAME_BYTES]; /* owned */
	struct engines		*found;		/* owned */
};

static void
round_end(struct feed_engines *e)
{
	struct engines *old = e->feed->engines;

	e->asking = false;
	timer_start_ms(&e->timer, e->again ? 0 : ASK_MS);
	if (e->failed)
		return;
	e->feed->engines = e->found;
	e->found = old;
	feed_engines_write(e->feed);
}

static void
refused(struct span name, const char *why)
{
	static struct log_rate rate;
	char text[ENGINE_NAME_BYTES];
	unsigned suppressed;

	if (log_rate_ok(&rate, REFUSED_PER_S, &suppressed))
		log_warn("engine announcement refused engine=\"%s\" why=%s "
		    "suppressed=%u", apply_printable(name, text, sizeof(text)),
		    why, suppressed);
}

/* "" and an error: it expired, or is none of ours. */
static void
take_text(struct feed_engines *e, const char *name, const struct redis_value *v)
{
	struct engine_entry entry;
	enum rc rc;

	if (v->type != REDIS_STRING || v->text.len == 0)
		return;
	if ((rc = engine_read(v->text, &entry)) == RC_OK) {
		ensure(span_copy(span_of(name), entry.name, sizeof(entry.name)));
		rc = engines_add(e->found, &entry);
	}
	if (rc != RC_OK && rc != RC_NOTFOUND)
		refused(span_of(name), "not address and state");
}

static void
on_text(void *arg, enum rc rc, const struct redis_value *v)
{
	struct feed_engines *e = arg;

	if (!e->asking)
		return;
	if (rc != RC_OK)
		e->failed = true;
	else
		take_text(e, e->names[e->n_said], v);
	if (++e->n_said == e->n_names)
		round_end(e);
}

static void
ask_text(struct feed_engines *e, struct redis_client *client, const char *name)
{
	char key[sizeof(KEY_ENGINE) + ENGINE_NAME_BYTES];

	(void)snprintf(key, sizeof(key), "%s%s", KEY_ENGINE, name);
	/* Refused: the link is down, which ends the round. */
	(void)!redis_commandl(client, COMMAND_MS, on_text, e, "GETRANGE", key,
	    "0", RANGE_END, (char *)NULL);
}

/* The names that can be used, the first ENGINES_MAX of them. */
static void
take_names(struct feed_engines *e, const struct redis_value *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct span name = v->items[i].text;

		if (v->items[i].type != REDIS_STRING || !engine_name_ok(name)) {
			refused(v->items[i].type == REDIS_STRING ? name :
			    SPAN_LIT("?"), "name");
			continue;
		}
		if (e->n_names == ENGINES_MAX) {
			refused(name, "too many");
			return;
		}
		ensure(span_copy(name, e->names[e->n_names++],
		    ENGINE_NAME_BYTES));
	}
}

/* The last list stays. */
static void
not_said(struct feed_engines *e, enum rc rc, const struct redis_value *v)
{
	char code[REDIS_CODE_BYTES];

	e->failed = true;
	if (rc != RC_OK || e->told)
		return;
	e->told = true;
	redis_value_error_code(v, code);
	log_warn("SMEMBERS " KEY_ENGINES " refused code=%s: announced engines "
	    "stay as they were", code[0] != '\0' ? code : "?");
}

static void
on_names(void *arg, enum rc rc, const struct redis_value *v)
{
	struct feed_engines *e = arg;
	struct redis_client *client = feed_redis_client(e->feed->redis);
	size_t n;

	if (!e->asking)
		return;
	if (rc == RC_OK && v->type == REDIS_ARRAY && client != NULL) {
		take_names(e, v);
		e->told = false;
	} else {
		not_said(e, rc, v);
	}
	if ((n = e->n_names) == 0) {
		round_end(e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		ask_text(e, client, e->names[i]);
}

static void
round_begin(void *arg)
{
	struct feed_engines *e = arg;
	struct redis_client *client = feed_redis_client(e->feed->redis);

	obj_check(e, FEED_ENGINES_MAGIC);
	if (client == NULL)
		return;			/* its coming up is a hint */
	e->asking = true;
	e->again = e->failed = false;
	e->n_names = e->n_said = e->found->n = 0;
	if (redis_commandl(client, COMMAND_MS, on_names, e, "SMEMBERS",
	    KEY_ENGINES, (char *)NULL) != RC_OK)
		e->asking = false;
}

void
feed_engines_hint(struct feed_engines *e)
{
	if (e == NULL)
		return;
	obj_check(e, FEED_ENGINES_MAGIC);
	e->again = true;
	if (!e->asking)
		timer_start_ms(&e->timer, 0);
}

void
feed_engines_down(struct feed_engines *e)
{
	if (e == NULL)
		return;
	obj_check(e, FEED_ENGINES_MAGIC);
	e->asking = e->again = false;
	timer_stop(&e->timer);
}

struct feed_engines *
feed_engines_new(struct feed *f)
{
	struct feed_engines *e = xcalloc(1, sizeof(*e));

	e->magic = FEED_ENGINES_MAGIC;
	e->feed = f;
	e->names = xcalloc(ENGINES_MAX, sizeof(*e->names));
	e->found = xcalloc(1, sizeof(*e->found));
	timer_init(&e->timer, f->loop, round_begin, e);
	return (e);
}

void
feed_engines_free(struct feed_engines **ep)
{
	struct feed_engines *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, FEED_ENGINES_MAGIC);
	timer_fini(&e->timer);
	free(e->names);
	free(e->found);
	e->magic = 0;
	free(e);
}
