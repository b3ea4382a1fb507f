/*
 * helper/replica.c - read all of relay:apps after each connect and every
 * minute, then copy what is missing there, one record at a time, until there
 * is nothing left.
 *
 *   up -> subscribe -> scan (HSCAN) -> [ pull higher ones | push missing ones ]
 *                        ^------------ a minute, or the link was lost ---+
 *
 * A push is one EVAL, atomic in Redis: higher versions only.  Pulls are in
 * replica_pull.c; hints, which begin pulls at once, in replica_follow.c.
 *
 * One version with two contents (two machines changed one app while Redis was
 * away), now or where ours came from, or a higher one that our engine cannot
 * open: that is a fork, which no rule can heal without losing somebody's key.
 * Both stay where they are, an error is logged and `forked` counts it.
 */
#include "e3/helper/replica_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/net/dns.h"

#define SCAN_COUNT		"100"	/* records are small: one packet or two */
#define RETRY_MIN_MS		500
#define RETRY_MAX_MS		30000

/* Lua compares strings by the server's locale, so versions are compared byte
 * by byte.  A record there that is cut short counts as lower. */
const char replica_script[] =
    "local old = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "local new = ARGV[2]\n"
    "local function at(r, i)\n"
    "  return r:byte(6 + (r:byte(6) or 0) + i) or 0\n"
    "end\n"
    "if old == new then return 'same' end\n"
    "if old then\n"
    "  local verdict = 'fork'\n"
    "  for i = 1, 8 do\n"
    "    local a, b = at(old, i), at(new, i)\n"
    "    if a > b then verdict = 'newer' break end\n"
    "    if a < b then verdict = 'ok' break end\n"
    "  end\n"
    "  if verdict ~= 'ok' then return verdict end\n"
    "end\n"
    "redis.call('HSET', KEYS[1], ARGV[1], new)\n"
    "return 'ok'\n";

/* ---- judging ----------------------------------------------------------------- */

enum replica_verdict
replica_judge(const struct record_entry *ours, const char *app,
    struct span theirs)
{
	struct rpc_record_head head;
	uint8_t sha256[32];

	if (theirs.len > RPC_RECORD_BYTES_MAX ||
	    rpc_record_head_read(theirs, &head) != RC_OK ||
	    strcmp(head.app, app) != 0)
		return (REPLICA_FOREIGN);
	if (ours == NULL || ours->damaged)
		return (REPLICA_HIGHER);
	record_sha256(theirs, sha256);
	if (memcmp(sha256, ours->sha256, sizeof(sha256)) == 0)
		return (REPLICA_SAME);
	/* One that the engine cannot open is worth no more than none. */
	if (ours->refused)
		return (REPLICA_HIGHER);
	if (record_kin_of(ours, head.version, sha256) == RECORD_KIN_APART)
		return (REPLICA_FORK);
	if (head.version > ours->version)
		return (REPLICA_HIGHER);
	if (head.version < ours->version)
		return (REPLICA_LOWER);
	return (REPLICA_FORK);
}

void
replica_mark_forked(struct record_entry *e)
{
	if (!e->forked)
		log_error("record forked app=%s version=%llu: redis holds another "
		    "one that is not to be taken; ours is kept here, theirs "
		    "there", e->app, (unsigned long long)e->version);
	e->forked = true;
	e->replicated = false;
}

void
replica_apart(struct replica *r, struct record_entry *e)
{
	replica_mark_forked(e);
	if (record_store_note_apart(r->store, e->app) != RC_OK)
		log_error("record base not written app=%s", e->app);
}

/* Ours will take the place of a record that may have keys which ours lacks. */
void
replica_spare(struct replica *r, struct record_entry *e, struct span theirs)
{
	struct rpc_record_head head;
	uint8_t sha256[32];

	record_sha256(theirs, sha256);
	if (rpc_record_head_read(theirs, &head) != RC_OK || record_kin_of(e,
	    head.version, sha256) != RECORD_KIN_UNSURE ||
	    memcmp(e->spared, sha256, sizeof(e->spared)) == 0)
		return;
	if (record_store_keep_theirs(r->store, e->app, head.version, theirs) ==
	    RC_OK)
		memcpy(e->spared, sha256, sizeof(e->spared));
	else
		log_error("record of redis not kept app=%s version=%llu", e->app,
		    (unsigned long long)head.version);
}

void
replica_copied(struct replica *r, struct record_entry *e)
{
	e->replicated = true;
	e->forked = false;
	if (e->base != 0 &&
	    record_store_copied(r->store, e->app, e->version) != RC_OK)
		log_warn("record base not removed app=%s", e->app);
}

