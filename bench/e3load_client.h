/*
 * bench/e3load_client.h - one client of a load: its links, its clock, its
 * calls, and what became of them.
 * Context:   each client is a thread with a loop of its own, as callers of an
 *            engine are processes of their own: the decoding of one client's
 *            large answers must not show up as another's latency.
 * Ownership: main owns clients; a client owns its links and results.
 *
 * Requests of a phase with a rate leave by the clock, whatever became of those
 * before them, and their latency counts from the moment at which they should
 * have left: a wait for room on a link, or for a link, is the caller's wait.
 */
#ifndef RELAY_BENCH_E3LOAD_CLIENT_H
#define RELAY_BENCH_E3LOAD_CLIENT_H

#include <pthread.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "bench/e3load_profile.h"
#include "bench/e3load_result.h"
#include "lib/base/buffer.h"

/* What all clients share; read only while they run. */
struct load_run {
	const struct load_profile *profile;
	pthread_barrier_t	ready, go;	/* all of them, and main */
	uint64_t		start_ns;	/* set between the two */
};

struct load_thread;

/* Its links are opened; then it waits at run->ready and run->go.  index: which
 * of the client's copies; bodies: one for each scenario, borrowed.  A client
 * that cannot start ends the process. */
struct load_thread *load_thread_start(struct load_run *,
    const struct load_client *, unsigned index, SSL_CTX *,
    const struct buffer *bodies);
/* Waits for its end.  results: one for each scenario, added to.  Seconds that
 * were counted, until the last answer. */
double load_thread_join(struct load_thread **, struct load_result *results);

#endif
