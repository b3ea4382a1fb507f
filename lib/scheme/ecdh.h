/*
 * scheme/ecdh.h - key pairs and shared secrets on the two curves: P-256 ("r1",
 * OpenSSL) and secp256k1 ("k1", libsecp256k1, ten times OpenSSL's speed).
 * Context:   a crypto thread; one struct scheme_ecdh per thread.
 * Ownership: secrets are 32 bytes of the secure heap that the caller owns.
 *
 * Every point is checked to lie on its curve before a secret touches it.
 */
#ifndef RELAY_SCHEME_ECDH_H
#define RELAY_SCHEME_ECDH_H

#include <stdint.h>

#include "lib/base/result.h"
#include "lib/rpc/message.h"

#define SCHEME_SECRET_BYTES		32	/* a scalar, a shared x, an AES key */
#define SCHEME_POINT_BYTES		33	/* compressed: what travels */
#define SCHEME_FULL_POINT_BYTES	65	/* uncompressed: what the KDF hashes */

struct scheme_public_key {
	uint8_t	compressed[SCHEME_POINT_BYTES];
	uint8_t	full[SCHEME_FULL_POINT_BYTES];
};

struct scheme_ecdh;
struct scheme_p256_table;

/* NULL without memory (ordinary or secure). */
struct scheme_ecdh *scheme_ecdh_new(void);
void scheme_ecdh_free(struct scheme_ecdh **);

/* A new pair from fresh randomness.  RC_OK, RC_NOMEM. */
enum rc scheme_ecdh_generate(struct scheme_ecdh *, enum rpc_curve,
    uint8_t *secret, struct scheme_public_key *) must_check;

/* The public half of a secret.  RC_SYNTAX: not in [1, n-1]. */
enum rc scheme_ecdh_public(struct scheme_ecdh *, enum rpc_curve,
    const uint8_t *secret, struct scheme_public_key *) must_check;

/* Decompress and check a foreign point.  RC_SYNTAX: no point of the curve;
 * RC_NOMEM: the secure heap is full. */
enum rc scheme_ecdh_decode(struct scheme_ecdh *, enum rpc_curve,
    const uint8_t compressed[SCHEME_POINT_BYTES], struct scheme_public_key *)
    must_check;

/* x of secret * peer into z[32] (secure heap).  RC_SYNTAX: peer->full is no
 * point of the curve, or the secret is out of range. */
enum rc scheme_ecdh_agree(struct scheme_ecdh *, enum rpc_curve,
    const uint8_t *secret, const struct scheme_public_key *peer, uint8_t *z)
    must_check;
/* The same with the P-256 point of a table. */
enum rc scheme_ecdh_agree_table(struct scheme_ecdh *, const uint8_t *secret,
    const struct scheme_p256_table *, uint8_t *z) must_check;

#endif
