/*
 * worker/api_key.c - API keys: asked for, remembered.  api_key_find.c finds
 * them in a head.
 *
 *   keys -> check (one engine call for one key) -> waiters, who came with that
 *   key while the call is out.
 *   keys -> known, a table of fixed size: keyed hash -> app, for seconds.
 *   keys -> good_keys: the hashes of keys that were good, for an hour.
 *
 * The hash is HMAC-SHA-256 under a random key of this process: what a dump
 * would show opens nothing, and nobody outside can choose where in the table
 * a key lands or compare hashes byte by byte.
 */
#include "worker/api_key.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/base/timer.h"
#include "lib/rpc/message.h"
#include "lib/rpc/sealed_record.h"
#include "worker/good_keys.h"

static const struct {
	enum api_scope	scope;
	const char	*name;		/* asked of keys that have scopes */
} scope_names[] = {
	{ API_SCOPE_RELAY,	"relay" },
	{ API_SCOPE_EGRESS,	"egress" },
	{ API_SCOPE_ENCRYPT,	"api:encrypt" },
	{ API_SCOPE_DECRYPT,	"api:decrypt" },
	{ API_SCOPE_TOKEN,	"api:token" },
	{ API_SCOPE_INSPECT,	"api:inspect" },
	{ API_SCOPE_KEYS,	"api:keys" },
	{ API_SCOPE_MANAGE,	"manage" },
};

#define HASH_BYTES	GOOD_KEYS_HASH_BYTES
#define WAYS		8	/* places where one hash may stand */
#define SETS		(API_KEY_REMEMBERED_MAX / WAYS)
#define SWEEP_MS	1000	/* what may not be known any more is wiped */
#define WAITER_BUCKETS	256

/* ---- what was said, remembered ---- */

/* An engine's answer about one key. */
struct word {
	char		app[RPC_APP_ID_BYTES];
	char		key_id[API_KEY_ID_BYTES];
	unsigned	scopes;		/* mask of enum api_scope */
	uint64_t	keys_seen;	/* of the pool, when it was asked; 0: as
					   if nothing was said */
	uint64_t	t_end_ms;	/* until then it may be remembered */
};

struct known {
	uint8_t		hash[HASH_BYTES];
	struct word	word;
};

struct waiter {
	LIST_ENTRY(waiter)	chain;	/* keys->by_id */
	TAILQ_ENTRY(waiter)	link;	/* check->waiters */
	struct check		*check;	/* borrowed: owns us */
	uint64_t		id;
	char			app[RPC_APP_ID_BYTES];	/* "": anybody's */
	enum api_scope		scope;
	api_key_cb		*cb;
	void			*arg;	/* borrowed: cancels us when it goes */
};

struct check {
	LIST_ENTRY(check)	link;	/* keys->checks, while call_id */
	struct api_keys		*keys;	/* borrowed: owns us */
	uint64_t		call_id; /* 0: it has ended */
	TAILQ_HEAD(, waiter)	waiters; /* owned */
	uint64_t		t_written_ms;
	struct word		word;
	uint8_t			hash[HASH_BYTES];
	char			by_id_of[RPC_APP_ID_BYTES]; /* the app; "": key is
						   a secret */
	size_t			key_len;
	char			key[RPC_API_KEY_BYTES_MAX]; /* wiped */
};

struct api_keys {
	unsigned		magic;
#define API_KEYS_MAGIC		0x9e15c7a3
	struct engine_pool	*pool;	/* borrowed: outlives us */
	EVP_MAC_CTX		*mac;	/* owned: holds the key of hashes */
	struct good_keys	*good;	/* owned */
	LIST_HEAD(, check)	checks;	/* owned */
	unsigned		n_checks;
	uint64_t		next_id;
	LIST_HEAD(, waiter)	by_id[WAITER_BUCKETS];
	struct timer		sweep;	/* runs while something is known */
	struct known		known[SETS][WAYS];
};

