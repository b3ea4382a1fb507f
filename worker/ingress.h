/*
 * worker/ingress.h - reverse proxy: from a request's head to an exchange, or a
 * refusal.
 * Context:   the loop's thread.
 */
#ifndef RELAY_WORKER_INGRESS_H
#define RELAY_WORKER_INGRESS_H

struct conn;
struct exchange;

/*
 * c->head is a complete request.  Returns a new exchange (the caller's) with
 * nothing in it that points into the head, or NULL after the conn was told to
 * refuse.
 */
struct exchange *ingress_begin(struct conn *);

#endif
