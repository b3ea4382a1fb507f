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
#define MEMBERS		6	/* of a document; 5 before format 3 */
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

static void
put_ca(struct buffer *b, struct e3_ca *ca)
{
	rpc_pack_list(b, RPC_STR("curve", e3_curve_names()[RPC_CURVE_R1]),
	    RPC_BIN("public", ca->pub.compressed, SCHEME_POINT_BYTES),
	    RPC_U64("created_ms", ca->created_ms),
	    RPC_MAYBE_U64("active_ms", ca->active_ms),
	    RPC_BIN_OF("pem", &ca->pem));
}

/* Length and document: the payload without the private keys. */
static void
put_document(struct buffer *b, const struct e3_app *a)
{
	struct buffer pairs, keys, cas;
	uint8_t be[LENGTH_BYTES] = { 0 };
	char *length;
	size_t n;

	buffer_init(&pairs, 0, false);
	buffer_init(&keys, 0, true);
	buffer_init(&cas, 0, false);
	rpc_put_array(&pairs, a->n_pairs);
	for (unsigned i = 0; i < a->n_pairs; i++)
		put_pair(&pairs, &a->pairs[i]);
	rpc_put_array(&keys, a->n_keys);
	for (unsigned i = 0; i < a->n_keys; i++)
		put_key(&keys, &a->keys[i]);
	rpc_put_array(&cas, a->n_cas);
	for (unsigned i = 0; i < a->n_cas; i++)
		put_ca(&cas, a->cas[i]);
	buffer_put(b, be, sizeof(be));
	rpc_put_members(b, (const struct rpc_member[]){
	    RPC_STR("name", a->name), RPC_U64("created_ms", a->created_ms),
	    RPC_RAW_OF("pairs", &pairs), RPC_RAW_OF("keys", &keys),
	    RPC_RAW("roles", e3_app_roles(a)), RPC_RAW_OF("cas", &cas) },
	    MEMBERS - (a->n_cas == 0 ? 1 : 0));
	buffer_fini(&cas);
	buffer_fini(&pairs);
	buffer_fini(&keys);
	n = buffer_len(b) - LENGTH_BYTES;
	length = buffer_data(b);
	ensure(length != NULL);
	for (int i = 0; i < LENGTH_BYTES; i++)
		length[i] = (char)(n >> (24 - 8 * i));
}

/* The private keys in one piece of the secure heap, which the caller frees. */
static uint8_t *
gather_secrets(const struct e3_app *a, size_t *n)
{
	size_t pairs = (size_t)a->n_pairs * SCHEME_SECRET_BYTES;
	uint8_t *all;

	*n = pairs + (size_t)a->n_cas * SCHEME_SECRET_BYTES;
	if ((all = OPENSSL_secure_malloc(*n)) == NULL)
		return (NULL);
	memcpy(all, a->secrets, pairs);
	for (unsigned i = 0; i < a->n_cas; i++)
		memcpy(all + pairs + i * SCHEME_SECRET_BYTES,
		    a->cas[i]->secret, SCHEME_SECRET_BYTES);
	return (all);
}

enum rc
e3_record_seal(struct scheme_crypto *c, const uint8_t *root_key,
    struct e3_app *a, struct buffer *out)
{
	size_t start = buffer_len(out), secrets, head, total;
	uint8_t *all = gather_secrets(a, &secrets);
	struct buffer doc;
	struct span body, aad;
	uint8_t *iv;
	char *at;
	enum rc rc;

