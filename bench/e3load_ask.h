/*
 * bench/e3load_ask.h - one call at a time, for what a load needs before and
 * after: tokens to open, the encoded calls, the engine's counters.
 * Context:   main; waits for each answer.  What cannot be had ends the
 *            process: there is nothing to measure then.
 * Ownership: main opens and closes it.
 */
#ifndef RELAY_BENCH_E3LOAD_ASK_H
#define RELAY_BENCH_E3LOAD_ASK_H

#include <openssl/ssl.h>

#include "bench/e3load_profile.h"
#include "lib/base/buffer.h"

struct load_ask;

struct load_ask *load_ask_open(const struct net_addr *, SSL_CTX *,
    unsigned deadline_ms);
void load_ask_close(struct load_ask **);

/* The body of this scenario's calls into `out`.  A Decrypt's tokens are sealed
 * by the engine that will open them. */
void load_ask_body(struct load_ask *, const struct load_client *,
    const struct load_scenario *, struct buffer *out);

/* Numbers of GetStatistics by name; those that the engine does not have become
 * UINT64_MAX. */
void load_ask_statistics(struct load_ask *, const char *const *names, size_t n,
    uint64_t *values);

#endif
