/*
 * base/random.h - random bytes, cheap enough for an IV per value.
 * Context:   any process, any thread; never across a fork (we always exec).
 *
 * Each thread draws from a 4 KiB buffer of its own, filled by getrandom(2);
 * bytes are wiped as they are handed out.
 */
#ifndef RELAY_BASE_RANDOM_H
#define RELAY_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *, size_t len);
uint64_t random_u64(void);

/* Uniform in [0, n), n > 0: for jitter and tie breaks. */
uint32_t random_below(uint32_t n);

/* Wipe this thread's buffer, at thread end. */
void random_thread_end(void);

#endif
