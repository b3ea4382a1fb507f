/* e3/record.c - seal and open app records under the root key. */
#include "e3/record.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/rpc/codec.h"

#define LENGTH_BYTES	4
#define KEY_MEMBERS	6	/* of an API key; 5 in format 1: no end */

/* ---- seal ---- */

static void
put_pair(struct buffer *b, const struct e3_key_pair *p)
{
	rpc_pack_list(b, RPC_STR("curve", e3_curve_names()[p->curve]),
	    RPC_U64("number", p->number),
	    RPC_STR("state", e3_pair_state_names()[p->state]),
	    RPC_U64("created_ms", p->created_ms),
	    RPC_BIN("public", p->pub.compressed, SCHEME_POINT_BYTES));
}

static void
put_key(struct buffer *b, const struct e3_api_key *k)
{
	struct buffer scopes;

	buffer_init(&scopes, 0, false);
	e3_api_key_put_scopes(&scopes, k);
	rpc_pack_list(b, RPC_STR("id", k->id),
	    RPC_BIN("hash", k->hash, sizeof(k->hash)),
	    RPC_BOOL("revoked", k->revoked),
	    RPC_U64("created_ms", k->created_ms),
	    RPC_RAW_OF("scopes", &scopes),
	    RPC_MAYBE_U64("expires_ms", k->expires_ms));
	buffer_fini(&scopes);
}

/* Length and document: the payload without the private keys. */
static void
put_document(struct buffer *b, const struct e3_app *a)
{
	struct buffer pairs, keys;
	uint8_t be[LENGTH_BYTES] = { 0 };
	char *length;
	size_t n;

	buffer_init(&pairs, 0, false);
	buffer_init(&keys, 0, true);
	rpc_put_array(&pairs, a->n_pairs);
	for (unsigned i = 0; i < a->n_pairs; i++)
		put_pair(&pairs, &a->pairs[i]);
	rpc_put_array(&keys, a->n_keys);
	for (unsigned i = 0; i < a->n_keys; i++)
		put_key(&keys, &a->keys[i]);
	buffer_put(b, be, sizeof(be));
	rpc_pack(b, RPC_STR("name", a->name),
	    RPC_U64("created_ms", a->created_ms),
	    RPC_RAW_OF("pairs", &pairs), RPC_RAW_OF("keys", &keys),
	    RPC_RAW("roles", e3_app_roles(a)));
	buffer_fini(&pairs);
	buffer_fini(&keys);
	n = buffer_len(b) - LENGTH_BYTES;
	length = buffer_data(b);
	ensure(length != NULL);
	for (int i = 0; i < LENGTH_BYTES; i++)
		length[i] = (char)(n >> (24 - 8 * i));
}

enum rc
e3_record_seal(struct scheme_crypto *c, const uint8_t *root_key,
    struct e3_app *a, struct buffer *out)
{
	size_t secrets = (size_t)a->n_pairs * SCHEME_SECRET_BYTES;
	size_t start = buffer_len(out), head, total;
	struct buffer doc;
	struct span body, aad;
	uint8_t *iv;
	char *at;
	enum rc rc;

	obj_check(a, E3_APP_MAGIC);
	buffer_init(&doc, 0, true);
	put_document(&doc, a);
	rpc_record_head_write(out, a->id, a->version);
	head = buffer_len(out) - start;
	total = SCHEME_IV_BYTES + buffer_len(&doc) + secrets + SCHEME_TAG_BYTES;
	rc = RC_LIMIT;
	if (head + total > RPC_RECORD_BYTES_MAX ||
	    (rc = buffer_reserve(out, total, &at)) != RC_OK)
		goto out;
	iv = (uint8_t *)at;
	random_bytes(iv, SCHEME_IV_BYTES);
	aad = (struct span){ buffer_data(out) + start, head };
	body = (struct span){ (const char *)a->secrets, secrets };
	if ((rc = scheme_ecies_seal(c, root_key, iv, aad, (struct span){
	    buffer_data(&doc), buffer_len(&doc) }, body,
	    iv + SCHEME_IV_BYTES)) != RC_OK)
		goto out;
	buffer_commit(out, total);
	rc = scheme_sha256(c, (struct span){ buffer_data(out) + start,
	    head + total }, a->record_sha256);
out:
	scheme_ecies_reset(c);
	buffer_fini(&doc);
	return (rc);
}

