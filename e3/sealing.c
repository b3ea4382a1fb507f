/*
 * e3/sealing.c - each value is put where its token will stand, sealed in that
 * place, and printed over itself.  A file is sealed into its place.
 */
#include "e3/sealing.h"

#include <string.h>

#include <openssl/crypto.h>

#include "lib/base/random.h"
#include "lib/base/secret.h"

enum rpc_status
e3_sealing_init(struct e3_sealing *s, struct e3_engine *e,
    const struct e3_app *app, enum rpc_curve curve)
{
	if ((s->pair = e3_app_sealing_pair(app, curve)) == NULL)
		return (RPC_STATUS_NO_SUCH_KEY);
	if (curve == RPC_CURVE_R1)
		s->table = scheme_p256_tables_use(e->tables, &s->pair->pub);
	s->ready = e->pairs;
	s->token.version = scheme_token_written(curve);
	return (RPC_STATUS_OK);
}

void
e3_sealing_fini(struct e3_sealing *s)
{
	OPENSSL_secure_clear_free(s->key, SCHEME_SECRET_BYTES);
	s->key = NULL;
	scheme_p256_table_unref(&s->table);
}

size_t
e3_sealing_key_cost(const struct e3_sealing *s)
{
	return (s->table != NULL ? E3_COST_TABLED : E3_COST_ECDH);
}

/* The key in s->key: by the KDF, or the shared x as it is. */
static enum rc
new_key(struct e3_sealing *s, struct scheme_crypto *crypto, bool kdf)
{
	const enum rpc_curve curve = s->pair->curve;
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(crypto);
	uint8_t *secret = scheme_crypto_work(crypto);
	uint8_t *z = secret + SCHEME_SECRET_BYTES;
	struct scheme_public_key ephemeral;
	enum rc rc = RC_OK;

	if (s->key == NULL &&
	    (s->key = OPENSSL_secure_malloc(SCHEME_SECRET_BYTES)) == NULL)
		return (RC_NOMEM);
	if (!scheme_ready_pairs_take(s->ready, curve, secret, &ephemeral))
		rc = scheme_ecdh_generate(ecdh, curve, secret, &ephemeral);
	if (rc == RC_OK)
		rc = s->table != NULL ?
		    scheme_ecdh_agree_table(ecdh, secret, s->table, z) :
		    scheme_ecdh_agree(ecdh, curve, secret, &s->pair->pub, z);
	if (rc == RC_OK && kdf)
		rc = scheme_ecies_kdf(crypto, curve, z, &ephemeral, s->key);
	else if (rc == RC_OK)
		memcpy(s->key, z, SCHEME_SECRET_BYTES);
	secret_wipe(secret, SCHEME_WORK_BYTES);
	if (rc == RC_OK)
		scheme_token_set_ephemeral(&s->token, ephemeral.compressed);
	s->keyed = rc == RC_OK;
	return (rc);
}

/* A file has an ephemeral key of its own: that of secp256k1 takes the shared x
 * as its key, and no token's key is to be derived from the same. */
static enum rc
put_file(struct e3_sealing *s, struct scheme_crypto *crypto, struct span value,
    struct buffer *out)
{
	const size_t len = scheme_file_len(value.len);
	struct scheme_file f = { .version = scheme_file_written(s->pair->curve) };
	const struct scheme_file_format *format = scheme_file_format(f.version);
	struct span extra = { (const char *)s->pair->pub.compressed,
	    format->app_key ? SCHEME_POINT_BYTES : 0 };
	uint8_t *at;
	char *room;
	enum rc rc;

	if ((rc = new_key(s, crypto, format->kdf)) != RC_OK)
		return (rc);
	s->keyed = false;
	if ((rc = rpc_sealed_put_head(out, RPC_SEALED, len)) != RC_OK ||
	    (rc = buffer_reserve(out, len, &room)) != RC_OK)
		return (rc);
	at = (uint8_t *)room;
	memcpy(f.ephemeral, s->token.ephemeral, sizeof(f.ephemeral));
	random_bytes(f.iv, sizeof(f.iv));
	scheme_file_print_head(&f, at);
	if ((rc = scheme_ecies_seal(crypto, s->key, f.iv, extra,
	    (struct span){ NULL, 0 }, value, at + SCHEME_FILE_HEAD_BYTES)) !=
	    RC_OK)
		return (rc);
	scheme_file_print_end(at, len);
	buffer_commit(out, len);
	return (RC_OK);
}

static enum rc
put_token(struct e3_sealing *s, struct scheme_crypto *crypto,
    const struct rpc_field *f, uint32_t sealed_s, struct buffer *out)
{
	const struct scheme_metadata m = { f->role, sealed_s };
	const size_t head = scheme_metadata_len(m.role);
	const size_t plain = head + f->bytes.len, data_len = plain + SCHEME_TAG_BYTES;
	const size_t text_len = scheme_token_len(f->type, data_len);
	uint8_t aad[SCHEME_AAD_BYTES_MAX], *data;
	struct span extra;
	char *text;
	enum rc rc;

	if (!s->keyed && (rc = new_key(s, crypto, true)) != RC_OK)
		return (rc);
	if ((rc = rpc_sealed_put_head(out, RPC_SEALED, text_len)) != RC_OK ||
	    (rc = buffer_reserve(out, text_len, &text)) != RC_OK)
		return (rc);
	data = (uint8_t *)text + text_len - data_len;
	scheme_metadata_write(&m, data);
	if (f->bytes.len != 0)
		memcpy(data + head, f->bytes.p, f->bytes.len);
	s->token.type = f->type;
	random_bytes(s->token.iv, sizeof(s->token.iv));
	extra = (struct span){ (const char *)aad, scheme_token_aad(&s->token,
	    s->pair->pub.compressed, aad) };
	if ((rc = scheme_ecies_seal(crypto, s->key, s->token.iv, extra,
	    (struct span){ (const char *)data, plain },
	    (struct span){ NULL, 0 }, data)) != RC_OK)
		return (rc);
	scheme_token_print(&s->token, data, data_len, text);
	buffer_commit(out, text_len);
	return (RC_OK);
}

enum rc
e3_sealing_put(struct e3_sealing *s, struct scheme_crypto *crypto,
    const struct rpc_field *f, uint32_t sealed_s, struct buffer *out,
    size_t *cost)
{
	const bool file = f->type == RPC_FIELD_FILE;

	*cost += E3_COST_VALUE(f->bytes.len);
	if (!s->keyed || file)
		*cost += e3_sealing_key_cost(s);
	return (file ? put_file(s, crypto, f->bytes, out) :
	    put_token(s, crypto, f, sealed_s, out));
}
