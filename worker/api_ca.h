/*
 * worker/api_ca.h - the certificates that clients of egress must trust, as the
 * engine says (GetCA), kept for a moment: SDKs ask for them with every proxied
 * request.
 * Context:   the loop's thread.
 * Ownership: who waits embeds a waiter and forgets it when it goes.
 *
 * What was known last is served while no engine answers: a CA does not end
 * with the engine that holds it.
 */
#ifndef RELAY_WORKER_API_CA_H
#define RELAY_WORKER_API_CA_H

#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/string.h"
#include "worker/engine_pool.h"

struct api_ca;

#define API_CA_FRESH_MS	2000	/* asked for again after that */

/* PEM of all of them, the signing CA's anchor first; empty: there is none.
 * NULL: no engine could say.  A view, valid during the call. */
typedef void api_ca_cb(void *arg, const struct span *anchors);

struct api_ca_waiter {
	TAILQ_ENTRY(api_ca_waiter)	link;	/* while waiting */
	bool				waiting;
	api_ca_cb			*cb;
	void				*arg;	/* borrowed: forgets us when it goes */
};

/* The pool is borrowed and outlives it. */
struct api_ca *api_ca_new(struct engine_pool *);
/* Nobody waits any more. */
void api_ca_free(struct api_ca **);

/* cb comes once: before this returns if the answer is fresh, else later. */
void api_ca_ask(struct api_ca *, struct api_ca_waiter *, api_ca_cb *, void *arg);
void api_ca_forget(struct api_ca *, struct api_ca_waiter *);

/* The first certificate of a PEM text, its lines whole; empty: there is none. */
struct span api_ca_first(struct span pem);

#endif