void
replica_retry_later(struct replica *r)
{
	if (timer_running(&r->retry))
		return;
	timer_start_ms(&r->retry, r->retry_ms);
	r->retry_ms = r->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS :
	    r->retry_ms * 2;
}

void
replica_refused(struct replica *r, const char *command,
    const struct redis_value *v)
{
	char code[REDIS_CODE_BYTES];

	redis_value_error_code(v, code);
	log_warn("redis refused command=%s code=%s", command, code);
	if (redis_value_is_error(v, "READONLY"))
		redis_endpoint_retry(r->endpoint, "READONLY");
	else
		replica_retry_later(r);
}

/* ---- the scan ------------------------------------------------------------------- */

static void
judge_one(struct replica *r, struct span id, struct span record)
{
	char app[RPC_APP_ID_BYTES];
	struct record_entry *e;

	if (!rpc_app_id_valid(id) || !span_copy(id, app, sizeof(app))) {
		if (!r->scanned)	/* once per server, not every minute */
			log_warn("redis holds a field of " APPS_KEY " that is "
			    "no app id");
		return;
	}
	e = record_store_find(r->store, app);
	if (e != NULL)
		e->scanned = true;
	switch (replica_judge(e, app, record)) {
	case REPLICA_SAME:
		replica_copied(r, e);
		break;
	case REPLICA_LOWER:
		replica_spare(r, e, record);
		e->replicated = e->forked = false;
		break;
	case REPLICA_HIGHER:
		replica_want_pull(r, app);
		break;
	case REPLICA_FORK:
		replica_apart(r, e);
		break;
	case REPLICA_FOREIGN:
		if (!r->scanned)
			log_warn("redis holds no record under app=%s; it is "
			    "not taken", app);
		break;
	}
}

/* What Redis held and does not show any more was lost there. */
static void
miss_unseen(struct replica *r)
{
	for (size_t i = 0; i < record_store_count(r->store); i++) {
		struct record_entry *e = record_store_at(r->store, i);

		if (!e->scanned)
			e->replicated = e->forked = false;
	}
}

static void on_scan(void *, enum rc, const struct redis_value *);

static void
scan_from(struct replica *r, const char *cursor)
{
	if (redis_commandl(r->client, COMMAND_TIMEOUT_MS, on_scan, r, "HSCAN",
	    APPS_KEY, cursor, "COUNT", SCAN_COUNT, (const char *)NULL) != RC_OK)
		log_debug("redis scan not queued");	/* on_down follows */
}

void
replica_scan(struct replica *r)
{
	if (r->scanning)
		return;
	r->scanning = true;
	for (size_t i = 0; i < record_store_count(r->store); i++)
		record_store_at(r->store, i)->scanned = false;
	scan_from(r, "0");
}

static void
scan_end(struct replica *r)
{
	bool first = !r->scanned;

	miss_unseen(r);
	r->scanned = true;
	r->scanning = false;
	r->told = !first;
	timer_start_ms(&r->rescan, RESCAN_MS);
	if (first)
		log_info("redis compared records=%zu pending=%zu to_take=%zu",
		    record_store_count(r->store), replica_pending(r),
		    r->n_pulls);
	replica_kick(r);
	r->ops->on_change(r->arg);
}

static void
on_rescan(void *arg)
{
	struct replica *r = arg;

	obj_check(r, REPLICA_MAGIC);
	if (r->client != NULL)
		replica_scan(r);
}

/* The next attempt begins anew. */
static void
scan_failed(struct replica *r)
{
	r->scanning = false;
	if (r->scanned)
		timer_start_ms(&r->rescan, RESCAN_MS);
}

static void
on_scan(void *arg, enum rc rc, const struct redis_value *v)
{
	struct replica *r = arg;
	const struct redis_value *items;
	char cursor[24];

	obj_check(r, REPLICA_MAGIC);
	if (rc != RC_OK)
		return;			/* on_down follows */
	if (v->type == REDIS_ERROR) {
		scan_failed(r);
		replica_refused(r, "HSCAN", v);
		return;
	}
	if (v->type != REDIS_ARRAY || v->n != 2 ||
	    v->items[0].type != REDIS_STRING ||
	    v->items[1].type != REDIS_ARRAY ||
	    !span_copy(v->items[0].text, cursor, sizeof(cursor))) {
		log_warn("redis answered HSCAN in an unknown form");
		scan_failed(r);
		replica_retry_later(r);
		return;
	}
	items = v->items[1].items;
	for (size_t i = 0; i + 1 < v->items[1].n; i += 2)
		judge_one(r, items[i].text, items[i + 1].text);
	if (strcmp(cursor, "0") != 0) {
		scan_from(r, cursor);
		return;
	}
	scan_end(r);
}

