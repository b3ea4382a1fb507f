/*
 * worker/origin_circuit.h - a destination that refuses is left alone for a
 * while: nobody waits for what will fail, and it gets up without a crowd.
 * Context:   pure but for the clock and the log; the loop's thread.
 * Ownership: embedded in what it guards.
 *
 *   CLOSED --origin_max_fails in a row--> OPEN --origin_fail_ms--> one trial
 *      ^                                   ^                        |   |
 *      |                                   '-------- failed --------'   |
 *      '--------------- any new connection that succeeds ---------------'
 *
 * A failure is an attempt that could connect to no address: refused, timed out
 * or no trusted TLS.  A name that does not resolve is none (net/dns.h has its
 * own memory of that, and a resolver in trouble must not condemn every
 * destination); nor is an attempt that ended before the destination showed
 * anything: cancelled, no descriptor left, the destination is this relay.
 * Each worker learns by itself.
 */
#ifndef RELAY_WORKER_ORIGIN_CIRCUIT_H
#define RELAY_WORKER_ORIGIN_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

enum origin_circuit_state {
	ORIGIN_CIRCUIT_CLOSED,
	ORIGIN_CIRCUIT_OPEN,	/* until `until_ms`, then the next may try */
	ORIGIN_CIRCUIT_TRIAL	/* one tries, the others are refused */
};

struct origin_circuit {
	enum origin_circuit_state state;
	const char	*host;		/* borrowed: the owner's, for the log */
	uint16_t	port;
	unsigned	max_fails;	/* 0: never opens */
	unsigned	open_ms;
	unsigned	fails;		/* in a row */
	uint64_t	until_ms;	/* on the monotonic clock */
};

/* host: outlives the circuit. */
void origin_circuit_init(struct origin_circuit *, const char *host,
    uint16_t port, unsigned max_fails, unsigned open_ms);

/* May a connection be attempted?  If so, *trial says whether it is the one that
 * decides; exactly one of the calls below must follow, with that flag. */
bool origin_circuit_allows(struct origin_circuit *, bool *trial);

void origin_circuit_succeeded(struct origin_circuit *);
/* why: for the log. */
void origin_circuit_failed(struct origin_circuit *, bool trial,
    const char *why);
/* The attempt says nothing of the destination: another one may try. */
void origin_circuit_unknown(struct origin_circuit *, bool trial);

#endif