/* ---- open ---- */

/* The public key is computed again from the private one: a token sealed to
 * a public key that we cannot open would be lost data. */
static enum rc
read_pair(struct scheme_crypto *c, const struct rpc_value *v,
    struct e3_key_pair *p)
{
	unsigned curve, state;
	struct span pub;
	enum rc rc;

	if (!rpc_unpack_list(v, RPC_WANT_NAME("curve", e3_curve_names(),
	    &curve), RPC_WANT_U64("number", &p->number),
	    RPC_WANT_NAME("state", e3_pair_state_names(), &state),
	    RPC_WANT_U64("created_ms", &p->created_ms),
	    RPC_WANT_BYTES("public", &pub)))
		return (RC_UNSUPPORTED);
	p->curve = (enum rpc_curve)curve;
	p->state = (enum e3_pair_state)state;
	rc = scheme_ecdh_public(scheme_crypto_ecdh(c), p->curve, p->secret,
	    &p->pub);
	if (rc != RC_OK)
		return (rc == RC_NOMEM ? rc : RC_CORRUPT);
	if (pub.len != SCHEME_POINT_BYTES ||
	    memcmp(pub.p, p->pub.compressed, SCHEME_POINT_BYTES) != 0)
		return (RC_CORRUPT);
	return (RC_OK);
}

/* In order of age, and never two that seal on one curve. */
static enum rc
read_pairs(struct scheme_crypto *c, const struct rpc_value *v, struct e3_app *a)
{
	enum rc rc;

	for (unsigned i = 0; i < a->n_pairs; i++) {
		struct e3_key_pair *p = &a->pairs[i];

		if ((rc = read_pair(c, rpc_array_at(v, i), p)) != RC_OK)
			return (rc);
		if ((i != 0 && p->number <= p[-1].number) ||
		    (p->state == E3_PAIR_SEALS &&
		    e3_app_sealing_pair(a, p->curve) != p))
			return (RC_UNSUPPORTED);
	}
	return (RC_OK);
}

static bool
read_key(const struct rpc_value *v, enum rpc_record_format format,
    struct e3_api_key *k)
{
	size_t members = format == RPC_RECORD_FORMAT_1 ? KEY_MEMBERS - 1 :
	    KEY_MEMBERS;
	const struct rpc_value *scopes;
	struct span id, hash;
	uint64_t end_ms = UINT64_MAX;

	if (rpc_array_len(v) != members ||
	    !rpc_unpack_list(v, RPC_WANT_BYTES("id", &id),
	    RPC_WANT_BYTES("hash", &hash), RPC_WANT_BOOL("revoked", &k->revoked),
	    RPC_WANT_U64("created_ms", &k->created_ms),
	    RPC_WANT_LIST("scopes", &scopes),
	    RPC_MAY_U64("expires_ms", &end_ms)) || end_ms == 0 ||
	    hash.len != sizeof(k->hash) ||
	    !span_copy(id, k->id, sizeof(k->id)) ||
	    !e3_api_key_set_scopes(k, scopes))
		return (false);
	memcpy(k->hash, hash.p, sizeof(k->hash));
	k->expires_ms = end_ms == UINT64_MAX ? 0 : end_ms;
	return (true);
}

/* The document to a snapshot whose private keys are there. */
static enum rc
read_document(struct scheme_crypto *c, const struct rpc_value *root,
    enum rpc_record_format format, const uint8_t *secrets, size_t n_secrets,
    struct e3_app **out)
{
	const struct rpc_value *pairs, *keys, *roles = NULL;
	uint64_t created_ms;
	struct e3_app *a;
	struct span name;
	enum rc rc;

