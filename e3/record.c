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

static const char *const curve_names[] = { "r1", "k1" };
static const char *const pair_states[] = { "seals", "opens" };

/* ---- seal ---- */

static void
put_pair(struct buffer *b, const struct e3_key_pair *p)
{
	rpc_put_array(b, 5);
	rpc_put_str(b, curve_names[p->curve]);
	rpc_put_u64(b, p->number);
	rpc_put_str(b, pair_states[p->state]);
	rpc_put_u64(b, p->created_ms);
	rpc_put_bin(b, (struct span){ (const char *)p->pub.compressed,
	    E3_POINT_BYTES });
}

static void
put_key(struct buffer *b, const struct e3_api_key *k)
{
	rpc_put_array(b, 5);
	rpc_put_str(b, k->id);
	rpc_put_bin(b, (struct span){ (const char *)k->hash,
	    sizeof(k->hash) });
	rpc_put_bool(b, k->revoked);
	rpc_put_u64(b, k->created_ms);
	rpc_put_array(b, k->n_scopes);
	for (unsigned i = 0; i < k->n_scopes; i++)
		rpc_put_str(b, k->scopes[i]);
}

/* Length and document: the payload without the private keys. */
static void
put_document(struct buffer *b, const struct e3_app *a)
{
	uint8_t be[LENGTH_BYTES] = { 0 };
	char *length;
	size_t n;

	buffer_put(b, be, sizeof(be));
	rpc_put_map(b, 4);
	rpc_put_str(b, "name");
	rpc_put_str(b, a->name);
	rpc_put_str(b, "created_ms");
	rpc_put_u64(b, a->created_ms);
	rpc_put_str(b, "pairs");
	rpc_put_array(b, a->n_pairs);
	for (unsigned i = 0; i < a->n_pairs; i++)
		put_pair(b, &a->pairs[i]);
	rpc_put_str(b, "keys");
	rpc_put_array(b, a->n_keys);
	for (unsigned i = 0; i < a->n_keys; i++)
		put_key(b, &a->keys[i]);
	n = buffer_len(b) - LENGTH_BYTES;
	length = buffer_data(b);
	ensure(length != NULL);
	for (int i = 0; i < LENGTH_BYTES; i++)
		length[i] = (char)(n >> (24 - 8 * i));
}

enum rc
e3_record_seal(struct e3_crypto *c, const uint8_t *root_key,
    struct e3_app *a, struct buffer *out)
{
	size_t secrets = (size_t)a->n_pairs * E3_SECRET_BYTES;
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
	total = E3_IV_BYTES + buffer_len(&doc) + secrets + E3_TAG_BYTES;
	rc = RC_LIMIT;
	if (head + total > RPC_RECORD_BYTES_MAX ||
	    (rc = buffer_reserve(out, total, &at)) != RC_OK)
		goto out;
	iv = (uint8_t *)at;
	random_bytes(iv, E3_IV_BYTES);
	aad = (struct span){ buffer_data(out) + start, head };
	body = (struct span){ (const char *)a->secrets, secrets };
	if ((rc = e3_ecies_seal(c, root_key, iv, aad, (struct span){
	    buffer_data(&doc), buffer_len(&doc) }, body,
	    iv + E3_IV_BYTES)) != RC_OK)
		goto out;
	buffer_commit(out, total);
	rc = e3_sha256(c, (struct span){ buffer_data(out) + start,
	    head + total }, a->record_sha256);
out:
	e3_ecies_reset(c);
	buffer_fini(&doc);
	return (rc);
}

/* ---- open ---- */

static int
name_index(const struct rpc_value *v, const char *const names[2])
{
	struct span s;

	if (!rpc_get_bytes(v, &s))
		return (-1);
	return (span_eq_str(s, names[0]) ? 0 :
	    span_eq_str(s, names[1]) ? 1 : -1);
}

/* The public key is computed again from the private one: a token sealed to
 * a public key that we cannot open would be lost data. */
static enum rc
read_pair(struct e3_crypto *c, const struct rpc_value *v,
    struct e3_key_pair *p)
{
	int curve = name_index(rpc_array_at(v, 0), curve_names);
	int state = name_index(rpc_array_at(v, 2), pair_states);
	struct span pub;
	enum rc rc;

	if (rpc_array_len(v) != 5 || curve < 0 || state < 0 ||
	    !rpc_get_u64(rpc_array_at(v, 1), &p->number) ||
	    !rpc_get_u64(rpc_array_at(v, 3), &p->created_ms) ||
	    !rpc_get_bytes(rpc_array_at(v, 4), &pub))
		return (RC_UNSUPPORTED);
	p->curve = (enum rpc_curve)curve;
	p->state = (enum e3_pair_state)state;
	rc = e3_ecdh_public(e3_crypto_ecdh(c), p->curve, p->secret, &p->pub);
	if (rc != RC_OK)
		return (rc == RC_NOMEM ? rc : RC_CORRUPT);
	if (pub.len != E3_POINT_BYTES ||
	    memcmp(pub.p, p->pub.compressed, E3_POINT_BYTES) != 0)
		return (RC_CORRUPT);
	return (RC_OK);
}

