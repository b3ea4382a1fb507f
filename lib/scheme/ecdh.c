/*
 * scheme/ecdh.c - two curves behind one set of functions.
 *
 * P-256 uses EC_POINT arithmetic instead of EVP_PKEY: no object is built per
 * call, and EC_POINT_mul on this group runs nistz256's constant-time gather,
 * of the group's table when it multiplies the generator.  Numbers that are
 * secret lie in the secure heap and are cleared after use; the point that is
 * secret is overwritten.
 */
#include "lib/scheme/ecdh.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <secp256k1.h>
#include <secp256k1_ecdh.h>

#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/scheme/p256_table.h"

struct scheme_ecdh {
	unsigned		magic;
#define SCHEME_ECDH_MAGIC		0xecd4a51b
	EC_GROUP		*p256;		/* owned */
	EC_POINT		*point;		/* owned: public ones */
	EC_POINT		*shared;	/* owned: overwritten after use */
	BIGNUM			*k, *x;		/* owned, secure heap: the same */
	BN_CTX			*bn;		/* owned: secure heap */
	secp256k1_context	*k1;		/* owned: blinded at birth */
};

static bool
k1_blind(secp256k1_context *k1)
{
	uint8_t seed[SCHEME_SECRET_BYTES];
	bool done;

	random_bytes(seed, sizeof(seed));
	done = k1 != NULL && secp256k1_context_randomize(k1, seed);
	secret_wipe(seed, sizeof(seed));
	return (done);
}

struct scheme_ecdh *
scheme_ecdh_new(void)
{
	struct scheme_ecdh *e = xcalloc(1, sizeof(*e));

	e->magic = SCHEME_ECDH_MAGIC;
	e->p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (e->p256 != NULL) {
		e->point = EC_POINT_new(e->p256);
		e->shared = EC_POINT_new(e->p256);
	}
	e->k = BN_secure_new();
	e->x = BN_secure_new();
	e->bn = BN_CTX_secure_new();
	e->k1 = secp256k1_context_create(SECP256K1_CONTEXT_SIGN |
	    SECP256K1_CONTEXT_VERIFY);
	if (e->point == NULL || e->shared == NULL || e->k == NULL ||
	    e->x == NULL || e->bn == NULL || !k1_blind(e->k1)) {
		ERR_clear_error();
		scheme_ecdh_free(&e);
		return (NULL);
	}
	BN_set_flags(e->k, BN_FLG_CONSTTIME);
	return (e);
}

void
scheme_ecdh_free(struct scheme_ecdh **ep)
{
	struct scheme_ecdh *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, SCHEME_ECDH_MAGIC);
	EC_POINT_free(e->point);
	EC_POINT_clear_free(e->shared);
	EC_GROUP_free(e->p256);
	BN_clear_free(e->k);
	BN_clear_free(e->x);
	BN_CTX_free(e->bn);
	if (e->k1 != NULL)
		secp256k1_context_destroy(e->k1);
	e->magic = 0;
	free(e);
}

/* ---- P-256 ---- */

/* A scalar in [1, n-1] into e->k, which the caller clears.  RC_SYNTAX: out of
 * range. */
static enum rc
p256_scalar(struct scheme_ecdh *e, const uint8_t *secret)
{
	if (BN_bin2bn(secret, SCHEME_SECRET_BYTES, e->k) == NULL)
		return (RC_NOMEM);
	return (BN_is_zero(e->k) ||
	    BN_cmp(e->k, EC_GROUP_get0_order(e->p256)) >= 0 ? RC_SYNTAX :
	    RC_OK);
}

/* e->point.  The short form is written from the long one: OpenSSL would invert
 * once more for it, a fifth of what a new pair costs. */
static enum rc
p256_encode(struct scheme_ecdh *e, struct scheme_public_key *out)
{
	if (EC_POINT_point2oct(e->p256, e->point, POINT_CONVERSION_UNCOMPRESSED,
	    out->full, sizeof(out->full), e->bn) != sizeof(out->full))
		return (RC_NOMEM);
	memcpy(out->compressed, out->full, sizeof(out->compressed));
	out->compressed[0] = 2 | (out->full[SCHEME_FULL_POINT_BYTES - 1] & 1);
	return (RC_OK);
}

static enum rc
p256_public(struct scheme_ecdh *e, const uint8_t *secret,
    struct scheme_public_key *out)
{
	enum rc rc = p256_scalar(e, secret);

	if (rc == RC_OK)
		rc = EC_POINT_mul(e->p256, e->point, e->k, NULL, NULL,
		    e->bn) == 1 ? p256_encode(e, out) : RC_NOMEM;
	BN_clear(e->k);
	ERR_clear_error();
	return (rc);
}

/* Whether what failed just now failed for that: a point without room in the
 * secure heap is no bad point. */
static bool
without_memory(void)
{
	unsigned long first = ERR_peek_error();

	return (ERR_GET_REASON(first) == ERR_R_MALLOC_FAILURE ||
	    ERR_GET_LIB(first) == ERR_LIB_CRYPTO);
}

/* A foreign point into e->point.  oct2point checks a full one and solves a
 * short one for y: nothing off the curve passes. */
static enum rc
p256_point(struct scheme_ecdh *e, const uint8_t *in, size_t len)
{
	enum rc rc = RC_OK;

	ERR_clear_error();
	if (EC_POINT_oct2point(e->p256, e->point, in, len, e->bn) != 1)
		rc = without_memory() ? RC_NOMEM : RC_SYNTAX;
	ERR_clear_error();
	return (rc);
}

