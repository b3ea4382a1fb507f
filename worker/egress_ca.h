/*
 * worker/egress_ca.h - the egress CA as the engine tells of it (GetCA): what
 * clients must trust, and whether a leaf is still of the CA that signs.
 * Context:   the loop's thread.
 * Ownership: who waits embeds a waiter and forgets it when it goes.
 *
 * What was known last is served while no engine answers: a CA does not end
 * with the engine that holds it.  But the date at which another one takes over
 * is part of what is known: from then on it is the past.
 */
#ifndef RELAY_WORKER_EGRESS_CA_H
#define RELAY_WORKER_EGRESS_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/string.h"
#include "worker/engine_pool.h"

struct egress_ca;

#define EGRESS_CA_FRESH_MS	2000	/* asked for again after that */
#define EGRESS_CA_LOOK_MS	250	/* while watched: is there anything new? */
#define EGRESS_CA_AGAIN_MS	60000	/* while watched: asked in any case */
#define EGRESS_CA_SUM_BYTES	32	/* SHA-256 */

enum egress_ca_known {
	EGRESS_CA_UNKNOWN,	/* no engine could say */
	EGRESS_CA_PAST,		/* another one signs by now; which one, no
				   engine could say */
	EGRESS_CA_NOW
};

/* PEM of all of them, the signing CA's anchor first; empty: there is none.
 * A view, valid during the call. */
typedef void egress_ca_cb(void *arg, enum egress_ca_known, struct span anchors);

struct egress_ca_waiter {
	TAILQ_ENTRY(egress_ca_waiter)	link;	/* while waiting */
	bool				waiting;
	egress_ca_cb			*cb;
	void				*arg;	/* borrowed: forgets us when it goes */
};

/* The pool is borrowed and outlives it. */
struct egress_ca *egress_ca_new(struct loop *, struct engine_pool *);
/* Nobody waits any more. */
void egress_ca_free(struct egress_ca **);

/* From now on what changes is asked for by itself, so that egress_ca_left
 * knows. */
void egress_ca_watch(struct egress_ca *);

/* cb comes once: before this returns with what is known, which is then asked
 * for again behind it, or later if it is past, or an engine has said that
 * something changed. */
void egress_ca_ask(struct egress_ca *, struct egress_ca_waiter *,
    egress_ca_cb *, void *arg);
void egress_ca_forget(struct egress_ca *, struct egress_ca_waiter *);

/* Of a leaf's chain: which CA signed it, and how that stands under its root. */
void egress_ca_sum(struct span chain, uint8_t sum[EGRESS_CA_SUM_BYTES]);
/* Such a leaf is of another CA than the one that signs now.  False also when
 * that is not known. */
bool egress_ca_left(const struct egress_ca *,
    const uint8_t sum[EGRESS_CA_SUM_BYTES]);

/* The first certificate of a PEM text, its lines whole; empty: there is none. */
struct span egress_ca_first(struct span pem);

#endif