static bool
read_key(const struct rpc_value *v, struct e3_api_key *k)
{
	const struct rpc_value *scopes = rpc_array_at(v, 4);
	struct span id, hash, scope;
	size_t n = rpc_array_len(scopes);

	if (rpc_array_len(v) != 5 || n > E3_SCOPES_MAX ||
	    !rpc_get_bytes(rpc_array_at(v, 0), &id) ||
	    !span_copy(id, k->id, sizeof(k->id)) ||
	    !rpc_get_bytes(rpc_array_at(v, 1), &hash) ||
	    hash.len != sizeof(k->hash) ||
	    !rpc_get_bool(rpc_array_at(v, 2), &k->revoked) ||
	    !rpc_get_u64(rpc_array_at(v, 3), &k->created_ms))
		return (false);
	memcpy(k->hash, hash.p, sizeof(k->hash));
	for (k->n_scopes = 0; k->n_scopes < n; k->n_scopes++)
		if (!rpc_get_bytes(rpc_array_at(scopes, k->n_scopes),
		    &scope) || !e3_scope_valid(scope) || !span_copy(scope,
		    k->scopes[k->n_scopes], E3_SCOPE_BYTES))
			return (false);
	return (true);
}

/* document and secrets (as many as the payload held) to a snapshot. */
static enum rc
read_app(struct e3_crypto *c, struct span document, const uint8_t *secrets,
    size_t n_secrets, struct e3_app **out)
{
	const struct rpc_value *pairs, *keys;
	struct rpc_document doc = { .zone = NULL };
	struct e3_app *a = NULL;
	struct span name;
	enum rc rc = RC_UNSUPPORTED;

	if (rpc_document_read(&doc, document.p, document.len) != RC_OK)
		goto out;
	pairs = rpc_map_get(doc.root, "pairs");
	keys = rpc_map_get(doc.root, "keys");
	if (rpc_array_len(pairs) != n_secrets ||
	    rpc_array_len(keys) > E3_API_KEYS_MAX ||
	    !rpc_get_bytes(rpc_map_get(doc.root, "name"), &name))
		goto out;
	if ((rc = e3_app_new((unsigned)n_secrets,
	    (unsigned)rpc_array_len(keys), &a)) != RC_OK)
		goto out;
	memcpy(a->secrets, secrets, n_secrets * E3_SECRET_BYTES);
	for (unsigned i = 0; rc == RC_OK && i < a->n_pairs; i++)
		rc = read_pair(c, rpc_array_at(pairs, i), &a->pairs[i]);
	for (unsigned i = 0; rc == RC_OK && i < a->n_keys; i++)
		if (!read_key(rpc_array_at(keys, i), &a->keys[i]))
			rc = RC_UNSUPPORTED;
	if (rc == RC_OK && (!span_copy(name, a->name, sizeof(a->name)) ||
	    !rpc_get_u64(rpc_map_get(doc.root, "created_ms"),
	    &a->created_ms)))
		rc = RC_UNSUPPORTED;
	if (rc == RC_OK) {
		*out = a;
		a = NULL;
	}
out:
	e3_app_unref(&a);
	rpc_document_fini(&doc);
	return (rc == RC_LIMIT ? RC_UNSUPPORTED : rc);
}

enum rc
e3_record_open(struct e3_crypto *c, const uint8_t *root_key,
    struct span record, struct e3_app **out)
{
	struct rpc_record_head h;
	struct span in, document;
	uint8_t *plain = NULL;
	size_t n, doc_len = 0;
	enum rc rc;

	*out = NULL;
	if ((rc = rpc_record_head_read(record, &h)) != RC_OK)
		return (rc);
	in.p = record.p + h.bytes + E3_IV_BYTES;
	in.len = record.len - h.bytes - E3_IV_BYTES;
	n = in.len - E3_TAG_BYTES;
	if ((plain = OPENSSL_secure_malloc(n)) == NULL)
		return (RC_NOMEM);
	rc = RC_CORRUPT;
	if (e3_ecies_open(c, root_key, (const uint8_t *)record.p + h.bytes,
	    (struct span){ record.p, h.bytes }, in, plain) != RC_OK)
		goto out;
	for (size_t i = 0; i < LENGTH_BYTES && i < n; i++)
		doc_len = doc_len << 8 | plain[i];
	if (n < LENGTH_BYTES || doc_len > n - LENGTH_BYTES ||
	    (n - LENGTH_BYTES - doc_len) % E3_SECRET_BYTES != 0)
		goto out;
	document = (struct span){ (const char *)plain + LENGTH_BYTES,
	    doc_len };
	n -= LENGTH_BYTES + doc_len;
	if ((rc = read_app(c, document, plain + LENGTH_BYTES + doc_len,
	    n / E3_SECRET_BYTES, out)) != RC_OK)
		goto out;
	memcpy((*out)->id, h.app, sizeof((*out)->id));
	(*out)->version = h.version;
	if ((rc = e3_sha256(c, record, (*out)->record_sha256)) != RC_OK)
		e3_app_unref(out);
out:
	OPENSSL_secure_clear_free(plain, in.len - E3_TAG_BYTES);
	e3_ecies_reset(c);
	return (rc);
}
