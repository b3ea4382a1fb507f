/*
 * scheme/ecies.h - the KDF and AES-256-GCM of every token version, and of sealed
 * records.
 * Context:   a crypto thread; one struct scheme_crypto per thread, its contexts
 *            fetched once and reused (a naive context per value costs five
 *            times the AES).
 * Ownership: keys are 32 bytes of the secure heap, the caller's.  OpenSSL's
 *            contexts lie outside that heap: scheme_ecies_reset after each slice.
 */
#ifndef RELAY_SCHEME_ECIES_H
#define RELAY_SCHEME_ECIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/scheme/ecdh.h"

#define SCHEME_IV_BYTES	12
#define SCHEME_TAG_BYTES	16

struct scheme_crypto;

/* NULL when memory, the secure heap or an algorithm is missing. */
struct scheme_crypto *scheme_crypto_new(void);
void scheme_crypto_free(struct scheme_crypto **);
struct scheme_ecdh *scheme_crypto_ecdh(struct scheme_crypto *);	/* borrowed */

/* Working memory of this thread: sensitive; who fills it clears it. */
struct buffer *scheme_crypto_scratch(struct scheme_crypto *);
/* The same of the secure heap, for a scalar and a shared x. */
#define SCHEME_WORK_BYTES	(2 * SCHEME_SECRET_BYTES)
uint8_t *scheme_crypto_work(struct scheme_crypto *);

/* One round of the ANSI X9.63 KDF with SHA-256. */
enum rc scheme_ecies_x963(struct scheme_crypto *, const uint8_t *z, size_t zlen,
    struct span info, uint8_t out[SCHEME_SECRET_BYTES]) must_check;
/* The AES key of the KDF versions: info is the ephemeral key's
 * SubjectPublicKeyInfo with explicit curve parameters. */
enum rc scheme_ecies_kdf(struct scheme_crypto *, enum rpc_curve,
    const uint8_t *z, const struct scheme_public_key *ephemeral,
    uint8_t out[SCHEME_SECRET_BYTES]) must_check;

/*
 * out[head.len + body.len + SCHEME_TAG_BYTES] = GCM(head || body) || tag.
 * The key schedule is kept while the key stays the same.
 */
enum rc scheme_ecies_seal(struct scheme_crypto *, const uint8_t *key,
    const uint8_t iv[SCHEME_IV_BYTES], struct span aad, struct span head,
    struct span body, uint8_t *out) must_check;
/* out[in.len - SCHEME_TAG_BYTES].  RC_DENIED: the tag does not fit (out is
 * wiped); RC_SYNTAX: too short for a tag. */
enum rc scheme_ecies_open(struct scheme_crypto *, const uint8_t *key,
    const uint8_t iv[SCHEME_IV_BYTES], struct span aad, struct span in,
    uint8_t *out) must_check;

/* Forget keys: the contexts are emptied. */
void scheme_ecies_reset(struct scheme_crypto *);

enum rc scheme_sha256(struct scheme_crypto *, struct span,
    uint8_t out[SCHEME_SECRET_BYTES]) must_check;

#endif
