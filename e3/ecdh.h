/*
 * e3/ecdh.h - key pairs and shared secrets on the two curves: P-256 ("r1",
 * OpenSSL) and secp256k1 ("k1", libsecp256k1, ten times OpenSSL's speed).
 * Context:   a crypto thread; one struct e3_ecdh per thread.
 * Ownership: secrets are 32 bytes of the secure heap that the caller owns.
 *
 * Every point is checked to lie on its curve before a secret touches it.
 */
#ifndef RELAY_E3_ECDH_H
#define RELAY_E3_ECDH_H

#include <stdint.h>

#include "lib/base/result.h"
#include "lib/rpc/message.h"

#define E3_SECRET_BYTES		32	/* a scalar, a shared x, an AES key */
#define E3_POINT_BYTES		33	/* compressed: what travels */
#define E3_FULL_POINT_BYTES	65	/* uncompressed: what the KDF hashes */

struct e3_public_key {
	uint8_t	compressed[E3_POINT_BYTES];
	uint8_t	full[E3_FULL_POINT_BYTES];
};

struct e3_ecdh;
struct e3_p256_table;

/* NULL without memory (ordinary or secure). */
struct e3_ecdh *e3_ecdh_new(void);
void e3_ecdh_free(struct e3_ecdh **);

/* A new pair from fresh randomness.  RC_OK, RC_NOMEM. */
enum rc e3_ecdh_generate(struct e3_ecdh *, enum rpc_curve,
    uint8_t *secret, struct e3_public_key *) must_check;

/* The public half of a secret.  RC_SYNTAX: not in [1, n-1]. */
enum rc e3_ecdh_public(struct e3_ecdh *, enum rpc_curve,
    const uint8_t *secret, struct e3_public_key *) must_check;

/* Decompress and check a foreign point.  RC_SYNTAX: no point of the curve. */
enum rc e3_ecdh_decode(struct e3_ecdh *, enum rpc_curve,
    const uint8_t compressed[E3_POINT_BYTES], struct e3_public_key *)
    must_check;

/* x of secret * peer into z[32] (secure heap).  RC_SYNTAX: peer->full is no
 * point of the curve, or the secret is out of range. */
enum rc e3_ecdh_agree(struct e3_ecdh *, enum rpc_curve,
    const uint8_t *secret, const struct e3_public_key *peer, uint8_t *z)
    must_check;
/* The same with the P-256 point of a table. */
enum rc e3_ecdh_agree_table(struct e3_ecdh *, const uint8_t *secret,
    const struct e3_p256_table *, uint8_t *z) must_check;

#endif
