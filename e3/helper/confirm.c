/*
 * helper/confirm.c - hint, then ask Redis every 50 ms what each engine says it
 * uses, until all do or the time is over.
 *
 * Whom to ask: who is announced, who was and did not say that he leaves (his
 * announcement ends 10 s after his last word, he may serve on), and whoever an
 * earlier look of the same confirm found, so that a Redis that lost everything
 * in between does not make him disappear.
 *
 * A helper answers a hint within milliseconds, so asking is cheap; the hint is
 * repeated every second for one that was just connecting.
 */
#include "e3/helper/confirm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e3/helper/announcement.h"
#include "e3/helper/applied.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/redis/client.h"

#define CONFIRMS_MAX	32
#define POLL_MS		50
#define TIMEOUT_MIN_MS	200	/* for one look, whatever was asked for */
#define HINT_MS		1000
#define COMMAND_MS	5000
#define NAMES_KEY	"relay:engines"
#define LAST_KEY	"relay:engines:last"
#define ENGINE_PREFIX	"relay:engine:"
#define APPLIED_PREFIX	"relay:applied:"
#define CHANNEL		"relay:updates"
#define KNOWN_MAX	256	/* names remembered between looks */
#define MISSING_BYTES	32768	/* of names: an answer is one message */

/* KEYS: the names, what they use, what was last known of each.  ARGV: the prefix
 * of announcements, then names of earlier looks.  [name, text of applied.h or
 * ""...] of all that are waited for. */
static const char ask_script[] =
    "local out, has, left = {}, {}, {}\n"
    "local function add(n)\n"
    "  if has[n] then return end\n"
    "  has[n] = true\n"
    "  out[#out + 1] = n\n"
    "  out[#out + 1] = redis.call('HGET', KEYS[2], n) or ''\n"
    "end\n"
    "for _, n in ipairs(redis.call('SMEMBERS', KEYS[1])) do\n"
    "  if redis.call('EXISTS', ARGV[1] .. n) == 1 then add(n) end\n"
    "end\n"
    "local last = redis.call('HGETALL', KEYS[3])\n"
    "for i = 1, #last, 2 do\n"
    "  if last[i + 1]:sub(1, 5) == 'here ' then add(last[i]) end\n"
    "  left[last[i]] = last[i + 1]:sub(1, 5) == 'left '\n"
    "end\n"
    "for i = 2, #ARGV do\n"
    "  if not left[ARGV[i]] then add(ARGV[i]) end\n"
    "end\n"
    "return out\n";

struct confirm {
	unsigned		magic;
#define CONFIRM_MAGIC		0x21d8f06b
	TAILQ_ENTRY(confirm)	link;
	struct confirms		*all;		/* borrowed: owns us */
	uint64_t		who;
	char			app[RPC_APP_ID_BYTES];
	char			*key;		/* owned: relay:applied:<app> */
	struct applied		wanted;		/* its hash: once our store has
						   that version */
	uint64_t		t_end_ms, t_hint_ms;
	struct timer		poll;
	bool			asking;		/* Redis: we must stay */
	bool			answered;	/* Redis said something, once */
	bool			over;		/* only the reply is waited for */
	struct buffer		missing;	/* names, as of the last look */
	size_t			n_known;
	char			(*known)[ANNOUNCEMENT_NAME_BYTES]; /* owned: names
						   of all looks */
};

static void
confirm_free(struct confirm *c)
{
	TAILQ_REMOVE(&c->all->list, c, link);
	c->all->n--;
	timer_fini(&c->poll);
	buffer_fini(&c->missing);
	free(c->known);
	free(c->key);
	c->magic = 0;
	free(c);
}

static void
confirm_end(struct confirm *c, enum rc rc, const char *text)
{
	struct confirms *all = c->all;
	uint64_t who = c->who;

	timer_stop(&c->poll);
	c->over = true;
	all->on_done(all->arg, who, rc, text);
	if (!c->asking)
		confirm_free(c);
}

/* On disk, in use, and not one of two that stand against each other. */
static bool
ours_has(struct confirm *c)
{
	const struct record_entry *e =
	    record_store_find(c->all->store, c->app);

	if (e == NULL || e->damaged)
		return (false);
	if (e->version == c->wanted.version)
		applied_of(e, &c->wanted);
	return (!e->forked && e->version >= c->wanted.version &&
	    e->active >= c->wanted.version);
}

/* Names that no helper gives itself are asked for as long as Redis has them. */
static void
remember(struct confirm *c, struct span name)
{
	if (name.len == 0 || name.len >= ANNOUNCEMENT_NAME_BYTES ||
	    memchr(name.p, '\0', name.len) != NULL || c->n_known == KNOWN_MAX)
		return;
	for (size_t i = 0; i < c->n_known; i++)
		if (span_eq_str(name, c->known[i]))
			return;
	if (c->known == NULL)
		c->known = xcalloc(KNOWN_MAX, sizeof(*c->known));
	ensure(span_copy(name, c->known[c->n_known++],
	    ANNOUNCEMENT_NAME_BYTES));
}

/* A name is what Redis says it is: whatever it holds, one word that a terminal
 * can show comes of it, and never none. */
static void
miss(struct confirm *c, struct span name)
{
	size_t len = name.len < ANNOUNCEMENT_NAME_BYTES ? name.len :
	    ANNOUNCEMENT_NAME_BYTES;

	if (buffer_len(&c->missing) + len + 2 > MISSING_BYTES)
		return;
	if (buffer_len(&c->missing) != 0)
		buffer_puts(&c->missing, " ");
	for (size_t i = 0; i < len; i++)
		buffer_put(&c->missing, name.p[i] > ' ' && name.p[i] < 127 ?
		    name.p + i : "?", 1);
	if (len == 0)
		buffer_puts(&c->missing, "?");
}

