/*
 * scheme/ecies.c - KDF, AES-256-GCM, and the contexts one thread reuses.
 */
#include "lib/scheme/ecies.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define SPKI_BYTES_MAX	270
#define SCRATCH_KEEP_BYTES	(1u << 20)	/* one huge value must not stay */

/*
 * DER SubjectPublicKeyInfo up to the point: explicit parameters, for P-256
 * with the optional seed, for secp256k1 without.  The published SDKs hash
 * exactly these bytes, so they are constants and not built.
 */
static const char *const spki_hex[] = {
	[RPC_CURVE_R1] =
	    "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101"
	    "022100ffffffff00000001000000000000000000000000ffffffffffffffffffffff"
	    "ff305b0420ffffffff00000001000000000000000000000000ffffffffffffffffff"
	    "fffffc04205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27"
	    "d2604b031500c49d360886e704936a6678e1139d26b7819f7e900441046b17d1f2e1"
	    "2c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f"
	    "9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff0000"
	    "0000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551020101034200",
	[RPC_CURVE_K1] =
	    "308201333081ec06072a8648ce3d02013081e0020101302c06072a8648ce3d010102"
	    "2100fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"
	    "30440420000000000000000000000000000000000000000000000000000000000000"
	    "00000420000000000000000000000000000000000000000000000000000000000000"
	    "000704410479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16"
	    "f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4"
	    "b8022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd036"
	    "4141020101034200",
};
#define CURVES	(sizeof(spki_hex) / sizeof(spki_hex[0]))

/* One direction of AES-256-GCM: a context and the key that is in it. */
struct gcm {
	EVP_CIPHER_CTX	*ctx;		/* owned */
	uint8_t		*key;		/* view into crypto->secrets */
	bool		keyed;
};

struct scheme_crypto {
	unsigned	magic;
#define SCHEME_CRYPTO_MAGIC	0xc4b70e35
	struct scheme_ecdh	*ecdh;		/* owned */
	EVP_CIPHER	*aes;		/* owned */
	EVP_MD		*sha256;	/* owned */
	EVP_MD_CTX	*md;		/* owned */
	struct gcm	seal, open;
	uint8_t		*secrets;	/* owned: secure heap: work, GCM keys */
	struct buffer	scratch;
	uint8_t		spki[CURVES][SPKI_BYTES_MAX];
};
#define SECRETS_BYTES	(SCHEME_WORK_BYTES + 2 * SCHEME_SECRET_BYTES)

struct scheme_crypto *
scheme_crypto_new(void)
{
	struct scheme_crypto *c = xcalloc(1, sizeof(*c));

	c->magic = SCHEME_CRYPTO_MAGIC;
	buffer_init(&c->scratch, 0, true);
	for (unsigned i = 0; i < CURVES; i++)
		ensure(hex_decode(span_of(spki_hex[i]), c->spki[i],
		    strlen(spki_hex[i]) / 2) == RC_OK);
	c->ecdh = scheme_ecdh_new();
	c->aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	c->md = EVP_MD_CTX_new();
	c->seal.ctx = EVP_CIPHER_CTX_new();
	c->open.ctx = EVP_CIPHER_CTX_new();
	c->secrets = OPENSSL_secure_malloc(SECRETS_BYTES);
	if (c->ecdh == NULL || c->aes == NULL || c->sha256 == NULL ||
	    c->md == NULL || c->seal.ctx == NULL || c->open.ctx == NULL ||
	    c->secrets == NULL) {
		ERR_clear_error();
		scheme_crypto_free(&c);
		return (NULL);
	}
	c->seal.key = c->secrets + SCHEME_WORK_BYTES;
	c->open.key = c->seal.key + SCHEME_SECRET_BYTES;
	return (c);
}

void
scheme_crypto_free(struct scheme_crypto **cp)
{
	struct scheme_crypto *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, SCHEME_CRYPTO_MAGIC);
	scheme_ecdh_free(&c->ecdh);
	EVP_CIPHER_CTX_free(c->seal.ctx);
	EVP_CIPHER_CTX_free(c->open.ctx);
	OPENSSL_secure_clear_free(c->secrets, SECRETS_BYTES);
	EVP_MD_CTX_free(c->md);
	EVP_MD_free(c->sha256);
	EVP_CIPHER_free(c->aes);
	buffer_fini(&c->scratch);
	c->magic = 0;
	free(c);
}

struct scheme_ecdh *
scheme_crypto_ecdh(struct scheme_crypto *c)
{
	obj_check(c, SCHEME_CRYPTO_MAGIC);
	return (c->ecdh);
}

uint8_t *
scheme_crypto_work(struct scheme_crypto *c)
{
	obj_check(c, SCHEME_CRYPTO_MAGIC);
	return (c->secrets);
}

struct buffer *
scheme_crypto_scratch(struct scheme_crypto *c)
{
	obj_check(c, SCHEME_CRYPTO_MAGIC);
	return (&c->scratch);
}

/* ---- hash and KDF ---- */

#define X963_COUNTER	"\0\0\0\1"	/* of the only round */

