/* e3/opening.c - candidates for a token or a file, tried in turn. */
#include "e3/opening.h"

#include <string.h>

#include <openssl/crypto.h>

/* Keys and forms tried for one token: each pair of the 8 that an app may have
 * on a curve, twice. */
#define CANDIDATES_MAX	16
#define KEYS_BYTES	(2 * SCHEME_SECRET_BYTES)	/* raw, then KDF */
/* Calls that remember more than one key: 64 KiB of the secure heap at most. */
#define REMEMBER_MAX	64

static atomic_uint remembering;

struct candidate {
	struct e3_opening	*o;
	struct scheme_crypto	*crypto;
	enum rpc_curve		curve;
	bool			kdf;		/* the form of its key, mostly */
	const uint8_t		*ephemeral, *iv;	/* views */
	const struct scheme_token	*token;	/* NULL: it is a file, whose */
	bool			app_key;	/* additional data is this, or none */
	struct span		sealed;		/* view: decoded data */
	uint8_t			*plain;		/* view: room for it */
	unsigned		tried;
	size_t			*cost;
	/* of the pair that opened it: views of o->keys and of the aad */
	const uint8_t		*key;
	struct span		extra;
	uint8_t			aad[SCHEME_AAD_BYTES_MAX];
};

void
e3_opening_fini(struct e3_opening *o)
{
	if (o->keys != NULL && o->size > 1)
		(void)atomic_fetch_sub(&remembering, 1);
	OPENSSL_secure_clear_free(o->keys, o->size * KEYS_BYTES);
	memset(o, 0, sizeof(*o));
}

static bool
make_room(struct e3_opening *o)
{
	if (o->keys != NULL)
		return (true);
	o->size = E3_OPENING_KEYS;
	if (atomic_fetch_add(&remembering, 1) >= REMEMBER_MAX) {
		o->size = 1;
		(void)atomic_fetch_sub(&remembering, 1);
	}
	o->keys = OPENSSL_secure_malloc(o->size * KEYS_BYTES);
	if (o->keys == NULL && o->size > 1)
		(void)atomic_fetch_sub(&remembering, 1);
	return (o->keys != NULL);
}

/* Both key forms of a pair, a view.  RC_DENIED: no point of its curve. */
static enum rc
derive(struct candidate *c, const struct e3_key_pair *pair,
    const uint8_t **keys)
{
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(c->crypto);
	const uint8_t *point = c->ephemeral;
	struct e3_opening *o = c->o;
	struct scheme_public_key ephemeral;
	unsigned at = o->last;
	uint8_t *made;
	enum rc rc;

	for (unsigned i = 0; i < o->n; i++, at = at + 1 < o->n ? at + 1 : 0)
		if (o->tags[at].pair == pair && memcmp(o->tags[at].ephemeral,
		    point, SCHEME_POINT_BYTES) == 0) {
			o->last = at;
			*keys = o->keys + at * KEYS_BYTES;
			return (RC_OK);
		}
	if (!make_room(o))
		return (RC_NOMEM);
	*c->cost += E3_COST_ECDH;
	at = o->next;				/* the oldest goes */
	o->tags[at].pair = NULL;
	made = o->keys + at * KEYS_BYTES;
	if ((rc = scheme_ecdh_decode(ecdh, pair->curve, point, &ephemeral)) !=
	    RC_OK || (rc = scheme_ecdh_agree(ecdh, pair->curve, pair->secret,
	    &ephemeral, made)) != RC_OK || (rc = scheme_ecies_kdf(c->crypto,
	    pair->curve, made, &ephemeral, made + SCHEME_SECRET_BYTES)) != RC_OK)
		return (rc == RC_SYNTAX ? RC_DENIED : rc);
	memcpy(o->tags[at].ephemeral, point, SCHEME_POINT_BYTES);
	o->tags[at].pair = pair;
	o->last = at;
	o->next = (at + 1) % o->size;
	if (o->n < o->size)
		o->n++;
	*keys = made;
	return (RC_OK);
}

static size_t
additional_data(const struct candidate *c, const uint8_t *app_key, uint8_t *out)
{
	if (c->token != NULL)
		return (scheme_token_aad(c->token, app_key, out));
	memcpy(out, app_key, SCHEME_POINT_BYTES);
	return (c->app_key ? SCHEME_POINT_BYTES : 0);
}

static enum rc
try_pair(struct candidate *c, const struct e3_key_pair *pair)
{
	const uint8_t *keys;
	bool kdf = c->kdf;
	enum rc rc;

	if ((rc = derive(c, pair, &keys)) != RC_OK)
		return (rc);
	c->extra = (struct span){ (const char *)c->aad,
	    additional_data(c, pair->pub.compressed, c->aad) };
	/* SDKs that used a client with and without a role mixed the two forms
	 * up on secp256k1. */
	for (unsigned i = 0; i < (c->curve == RPC_CURVE_K1 ? 2 : 1); i++) {
		c->tried++;
		*c->cost += E3_COST_VALUE(c->sealed.len);
		c->key = keys + (kdf ? SCHEME_SECRET_BYTES : 0);
		rc = scheme_ecies_open(c->crypto, c->key, c->iv, c->extra,
		    c->sealed, c->plain);
		if (rc != RC_DENIED)
			break;
		kdf = !kdf;
	}
	return (rc);
}

/* The pair that seals, then the newest ones; those of a record from before
 * pairs were limited may be too many. */