	obj_check(a, E3_APP_MAGIC);
	buffer_init(&doc, 0, true);
	put_document(&doc, a);
	rpc_record_head_write_as(out, a->n_cas != 0 ? RPC_RECORD_FORMAT_3 :
	    RPC_RECORD_FORMAT_2, a->id, a->version);
	head = buffer_len(out) - start;
	total = SCHEME_IV_BYTES + buffer_len(&doc) + secrets + SCHEME_TAG_BYTES;
	rc = all == NULL ? RC_NOMEM : RC_LIMIT;
	if (all == NULL || head + total > RPC_RECORD_BYTES_MAX ||
	    (rc = buffer_reserve(out, total, &at)) != RC_OK)
		goto out;
	iv = (uint8_t *)at;
	random_bytes(iv, SCHEME_IV_BYTES);
	aad = (struct span){ buffer_data(out) + start, head };
	body = (struct span){ (const char *)all, secrets };
	if ((rc = scheme_ecies_seal(c, root_key, iv, aad, (struct span){
	    buffer_data(&doc), buffer_len(&doc) }, body,
	    iv + SCHEME_IV_BYTES)) != RC_OK)
		goto out;
	buffer_commit(out, total);
	rc = scheme_sha256(c, (struct span){ buffer_data(out) + start,
	    head + total }, a->record_sha256);
out:
	OPENSSL_secure_clear_free(all, secrets);
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

/* As for a pair: a CA whose key were another one would sign leaves that nobody
 * takes. */
static enum rc
read_ca(struct scheme_crypto *c, const struct rpc_value *v,
    const uint8_t *secret, struct e3_ca **out)
{
	uint64_t created_ms, active_ms = 0;
	struct span pub, pem;
	struct e3_ca *ca;
	unsigned curve;
	enum rc rc;

	*out = NULL;
	if (!rpc_unpack_list(v, RPC_WANT_NAME("curve", e3_curve_names(),
	    &curve), RPC_WANT_BYTES("public", &pub),
	    RPC_WANT_U64("created_ms", &created_ms),
	    RPC_MAY_U64("active_ms", &active_ms),
	    RPC_WANT_BYTES("pem", &pem)) || curve != RPC_CURVE_R1)
		return (RC_UNSUPPORTED);
	if ((rc = e3_ca_new(c, secret, &ca)) != RC_OK)
		return (rc == RC_NOMEM ? rc : RC_CORRUPT);
	ca->created_ms = created_ms;
	ca->active_ms = active_ms;
	if (pub.len != SCHEME_POINT_BYTES ||
	    memcmp(pub.p, ca->pub.compressed, SCHEME_POINT_BYTES) != 0)
		rc = RC_CORRUPT;
	else if (active_ms == 0)
		buffer_put(&ca->pem, pem.p, pem.len);
	else if (e3_ca_set_chain(ca, pem) != RC_OK)
		rc = RC_UNSUPPORTED;
	if (rc != RC_OK)
		e3_ca_unref(&ca);
	*out = ca;
	return (rc);
}

static enum rc
read_cas(struct scheme_crypto *c, const struct rpc_value *cas, size_t n,
    const uint8_t *secrets, struct e3_app *a)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if ((rc = read_ca(c, rpc_array_at(cas, i), secrets +
		    i * SCHEME_SECRET_BYTES, &a->cas[i])) == RC_OK)
			a->n_cas++;
	return (rc);
}

/* Format 3 has CAs, no other has any.  SIZE_MAX: this is not so. */
static size_t
count_cas(const struct rpc_value *cas, enum rpc_record_format format)
{
	size_t n = rpc_array_len(cas);

	if (format != RPC_RECORD_FORMAT_3)
		return (cas == NULL ? 0 : SIZE_MAX);
	return (n >= 1 && n <= E3_CAS_MAX ? n : SIZE_MAX);
}

/* The document to a snapshot whose private keys are there. */
static enum rc
read_document(struct scheme_crypto *c, const struct rpc_value *root,
    enum rpc_record_format format, const uint8_t *secrets, size_t n_secrets,
    struct e3_app **out)
{
	const struct rpc_value *pairs, *keys, *roles = NULL, *cas = NULL;
	uint64_t created_ms;
	size_t n_cas;
	struct e3_app *a;
	struct span name;
	enum rc rc;

	if (!rpc_unpack(root, RPC_WANT_BYTES("name", &name),
	    RPC_WANT_U64("created_ms", &created_ms),
	    RPC_WANT_LIST("pairs", &pairs), RPC_WANT_LIST("keys", &keys),
	    RPC_MAY_VALUE("roles", &roles), RPC_MAY_VALUE("cas", &cas)) ||
	    (roles == NULL) != (format == RPC_RECORD_FORMAT_1) ||
	    (n_cas = count_cas(cas, format)) > n_secrets ||
	    rpc_array_len(pairs) != n_secrets - n_cas ||
	    rpc_array_len(keys) > E3_API_KEYS_MAX)
		return (RC_UNSUPPORTED);
	n_secrets -= n_cas;
	if ((rc = e3_app_new((unsigned)n_secrets,
	    (unsigned)rpc_array_len(keys), &a)) != RC_OK)
		return (rc);
	memcpy(a->secrets, secrets, n_secrets * SCHEME_SECRET_BYTES);
	a->created_ms = created_ms;
	if ((rc = read_pairs(c, pairs, a)) == RC_OK)
		rc = read_cas(c, cas, n_cas, secrets +
		    n_secrets * SCHEME_SECRET_BYTES, a);
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
