/* e3/opening.c - candidates for a token, tried in turn. */
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
	const struct scheme_token	*token;
	struct span		sealed;		/* view: decoded data */
	uint8_t			*plain;		/* view: room for it */
	unsigned		tried;
	size_t			*cost;
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
	const uint8_t *point = c->token->ephemeral;
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

static enum rc
try_pair(struct candidate *c, const struct e3_key_pair *pair)
{
	const struct scheme_token_format *f = scheme_token_format(c->token->version);
	const uint8_t *keys;
	uint8_t aad[SCHEME_AAD_BYTES_MAX];
	bool kdf = f->kdf;
	struct span extra;
	enum rc rc;

	if ((rc = derive(c, pair, &keys)) != RC_OK)
		return (rc);
	extra = (struct span){ (const char *)aad,
	    scheme_token_aad(c->token, pair->pub.compressed, aad) };
	*c->cost += E3_COST_VALUE(c->sealed.len);
	/* SDKs that used a client with and without a role mixed the two forms
	 * up on secp256k1. */
	for (unsigned i = 0; i < (f->curve == RPC_CURVE_K1 ? 2 : 1); i++) {
		c->tried++;
		rc = scheme_ecies_open(c->crypto, keys + (kdf ? SCHEME_SECRET_BYTES :
		    0), c->token->iv, extra, c->sealed, c->plain);
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
	const enum rpc_curve curve = scheme_token_format(c->token->version)->curve;
	const struct e3_key_pair *seals = e3_app_sealing_pair(app, curve);
	enum rc rc = RC_DENIED;

	if (seals != NULL)
		rc = try_pair(c, seals);
	for (unsigned i = app->n_pairs; i-- != 0 && rc == RC_DENIED;) {
		const struct e3_key_pair *p = &app->pairs[i];

		if (p->curve != curve || p->state != E3_PAIR_OPENS)
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

enum rc
e3_opening_open(struct e3_opening *o, struct e3_call *call,
    struct scheme_crypto *crypto, struct span text, struct e3_opened *opened,
    size_t *cost)
{
	struct scheme_token t;
	struct candidate c = { .o = o, .crypto = crypto, .token = &t,
	    .cost = cost };
	struct buffer *plain = scheme_crypto_scratch(crypto);
	char *room;
	enum rc rc;

	memset(opened, 0, sizeof(*opened));
	opened->status = RPC_OPEN_NOT_A_TOKEN;
	*cost += 1;
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
	c.sealed = (struct span){ room, t.data_bytes };
	c.plain = (uint8_t *)room + t.data_bytes;
	if ((rc = try_all(&c, call)) == RC_OK) {
		opened->value = (struct span){ room + t.data_bytes,
		    t.data_bytes - SCHEME_TAG_BYTES };
		if (scheme_token_format(t.version)->metadata &&
		    scheme_metadata_take(&opened->value, &opened->metadata) != RC_OK)
			rc = RC_DENIED;
	}
	opened->status = rc == RC_OK ? RPC_OPEN_OK :
	    RPC_OPEN_WRONG_APP_OR_CHANGED;
	opened->type = t.type;
	return (rc == RC_DENIED ? RC_OK : rc);
}
