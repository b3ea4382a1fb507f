/*
 * helper/replica_follow.c - a second connection that hears of records as they
 * are written, and the answer: which record our engine uses.
 *
 * The order is fixed: subscribe, read all, follow hints, so that nothing falls
 * between.  A subscribed connection can run no commands (RESP2), and losing
 * either of the two starts all over.  Where Redis does not let us subscribe,
 * the scan of every minute finds what others wrote.
 */
#include "e3/helper/replica_private.h"

#include <stdio.h>
#include <string.h>

#include "e3/helper/applied.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

#define CHANNEL		"relay:updates"
#define HINT		"apps "
#define APPLIED_PREFIX	"relay:applied:"
#define APPLIED_S	"3600"	/* asked for anew when it is needed later */
#define APPLY_MAX	128	/* apps in one script: 8 KiB of arguments */

/* ---- hints ------------------------------------------------------------------------ */

/* "apps <id>", also as "relay:apps <id>" and with a newline: people write them
 * by hand.  False: about something else. */
static bool
app_of_hint(struct span s, char app[RPC_APP_ID_BYTES])
{
	static const char *const heads[] = { HINT, "relay:" HINT };

	if (s.len > 0 && s.p[s.len - 1] == '\n')
		s.len--;
	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(heads[i]);
		struct span id = { s.p + n, s.len - n };

		if (s.len > n && memcmp(s.p, heads[i], n) == 0)
			return (rpc_app_id_valid(id) &&
			    span_copy(id, app, RPC_APP_ID_BYTES));
	}
	return (false);
}

/* Look at that record now; and whoever hints may wait to hear what we use. */
static void
on_message(void *arg, struct span pattern, struct span channel,
    struct span payload)
{
	struct replica *r = arg;
	char app[RPC_APP_ID_BYTES];
	struct record_entry *e;

	(void)pattern;
	(void)channel;
	obj_check(r, REPLICA_MAGIC);
	if (!app_of_hint(payload, app))
		return;
	if ((e = record_store_find(r->store, app)) != NULL)
		e->applied = 0;
	replica_want_pull_first(r, app);
	replica_kick(r);
}

static void
on_subscribed(void *arg, enum rc rc, const struct redis_value *v)
{
	struct replica *r = arg;
	char code[REDIS_CODE_BYTES];

	obj_check(r, REPLICA_MAGIC);
	if (rc != RC_OK)
		return;			/* on_down follows */
	if (v->type == REDIS_ERROR) {
		redis_value_error_code(v, code);
		log_warn("redis refused command=SUBSCRIBE code=%s: changes of "
		    "other machines are seen once a minute", code);
	}
	replica_scan(r);
}

static void
on_up(void *arg)
{
	struct replica *r = arg;

	obj_check(r, REPLICA_MAGIC);
	if (redis_commandl(r->subscriber, COMMAND_TIMEOUT_MS, on_subscribed, r,
	    "SUBSCRIBE", CHANNEL, (const char *)NULL) != RC_OK)
		redis_endpoint_retry(r->endpoint, "cannot subscribe");
}

static void
on_down(void *arg, const char *why)
{
	struct replica *r = arg;
	char text[160];

	obj_check(r, REPLICA_MAGIC);
	(void)snprintf(text, sizeof(text), "subscription: %s", why);
	redis_endpoint_retry(r->endpoint, text);
}

static const struct redis_client_ops subscriber_ops = {
	.on_up = on_up,
	.on_down = on_down,
	.on_message = on_message,
};

void
replica_follow(struct replica *r)
{
	r->subscriber = redis_endpoint_open_second(r->endpoint,
	    &subscriber_ops, r);
}

void
replica_hint(struct replica *r, const char *app)
{
	char text[RPC_APP_ID_BYTES + sizeof(HINT)];

	(void)snprintf(text, sizeof(text), HINT "%s", app);
	if (redis_commandl(r->client, COMMAND_TIMEOUT_MS, NULL, NULL,
	    "PUBLISH", CHANNEL, text, (const char *)NULL) != RC_OK)
		log_debug("redis hint not queued");	/* on_down follows */
}

/* ---- what our engine uses ----------------------------------------------------------- */

/* ARGV: the engine, seconds to live, then app and text (applied.h) by turns.
 * One script for many: an engine that was just filled has thousands to tell. */
static const char apply_script[] =
    "for i = 3, #ARGV, 2 do\n"
    "  local key = KEYS[1] .. ARGV[i]\n"
    "  redis.call('HSET', key, ARGV[1], ARGV[i + 1])\n"
    "  redis.call('EXPIRE', key, ARGV[2])\n"
    "end\n";

static void
on_applied(void *arg, enum rc rc, const struct redis_value *v)
{
	struct replica *r = arg;
	char code[REDIS_CODE_BYTES];

	obj_check(r, REPLICA_MAGIC);
	r->applying = false;
	if (rc != RC_OK)
		return;
	if (v->type == REDIS_ERROR && !r->apply_refused) {
		redis_value_error_code(v, code);
		log_warn("redis refused what our engine uses code=%s", code);
		r->apply_refused = true;	/* others wait for it in vain */
	}
	replica_apply(r);
}

/* Both on disk and in use: what a crash can take back is not told.  Nor is what
 * stands against the record of Redis: one of the two is to go. */
static bool
needs_apply(const struct record_entry *e)
{
	return (!e->damaged && !e->forked && e->active == e->version &&
	    (e->applied != e->active || memcmp(e->applied_sha256, e->sha256,
	    sizeof(e->applied_sha256)) != 0));
}

static void
put_applied(struct record_entry *e, char text[APPLIED_TEXT_BYTES])
{
	struct applied a;

	applied_of(e, &a);
	applied_write(&a, text);
	e->applied = a.version;
	memcpy(e->applied_sha256, a.sha256, sizeof(a.sha256));
}

void
replica_apply(struct replica *r)
{
	struct span argv[6 + 2 * APPLY_MAX];
	char said[APPLY_MAX][APPLIED_TEXT_BYTES];
	size_t n = record_store_count(r->store), got = 0;

	/* Before the scan it is not known what stands against Redis. */
	if (r->client == NULL || !r->scanned || r->applying || r->apply_refused ||
	    engine_state(r->engine) != ENGINE_READY)
		return;
	argv[0] = SPAN_LIT("EVAL");
	argv[1] = span_of(apply_script);
	argv[2] = SPAN_LIT("1");
	argv[3] = SPAN_LIT(APPLIED_PREFIX);
	argv[4] = span_of(r->name);
	argv[5] = SPAN_LIT(APPLIED_S);
	for (size_t k = 0; k < n && got < APPLY_MAX; k++) {
		size_t i = (r->apply_from + k) % n;
		struct record_entry *e = record_store_at(r->store, i);

		if (!needs_apply(e))
			continue;
		put_applied(e, said[got]);
		argv[6 + 2 * got] = span_of(e->app);
		argv[7 + 2 * got] = span_of(said[got]);
		if (++got == APPLY_MAX)
			r->apply_from = i;
	}
	if (got != 0)
		r->applying = redis_command(r->client, COMMAND_TIMEOUT_MS,
		    on_applied, r, 6 + 2 * got, argv) == RC_OK;
}
