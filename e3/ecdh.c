/*
 * e3/ecdh.c - two curves behind one set of functions.
 *
 * P-256 uses EC_POINT arithmetic instead of EVP_PKEY: no object is built per
 * call, and EC_POINT_mul on this group runs nistz256's constant-time gather.
 * Scalars live in a BN_CTX of the secure heap and are cleared after use;
 * points that are secret are cleared when freed.
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

#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"

struct e3_ecdh {
	unsigned		magic;
#define E3_ECDH_MAGIC		0xecd4a51b
	EC_GROUP		*p256;		/* owned */
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
	e->bn = BN_CTX_secure_new();
	e->k1 = secp256k1_context_create(SECP256K1_CONTEXT_SIGN |
	    SECP256K1_CONTEXT_VERIFY);
	if (e->k1 != NULL) {
		random_bytes(seed, sizeof(seed));
		blinded = secp256k1_context_randomize(e->k1, seed);
		secret_wipe(seed, sizeof(seed));
	}
	if (e->p256 == NULL || e->bn == NULL || !blinded) {
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
	EC_GROUP_free(e->p256);
	BN_CTX_free(e->bn);
	if (e->k1 != NULL)
		secp256k1_context_destroy(e->k1);
	e->magic = 0;
	free(e);
}

/* ---- P-256 ---- */

/* A scalar in [1, n-1] as a cleared-after-use number, or NULL. */
static BIGNUM *
p256_scalar(struct e3_ecdh *e, const uint8_t *secret)
{
	BIGNUM *k = BN_CTX_get(e->bn);

	if (k == NULL || BN_bin2bn(secret, E3_SECRET_BYTES, k) == NULL)
		return (NULL);
	BN_set_flags(k, BN_FLG_CONSTTIME);
	if (BN_is_zero(k) || BN_cmp(k, EC_GROUP_get0_order(e->p256)) >= 0) {
		BN_clear(k);
		return (NULL);
	}
	return (k);
}

static bool
p256_encode(struct e3_ecdh *e, const EC_POINT *point,
    struct e3_public_key *out)
{
	return (EC_POINT_point2oct(e->p256, point,
	    POINT_CONVERSION_COMPRESSED, out->compressed,
	    sizeof(out->compressed), e->bn) == sizeof(out->compressed) &&
	    EC_POINT_point2oct(e->p256, point,
	    POINT_CONVERSION_UNCOMPRESSED, out->full, sizeof(out->full),
	    e->bn) == sizeof(out->full));
}

static enum rc
p256_public(struct e3_ecdh *e, const uint8_t *secret,
    struct e3_public_key *out)
{
	EC_POINT *point = EC_POINT_new(e->p256);
	enum rc rc = RC_SYNTAX;
	BIGNUM *k;

	BN_CTX_start(e->bn);
	if (point == NULL) {
		rc = RC_NOMEM;
	} else if ((k = p256_scalar(e, secret)) != NULL) {
		if (EC_POINT_mul(e->p256, point, k, NULL, NULL, e->bn) == 1 &&
		    p256_encode(e, point, out))
			rc = RC_OK;
		BN_clear(k);
	}
	BN_CTX_end(e->bn);
	EC_POINT_free(point);
	ERR_clear_error();
	return (rc);
}

static enum rc
p256_decode(struct e3_ecdh *e, const uint8_t *in, struct e3_public_key *out)
{
	EC_POINT *point = EC_POINT_new(e->p256);
	enum rc rc = RC_SYNTAX;

	/* oct2point solves for y and so refuses an x off the curve. */
	if (point == NULL)
		rc = RC_NOMEM;
	else if ((in[0] == 2 || in[0] == 3) &&
	    EC_POINT_oct2point(e->p256, point, in, E3_POINT_BYTES, e->bn) == 1 &&
	    p256_encode(e, point, out))
		rc = RC_OK;
	EC_POINT_free(point);
	ERR_clear_error();
	return (rc);
}

static enum rc
p256_agree(struct e3_ecdh *e, const uint8_t *secret,
    const struct e3_public_key *peer, uint8_t *z)
{
	EC_POINT *point = EC_POINT_new(e->p256);
	EC_POINT *shared = EC_POINT_new(e->p256);
	enum rc rc = RC_SYNTAX;
	BIGNUM *k = NULL, *x = NULL;

	BN_CTX_start(e->bn);
	if (point == NULL || shared == NULL) {
		rc = RC_NOMEM;
		goto out;
	}
	/* oct2point checks the curve's equation for a full point. */
	if (peer->full[0] != 4 || EC_POINT_oct2point(e->p256, point,
	    peer->full, sizeof(peer->full), e->bn) != 1)
		goto out;
	if ((k = p256_scalar(e, secret)) == NULL ||
	    (x = BN_CTX_get(e->bn)) == NULL)
		goto out;
	if (EC_POINT_mul(e->p256, shared, NULL, point, k, e->bn) == 1 &&
	    EC_POINT_get_affine_coordinates(e->p256, shared, x, NULL,
	    e->bn) == 1 && BN_bn2binpad(x, z, E3_SECRET_BYTES) ==
	    E3_SECRET_BYTES)
		rc = RC_OK;
out:
	if (k != NULL)
		BN_clear(k);
	if (x != NULL)
		BN_clear(x);
	BN_CTX_end(e->bn);
	EC_POINT_free(point);
	EC_POINT_clear_free(shared);
	ERR_clear_error();
	return (rc);
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