static enum rc
try_all(struct candidate *c, struct e3_call *call)
{
	const struct e3_app *app = call->app;
	const struct e3_key_pair *seals = e3_app_sealing_pair(app, c->curve);
	enum rc rc = RC_DENIED;

	if (seals != NULL)
		rc = try_pair(c, seals);
	for (unsigned i = app->n_pairs; i-- != 0 && rc == RC_DENIED;) {
		const struct e3_key_pair *p = &app->pairs[i];

		if (p->curve != c->curve || p->state != E3_PAIR_OPENS)
			continue;
		if (c->tried >= CANDIDATES_MAX) {
			call->n_capped++;
			break;
		}
		rc = try_pair(c, p);
	}
	call->n_candidates += c->tried;
	return (rc);
}

/* ---- files ---- */

/*
 * Metadata, sealed with the key and IV of the data, is small: it finds the key.
 * Room is plain: for the metadata, then for the data.
 */
static enum rc
open_parts(struct candidate *c, struct e3_call *call,
    const struct scheme_file *f, struct e3_opened *opened)
{
	uint8_t *plain = c->plain + f->metadata.len;
	enum rc rc;

	if (f->metadata.len == 0) {
		c->sealed = f->data;
		rc = try_all(c, call);
	} else {
		c->sealed = f->metadata;
		if ((rc = try_all(c, call)) != RC_OK)
			return (rc);
		if (scheme_metadata_read((struct span){ (const char *)c->plain,
		    f->metadata.len - SCHEME_TAG_BYTES }, &opened->metadata) !=
		    RC_OK)
			return (RC_DENIED);
		*c->cost += E3_COST_VALUE(f->data.len);
		rc = scheme_ecies_open(c->crypto, c->key, c->iv, c->extra,
		    f->data, plain);
	}
	opened->value = (struct span){ (const char *)plain,
	    f->data.len - SCHEME_TAG_BYTES };
	return (rc);
}

/* RC_DENIED: changed, cut, or another app's. */
static enum rc
open_file(struct candidate *c, struct e3_call *call, struct span bytes,
    struct e3_opened *opened)
{
	struct buffer *plain = scheme_crypto_scratch(c->crypto);
	const struct scheme_file_format *format;
	struct scheme_file f;
	char *room;
	enum rc rc;

	*c->cost += E3_COST_VALUE(bytes.len);	/* its checksum */
	if ((rc = scheme_file_parse(bytes, &f)) != RC_OK)
		return (rc == RC_SYNTAX ? RC_OK : RC_DENIED);
	if (f.debug) {
		opened->status = RPC_OPEN_DEBUG;
		return (RC_OK);
	}
	if (buffer_reserve(plain, f.metadata.len + f.data.len, &room) != RC_OK)
		return (RC_NOMEM);
	buffer_commit(plain, f.metadata.len + f.data.len);
	format = scheme_file_format(f.version);
	c->curve = format->curve;
	c->kdf = format->kdf;
	c->app_key = format->app_key;
	c->ephemeral = f.ephemeral;
	c->iv = f.iv;
	c->plain = (uint8_t *)room;
	opened->status = RPC_OPEN_OK;
	opened->type = RPC_FIELD_FILE;
	return (open_parts(c, call, &f, opened));
}

/* ---- tokens ---- */

/* RC_DENIED: changed, or another app's. */
static enum rc
open_token(struct candidate *c, struct e3_call *call, struct span text,
    struct e3_opened *opened)
{
	struct buffer *plain = scheme_crypto_scratch(c->crypto);
	const struct scheme_token_format *format;
	struct scheme_token t;
	char *room;
	enum rc rc;

	if (scheme_token_parse(text, &t) != RC_OK)
		return (RC_OK);
	if (t.debug) {
		opened->status = RPC_OPEN_DEBUG;
		return (RC_OK);
	}
	/* Sealed and opened side by side: another key may need the first. */
	if (buffer_reserve(plain, 2 * t.data_bytes, &room) != RC_OK)
		return (RC_NOMEM);
	buffer_commit(plain, 2 * t.data_bytes);
	if (scheme_token_data(&t, (uint8_t *)room) != RC_OK)
		return (RC_OK);
	format = scheme_token_format(t.version);
	c->token = &t;
	c->curve = format->curve;
	c->kdf = format->kdf;
	c->ephemeral = t.ephemeral;
	c->iv = t.iv;
	c->sealed = (struct span){ room, t.data_bytes };
	c->plain = (uint8_t *)room + t.data_bytes;
	opened->type = t.type;
	opened->status = RPC_OPEN_OK;
	if ((rc = try_all(c, call)) != RC_OK)
		return (rc);
	opened->value = (struct span){ room + t.data_bytes,
	    t.data_bytes - SCHEME_TAG_BYTES };
	if (format->metadata &&
	    scheme_metadata_take(&opened->value, &opened->metadata) != RC_OK)
		rc = RC_DENIED;
	return (rc);
}

enum rc
e3_opening_open(struct e3_opening *o, struct e3_call *call,
    struct scheme_crypto *crypto, struct span text, struct e3_opened *opened,
    size_t *cost)
{
	struct candidate c = { .o = o, .crypto = crypto, .cost = cost };
	enum rc rc;

	memset(opened, 0, sizeof(*opened));
	opened->status = RPC_OPEN_NOT_A_TOKEN;
	*cost += 1;
	rc = scheme_file_begins(text) ? open_file(&c, call, text, opened) :
	    open_token(&c, call, text, opened);
	if (rc != RC_OK)
		opened->status = RPC_OPEN_WRONG_APP_OR_CHANGED;
	return (rc == RC_DENIED ? RC_OK : rc);
}
