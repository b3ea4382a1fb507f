/*
 * certs/cose_sign1.c - COSE_Sign1: four items, two headers, one signature.
 *
 *   [ protected: bytes holding a map, unprotected: map, payload, signature ]
 *
 * What is signed is not the message but the Sig_structure built from it, so
 * bytes of the envelope (the tag, the unprotected header) are not covered:
 * nothing is believed from there but an algorithm's name.
 */
#include "certs/cose_sign1.h"

#include <string.h>

#include <cbor.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "certs/cbor.h"

#define TAG_SIGN1	18
#define LABEL_ALG	1
#define LABEL_CRIT	2
#define COORDINATE_MAX	66	/* P-521 */
/* Two integers of 67 bytes (a sign byte), heads of 2 and 3 bytes. */
#define DER_MAX		(2 * (COORDINATE_MAX + 1 + 2) + 3)
/* [ "Signature1", ...: an array of four, a text of ten. */
#define SIG_STRUCTURE	"\x84\x6aSignature1"
#define BYTES_HEAD_MAX	9

static enum rc
fail(const char **why, enum rc rc, const char *text)
{
	*why = text;
	return (rc);
}

/* The message's algorithm from a header that names one; `at` is its node. */
static enum rc
set_alg(struct cose_sign1 *m, const struct certs_cbor *c, uint32_t at,
    const char **why)
{
	const struct certs_cbor_node *n = &c->nodes[at];

	/* -1 - value; RFC 9053's numbers, no others and no names. */
	if (n->type == CERTS_CBOR_NEGINT && n->value == -1 - COSE_ES256)
		m->alg = COSE_ES256;
	else if (n->type == CERTS_CBOR_NEGINT && n->value == -1 - COSE_ES384)
		m->alg = COSE_ES384;
	else if (n->type == CERTS_CBOR_NEGINT && n->value == -1 - COSE_ES512)
		m->alg = COSE_ES512;
	else
		return (fail(why, RC_UNSUPPORTED, "another algorithm"));
	return (RC_OK);
}

/* Is a label of this map in that one too? */
static bool
shared_label(const struct certs_cbor *a, uint32_t map_a,
    const struct certs_cbor *b, uint32_t map_b)
{
	for (uint32_t i = map_a + 1; i < a->nodes[map_a].next;
	    i = a->nodes[i + 1].next)
		for (uint32_t k = map_b + 1; k < b->nodes[map_b].next;
		    k = b->nodes[k + 1].next)
			if (certs_cbor_same_key(&a->nodes[i], &b->nodes[k]))
				return (true);
	return (false);
}

/* Both headers; the second is the map at `unprotected` in c. */
static enum rc
read_headers(struct cose_sign1 *m, const struct certs_cbor *c,
    uint32_t unprotected, const char **why)
{
	struct certs_cbor protected = { .n = 0 };
	uint32_t at = 0;
	enum rc rc;

	m->bare = c->nodes[unprotected].value == 0;
	if (m->protected.len != 0) {
		rc = certs_cbor_read(&protected, m->protected, why);
		if (rc != RC_OK)
			return (rc);
		if (protected.nodes[0].type != CERTS_CBOR_MAP)
			return (fail(why, RC_SYNTAX, "protected is no map"));
		if (protected.nodes[0].value == 0)	/* RFC 9052 4.4 */
			m->protected = SPAN_LIT("");
		if (shared_label(&protected, 0, c, unprotected))
			return (fail(why, RC_SYNTAX, "a label in both headers"));
		if (certs_cbor_find_uint(&protected, 0, LABEL_CRIT) != 0)
			return (fail(why, RC_UNSUPPORTED, "a critical field"));
		at = certs_cbor_find_uint(&protected, 0, LABEL_ALG);
	}
	if (certs_cbor_find_uint(c, unprotected, LABEL_CRIT) != 0)
		return (fail(why, RC_SYNTAX, "crit is not protected"));
	if (at != 0)
		return (set_alg(m, &protected, at, why));
	if ((at = certs_cbor_find_uint(c, unprotected, LABEL_ALG)) != 0)
		return (set_alg(m, c, at, why));
	return (fail(why, RC_SYNTAX, "no algorithm"));
}