/* ---- pushing -------------------------------------------------------------------- */

/* Only what the engine has opened: a clear header with a higher version, on
 * bytes that are no record, would take the good one's place in Redis. */
static bool
needs_push(const struct record_entry *e)
{
	return (!e->replicated && !e->damaged && !e->refused && !e->forked &&
	    e->active == e->version);
}

static void
on_pushed(void *arg, enum rc rc, const struct redis_value *v)
{
	struct replica *r = arg;
	struct record_entry *e;

	obj_check(r, REPLICA_MAGIC);
	r->pushing = false;
	if (rc != RC_OK)
		return;			/* on_down follows */
	if (v->type == REDIS_ERROR) {
		replica_refused(r, "EVAL", v);
		return;
	}
	/* Whatever it says, others are told of the version or keep theirs. */
	replica_release(r, r->push_app, r->push_version);
	e = record_store_find(r->store, r->push_app);
	/* A change may have come meanwhile: then this answer is about bytes
	 * that are history, and the entry still needs its push. */
	if (e != NULL && memcmp(e->sha256, r->push_sha256,
	    sizeof(e->sha256)) == 0) {
		if (span_eq_str(v->text, "ok"))
			replica_hint(r, e->app);
		if (span_eq_str(v->text, "ok") || span_eq_str(v->text, "same"))
			replica_copied(r, e);
		else if (span_eq_str(v->text, "newer"))
			replica_want_pull(r, e->app);
		else if (span_eq_str(v->text, "fork"))
			replica_mark_forked(e);
		else
			replica_retry_later(r);
	}
	r->retry_ms = RETRY_MIN_MS;
	replica_kick(r);
	r->ops->on_change(r->arg);
}

/* False: Redis took no command; there is no use in trying the next one. */
static bool
push_entry(struct replica *r, struct record_entry *e)
{
	struct buffer record;
	struct span argv[6];
	bool usable = true;

	crash_point("push.begun");
	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	if (record_store_read(r->store, e, &record) != RC_OK) {
		log_error("record not copied to redis: unreadable app=%s",
		    e->app);
		e->damaged = true;
		goto out;
	}
	memcpy(r->push_app, e->app, sizeof(r->push_app));
	memcpy(r->push_sha256, e->sha256, sizeof(r->push_sha256));
	r->push_version = e->version;
	argv[0] = SPAN_LIT("EVAL");
	argv[1] = span_of(replica_script);
	argv[2] = SPAN_LIT("1");
	argv[3] = SPAN_LIT(APPS_KEY);
	argv[4] = span_of(e->app);
	argv[5] = (struct span){ buffer_data(&record), buffer_len(&record) };
	r->pushing = redis_command(r->client, COMMAND_TIMEOUT_MS, on_pushed, r,
	    6, argv) == RC_OK;
	usable = r->pushing;
out:
	buffer_fini(&record);
	return (usable);
}

/* The next record that waits; one whose higher version is to be taken does not
 * count.  Behind the last one, so that many do not cost a search each. */
static void
push_next(struct replica *r)
{
	size_t n = record_store_count(r->store);

	for (size_t k = 0; k < n; k++) {
		size_t i = (r->push_from + k) % n;
		struct record_entry *e = record_store_at(r->store, i);

		if (!needs_push(e) || replica_find_pull(r, e->app) != NULL)
			continue;
		r->push_from = i;
		if (!push_entry(r, e) || r->pushing)
			return;
	}
}

/* ---- what is next ------------------------------------------------------------------ */

/* What the engine cannot open may be better in Redis, whatever the scan said
 * before the engine spoke: ask once. */
static void
ask_for_refused(struct replica *r)
{
	for (size_t i = 0; i < record_store_count(r->store); i++) {
		struct record_entry *e = record_store_at(r->store, i);

		if (!e->refused || e->asked)
			continue;
		e->asked = true;
		e->forked = false;
		replica_want_pull(r, e->app);
	}
}

void
replica_kick(struct replica *r)
{
	obj_check(r, REPLICA_MAGIC);
	replica_apply(r);
	if (r->client == NULL || !r->scanned || timer_running(&r->retry))
		return;
	ask_for_refused(r);
	if (!TAILQ_EMPTY(&r->pulls) && engine_is_loaded(r->engine) &&
	    !r->waiter.waiting && !r->waiter.has)
		turn_take(r->turn, &r->waiter);
	if (r->client != NULL && !r->pushing)
		push_next(r);
}

static void
on_retry(void *arg)
{
	struct replica *r = arg;

	obj_check(r, REPLICA_MAGIC);
	if (r->client != NULL && !r->scanned)
		replica_scan(r);
	else
		replica_kick(r);
}

