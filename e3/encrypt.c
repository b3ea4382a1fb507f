/*
 * e3/encrypt.c - each value is sealed straight from the call's bytes, and its
 * token printed once, into the reply.
 */
#include "e3/encrypt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "e3/batch.h"
#include "e3/decrypt.h"
#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define ROLE_BYTES_MAX		20	/* spec: [a-z0-9-]{1,20} */
#define METADATA_BYTES_MAX	64	/* 2 + 39 at most */

struct encrypt {
	struct e3_batch		batch;		/* first */
	struct rpc_encrypt	msg;		/* views of the call's bytes */
	const struct e3_key_pair *pair;		/* view into the call's app */
	struct e3_p256_table	*table;		/* counted: the pair's, or NULL */
	struct e3_token		token;		/* version, ephemeral: the call's */
	uint8_t			*key;		/* owned: secure heap */
	bool			have_key;
	uint32_t		now_s;		/* metadata `et` */
	struct e3_key_cache	*cache;		/* owned; verify only */
};

static void
encrypt_free(void *p)
{
	struct encrypt *w = p;

	OPENSSL_secure_clear_free(w->key, E3_SECRET_BYTES);
	e3_key_cache_free(&w->cache);
	e3_p256_table_unref(&w->table);
	e3_batch_fini(&w->batch);
	free(w);
}

/* ---- metadata ---- */

static bool
role_valid(struct span role)
{
	if (role.len > ROLE_BYTES_MAX)
		return (false);
	for (size_t i = 0; i < role.len; i++) {
		char c = role.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '-'))
			return (false);
	}
	return (true);
}

static size_t
metadata_len(struct span role)
{
	return (2 + 1 + (role.len != 0 ? 4 + role.len : 0) + 4 + 8);
}

/* Length, then the map in the fixed order that every SDK writes. */
static size_t
metadata_write(struct span role, uint32_t now_s, uint8_t *out)
{
	size_t n = metadata_len(role);
	uint8_t *p = out;

	*p++ = (uint8_t)(n - 2);
	*p++ = 0;
	*p++ = role.len != 0 ? 0x83 : 0x82;
	if (role.len != 0) {
		memcpy(p, "\xa2" "dr", 3);
		p[3] = (uint8_t)(0xa0 | role.len);
		memcpy(p + 4, role.p, role.len);
		p += 4 + role.len;
	}
	memcpy(p, "\xa2" "eo", 3);
	p[3] = E3_ENCRYPTION_ORIGIN;
	memcpy(p + 4, "\xa2" "et\xce", 4);
	for (int i = 0; i < 4; i++)
		p[8 + i] = (uint8_t)(now_s >> (24 - 8 * i));
	return (n);
}

/* ---- one field ---- */

static size_t
key_cost(const struct encrypt *w)
{
	return (w->table != NULL ? E3_COST_TABLED : E3_COST_ECDH);
}

static enum rc
new_key(struct encrypt *w, struct e3_crypto *crypto, size_t *cost)
{
	struct e3_ecdh *ecdh = e3_crypto_ecdh(crypto);
	uint8_t *secret = OPENSSL_secure_malloc(2 * E3_SECRET_BYTES);
	struct e3_public_key ephemeral;
	uint8_t *z;
	enum rc rc = RC_NOMEM;

	if (secret == NULL)
		return (rc);
	z = secret + E3_SECRET_BYTES;
	*cost += key_cost(w);
	if ((rc = e3_ecdh_generate(ecdh, w->pair->curve, secret,
	    &ephemeral)) == RC_OK &&
	    (rc = w->table != NULL ?
	    e3_ecdh_agree_table(ecdh, secret, w->table, z) :
	    e3_ecdh_agree(ecdh, w->pair->curve, secret, &w->pair->pub, z)) ==
	    RC_OK &&
	    (rc = e3_ecies_kdf(crypto, w->pair->curve, z, &ephemeral,
	    w->key)) == RC_OK) {
		memcpy(w->token.ephemeral, ephemeral.compressed,
		    E3_POINT_BYTES);
		w->have_key = true;
	}
	OPENSSL_secure_clear_free(secret, 2 * E3_SECRET_BYTES);
	return (rc);
}

/* A string that is a token of this app already. */
static bool
is_ours(struct encrypt *w, struct e3_crypto *crypto, const struct e3_app *app,
    const struct rpc_field *f, size_t *cost)
{
	struct buffer *plain = e3_crypto_scratch(crypto);
	struct e3_token t;
	struct span value;
	bool opens;

	if (w->msg.existing != RPC_EXISTING_VERIFY ||
	    f->type != RPC_FIELD_STRING ||
	    e3_token_parse(f->bytes, &t) != RC_OK || t.debug)
		return (false);
	if (w->cache == NULL)
		w->cache = e3_key_cache_new();
	opens = e3_token_open(crypto, w->cache, app, &t, SPAN_LIT(""), plain,
	    &value, cost) == RC_OK;
	buffer_clear(plain);
	return (opens);
}

