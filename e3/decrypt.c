/* e3/decrypt.c - the opening of one token, and the op over many. */
#include "e3/decrypt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "e3/batch.h"
#include "lib/base/object.h"

#define CACHE_ENTRIES		16	/* an SDK changes its key every 15 s */
#define CACHE_KEY_BYTES		(2 * E3_SECRET_BYTES)	/* raw, then KDF */
#define CACHES_MAX		64	/* 64 KiB of the secure heap at most */
#define SCOPE_DECRYPT		"decrypt"

/* ---- derived keys of one call ---- */

struct e3_key_cache {
	unsigned	magic;
#define E3_KEY_CACHE_MAGIC	0x6eca00e3
	unsigned	n, next;
	struct {
		uint8_t			ephemeral[E3_POINT_BYTES];
		const struct e3_key_pair *pair;	/* view: same app all along */
	} tags[CACHE_ENTRIES];
	uint8_t		*keys;		/* owned: secure heap */
};

static atomic_uint caches;

struct e3_key_cache *
e3_key_cache_new(void)
{
	struct e3_key_cache *k;
	uint8_t *keys = NULL;

	if (atomic_fetch_add(&caches, 1) < CACHES_MAX)
		keys = OPENSSL_secure_malloc(CACHE_ENTRIES * CACHE_KEY_BYTES);
	if (keys == NULL) {
		atomic_fetch_sub(&caches, 1);
		return (NULL);
	}
	k = xcalloc(1, sizeof(*k));
	k->magic = E3_KEY_CACHE_MAGIC;
	k->keys = keys;
	return (k);
}

void
e3_key_cache_free(struct e3_key_cache **kp)
{
	struct e3_key_cache *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	obj_check(k, E3_KEY_CACHE_MAGIC);
	OPENSSL_secure_clear_free(k->keys, CACHE_ENTRIES * CACHE_KEY_BYTES);
	atomic_fetch_sub(&caches, 1);
	k->magic = 0;
	free(k);
}

static uint8_t *
cache_find(struct e3_key_cache *k, const uint8_t *ephemeral,
    const struct e3_key_pair *pair)
{
	if (k == NULL)
		return (NULL);
	for (unsigned i = 0; i < k->n; i++)
		if (k->tags[i].pair == pair && memcmp(k->tags[i].ephemeral,
		    ephemeral, E3_POINT_BYTES) == 0)
			return (k->keys + i * CACHE_KEY_BYTES);
	return (NULL);
}

static void
cache_add(struct e3_key_cache *k, const uint8_t *ephemeral,
    const struct e3_key_pair *pair, const uint8_t *keys)
{
	unsigned i;

	if (k == NULL)
		return;
	i = k->next;
	k->next = (k->next + 1) % CACHE_ENTRIES;	/* oldest goes */
	if (k->n < CACHE_ENTRIES)
		k->n++;
	memcpy(k->tags[i].ephemeral, ephemeral, E3_POINT_BYTES);
	k->tags[i].pair = pair;
	memcpy(k->keys + i * CACHE_KEY_BYTES, keys, CACHE_KEY_BYTES);
}

/* ---- one token ---- */

struct opening {
	struct e3_crypto	*crypto;
	struct e3_key_cache	*cache;		/* or NULL */
	const struct e3_token	*token;
	struct span		sealed;		/* view: decoded data */
	uint8_t			*plain;		/* view: room for it */
	uint8_t			*keys;		/* secure heap: raw, KDF */
	size_t			*cost;
};

/* Both key forms for this pair. */
static enum rc
derive(struct opening *o, const struct e3_key_pair *pair)
{
	struct e3_ecdh *ecdh = e3_crypto_ecdh(o->crypto);
	struct e3_public_key ephemeral;
	const uint8_t *known;
	enum rc rc;

	known = cache_find(o->cache, o->token->ephemeral, pair);
	if (known != NULL) {
		memcpy(o->keys, known, CACHE_KEY_BYTES);
		return (RC_OK);
	}
	*o->cost += E3_COST_ECDH;
	if ((rc = e3_ecdh_decode(ecdh, pair->curve, o->token->ephemeral,
	    &ephemeral)) != RC_OK ||
	    (rc = e3_ecdh_agree(ecdh, pair->curve, pair->secret, &ephemeral,
	    o->keys)) != RC_OK ||
	    (rc = e3_ecies_kdf(o->crypto, pair->curve, o->keys, &ephemeral,
	    o->keys + E3_SECRET_BYTES)) != RC_OK)
		return (rc == RC_SYNTAX ? RC_DENIED : rc);
	cache_add(o->cache, o->token->ephemeral, pair, o->keys);
	return (RC_OK);
}