static void
on_up(void *arg, struct redis_client *client)
{
	struct replica *r = arg;

	obj_check(r, REPLICA_MAGIC);
	log_info("redis up server=%s", redis_endpoint_server(r->endpoint));
	r->client = client;
	r->failures = 0;
	r->scanned = r->scanning = false;
	r->retry_ms = RETRY_MIN_MS;
	timer_stop(&r->retry);
	timer_stop(&r->rescan);
	/* It may be another server, or have restarted empty: ask anew. */
	for (size_t i = 0; i < record_store_count(r->store); i++) {
		struct record_entry *e = record_store_at(r->store, i);

		e->replicated = e->asked = false;
		e->applied = 0;
	}
	r->apply_refused = false;
	replica_follow(r);
	r->ops->on_change(r->arg);
}

static void
on_down(void *arg, bool was_up, const char *server, const char *why)
{
	struct replica *r = arg;

	obj_check(r, REPLICA_MAGIC);
	r->client = NULL;
	redis_client_close(&r->subscriber);
	/* Given up by us (redis_endpoint_retry) it answers nothing more. */
	r->pushing = r->applying = false;
	replica_pull_lost(r);
	if (was_up || r->failures++ == 0)
		log_warn("redis down server=%s why=%s", server, why);
	else
		log_debug("redis down server=%s why=%s", server, why);
	r->ops->on_change(r->arg);
}

static const struct redis_endpoint_ops endpoint_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

/* ---- life ---------------------------------------------------------------------------- */

enum rc
replica_new(struct loop *loop, const struct replica_config *from,
    const struct replica_ops *ops, void *arg, struct replica **out, char *why,
    size_t why_size)
{
	const struct conf_redis *conf = from->redis;
	struct redis_endpoint_config config = {
		.endpoints = conf->endpoints,
		.n_endpoints = conf->n_endpoints,
		.write = conf->write,
		.sentinel = conf->sentinel,
		.user = conf->user,
		.password_file = conf->password_file,
		.tls = conf->tls,
		.ca_file = conf->ca_file,
		.db = conf->db,
		.client_name = "e3-helper",
	};
	struct replica *r = xcalloc(1, sizeof(*r));
	enum rc rc;

	*out = NULL;
	r->magic = REPLICA_MAGIC;
	r->store = from->store;
	r->engine = from->engine;
	r->turn = from->turn;
	r->name = xstrdup(from->name);
	r->ops = ops;
	r->arg = arg;
	r->retry_ms = RETRY_MIN_MS;
	TAILQ_INIT(&r->pulls);
	buffer_init(&r->pulling.record, RPC_RECORD_BYTES_MAX, false);
	turn_waiter_init(&r->waiter, replica_on_turn, r);
	timer_init(&r->retry, loop, on_retry, r);
	timer_init(&r->rescan, loop, on_rescan, r);
	r->dns = net_dns_new(loop, NULL);
	/* Compare and set needs the one that takes writes, also to read. */
	rc = redis_endpoint_new(loop, r->dns, &config, REDIS_FOR_WRITING,
	    &endpoint_ops, r, &r->endpoint, why, why_size);
	if (rc == RC_OK)
		*out = r;
	else
		replica_free(&r);
	return (rc);
}

void
replica_free(struct replica **rp)
{
	struct replica *r = *rp;
	struct pull *p;

	*rp = NULL;
	if (r == NULL)
		return;
	obj_check(r, REPLICA_MAGIC);
	redis_client_close(&r->subscriber);
	redis_endpoint_free(&r->endpoint);
	turn_leave(r->turn, &r->waiter);
	net_dns_free(&r->dns);
	timer_fini(&r->retry);
	timer_fini(&r->rescan);
	buffer_fini(&r->pulling.record);
	while ((p = TAILQ_FIRST(&r->pulls)) != NULL)
		replica_drop_pull(r, p);
	free(r->name);
	r->magic = 0;
	free(r);
}

bool
replica_is_up(const struct replica *r)
{
	obj_check(r, REPLICA_MAGIC);
	return (r->client != NULL);
}

struct redis_client *
replica_client(const struct replica *r)
{
	obj_check(r, REPLICA_MAGIC);
	return (r->client);
}

bool
replica_is_compared(const struct replica *r)
{
	obj_check(r, REPLICA_MAGIC);
	return (r->client != NULL && r->scanned);
}

size_t
replica_pending(const struct replica *r)
{
	size_t n = 0;

	obj_check(r, REPLICA_MAGIC);
	for (size_t i = 0; i < record_store_count(r->store); i++)
		n += record_store_at(r->store, i)->replicated ? 0 : 1;
	return (n);
}
