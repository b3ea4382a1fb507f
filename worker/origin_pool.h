/*
 * worker/origin_pool.h - verified TLS connections to destinations: made, kept
 * alive, reused.
 * Context:   the loop's thread.
 * Ownership: a taken connection belongs to the taker until given back or
 *            dropped; idle ones belong to the pool.
 *
 * A connection's identity is host, port, server name, trust and minimum TLS
 * version, on egress the app, too: only equal ones are shared.
 */
#ifndef RELAY_WORKER_ORIGIN_POOL_H
#define RELAY_WORKER_ORIGIN_POOL_H

#include "certs/verify.h"
#include "conf/conf_file.h"
#include "conf/relay_json.h"
#include "lib/base/list.h"
#include "lib/net/dns.h"
#include "lib/net/stream.h"
#include "worker/origin_connect.h"

struct origin_pool;
struct origin_group;

struct origin_conn {
	struct net_stream	*stream;	/* owned */
	struct origin_group	*group;		/* borrowed: outlives us */
	bool			reused;		/* carried a request before */
	bool			bound;		/* authenticates as such (NTLM):
						   never shared again */
	uint64_t		t_idle_ms;	/* private to the pool */
	TAILQ_ENTRY(origin_conn) link;
};

struct origin_pool *origin_pool_new(struct loop *, const struct conf *,
    struct certs_verify *, struct net_dns *);
/* Every taken connection has been given back or dropped before. */
void origin_pool_free(struct origin_pool **);
/* Parts of this relay beside its listeners, for origin_self.h. */
void origin_pool_set_parts(struct origin_pool *, origin_self_part_cb *,
    void *arg);

/* c: owned by the callee when fault is ORIGIN_OK, else NULL.  why: text for
 * the log, valid during the call. */
typedef void origin_ready_cb(void *arg, enum origin_fault, const char *why,
    struct origin_conn *c);

/*
 * Ask for a connection to the relay's destination.  fresh: not an idle one.
 * While the destination's circuit is open (origin_circuit.h) idle ones are
 * still handed out; without one the answer is ORIGIN_REFUSED, "circuit open".
 * Never calls back before it returns.  The id is for origin_cancel.
 */
uint64_t origin_take(struct origin_pool *, const struct relay *, bool fresh,
    origin_ready_cb *, void *arg);
/* The callback is not called any more.  An id that is not known (any more) is
 * ignored. */
void origin_cancel(struct origin_pool *, uint64_t id);

/* It is of the identity that this relay asks for. */
bool origin_is_for(const struct origin_conn *, const struct relay *);

/* Between requests, nothing unsent, nothing unread: kept for reuse. */
void origin_give(struct origin_conn **);
/* An orderly end: what is queued goes first, then the goodbye. */
void origin_finish(struct origin_conn **);
/* Close. */
void origin_drop(struct origin_conn **);

#endif