static enum rc
seal(struct encrypt *w, struct e3_crypto *crypto, const struct rpc_field *f)
{
	struct buffer *scratch = e3_crypto_scratch(crypto);
	uint8_t metadata[METADATA_BYTES_MAX], aad[E3_AAD_BYTES_MAX];
	struct span head, extra;
	size_t data_len, text_len;
	char *data, *text;
	enum rc rc;

	head = (struct span){ (const char *)metadata,
	    metadata_write(f->role, w->now_s, metadata) };
	data_len = head.len + f->bytes.len + E3_TAG_BYTES;
	text_len = e3_token_len(f->type, data_len);
	if ((rc = buffer_reserve(scratch, data_len, &data)) != RC_OK)
		return (rc);
	w->token.type = f->type;
	random_bytes(w->token.iv, sizeof(w->token.iv));
	extra = (struct span){ (const char *)aad, e3_token_aad(&w->token,
	    w->pair->pub.compressed, aad) };
	if ((rc = e3_ecies_seal(crypto, w->key, w->token.iv, extra, head,
	    f->bytes, (uint8_t *)data)) != RC_OK ||
	    (rc = rpc_sealed_put_head(&w->batch.piece, RPC_SEALED, text_len)) !=
	    RC_OK || (rc = buffer_reserve(&w->batch.piece, text_len, &text)) !=
	    RC_OK)
		return (rc);
	e3_token_print(&w->token, (const uint8_t *)data, data_len, text);
	buffer_commit(&w->batch.piece, text_len);
	return (RC_OK);
}

static enum rc
encrypt_bound(const void *work, size_t i, size_t *bytes)
{
	const struct encrypt *w = work;
	struct rpc_field f;
	enum rc rc;

	if ((rc = rpc_encrypt_field_at(&w->msg, i, &f)) != RC_OK)
		return (rc);
	if (f.type == RPC_FIELD_FILE || !role_valid(f.role))
		return (RC_SYNTAX);
	*bytes = 2 + RPC_BIN_HEAD_MAX + e3_token_len(f.type,
	    metadata_len(f.role) + f.bytes.len + E3_TAG_BYTES);
	return (RC_OK);
}

static enum rc
encrypt_one(struct e3_call *c, struct e3_crypto *crypto, size_t i,
    size_t *cost)
{
	struct encrypt *w = c->work;
	struct rpc_field f;
	enum rc rc;

	if ((rc = rpc_encrypt_field_at(&w->msg, i, &f)) != RC_OK)
		return (rc);
	*cost += E3_COST_VALUE(f.bytes.len);
	if (is_ours(w, crypto, c->app, &f, cost))
		return (rpc_sealed_put_head(&w->batch.piece, RPC_PASSED, 0));
	if ((!w->have_key || w->msg.scope == RPC_SCOPE_FIELD) &&
	    (rc = new_key(w, crypto, cost)) != RC_OK)
		return (rc);
	c->n_sealed++;
	return (seal(w, crypto, &f));
}

static const struct e3_batch_ops encrypt_ops = {
	.bound = encrypt_bound,
	.one = encrypt_one,
};

/* app_system holds certificate keys: only the feed and admins seal to it,
 * and the feed seals to nothing else. */
static bool
may_seal(enum rpc_role role, struct span app)
{
	bool system_app = span_eq_str(app, E3_SYSTEM_APP);

	return (role == RPC_ROLE_ADMIN ||
	    system_app == (role == RPC_ROLE_FEED));
}

enum rpc_status
e3_encrypt(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_encrypt msg;
	struct encrypt *w;
	enum rpc_status status;
	enum rc rc;

	if ((rc = rpc_encrypt_read(c->frame.body, &msg)) != RC_OK)
		return (e3_call_status(rc));
	if (!may_seal(c->caller->role, msg.app))
		return (RPC_STATUS_NOT_ALLOWED);
	if ((status = e3_dispatch_app(e, c, msg.app)) != RPC_STATUS_OK)
		return (status);
	w = xcalloc(1, sizeof(*w));
	c->work = w;
	c->work_free = encrypt_free;
	w->msg = msg;
	e3_batch_init(&w->batch, &encrypt_ops, msg.n_fields);
	w->now_s = (uint32_t)(clock_wall_ms() / 1000);
	w->token.version = e3_token_written(msg.curve);
	if ((w->pair = e3_app_sealing_pair(c->app, msg.curve)) == NULL)
		return (RPC_STATUS_NO_SUCH_KEY);
	if ((w->key = OPENSSL_secure_malloc(E3_SECRET_BYTES)) == NULL)
		return (RPC_STATUS_OVERLOADED);
	if (msg.curve == RPC_CURVE_R1)
		w->table = e3_p256_tables_use(e->tables, &w->pair->pub);
	return (e3_dispatch_submit(e, c, e3_batch_run, msg.n_fields *
	    (msg.scope == RPC_SCOPE_FIELD ? key_cost(w) : 1) +
	    buffer_len(&c->bytes) / 512));
}