	if (!rpc_unpack(root, RPC_WANT_BYTES("name", &name),
	    RPC_WANT_U64("created_ms", &created_ms),
	    RPC_WANT_LIST("pairs", &pairs), RPC_WANT_LIST("keys", &keys),
	    RPC_MAY_VALUE("roles", &roles)) ||
	    (roles == NULL) != (format == RPC_RECORD_FORMAT_1) ||
	    rpc_array_len(pairs) != n_secrets ||
	    rpc_array_len(keys) > E3_API_KEYS_MAX)
		return (RC_UNSUPPORTED);
	if ((rc = e3_app_new((unsigned)n_secrets,
	    (unsigned)rpc_array_len(keys), &a)) != RC_OK)
		return (rc);
	memcpy(a->secrets, secrets, n_secrets * SCHEME_SECRET_BYTES);
	a->created_ms = created_ms;
	rc = read_pairs(c, pairs, a);
	for (unsigned i = 0; rc == RC_OK && i < a->n_keys; i++)
		if (!read_key(rpc_array_at(keys, i), format, &a->keys[i]))
			rc = RC_UNSUPPORTED;
	if (rc == RC_OK && !span_copy(name, a->name, sizeof(a->name)))
		rc = RC_UNSUPPORTED;
	if (rc == RC_OK && roles != NULL && rpc_array_len(roles) != 0 &&
	    (rc = e3_app_set_roles(a, roles)) == RC_SYNTAX)
		rc = RC_UNSUPPORTED;
	if (rc != RC_OK)
		e3_app_unref(&a);
	*out = a;
	return (rc);
}

/* The payload, opened: length, document, private keys. */
static enum rc
read_payload(struct scheme_crypto *c, const uint8_t *plain, size_t n,
    enum rpc_record_format format, struct e3_app **out)
{
	struct rpc_document doc;
	size_t len = 0;
	enum rc rc;

	for (size_t i = 0; i < LENGTH_BYTES && i < n; i++)
		len = len << 8 | plain[i];
	if (n < LENGTH_BYTES || len > n - LENGTH_BYTES ||
	    (n - LENGTH_BYTES - len) % SCHEME_SECRET_BYTES != 0)
		return (RC_CORRUPT);
	plain += LENGTH_BYTES;
	n -= LENGTH_BYTES;
	if (rpc_document_read(&doc, plain, len) != RC_OK)
		return (RC_UNSUPPORTED);
	rc = read_document(c, doc.root, format, plain + len,
	    (n - len) / SCHEME_SECRET_BYTES, out);
	rpc_document_fini(&doc);
	return (rc == RC_LIMIT ? RC_UNSUPPORTED : rc);
}

enum rc
e3_record_open(struct scheme_crypto *c, const uint8_t *root_key,
    struct span record, struct e3_app **out)
{
	struct rpc_record_head h;
	uint8_t *plain;
	struct span in;
	size_t n;
	enum rc rc;

	*out = NULL;
	if ((rc = rpc_record_head_read(record, &h)) != RC_OK)
		return (rc);
	in.p = record.p + h.bytes + SCHEME_IV_BYTES;
	in.len = record.len - h.bytes - SCHEME_IV_BYTES;
	n = in.len - SCHEME_TAG_BYTES;
	if ((plain = OPENSSL_secure_malloc(n)) == NULL)
		return (RC_NOMEM);
	rc = RC_CORRUPT;
	if (scheme_ecies_open(c, root_key, (const uint8_t *)record.p + h.bytes,
	    (struct span){ record.p, h.bytes }, in, plain) == RC_OK)
		rc = read_payload(c, plain, n, h.format, out);
	if (rc == RC_OK) {
		memcpy((*out)->id, h.app, sizeof((*out)->id));
		(*out)->version = h.version;
		rc = scheme_sha256(c, record, (*out)->record_sha256);
	}
	if (rc != RC_OK)
		e3_app_unref(out);
	OPENSSL_secure_clear_free(plain, n);
	scheme_ecies_reset(c);
	return (rc);
}