/* x of secret * peer, or with peer NULL of secret * the group's generator. */
static enum rc
p256_x(struct scheme_ecdh *e, const EC_GROUP *group, const EC_POINT *peer,
    const uint8_t *secret, uint8_t *z)
{
	enum rc rc = p256_scalar(e, secret);

	if (rc == RC_OK && (EC_POINT_mul(group, e->shared,
	    peer == NULL ? e->k : NULL, peer, peer == NULL ? NULL : e->k,
	    e->bn) != 1 || EC_POINT_get_affine_coordinates(group, e->shared,
	    e->x, NULL, e->bn) != 1 ||
	    BN_bn2binpad(e->x, z, SCHEME_SECRET_BYTES) != SCHEME_SECRET_BYTES))
		rc = RC_NOMEM;
	BN_clear(e->x);
	BN_clear(e->k);
	/* Over the secret: every limb of the generator is in use. */
	ensure(EC_POINT_copy(e->shared, EC_GROUP_get0_generator(e->p256)) ==
	    1);
	ERR_clear_error();
	return (rc);
}

/* ---- secp256k1 ---- */

static void
k1_encode(struct scheme_ecdh *e, const secp256k1_pubkey *key,
    struct scheme_public_key *out)
{
	size_t n = sizeof(out->compressed);

	ensure(secp256k1_ec_pubkey_serialize(e->k1, out->compressed, &n, key,
	    SECP256K1_EC_COMPRESSED) == 1);
	n = sizeof(out->full);
	ensure(secp256k1_ec_pubkey_serialize(e->k1, out->full, &n, key,
	    SECP256K1_EC_UNCOMPRESSED) == 1);
}

/* The library would hash the point; the formats here want x itself. */
static int
k1_take_x(unsigned char *out, const unsigned char *x, const unsigned char *y,
    void *arg)
{
	(void)y;
	(void)arg;
	memcpy(out, x, SCHEME_SECRET_BYTES);
	return (1);
}

/* ---- by curve ---- */

enum rc
scheme_ecdh_public(struct scheme_ecdh *e, enum rpc_curve curve,
    const uint8_t *secret, struct scheme_public_key *out)
{
	secp256k1_pubkey key;

	obj_check(e, SCHEME_ECDH_MAGIC);
	if (curve == RPC_CURVE_R1)
		return (p256_public(e, secret, out));
	if (secp256k1_ec_pubkey_create(e->k1, &key, secret) != 1)
		return (RC_SYNTAX);
	k1_encode(e, &key, out);
	return (RC_OK);
}

enum rc
scheme_ecdh_generate(struct scheme_ecdh *e, enum rpc_curve curve,
    uint8_t *secret, struct scheme_public_key *out)
{
	enum rc rc;

	/* Rejection keeps the scalar uniform; a retry is a 2^-32 event. */
	do {
		random_bytes(secret, SCHEME_SECRET_BYTES);
		rc = scheme_ecdh_public(e, curve, secret, out);
	} while (rc == RC_SYNTAX);
	return (rc);
}

enum rc
scheme_ecdh_decode(struct scheme_ecdh *e, enum rpc_curve curve,
    const uint8_t compressed[SCHEME_POINT_BYTES], struct scheme_public_key *out)
{
	secp256k1_pubkey key;
	enum rc rc;

	obj_check(e, SCHEME_ECDH_MAGIC);
	if (curve == RPC_CURVE_R1) {
		/* Neither infinity nor any other form. */
		if ((compressed[0] | 1) != 3)
			return (RC_SYNTAX);
		rc = p256_point(e, compressed, SCHEME_POINT_BYTES);
		return (rc != RC_OK ? rc : p256_encode(e, out));
	}
	if (secp256k1_ec_pubkey_parse(e->k1, &key, compressed,
	    SCHEME_POINT_BYTES) != 1)
		return (RC_SYNTAX);
	k1_encode(e, &key, out);
	return (RC_OK);
}

enum rc
scheme_ecdh_agree(struct scheme_ecdh *e, enum rpc_curve curve,
    const uint8_t *secret, const struct scheme_public_key *peer, uint8_t *z)
{
	secp256k1_pubkey key;
	enum rc rc;

	obj_check(e, SCHEME_ECDH_MAGIC);
	if (peer->full[0] != 4)
		return (RC_SYNTAX);
	if (curve == RPC_CURVE_R1) {
		rc = p256_point(e, peer->full, sizeof(peer->full));
		return (rc != RC_OK ? rc :
		    p256_x(e, e->p256, e->point, secret, z));
	}
	if (secp256k1_ec_pubkey_parse(e->k1, &key, peer->full,
	    sizeof(peer->full)) != 1 ||
	    secp256k1_ecdh(e->k1, z, &key, secret, k1_take_x, NULL) != 1)
		return (RC_SYNTAX);
	return (RC_OK);
}

enum rc
scheme_ecdh_agree_table(struct scheme_ecdh *e, const uint8_t *secret,
    const struct scheme_p256_table *table, uint8_t *z)
{
	obj_check(e, SCHEME_ECDH_MAGIC);
	return (p256_x(e, scheme_p256_table_group(table), NULL, secret, z));
}