/* Ids of keys and secrets are two worlds. */
static void
hash_key(struct api_keys *k, const struct api_key_question *q,
    uint8_t out[HASH_BYTES])
{
	const char *of = q->by_id ? q->app : "";
	size_t n = 0;

	ERR_clear_error();
	/* No key: another message under the one that was set at the start. */
	ensure(EVP_MAC_init(k->mac, NULL, 0, NULL) == 1);
	ensure(EVP_MAC_update(k->mac, (const unsigned char *)of,
	    strlen(of) + 1) == 1);
	ensure(EVP_MAC_update(k->mac, (const unsigned char *)q->key.p,
	    q->key.len) == 1);
	ensure(EVP_MAC_final(k->mac, out, &n, HASH_BYTES) == 1);
	ensure(n == HASH_BYTES);
}

static struct known *
set_of(struct api_keys *k, const uint8_t hash[HASH_BYTES])
{
	return (k->known[(hash[0] | (unsigned)hash[1] << 8) % SETS]);
}

static bool
word_holds(const struct word *w, uint64_t keys_seen, uint64_t now_ms)
{
	return (keys_seen != 0 && w->keys_seen == keys_seen &&
	    now_ms < w->t_end_ms);
}

/* app "": anybody's will do. */
static void
word_answer(const struct word *w, const char *app, enum api_scope scope,
    struct api_key_answer *out)
{
	*out = (struct api_key_answer){ .verdict = API_KEY_BAD };
	if (app[0] != '\0' && strcmp(w->app, app) != 0)
		return;
	out->verdict = API_KEY_NO_SCOPE;
	if ((w->scopes & scope) == 0)
		return;
	out->verdict = API_KEY_GOOD;
	memcpy(out->app, w->app, sizeof(out->app));
	memcpy(out->key_id, w->key_id, sizeof(out->key_id));
}

static const struct word *
known_find(struct api_keys *k, const uint8_t hash[HASH_BYTES])
{
	uint64_t keys_seen = engine_pool_keys_seen(k->pool);
	uint64_t now_ms = clock_mono_ms();
	struct known *set = set_of(k, hash);

	for (size_t i = 0; i < WAYS; i++)
		if (word_holds(&set[i].word, keys_seen, now_ms) &&
		    secret_equal(set[i].hash, hash, HASH_BYTES))
			return (&set[i].word);
	return (NULL);
}

/* In place of what holds no more, else of what ends first. */
static void
known_put(struct api_keys *k, const uint8_t hash[HASH_BYTES],
    const struct word *word)
{
	uint64_t keys_seen = engine_pool_keys_seen(k->pool);
	uint64_t now_ms = clock_mono_ms(), least = UINT64_MAX;
	struct known *set = set_of(k, hash), *place = set;

	/* Something changed while we asked: it counts for who asked only. */
	if (!word_holds(word, keys_seen, now_ms))
		return;
	for (size_t i = 0; i < WAYS; i++) {
		const struct word *w = &set[i].word;
		uint64_t end_ms = word_holds(w, keys_seen, now_ms) ?
		    w->t_end_ms : 0;

		if (end_ms < least) {
			least = end_ms;
			place = &set[i];
		}
	}
	memcpy(place->hash, hash, HASH_BYTES);
	place->word = *word;
	if (!timer_running(&k->sweep))
		timer_start_ms(&k->sweep, SWEEP_MS);
}

static void
on_sweep(void *arg)
{
	struct api_keys *k = arg;
	uint64_t keys_seen = engine_pool_keys_seen(k->pool);
	uint64_t now_ms = clock_mono_ms();
	bool left = false;

	for (size_t i = 0; i < API_KEY_REMEMBERED_MAX; i++) {
		struct known *n = &k->known[i / WAYS][i % WAYS];

		if (word_holds(&n->word, keys_seen, now_ms))
			left = true;
		else
			secret_wipe(n, sizeof(*n));
	}
	if (left)
		timer_start_ms(&k->sweep, SWEEP_MS);
}

/* Of secrets alone: who has an id in hand holds no key that could be tried. */
static void
note_good(struct check *c)
{
	if (c->by_id_of[0] == '\0')
		good_keys_add(c->keys->good, c->hash, c->word.app,
		    clock_mono_ms());
}

/* ---- asking ---- */

static void
waiter_free(struct waiter *w)
{
	TAILQ_REMOVE(&w->check->waiters, w, link);
	LIST_REMOVE(w, chain);
	free(w);
}

static void
check_free(struct check *c)
{
	ensure(TAILQ_EMPTY(&c->waiters));
	secret_wipe(c, sizeof(*c));
	free(c);
}

