/*
 * e3/ecies.h - the KDF and AES-256-GCM of every token version, and of sealed
 * records.
 * Context:   a crypto thread; one struct e3_crypto per thread, its contexts
 *            fetched once and reused (a naive context per value costs five
 *            times the AES).
 * Ownership: keys are 32 bytes of the secure heap, the caller's.  OpenSSL's
 *            contexts lie outside that heap: e3_ecies_reset after each slice.
 */
#ifndef RELAY_E3_ECIES_H
#define RELAY_E3_ECIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "e3/ecdh.h"
#include "lib/base/buffer.h"
#include "lib/base/string.h"

#define E3_IV_BYTES	12
#define E3_TAG_BYTES	16

struct e3_crypto;

/* NULL when memory, the secure heap or an algorithm is missing. */
struct e3_crypto *e3_crypto_new(void);
void e3_crypto_free(struct e3_crypto **);
struct e3_ecdh *e3_crypto_ecdh(struct e3_crypto *);	/* borrowed */

/* Working memory of this thread: sensitive, empty between uses. */
struct buffer *e3_crypto_scratch(struct e3_crypto *);

/* One round of the ANSI X9.63 KDF with SHA-256. */
enum rc e3_ecies_x963(struct e3_crypto *, const uint8_t *z, size_t zlen,
    struct span info, uint8_t out[E3_SECRET_BYTES]) must_check;
/* The AES key of the KDF versions: info is the ephemeral key's
 * SubjectPublicKeyInfo with explicit curve parameters. */
enum rc e3_ecies_kdf(struct e3_crypto *, enum rpc_curve, const uint8_t *z,
    const struct e3_public_key *ephemeral, uint8_t out[E3_SECRET_BYTES])
    must_check;

/*
 * out[head.len + body.len + E3_TAG_BYTES] = GCM(head || body) || tag.
 * The key schedule is kept while the key stays the same.
 */
enum rc e3_ecies_seal(struct e3_crypto *, const uint8_t *key,
    const uint8_t iv[E3_IV_BYTES], struct span aad, struct span head,
    struct span body, uint8_t *out) must_check;
/* out[in.len - E3_TAG_BYTES].  RC_DENIED: the tag does not fit (out is wiped);
 * RC_SYNTAX: too short for a tag. */
enum rc e3_ecies_open(struct e3_crypto *, const uint8_t *key,
    const uint8_t iv[E3_IV_BYTES], struct span aad, struct span in,
    uint8_t *out) must_check;

/* Forget keys: the contexts are emptied. */
void e3_ecies_reset(struct e3_crypto *);

enum rc e3_sha256(struct e3_crypto *, struct span,
    uint8_t out[E3_SECRET_BYTES]) must_check;

#endif
