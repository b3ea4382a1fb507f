/*
 * bench/e3micro_naive.h - the same tokens the way a first version makes them:
 * OpenSSL's high-level calls, nothing kept from one value to the next.
 * Context:   e3micro alone: what our figures stand beside.
 * Ownership: the caller's object.
 */
#ifndef RELAY_BENCH_E3MICRO_NAIVE_H
#define RELAY_BENCH_E3MICRO_NAIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/scheme/ecdh.h"

struct naive;

/* Sealing to this public key; NULL: OpenSSL has no such curve. */
struct naive *naive_new(enum rpc_curve, const struct scheme_public_key *);
void naive_free(struct naive **);

/* A new key pair, EVP_PKEY_derive and KDF: the key of what follows. */
bool naive_key(struct naive *);
/* One value with that key: a fetched cipher and a context of its own, a random
 * IV, the text of the token.  Its length; 0: failed. */
size_t naive_seal(struct naive *, const char *value, size_t len, char *out,
    size_t size);

#endif