/* It takes no more waiters. */
static void
check_end(struct check *c)
{
	LIST_REMOVE(c, link);
	c->keys->n_checks--;
	c->call_id = 0;
}

static enum rc
on_write(void *arg, struct buffer *body)
{
	struct check *c = arg;

	c->word.keys_seen = engine_pool_keys_seen(c->keys->pool);
	c->t_written_ms = clock_mono_ms();
	if (c->by_id_of[0] == '\0') {
		rpc_authenticate_put(body, (struct span){ c->key, c->key_len });
		return (RC_OK);
	}
	rpc_pack(body, RPC_STR("app", c->by_id_of), RPC_STR("key", c->key));
	return (RC_OK);
}

static unsigned
scopes_of(const struct rpc_authenticated *a)
{
	unsigned mask = 0;

	for (size_t i = 0; i < sizeof(scope_names) / sizeof(scope_names[0]); i++)
		if (rpc_authenticated_allows(a, scope_names[i].name))
			mask |= scope_names[i].scope;
	return (mask);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct rpc_authenticated a;
	struct check *c = arg;

	if (more || rpc_authenticated_read(body, &a) != RC_OK ||
	    !span_copy(a.app, c->word.app, sizeof(c->word.app)) ||
	    !span_copy(a.key, c->word.key_id, sizeof(c->word.key_id)))
		return (RC_SYNTAX);
	if (a.cache_s > API_KEY_REMEMBER_MAX_S)
		a.cache_s = API_KEY_REMEMBER_MAX_S;
	c->word.scopes = scopes_of(&a);
	c->word.t_end_ms = c->t_written_ms + a.cache_s * 1000;
	return (RC_OK);
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct api_key_answer answer = { .verdict = API_KEY_NO_ENGINE };
	struct check *c = arg;
	struct waiter *w;

	check_end(c);
	if (rc == RC_OK) {
		known_put(c->keys, c->hash, &c->word);
		note_good(c);
	} else if (rc == RC_DENIED && status == RPC_STATUS_UNAUTHORIZED) {
		good_keys_forget(c->keys->good, c->hash);
		answer.verdict = API_KEY_BAD;
	}
	/* A callback may cancel others of the list. */
	while ((w = TAILQ_FIRST(&c->waiters)) != NULL) {
		api_key_cb *cb = w->cb;
		void *cb_arg = w->arg;

		if (rc == RC_OK)
			word_answer(&c->word, w->app, w->scope, &answer);
		waiter_free(w);
		cb(cb_arg, &answer);
	}
	check_free(c);
}

static const struct engine_call_ops call_ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

/* One that is out for this key.  Not if keys changed since it was written:
 * the answer may be from before, who comes now wants one from after. */
static struct check *
check_find(struct api_keys *k, const uint8_t hash[HASH_BYTES])
{
	uint64_t keys_seen = engine_pool_keys_seen(k->pool);
	struct check *c;

	LIST_FOREACH(c, &k->checks, link)
		if (c->word.keys_seen == keys_seen &&
		    secret_equal(c->hash, hash, HASH_BYTES))
			return (c);
	return (NULL);
}

/* NULL: nobody can be asked now. */
static struct check *
check_new(struct api_keys *k, const uint8_t hash[HASH_BYTES],
    const struct api_key_question *q)
{
	static struct log_rate rate;
	struct check *c;
	unsigned suppressed;

	if (k->n_checks >= API_KEY_ASKED_MAX) {
		if (log_rate_ok(&rate, 10, &suppressed))
			log_warn("api-key not asked why=too-many asked=%u "
			    "suppressed=%u", k->n_checks, suppressed);
		return (NULL);
	}
	c = xcalloc(1, sizeof(*c));
	c->keys = k;
	TAILQ_INIT(&c->waiters);
	c->word.keys_seen = engine_pool_keys_seen(k->pool);
	memcpy(c->hash, hash, HASH_BYTES);
	memcpy(c->key, q->key.p, q->key.len);
	c->key_len = q->key.len;
	if (q->by_id)
		ensure(span_copy(span_of(q->app), c->by_id_of,
		    sizeof(c->by_id_of)));
	c->call_id = engine_call(k->pool, RPC_OP_AUTHENTICATE, &call_ops, c);
	if (c->call_id == 0) {
		check_free(c);
		return (NULL);
	}
	LIST_INSERT_HEAD(&k->checks, c, link);
	k->n_checks++;
	return (c);
}