static enum rc
hash(struct scheme_crypto *c, const struct span *parts, size_t n, uint8_t *out)
{
	bool ok = EVP_DigestInit_ex2(c->md, c->sha256, NULL) == 1;

	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(c->md, parts[i].p, parts[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(c->md, out, NULL) == 1;
	(void)EVP_MD_CTX_reset(c->md);		/* it held Z */
	ERR_clear_error();
	return (ok ? RC_OK : RC_NOMEM);
}

enum rc
scheme_sha256(struct scheme_crypto *c, struct span in,
    uint8_t out[SCHEME_SECRET_BYTES])
{
	obj_check(c, SCHEME_CRYPTO_MAGIC);
	return (hash(c, &in, 1, out));
}

enum rc
scheme_ecies_x963(struct scheme_crypto *c, const uint8_t *z, size_t zlen,
    struct span info, uint8_t out[SCHEME_SECRET_BYTES])
{
	const struct span parts[] = {
		{ (const char *)z, zlen },
		{ X963_COUNTER, 4 },
		info,
	};

	obj_check(c, SCHEME_CRYPTO_MAGIC);
	return (hash(c, parts, 3, out));
}

enum rc
scheme_ecies_kdf(struct scheme_crypto *c, enum rpc_curve curve,
    const uint8_t *z, const struct scheme_public_key *ephemeral,
    uint8_t out[SCHEME_SECRET_BYTES])
{
	const struct span parts[] = {
		{ (const char *)z, SCHEME_SECRET_BYTES },
		{ X963_COUNTER, 4 },
		{ (const char *)c->spki[curve], strlen(spki_hex[curve]) / 2 },
		{ (const char *)ephemeral->full, SCHEME_FULL_POINT_BYTES },
	};

	obj_check(c, SCHEME_CRYPTO_MAGIC);
	return (hash(c, parts, 4, out));
}

/* ---- AES-256-GCM ---- */

/* Key, if it is another one than last time, and IV. */
static bool
gcm_start(struct scheme_crypto *c, struct gcm *g, const uint8_t *key,
    const uint8_t *iv, int sealing)
{
	if (g->keyed && secret_equal(g->key, key, SCHEME_SECRET_BYTES))
		return (EVP_CipherInit_ex2(g->ctx, NULL, NULL, iv, sealing,
		    NULL) == 1);
	g->keyed = EVP_CipherInit_ex2(g->ctx, c->aes, key, iv, sealing,
	    NULL) == 1;
	if (g->keyed)
		memcpy(g->key, key, SCHEME_SECRET_BYTES);
	return (g->keyed);
}

/* Feed a part; out NULL: additional data.  Empty parts are skipped, since
 * OpenSSL takes a NULL input for the end. */
static bool
gcm_part(struct gcm *g, struct span in, uint8_t *out)
{
	int n;

	if (in.len == 0)
		return (true);
	return (in.len <= INT_MAX && EVP_CipherUpdate(g->ctx, out, &n,
	    (const unsigned char *)in.p, (int)in.len) == 1);
}

enum rc
scheme_ecies_seal(struct scheme_crypto *c, const uint8_t *key,
    const uint8_t iv[SCHEME_IV_BYTES], struct span aad, struct span head,
    struct span body, uint8_t *out)
{
	uint8_t *tag = out + head.len + body.len;
	struct gcm *g = &c->seal;
	int n;
	bool ok;

	obj_check(c, SCHEME_CRYPTO_MAGIC);
	ok = gcm_start(c, g, key, iv, 1) && gcm_part(g, aad, NULL) &&
	    gcm_part(g, head, out) && gcm_part(g, body, out + head.len) &&
	    EVP_CipherFinal_ex(g->ctx, tag, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(g->ctx, EVP_CTRL_AEAD_GET_TAG, SCHEME_TAG_BYTES,
	    tag) == 1;
	if (!ok)
		ERR_clear_error();
	return (ok ? RC_OK : RC_NOMEM);
}

enum rc
scheme_ecies_open(struct scheme_crypto *c, const uint8_t *key,
    const uint8_t iv[SCHEME_IV_BYTES], struct span aad, struct span in,
    uint8_t *out)
{
	uint8_t tag[SCHEME_TAG_BYTES], end[SCHEME_TAG_BYTES];
	struct gcm *g = &c->open;
	struct span text = in;
	int n;

	obj_check(c, SCHEME_CRYPTO_MAGIC);
	if (in.len < SCHEME_TAG_BYTES)
		return (RC_SYNTAX);
	text.len -= SCHEME_TAG_BYTES;
	memcpy(tag, in.p + text.len, sizeof(tag));
	if (gcm_start(c, g, key, iv, 0) && gcm_part(g, aad, NULL) &&
	    gcm_part(g, text, out) &&
	    EVP_CIPHER_CTX_ctrl(g->ctx, EVP_CTRL_AEAD_SET_TAG, SCHEME_TAG_BYTES,
	    tag) == 1 && EVP_CipherFinal_ex(g->ctx, end, &n) == 1)
		return (RC_OK);
	secret_wipe(out, text.len);	/* never to be seen unauthenticated */
	ERR_clear_error();
	return (RC_DENIED);
}

static void
gcm_forget(struct gcm *g)
{
	if (!g->keyed)
		return;
	(void)EVP_CIPHER_CTX_reset(g->ctx);
	secret_wipe(g->key, SCHEME_SECRET_BYTES);
	g->keyed = false;
}

void
scheme_ecies_reset(struct scheme_crypto *c)
{
	obj_check(c, SCHEME_CRYPTO_MAGIC);
	gcm_forget(&c->seal);
	gcm_forget(&c->open);
	buffer_clear(&c->scratch);
	if (c->scratch.cap > SCRATCH_KEEP_BYTES)
		buffer_fini(&c->scratch);
}
