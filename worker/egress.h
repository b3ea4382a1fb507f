/*
 * worker/egress.h - the CONNECT proxy that opens tokens on their way to
 * destinations an app trusts (spec/sdk-api.md section 4).
 * Context:   the loop's thread.
 * Ownership: the conn owns its egress_conn: what its CONNECT was about, who
 *            stands behind it, what it waits for.
 *
 *   outside, egress_connect.c:  CONNECT head -> key -> allowlist -> leaf, or a
 *                               blind tunnel's destination -> 200
 *   inside, egress.c:           request head -> key, if CONNECT had none ->
 *                               allowlist -> exchange
 *
 * Nothing is resolved or connected before a key and the allowlist have passed.
 */
#ifndef RELAY_WORKER_EGRESS_H
#define RELAY_WORKER_EGRESS_H

#include <openssl/ssl.h>

#include "lib/http/message_head.h"
#include "lib/net/stream.h"

struct conn;
struct egress_conn;
struct exchange;
struct origin_conn;
struct relay;

struct egress_conn *egress_new(struct conn *);
void egress_free(struct egress_conn **);

/*
 * c->head is a complete request.  Returns a new exchange (the caller's) with
 * nothing in it that points into the head, or NULL: the conn was told to
 * refuse, to wait, or that a tunnel has begun.
 */
struct exchange *egress_begin(struct conn *);

/* CONNECT was answered: what comes next is the tunnel's. */
bool egress_is_inside(const struct egress_conn *);
/* The leaf for its inside; borrowed. */
SSL_CTX *egress_tls(const struct egress_conn *);

/* The inside has shaken hands, or will not. */
void egress_on_tls(struct egress_conn *);
void egress_on_tls_fault(const struct egress_conn *, enum net_reason,
    const char *why);

/* A connection that authenticates as such (NTLM, Negotiate) belongs to its
 * client: it is kept for the next request of the same app to the same
 * destination, and never shared. */
void egress_keep_origin(struct egress_conn *, struct origin_conn **);
/* A request or an answer with this head makes it one. */
bool egress_binds_connection(const struct http_head *);
/* NULL: there is none for this relay, or it has ended. */
struct origin_conn *egress_kept_origin(struct egress_conn *,
    const struct relay *);

#endif