uint64_t
api_key_ask(struct api_keys *k, const struct api_key_question *q,
    api_key_cb *cb, void *arg, struct api_key_answer *now)
{
	const char *app = q->app != NULL ? q->app : "";
	uint8_t hash[HASH_BYTES];
	const struct word *word;
	struct waiter *w;
	struct check *c;

	obj_check(k, API_KEYS_MAGIC);
	ensure(!q->by_id || q->app != NULL);
	*now = (struct api_key_answer){ .verdict = API_KEY_BAD };
	if (q->key.len == 0 || q->key.len > RPC_API_KEY_BYTES_MAX ||
	    (q->by_id && q->key.len >= API_KEY_ID_BYTES) ||
	    (q->app != NULL && app[0] == '\0') || strlen(app) >= RPC_APP_ID_BYTES)
		return (0);
	hash_key(k, q, hash);
	if ((word = known_find(k, hash)) != NULL) {
		word_answer(word, app, q->scope, now);
		return (0);
	}
	now->verdict = API_KEY_NO_ENGINE;
	if ((c = check_find(k, hash)) == NULL &&
	    (c = check_new(k, hash, q)) == NULL)
		return (0);
	w = xcalloc(1, sizeof(*w));
	w->check = c;
	w->id = ++k->next_id;
	w->cb = cb;
	w->arg = arg;
	w->scope = q->scope;
	ensure(span_copy(span_of(app), w->app, sizeof(w->app)));
	TAILQ_INSERT_TAIL(&c->waiters, w, link);
	LIST_INSERT_HEAD(&k->by_id[w->id % WAITER_BUCKETS], w, chain);
	return (w->id);
}

void
api_key_cancel(struct api_keys *k, uint64_t id)
{
	struct waiter *w;
	struct check *c;

	obj_check(k, API_KEYS_MAGIC);
	LIST_FOREACH(w, &k->by_id[id % WAITER_BUCKETS], chain)
		if (w->id == id)
			break;
	if (w == NULL)
		return;
	c = w->check;
	waiter_free(w);
	/* After its end on_end holds it, and has others to tell. */
	if (!TAILQ_EMPTY(&c->waiters) || c->call_id == 0)
		return;
	engine_call_cancel(k->pool, c->call_id);
	check_end(c);
	check_free(c);
}

bool
api_key_was_good(struct api_keys *k, const struct api_key_question *q)
{
	uint8_t hash[HASH_BYTES];

	obj_check(k, API_KEYS_MAGIC);
	ensure(!q->by_id);
	if (q->key.len == 0 || q->key.len > RPC_API_KEY_BYTES_MAX)
		return (false);
	hash_key(k, q, hash);
	return (good_keys_has(k->good, hash, q->app != NULL ? q->app : "",
	    clock_mono_ms()));
}

/* ---- life ---- */

struct api_keys *
api_keys_new(struct loop *loop, struct engine_pool *pool)
{
	struct api_keys *k = xcalloc(1, sizeof(*k));
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	uint8_t secret[HASH_BYTES];
	EVP_MAC *mac;

	k->magic = API_KEYS_MAGIC;
	k->pool = pool;
	k->good = good_keys_new();
	LIST_INIT(&k->checks);
	for (size_t i = 0; i < WAITER_BUCKETS; i++)
		LIST_INIT(&k->by_id[i]);
	timer_init(&k->sweep, loop, on_sweep, k);
	ensure((mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL)) != NULL);
	ensure((k->mac = EVP_MAC_CTX_new(mac)) != NULL);
	EVP_MAC_free(mac);
	random_bytes(secret, sizeof(secret));
	ensure(EVP_MAC_init(k->mac, secret, sizeof(secret), params) == 1);
	secret_wipe(secret, sizeof(secret));
	return (k);
}

void
api_keys_free(struct api_keys **kp)
{
	struct api_keys *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	obj_check(k, API_KEYS_MAGIC);
	ensure(k->n_checks == 0);	/* every asker has cancelled */
	timer_fini(&k->sweep);
	good_keys_free(&k->good);
	EVP_MAC_CTX_free(k->mac);
	secret_wipe(k, sizeof(*k));
	free(k);
}

unsigned
api_keys_asked(const struct api_keys *k)
{
	return (k->n_checks);
}
