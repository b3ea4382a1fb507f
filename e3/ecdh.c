/*
 * e3/ecdh.c - two curves behind one set of functions.
 *
 * P-256 uses EC_POINT arithmetic instead of EVP_PKEY: no object is built per
 * call, and EC_POINT_mul on this group runs nistz256's constant-time gather,
 * of the group's table when it multiplies the generator.  Scalars live in a
 * BN_CTX of the secure heap and are cleared after use; the point that is
 * secret is overwritten.
 */
#include "e3/ecdh.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <secp256k1.h>
#include <secp256k1_ecdh.h>

#include "e3/p256_table.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"

struct e3_ecdh {
	unsigned		magic;
#define E3_ECDH_MAGIC		0xecd4a51b
	EC_GROUP		*p256;		/* owned */
	EC_POINT		*point;		/* owned: public ones */
	EC_POINT		*shared;	/* owned: overwritten after use */
	BN_CTX			*bn;		/* owned: secure heap */
	secp256k1_context	*k1;		/* owned: blinded at birth */
};

struct e3_ecdh *
e3_ecdh_new(void)
{
	struct e3_ecdh *e = xcalloc(1, sizeof(*e));
	uint8_t seed[E3_SECRET_BYTES];
	int blinded = 0;

	e->magic = E3_ECDH_MAGIC;
	e->p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (e->p256 != NULL) {
		e->point = EC_POINT_new(e->p256);
		e->shared = EC_POINT_new(e->p256);
	}
	e->bn = BN_CTX_secure_new();
	e->k1 = secp256k1_context_create(SECP256K1_CONTEXT_SIGN |
	    SECP256K1_CONTEXT_VERIFY);
	if (e->k1 != NULL) {
		random_bytes(seed, sizeof(seed));
		blinded = secp256k1_context_randomize(e->k1, seed);
		secret_wipe(seed, sizeof(seed));
	}
	if (e->point == NULL || e->shared == NULL || e->bn == NULL ||
	    !blinded) {
		ERR_clear_error();
		e3_ecdh_free(&e);
	}
	return (e);
}

void
e3_ecdh_free(struct e3_ecdh **ep)
{
	struct e3_ecdh *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, E3_ECDH_MAGIC);
	EC_POINT_free(e->point);
	EC_POINT_clear_free(e->shared);
	EC_GROUP_free(e->p256);
	BN_CTX_free(e->bn);
	if (e->k1 != NULL)
		secp256k1_context_destroy(e->k1);
	e->magic = 0;
	free(e);
}

/* ---- P-256 ---- */

/* A scalar in [1, n-1] as a number that the caller clears; BN_CTX_start was
 * called.  RC_SYNTAX: out of range. */
static enum rc
p256_scalar(struct e3_ecdh *e, const uint8_t *secret, BIGNUM **out)
{
	BIGNUM *k = BN_CTX_get(e->bn);

	*out = NULL;
	if (k == NULL || BN_bin2bn(secret, E3_SECRET_BYTES, k) == NULL)
		return (RC_NOMEM);
	BN_set_flags(k, BN_FLG_CONSTTIME);
	if (BN_is_zero(k) || BN_cmp(k, EC_GROUP_get0_order(e->p256)) >= 0) {
		BN_clear(k);
		return (RC_SYNTAX);
	}
	*out = k;
	return (RC_OK);
}

/* The short form is written from the long one: OpenSSL would invert once more
 * for it, a fifth of what a new pair costs. */
static bool
p256_encode(struct e3_ecdh *e, const EC_POINT *point,
    struct e3_public_key *out)
{
	if (EC_POINT_point2oct(e->p256, point, POINT_CONVERSION_UNCOMPRESSED,
	    out->full, sizeof(out->full), e->bn) != sizeof(out->full))
		return (false);
	memcpy(out->compressed, out->full, sizeof(out->compressed));
	out->compressed[0] = 2 | (out->full[E3_FULL_POINT_BYTES - 1] & 1);
	return (true);
}

static enum rc
p256_public(struct e3_ecdh *e, const uint8_t *secret,
    struct e3_public_key *out)
{
	BIGNUM *k;
	enum rc rc;

	BN_CTX_start(e->bn);
	if ((rc = p256_scalar(e, secret, &k)) == RC_OK) {
		if (EC_POINT_mul(e->p256, e->point, k, NULL, NULL, e->bn) !=
		    1 || !p256_encode(e, e->point, out))
			rc = RC_NOMEM;
		BN_clear(k);
	}
	BN_CTX_end(e->bn);
	if (rc != RC_OK)
		ERR_clear_error();
	return (rc);
}

/* oct2point checks a full point and solves a short one for y: nothing off the
 * curve passes. */
static enum rc
p256_point(struct e3_ecdh *e, const uint8_t *in, size_t len)
{
	if (EC_POINT_oct2point(e->p256, e->point, in, len, e->bn) == 1)
		return (RC_OK);
	ERR_clear_error();
	return (RC_SYNTAX);
}

static enum rc
p256_decode(struct e3_ecdh *e, const uint8_t *in, struct e3_public_key *out)
{
	enum rc rc;

	if (in[0] != 2 && in[0] != 3)
		return (RC_SYNTAX);
	if ((rc = p256_point(e, in, E3_POINT_BYTES)) == RC_OK &&
	    !p256_encode(e, e->point, out))
		rc = RC_NOMEM;
	return (rc);
}