/* Ends it, or waits on. */
static void
look_at_missing(struct confirm *c)
{
	if (buffer_len(&c->missing) == 0)
		confirm_end(c, RC_OK, "");
	else if (clock_mono_ms() >= c->t_end_ms)
		confirm_end(c, RC_MORE, buffer_cstr(&c->missing));
	else
		timer_start_ms(&c->poll, POLL_MS);
}

static void
on_asked(void *arg, enum rc rc, const struct redis_value *v)
{
	struct confirm *c = arg;
	struct applied said;

	obj_check(c, CONFIRM_MAGIC);
	c->asking = false;
	if (c->over) {
		confirm_free(c);
		return;
	}
	if (rc != RC_OK || v->type != REDIS_ARRAY) {
		timer_start_ms(&c->poll, POLL_MS);
		return;
	}
	c->answered = true;
	buffer_clear(&c->missing);
	if (!ours_has(c))
		miss(c, span_of(c->all->name));
	for (size_t i = 0; i + 1 < v->n; i += 2) {
		if (span_eq_str(v->items[i].text, c->all->name))
			continue;
		remember(c, v->items[i].text);
		if (applied_read(v->items[i + 1].text, &said) != RC_OK ||
		    !applied_has(&said, &c->wanted))
			miss(c, v->items[i].text);
	}
	look_at_missing(c);
}

static void
hint(struct confirm *c, struct redis_client *client, uint64_t now)
{
	char text[RPC_APP_ID_BYTES + 8];

	if (now < c->t_hint_ms)
		return;
	c->t_hint_ms = now + HINT_MS;
	(void)snprintf(text, sizeof(text), "apps %s", c->app);
	if (redis_commandl(client, COMMAND_MS, NULL, NULL, "PUBLISH", CHANNEL,
	    text, (const char *)NULL) != RC_OK)
		log_debug("hint not queued");
}

static bool
ask(struct confirm *c, struct redis_client *client)
{
	struct span argv[7 + KNOWN_MAX];
	size_t n = 0;

	argv[n++] = SPAN_LIT("EVAL");
	argv[n++] = span_of(ask_script);
	argv[n++] = SPAN_LIT("3");
	argv[n++] = SPAN_LIT(NAMES_KEY);
	argv[n++] = span_of(c->key);
	argv[n++] = SPAN_LIT(LAST_KEY);
	argv[n++] = SPAN_LIT(ENGINE_PREFIX);
	for (size_t i = 0; i < c->n_known; i++)
		argv[n++] = span_of(c->known[i]);
	return (redis_command(client, COMMAND_MS, on_asked, c, n, argv) ==
	    RC_OK);
}

static void
on_poll(void *arg)
{
	struct confirm *c = arg;
	struct redis_client *client;
	uint64_t now = clock_mono_ms();

	obj_check(c, CONFIRM_MAGIC);
	if (c->all->replica == NULL) {
		buffer_clear(&c->missing);
		if (!ours_has(c))
			miss(c, span_of(c->all->name));
		look_at_missing(c);
		return;
	}
	if (now >= c->t_end_ms) {
		confirm_end(c, c->answered ? RC_MORE : RC_UNAVAILABLE,
		    c->answered ? buffer_cstr(&c->missing) : "redis is away: "
		    "other engines cannot be asked");
		return;
	}
	client = replica_client(c->all->replica);
	/* Before all is compared it is not known whether ours is a fork. */
	if (client != NULL && replica_is_compared(c->all->replica)) {
		hint(c, client, now);
		c->asking = ask(c, client);
	}
	/* While asking it only watches the end of the time. */
	timer_start_ms(&c->poll, c->asking ? c->t_end_ms - now : POLL_MS);
}

enum rc
confirm_begin(struct confirms *all, uint64_t who, const char *app,
    uint64_t version, uint64_t timeout_ms)
{
	struct confirm *c;

	if (all->n == CONFIRMS_MAX)
		return (RC_LIMIT);
	c = xcalloc(1, sizeof(*c));
	c->magic = CONFIRM_MAGIC;
	c->all = all;
	c->who = who;
	memcpy(c->app, app, strlen(app) + 1);
	c->key = xasprintf("%s%s", APPLIED_PREFIX, app);
	c->wanted.version = version;
	if (timeout_ms < TIMEOUT_MIN_MS)
		timeout_ms = TIMEOUT_MIN_MS;
	if (timeout_ms > CONFIRM_TIMEOUT_MAX_MS)
		timeout_ms = CONFIRM_TIMEOUT_MAX_MS;
	c->t_end_ms = clock_mono_ms() + timeout_ms;
	buffer_init(&c->missing, 0, false);
	timer_init(&c->poll, all->loop, on_poll, c);
	TAILQ_INSERT_TAIL(&all->list, c, link);
	all->n++;
	timer_start_ms(&c->poll, 0);
	return (RC_OK);
}

void
confirms_init(struct confirms *all)
{
	all->n = 0;
	TAILQ_INIT(&all->list);
}

void
confirms_fini(struct confirms *all)
{
	struct confirm *c;

	while ((c = TAILQ_FIRST(&all->list)) != NULL)
		confirm_free(c);
}

/* A connection that is given up answers nothing more. */
void
confirms_kick(struct confirms *all)
{
	struct confirm *c, *next;

	if (all->replica == NULL || replica_client(all->replica) != NULL)
		return;
	TAILQ_FOREACH_SAFE(c, &all->list, link, next) {
		c->asking = false;
		if (c->over)
			confirm_free(c);
		else
			timer_start_ms(&c->poll, POLL_MS);
	}
}
