/*
 * helper/announce.c - every 2.5 s, and at once when there is news: write ours,
 * look at all.
 *
 * Two helpers may have one name for a while: the one of a relayd that died
 * drains beside its successor.  The successor simply writes; who drains writes
 * only over its own words, and so cannot take back what the other says.
 */
#include "e3/helper/announce_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/redis/client.h"

#define KEY_PREFIX	"relay:engine:"
#define NAMES_KEY	"relay:engines"
#define LAST_KEY	"relay:engines:last"
#define CHANNEL		"relay:updates"
#define SHORT_HEX	16	/* of a checksum, enough to tell two apart */

/* KEYS: ours, the names, what was last known of each.  ARGV: name, JSON, time to
 * live, 1: only over these words, these words. */
static const char write_script[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if ARGV[4] == '1' and v and v ~= ARGV[5] then return 'other' end\n"
    "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])\n"
    "redis.call('SADD', KEYS[2], ARGV[1])\n"
    "redis.call('HSET', KEYS[3], ARGV[1], 'here ' .. redis.call('TIME')[1])\n"
    "return 'ok'\n";

/* KEYS: as above.  ARGV: name, our last words. */
static const char end_script[] =
    "if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 'other' end\n"
    "redis.call('DEL', KEYS[1])\n"
    "redis.call('SREM', KEYS[2], ARGV[1])\n"
    "redis.call('HSET', KEYS[3], ARGV[1], 'left ' .. redis.call('TIME')[1])\n"
    "return 'ok'\n";

/* KEYS: the names, what was last known of each.  ARGV: the prefix, seconds for
 * who is silent and for who left.  Names whose time is over go. */
static const char look_script[] =
    "local out = {}\n"
    "for _, n in ipairs(redis.call('SMEMBERS', KEYS[1])) do\n"
    "  local v = redis.call('GET', ARGV[1] .. n)\n"
    "  if v then\n"
    "    out[#out + 1] = n\n"
    "    out[#out + 1] = v\n"
    "  else\n"
    "    redis.call('SREM', KEYS[1], n)\n"
    "  end\n"
    "end\n"
    "local now = redis.call('TIME')[1]\n"
    "local last = redis.call('HGETALL', KEYS[2])\n"
    "for i = 1, #last, 2 do\n"
    "  local max = last[i + 1]:sub(1, 5) == 'here ' and ARGV[2] or ARGV[3]\n"
    "  local at = tonumber(last[i + 1]:sub(6))\n"
    "  if not at or now - at > tonumber(max) then\n"
    "    redis.call('HDEL', KEYS[2], last[i])\n"
    "  end\n"
    "end\n"
    "return out\n";

static struct span
bytes_of(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static struct redis_client *
client_of(const struct announce *a)
{
	return (a->replica == NULL ? NULL : replica_client(a->replica));
}

/* ---- ours ------------------------------------------------------------------------ */

/* True: there is something to say, in a->own. */
static bool
look_at_engine(struct announce *a)
{
	const struct engine_facts *f = engine_facts(a->engine);
	/* One that hangs is not said to be ready: what was said runs out. */
	bool serves = engine_state(a->engine) == ENGINE_READY && f->known &&
	    engine_answers(a->engine);

	if (serves) {
		a->own.draining = engine_is_draining(a->engine);
		a->own.resealing = f->resealing;
		a->own.has_checksum = f->has_checksum;
		memcpy(a->own.checksum, f->checksum, sizeof(a->own.checksum));
		a->own.apps = f->apps;
		a->own.keys_epoch = f->keys_epoch;
	}
	if (a->draining)
		a->own.draining = true;
	return (serves || (a->draining && buffer_len(&a->said) != 0));
}

static void
publish(struct announce *a)
{
	char text[ANNOUNCEMENT_NAME_BYTES + 16];
	struct redis_client *client = client_of(a);

	(void)snprintf(text, sizeof(text), "engines %s", a->own.name);
	if (client == NULL || redis_commandl(client, ANNOUNCE_COMMAND_MS, NULL,
	    NULL, "PUBLISH", CHANNEL, text, (const char *)NULL) != RC_OK)
		log_debug("announcement not published");
}

static void write_ours(struct announce *, bool anew);

static void
on_written(void *arg, enum rc rc, const struct redis_value *v)
{
	struct announce *a = arg;
	char code[REDIS_CODE_BYTES];

	obj_check(a, ANNOUNCE_MAGIC);
	a->writing = false;
	if (rc != RC_OK)
		return;			/* the next connection begins anew */
	if (v->type == REDIS_ERROR) {
		redis_value_error_code(v, code);
		log_warn("engine not announced code=%s", code);
		return;
	}
	if (span_eq_str(v->text, "other")) {
		log_info("engine announced by a successor name=%s",
		    a->own.name);
		a->superseded = true;
		return;
	}
	buffer_clear(&a->said);
	buffer_put(&a->said, buffer_data(&a->saying), buffer_len(&a->saying));
	if (a->news)
		publish(a);
	a->news = false;
	write_ours(a, false);		/* what changed meanwhile */
}

/* anew: also what is said already, for its time to live. */
static void
write_ours(struct announce *a, bool anew)
{
	struct redis_client *client = client_of(a);
	bool was_draining = a->own.draining;
	struct span argv[11];

	if (client == NULL) {
		a->link = NULL;		/* what was asked is not answered */
		a->writing = a->looking = false;
	}
	if (client == NULL || a->superseded || a->ending || a->writing ||
	    !look_at_engine(a))
		return;
	if (client != a->link || a->own.draining != was_draining)
		a->news = anew = true;
	a->link = client;
	buffer_clear(&a->saying);
	announcement_write(&a->own, &a->saying);
	if (!anew && span_eq(bytes_of(&a->saying), bytes_of(&a->said)))
		return;
	argv[0] = SPAN_LIT("EVAL");
	argv[1] = span_of(write_script);
	argv[2] = SPAN_LIT("3");
	argv[3] = span_of(a->key);
	argv[4] = SPAN_LIT(NAMES_KEY);
	argv[5] = SPAN_LIT(LAST_KEY);
	argv[6] = span_of(a->own.name);
	argv[7] = bytes_of(&a->saying);
	argv[8] = SPAN_LIT(ANNOUNCE_TTL_TEXT);
	argv[9] = a->draining ? SPAN_LIT("1") : SPAN_LIT("0");
	argv[10] = bytes_of(&a->said);
	a->writing = redis_command(client, ANNOUNCE_COMMAND_MS, on_written, a,
	    11, argv) == RC_OK;
}

/* ---- the others ------------------------------------------------------------------- */

static void
note_own_sum(struct announce *a)
{
	const struct engine_facts *f = engine_facts(a->engine);

	if (!f->known || !f->has_checksum || (a->n_sums != 0 &&
	    memcmp(a->sums[0], f->checksum, sizeof(f->checksum)) == 0))
		return;
	memmove(a->sums[1], a->sums[0],
	    (OWN_SUMS - 1) * sizeof(a->sums[0]));
	memcpy(a->sums[0], f->checksum, sizeof(f->checksum));
	if (a->n_sums < OWN_SUMS)
		a->n_sums++;
}

/* One that is some seconds behind us says what we held then. */
static bool
held_lately(const struct announce *a, const uint8_t *sum)
{
	for (size_t i = 0; i < a->n_sums; i++)
		if (memcmp(a->sums[i], sum, sizeof(a->sums[i])) == 0)
			return (true);
	return (false);
}

static void
compare(struct announce *a, struct announce_peer *p)
{
	char ours[SHORT_HEX + 1], theirs[SHORT_HEX + 1];
	uint64_t now = clock_mono_ms();

	p->agrees = true;
	if (p->said.draining || !p->said.has_checksum || a->n_sums == 0 ||
	    engine_state(a->engine) != ENGINE_READY) {
		p->differs_since_ms = 0;	/* nothing can be said */
		return;
	}
	p->agrees = held_lately(a, p->said.checksum);
	if (p->agrees) {
		if (p->told)
			log_info("engines-agree name=%s", p->said.name);
		p->told = false;
		p->differs_since_ms = 0;
		return;
	}
	if (p->differs_since_ms == 0)
		p->differs_since_ms = now;
	if (p->told || now - p->differs_since_ms <= DISAGREE_MS)
		return;
	p->told = true;
	hex_encode(a->sums[0], SHORT_HEX / 2, ours);
	hex_encode(p->said.checksum, SHORT_HEX / 2, theirs);
	log_error("engines-disagree name=%s ours=%s theirs=%s", p->said.name,
	    ours, theirs);
}

static struct announce_peer *
peer_of(struct announce *a, struct span name)
{
	struct announce_peer *p;

	for (size_t i = 0; i < a->n_peers; i++)
		if (span_eq_str(name, a->peers[i].said.name))
			return (&a->peers[i]);
	if (a->n_peers == PEERS_MAX) {
		if (!a->overflow_told)
			log_warn("more than %d engines are announced: the rest "
			    "is not compared", PEERS_MAX);
		a->overflow_told = true;
		return (NULL);
	}
	p = &a->peers[a->n_peers++];
	memset(p, 0, sizeof(*p));
	return (p);
}

static void
forget_unseen(struct announce *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n_peers; i++)
		if (a->peers[i].seen)
			a->peers[kept++] = a->peers[i];
	a->n_peers = kept;
}

void
announce_judge(struct announce *a, const struct redis_value *v)
{
	struct announcement said;
	struct announce_peer *p;

	note_own_sum(a);
	for (size_t i = 0; i < a->n_peers; i++)
		a->peers[i].seen = false;
	for (size_t i = 0; i + 1 < v->n; i += 2) {
		if (announcement_read(v->items[i + 1].text, v->items[i].text,
		    &said) != RC_OK) {
			log_debug("announcement of an unknown form ignored");
			continue;
		}
		if ((p = peer_of(a, v->items[i].text)) == NULL)
			continue;
		p->said = said;
		p->seen = true;
		compare(a, p);
	}
	forget_unseen(a);
}

static void
on_look(void *arg, enum rc rc, const struct redis_value *v)
{
	struct announce *a = arg;
	char code[REDIS_CODE_BYTES];

	obj_check(a, ANNOUNCE_MAGIC);
	a->looking = false;
	if (rc != RC_OK)
		return;
	if (v->type == REDIS_ARRAY) {
		announce_judge(a, v);
		return;
	}
	redis_value_error_code(v, code);
	log_warn("announcements not read code=%s", code);
}

static void
look(struct announce *a)
{
	struct redis_client *client = client_of(a);

	if (client == NULL || a->looking)
		return;
	a->looking = redis_commandl(client, ANNOUNCE_COMMAND_MS, on_look, a,
	    "EVAL", look_script, "2", NAMES_KEY, LAST_KEY, KEY_PREFIX,
	    SILENT_TEXT, LEFT_TEXT, (const char *)NULL) == RC_OK;
}

static void
on_refresh(void *arg)
{
	struct announce *a = arg;

	obj_check(a, ANNOUNCE_MAGIC);
	timer_start_ms(&a->refresh, ANNOUNCE_REFRESH_MS);
	write_ours(a, true);
	look(a);
}

/* ---- the end ------------------------------------------------------------------------ */

static void
ended(struct announce *a)
{
	if (a->ended)
		return;
	a->ended = true;
	timer_stop(&a->end);
	a->ops->on_ended(a->arg);
}

static void
on_taken_back(void *arg, enum rc rc, const struct redis_value *v)
{
	struct announce *a = arg;

	obj_check(a, ANNOUNCE_MAGIC);
	if (rc == RC_OK && span_eq_str(v->text, "ok"))
		publish(a);
	ended(a);
}

static void
on_end_time(void *arg)
{
	struct announce *a = arg;

	obj_check(a, ANNOUNCE_MAGIC);
	log_debug("announcement not taken back in time");
	ended(a);
}

void
announce_end(struct announce *a)
{
	struct redis_client *client = client_of(a);
	struct span argv[8];

	obj_check(a, ANNOUNCE_MAGIC);
	if (a->ending)
		return;
	a->ending = true;
	timer_stop(&a->refresh);
	argv[0] = SPAN_LIT("EVAL");
	argv[1] = span_of(end_script);
	argv[2] = SPAN_LIT("3");
	argv[3] = span_of(a->key);
	argv[4] = SPAN_LIT(NAMES_KEY);
	argv[5] = SPAN_LIT(LAST_KEY);
	argv[6] = span_of(a->own.name);
	/* What is still on its way is there before this command is. */
	argv[7] = bytes_of(a->writing ? &a->saying : &a->said);
	if (client == NULL || a->superseded || argv[7].len == 0 ||
	    redis_command(client, ANNOUNCE_COMMAND_MS, on_taken_back, a, 8,
	    argv) != RC_OK) {
		ended(a);
		return;
	}
	timer_start_ms(&a->end, ANNOUNCE_END_MS);
}

/* ---- life ----------------------------------------------------------------------------- */

struct announce *
announce_new(struct loop *loop, const struct announce_config *config,
    const struct announce_ops *ops, void *arg)
{
	struct announce *a = xcalloc(1, sizeof(*a));

	a->magic = ANNOUNCE_MAGIC;
	a->engine = config->engine;
	a->replica = config->replica;
	a->ops = ops;
	a->arg = arg;
	(void)snprintf(a->own.name, sizeof(a->own.name), "%s", config->name);
	(void)snprintf(a->own.address, sizeof(a->own.address), "%s",
	    config->address);
	a->key = xasprintf("%s%s", KEY_PREFIX, config->name);
	buffer_init(&a->said, 0, false);
	buffer_init(&a->saying, 0, false);
	timer_init(&a->refresh, loop, on_refresh, a);
	timer_init(&a->end, loop, on_end_time, a);
	if (a->replica != NULL)
		timer_start_ms(&a->refresh, ANNOUNCE_REFRESH_MS);
	return (a);
}

void
announce_free(struct announce **ap)
{
	struct announce *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	obj_check(a, ANNOUNCE_MAGIC);
	timer_fini(&a->refresh);
	timer_fini(&a->end);
	buffer_fini(&a->said);
	buffer_fini(&a->saying);
	free(a->key);
	a->magic = 0;
	free(a);
}

void
announce_kick(struct announce *a)
{
	obj_check(a, ANNOUNCE_MAGIC);
	note_own_sum(a);
	write_ours(a, false);
}

void
announce_drain(struct announce *a)
{
	obj_check(a, ANNOUNCE_MAGIC);
	a->draining = true;
	write_ours(a, false);
}

/* ---- what is known ------------------------------------------------------------------------ */

void
announce_put(const struct announce *a, struct body_json_writer *w,
    const char *key)
{
	struct buffer one;

	obj_check(a, ANNOUNCE_MAGIC);
	buffer_init(&one, 0, false);
	body_json_open_array(w, key);
	for (size_t i = 0; i < a->n_peers; i++) {
		buffer_clear(&one);
		announcement_write(&a->peers[i].said, &one);
		buffer_truncate(&one, buffer_len(&one) - 1);	/* its '}' */
		buffer_printf(&one, ",\"agrees\":%s}",
		    a->peers[i].agrees ? "true" : "false");
		body_json_put_raw(w, NULL, bytes_of(&one));
	}
	body_json_close_array(w);
	buffer_fini(&one);
}

size_t
announce_disagree(const struct announce *a)
{
	size_t n = 0;

	obj_check(a, ANNOUNCE_MAGIC);
	for (size_t i = 0; i < a->n_peers; i++)
		n += a->peers[i].told ? 1 : 0;
	return (n);
}