static enum rc
try_pair(struct opening *o, const struct e3_key_pair *pair)
{
	const struct e3_token_format *f = e3_token_format(o->token->version);
	const uint8_t *raw = o->keys, *kdf = o->keys + E3_SECRET_BYTES;
	uint8_t aad[E3_AAD_BYTES_MAX];
	struct span extra;
	enum rc rc;

	if ((rc = derive(o, pair)) != RC_OK)
		return (rc);
	extra = (struct span){ (const char *)aad,
	    e3_token_aad(o->token, pair->pub.compressed, aad) };
	*o->cost += E3_COST_VALUE(o->sealed.len);
	rc = e3_ecies_open(o->crypto, f->kdf ? kdf : raw, o->token->iv, extra,
	    o->sealed, o->plain);
	/* SDKs that used a client with and without a role mixed the two
	 * forms up on this curve. */
	if (rc == RC_DENIED && f->curve == RPC_CURVE_K1)
		rc = e3_ecies_open(o->crypto, f->kdf ? raw : kdf,
		    o->token->iv, extra, o->sealed, o->plain);
	return (rc);
}

/* Take the metadata off the front of the value.  It was made by whoever had
 * the public key, so it may be anything. */
static enum rc
take_metadata(struct span *value, struct span *metadata)
{
	const uint8_t *p = (const uint8_t *)value->p;
	size_t n;

	if (value->len < 2)
		return (RC_DENIED);
	n = (size_t)p[0] | (size_t)p[1] << 8;
	if (n > value->len - 2 || rpc_walk(value->p + 2, n) != RC_OK)
		return (RC_DENIED);
	*metadata = (struct span){ value->p + 2, n };
	value->p += 2 + n;
	value->len -= 2 + n;
	return (RC_OK);
}

/* The data role in a token's metadata (spec/ciphertext.md) is this one. */
static bool
role_is(struct span metadata, struct span wanted)
{
	struct rpc_document doc;
	struct span role;
	bool same;

	if (rpc_document_read(&doc, metadata.p, metadata.len) != RC_OK)
		return (false);
	same = rpc_get_bytes(rpc_map_get(doc.root, "dr"), &role) &&
	    span_eq(role, wanted);
	rpc_document_fini(&doc);
	return (same);
}

static enum rc
try_all(struct opening *o, const struct e3_app *app)
{
	const enum rpc_curve curve = e3_token_format(o->token->version)->curve;
	const enum e3_pair_state order[] = { E3_PAIR_SEALS, E3_PAIR_OPENS };
	enum rc rc = RC_DENIED;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < app->n_pairs; i++) {
			const struct e3_key_pair *p = &app->pairs[i];

			if (p->curve != curve || p->state != order[pass])
				continue;
			if ((rc = try_pair(o, p)) != RC_DENIED)
				return (rc);
		}
	}
	return (rc);
}

enum rc
e3_token_open(struct e3_crypto *crypto, struct e3_key_cache *cache,
    const struct e3_app *app, const struct e3_token *t, struct span role,
    struct buffer *plain, struct span *value, size_t *cost)
{
	struct span metadata = { NULL, 0 };
	struct opening o = { .crypto = crypto, .cache = cache, .token = t,
	    .cost = cost };
	char *room;
	enum rc rc;

	*value = (struct span){ NULL, 0 };
	/* Sealed and opened side by side: another key may need the first. */
	if ((rc = buffer_reserve(plain, 2 * t->data_bytes, &room)) != RC_OK)
		return (RC_NOMEM);
	buffer_commit(plain, 2 * t->data_bytes);
	o.sealed = (struct span){ room, t->data_bytes };
	o.plain = (uint8_t *)room + t->data_bytes;
	if (e3_token_data(t, (uint8_t *)room) != RC_OK)
		return (RC_SYNTAX);
	if ((o.keys = OPENSSL_secure_malloc(CACHE_KEY_BYTES)) == NULL)
		return (RC_NOMEM);
	rc = try_all(&o, app);
	OPENSSL_secure_clear_free(o.keys, CACHE_KEY_BYTES);
	if (rc != RC_OK)
		return (rc);
	*value = (struct span){ (const char *)o.plain,
	    t->data_bytes - E3_TAG_BYTES };
	if (e3_token_format(t->version)->metadata)
		rc = take_metadata(value, &metadata);
	if (rc == RC_OK && role.len != 0 && !role_is(metadata, role))
		rc = RC_NOTFOUND;
	return (rc);
}

/* ---- the op ---- */