enum rc
cose_sign1_read(struct cose_sign1 *m, struct span in, const char **why)
{
	uint32_t array = 0, protected, unprotected, payload, signature;
	struct certs_cbor c;
	enum rc rc;

	memset(m, 0, sizeof(*m));
	if ((rc = certs_cbor_read(&c, in, why)) != RC_OK)
		return (rc);
	if (c.nodes[0].type == CERTS_CBOR_TAG) {
		if (c.nodes[0].value != TAG_SIGN1)
			return (fail(why, RC_SYNTAX, "another tag than 18"));
		array = 1;
	}
	if (c.nodes[array].type != CERTS_CBOR_ARRAY ||
	    c.nodes[array].value != 4)
		return (fail(why, RC_SYNTAX, "no array of four"));
	protected = array + 1;
	unprotected = c.nodes[protected].next;
	payload = c.nodes[unprotected].next;
	signature = c.nodes[payload].next;
	if (c.nodes[protected].type != CERTS_CBOR_BYTES ||
	    c.nodes[unprotected].type != CERTS_CBOR_MAP ||
	    c.nodes[signature].type != CERTS_CBOR_BYTES)
		return (fail(why, RC_SYNTAX, "an item of another type"));
	if (c.nodes[payload].type == CERTS_CBOR_NULL)
		return (fail(why, RC_UNSUPPORTED, "the payload is elsewhere"));
	if (c.nodes[payload].type != CERTS_CBOR_BYTES)
		return (fail(why, RC_SYNTAX, "an item of another type"));
	m->protected = c.nodes[protected].bytes;
	m->payload = c.nodes[payload].bytes;
	m->signature = c.nodes[signature].bytes;
	return (read_headers(m, &c, unprotected, why));
}

size_t
cose_sign1_key_bytes(const EVP_PKEY *key)
{
	static const struct {
		const char	*name;
		size_t		bytes;
	} curves[] = {
		{ "prime256v1", 32 }, { "secp384r1", 48 }, { "secp521r1", 66 },
	};
	int explicit_numbers = 0;
	char name[32];

	if (key == NULL || !EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1)
		return (0);
	/* A curve spelled out may look like a named one and not be it. */
	if (EVP_PKEY_get_int_param(key,
	    OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
	    &explicit_numbers) != 1 || explicit_numbers != 0)
		return (0);
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (strcmp(name, curves[i].name) == 0)
			return (curves[i].bytes);
	return (0);
}

static const EVP_MD *
digest_of(enum cose_alg alg)
{
	switch (alg) {
	case COSE_ES256:
		return (EVP_sha256());
	case COSE_ES384:
		return (EVP_sha384());
	case COSE_ES512:
		return (EVP_sha512());
	}
	return (NULL);
}

/* r and s as OpenSSL wants them; 0 without memory. */
static size_t
to_der(struct span signature, unsigned char out[DER_MAX])
{
	const unsigned char *p = (const unsigned char *)signature.p;
	int half = (int)(signature.len / 2), len = 0;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(p, half, NULL);
	BIGNUM *s = BN_bin2bn(p + half, half, NULL);

	if (sig != NULL && r != NULL && s != NULL &&
	    ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;		/* sig owns them */
		len = i2d_ECDSA_SIG(sig, &out);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return (len > 0 ? (size_t)len : 0);
}

static bool
add_bytes(EVP_MD_CTX *md, struct span bytes)
{
	unsigned char head[BYTES_HEAD_MAX];
	size_t len = cbor_encode_bytestring_start(bytes.len, head,
	    sizeof(head));

	return (EVP_DigestVerifyUpdate(md, head, len) == 1 &&
	    (bytes.len == 0 ||
	    EVP_DigestVerifyUpdate(md, bytes.p, bytes.len) == 1));
}

enum rc
cose_sign1_verify(const struct cose_sign1 *m, EVP_PKEY *key,
    struct span external_aad, const char **why)
{
	size_t bytes = cose_sign1_key_bytes(key), der_len;
	unsigned char der[DER_MAX];
	EVP_MD_CTX *md = NULL;
	bool ok;

	if (bytes == 0)
		return (fail(why, RC_DENIED, "another kind of key"));
	if (m->signature.len != 2 * bytes)
		return (fail(why, RC_DENIED, "a signature of another length"));
	ERR_clear_error();
	ok = (der_len = to_der(m->signature, der)) != 0 &&
	    (md = EVP_MD_CTX_new()) != NULL &&
	    EVP_DigestVerifyInit(md, NULL, digest_of(m->alg), NULL, key) == 1 &&
	    EVP_DigestVerifyUpdate(md, SIG_STRUCTURE,
	    sizeof(SIG_STRUCTURE) - 1) == 1 &&
	    add_bytes(md, m->protected) && add_bytes(md, external_aad) &&
	    add_bytes(md, m->payload) &&
	    EVP_DigestVerifyFinal(md, der, der_len) == 1;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	*why = ok ? "" : "the signature is not the key's";
	return (ok ? RC_OK : RC_DENIED);
}
