/*
 * worker/good_keys.h - API keys that were good not long ago: who may still ask
 * while the client's address has failed too often.
 * Context:   pure; one thread.
 *
 * Holds hashes that the caller made under a key of this process, never a key.
 * That one is here says only that it was good: an engine is asked all the same,
 * so a stale entry costs one call, and what it then says of a bad key takes
 * the entry away.  The table is bounded: a new key takes the place of the one
 * that was said to be good longest ago.
 */
#ifndef RELAY_WORKER_GOOD_KEYS_H
#define RELAY_WORKER_GOOD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

struct good_keys;

#define GOOD_KEYS_HASH_BYTES	32
/* More than the keys in use at one worker; 100 bytes each. */
#define GOOD_KEYS_MAX		4096
/* Longer than the pauses of a client that works all day. */
#define GOOD_KEYS_S		3600

struct good_keys *good_keys_new(void);
void good_keys_free(struct good_keys **);

/* An engine said: good, of this app. */
void good_keys_add(struct good_keys *,
    const uint8_t hash[GOOD_KEYS_HASH_BYTES], const char *app, uint64_t now_ms);
/* app "": of any. */
bool good_keys_has(const struct good_keys *,
    const uint8_t hash[GOOD_KEYS_HASH_BYTES], const char *app, uint64_t now_ms);
/* An engine said: bad. */
void good_keys_forget(struct good_keys *,
    const uint8_t hash[GOOD_KEYS_HASH_BYTES]);

#endif