struct decrypt {
	struct e3_batch		batch;		/* first */
	struct rpc_decrypt	msg;		/* views of the call's bytes */
	struct e3_key_cache	*cache;		/* owned */
};

static void
decrypt_free(void *p)
{
	struct decrypt *w = p;

	e3_key_cache_free(&w->cache);
	e3_batch_fini(&w->batch);
	free(w);
}

static enum rc
put(struct buffer *b, enum rpc_open_status status, enum rpc_field_type type,
    struct span value)
{
	enum rc rc = rpc_opened_put_head(b, status, type, value.len);

	return (rc != RC_OK ? rc : buffer_append(b, value.p, value.len));
}

/* A value is shorter than its token. */
static enum rc
decrypt_bound(const void *work, size_t i, size_t *bytes)
{
	const struct decrypt *w = work;
	struct span text, role;

	*bytes = 0;
	if (rpc_decrypt_token_at(&w->msg, i, &text, &role) != RC_OK)
		return (RC_SYNTAX);
	*bytes = 3 + RPC_BIN_HEAD_MAX + text.len / 4 * 3;
	return (RC_OK);
}

static enum rc
decrypt_one(struct e3_call *c, struct e3_crypto *crypto, size_t i,
    size_t *cost)
{
	struct decrypt *w = c->work;
	struct buffer *plain = e3_crypto_scratch(crypto);
	struct buffer *out = &w->batch.piece;
	const struct span nothing = { NULL, 0 };
	struct span text, role, value;
	struct e3_token t;
	enum rc rc;

	if ((rc = rpc_decrypt_token_at(&w->msg, i, &text, &role)) != RC_OK)
		return (rc);
	*cost += 1;
	if (e3_token_parse(text, &t) != RC_OK)
		return (put(out, RPC_OPEN_NOT_A_TOKEN, t.type, nothing));
	if (t.debug)
		return (put(out, RPC_OPEN_DEBUG, t.type, nothing));
	if (w->cache == NULL)
		w->cache = e3_key_cache_new();
	rc = e3_token_open(crypto, w->cache, c->app, &t, role, plain, &value,
	    cost);
	if (rc == RC_OK) {
		c->n_opened++;
		rc = put(out, RPC_OPEN_OK, t.type, value);
	} else if (rc == RC_SYNTAX) {
		rc = put(out, RPC_OPEN_NOT_A_TOKEN, t.type, nothing);
	} else if (rc == RC_DENIED) {
		rc = put(out, RPC_OPEN_WRONG_APP_OR_CHANGED, t.type, nothing);
	} else if (rc == RC_NOTFOUND) {
		rc = put(out, RPC_OPEN_FORBIDDEN, t.type, nothing);
	}
	buffer_clear(plain);
	return (rc);
}

static const struct e3_batch_ops decrypt_ops = {
	.bound = decrypt_bound,
	.one = decrypt_one,
};

/* Whose tokens: an API key speaks for its own app and needs the scope; an
 * app by name is believed from workers, which answer for their relays. */
static enum rpc_status
whose(struct e3_engine *e, struct e3_call *c, const struct rpc_decrypt *msg)
{
	const struct e3_api_key *key;
	struct e3_app *app;
	enum rpc_status status;

	if (msg->api_key.len == 0) {
		if (c->caller->role != RPC_ROLE_WORKER ||
		    span_eq_str(msg->app, E3_SYSTEM_APP))
			return (RPC_STATUS_NOT_ALLOWED);
		return (e3_dispatch_app(e, c, msg->app));
	}
	status = e3_dispatch_authenticate(e, msg->api_key, &app, &key);
	if (status != RPC_STATUS_OK)
		return (status);
	if (!e3_api_key_allows(key, SCOPE_DECRYPT))
		return (RPC_STATUS_NOT_ALLOWED);
	c->app = e3_app_ref(app);
	return (RPC_STATUS_OK);
}

enum rpc_status
e3_decrypt(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_decrypt msg;
	struct decrypt *w;
	enum rpc_status status;
	enum rc rc;

	if ((rc = rpc_decrypt_read(c->frame.body, &msg)) != RC_OK)
		return (e3_call_status(rc));
	if ((status = whose(e, c, &msg)) != RPC_STATUS_OK)
		return (status);
	w = xcalloc(1, sizeof(*w));
	c->work = w;
	c->work_free = decrypt_free;
	w->msg = msg;
	e3_batch_init(&w->batch, &decrypt_ops, msg.n_tokens);
	return (e3_dispatch_submit(e, c, e3_batch_run, E3_COST_ECDH +
	    msg.n_tokens * 2 + buffer_len(&c->bytes) / 512));
}
