/*
 * scheme/derive.h - keys for other ends from an app's private key, and HMAC
 * with them.
 * Context:   any thread; OpenSSL's contexts are made and emptied by each call.
 * Ownership: keys are 32 bytes of the secure heap, the caller's.
 */
#ifndef RELAY_SCHEME_DERIVE_H
#define RELAY_SCHEME_DERIVE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/scheme/ecdh.h"

/* HMAC-SHA256 over the parts, one after the other.  RC_OK, RC_NOMEM. */
enum rc scheme_hmac(const uint8_t key[SCHEME_SECRET_BYTES],
    const struct span *parts, size_t n, uint8_t out[SCHEME_SECRET_BYTES])
    must_check;
/* The key of this end: HKDF-Expand (RFC 5869 section 2.3), whose first block is
 * all that is needed; a private key is as random as its step before would make
 * it.  RC_OK, RC_NOMEM. */
enum rc scheme_derive(const uint8_t secret[SCHEME_SECRET_BYTES],
    const char *end, uint8_t out[SCHEME_SECRET_BYTES]) must_check;

#endif