/* x of secret * peer, or with peer NULL of secret * the group's generator. */
static enum rc
p256_x(struct e3_ecdh *e, const EC_GROUP *group, const EC_POINT *peer,
    const uint8_t *secret, uint8_t *z)
{
	BIGNUM *k, *x;
	enum rc rc;

	BN_CTX_start(e->bn);
	if ((rc = p256_scalar(e, secret, &k)) != RC_OK)
		goto out;
	if ((x = BN_CTX_get(e->bn)) == NULL ||
	    EC_POINT_mul(group, e->shared, peer == NULL ? k : NULL, peer,
	    peer == NULL ? NULL : k, e->bn) != 1 ||
	    EC_POINT_get_affine_coordinates(group, e->shared, x, NULL,
	    e->bn) != 1 ||
	    BN_bn2binpad(x, z, E3_SECRET_BYTES) != E3_SECRET_BYTES)
		rc = RC_NOMEM;
	if (x != NULL)
		BN_clear(x);
	BN_clear(k);
	/* Over the secret: every limb of the generator is in use. */
	ensure(EC_POINT_copy(e->shared, EC_GROUP_get0_generator(e->p256)) ==
	    1);
out:
	BN_CTX_end(e->bn);
	if (rc != RC_OK)
		ERR_clear_error();
	return (rc);
}

static enum rc
p256_agree(struct e3_ecdh *e, const uint8_t *secret,
    const struct e3_public_key *peer, uint8_t *z)
{
	enum rc rc;

	if (peer->full[0] != 4)
		return (RC_SYNTAX);
	if ((rc = p256_point(e, peer->full, sizeof(peer->full))) != RC_OK)
		return (rc);
	return (p256_x(e, e->p256, e->point, secret, z));
}

/* ---- secp256k1 ---- */

static void
k1_encode(struct e3_ecdh *e, const secp256k1_pubkey *key,
    struct e3_public_key *out)
{
	size_t n = sizeof(out->compressed);

	ensure(secp256k1_ec_pubkey_serialize(e->k1, out->compressed, &n, key,
	    SECP256K1_EC_COMPRESSED) == 1);
	n = sizeof(out->full);
	ensure(secp256k1_ec_pubkey_serialize(e->k1, out->full, &n, key,
	    SECP256K1_EC_UNCOMPRESSED) == 1);
}

static enum rc
k1_public(struct e3_ecdh *e, const uint8_t *secret, struct e3_public_key *out)
{
	secp256k1_pubkey key;

	if (secp256k1_ec_pubkey_create(e->k1, &key, secret) != 1)
		return (RC_SYNTAX);
	k1_encode(e, &key, out);
	return (RC_OK);
}

static enum rc
k1_decode(struct e3_ecdh *e, const uint8_t *in, struct e3_public_key *out)
{
	secp256k1_pubkey key;

	if (secp256k1_ec_pubkey_parse(e->k1, &key, in, E3_POINT_BYTES) != 1)
		return (RC_SYNTAX);
	k1_encode(e, &key, out);
	return (RC_OK);
}

/* The library would hash the point; the formats here want x itself. */
static int
k1_take_x(unsigned char *out, const unsigned char *x, const unsigned char *y,
    void *arg)
{
	(void)y;
	(void)arg;
	memcpy(out, x, E3_SECRET_BYTES);
	return (1);
}

static enum rc
k1_agree(struct e3_ecdh *e, const uint8_t *secret,
    const struct e3_public_key *peer, uint8_t *z)
{
	secp256k1_pubkey key;

	if (peer->full[0] != 4 || secp256k1_ec_pubkey_parse(e->k1, &key,
	    peer->full, sizeof(peer->full)) != 1)
		return (RC_SYNTAX);
	if (secp256k1_ecdh(e->k1, z, &key, secret, k1_take_x, NULL) != 1)
		return (RC_SYNTAX);
	return (RC_OK);
}

/* ---- by curve ---- */

enum rc
e3_ecdh_public(struct e3_ecdh *e, enum rpc_curve curve, const uint8_t *secret,
    struct e3_public_key *out)
{
	obj_check(e, E3_ECDH_MAGIC);
	return (curve == RPC_CURVE_R1 ? p256_public(e, secret, out) :
	    k1_public(e, secret, out));
}

enum rc
e3_ecdh_generate(struct e3_ecdh *e, enum rpc_curve curve, uint8_t *secret,
    struct e3_public_key *out)
{
	enum rc rc;

	/* Rejection keeps the scalar uniform; a retry is a 2^-32 event. */
	do {
		random_bytes(secret, E3_SECRET_BYTES);
		rc = e3_ecdh_public(e, curve, secret, out);
	} while (rc == RC_SYNTAX);
	return (rc);
}

enum rc
e3_ecdh_decode(struct e3_ecdh *e, enum rpc_curve curve,
    const uint8_t compressed[E3_POINT_BYTES], struct e3_public_key *out)
{
	obj_check(e, E3_ECDH_MAGIC);
	return (curve == RPC_CURVE_R1 ? p256_decode(e, compressed, out) :
	    k1_decode(e, compressed, out));
}

enum rc
e3_ecdh_agree(struct e3_ecdh *e, enum rpc_curve curve, const uint8_t *secret,
    const struct e3_public_key *peer, uint8_t *z)
{
	obj_check(e, E3_ECDH_MAGIC);
	return (curve == RPC_CURVE_R1 ? p256_agree(e, secret, peer, z) :
	    k1_agree(e, secret, peer, z));
}

enum rc
e3_ecdh_agree_table(struct e3_ecdh *e, const uint8_t *secret,
    const struct e3_p256_table *table, uint8_t *z)
{
	obj_check(e, E3_ECDH_MAGIC);
	return (p256_x(e, e3_p256_table_group(table), NULL, secret, z));
}
