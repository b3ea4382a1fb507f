/*
 * net/carrier_private.h - what a TLS inside of an open stream stands on: the
 * transport of that stream, which may be plain or TLS itself.
 * Context:   lib/net only; the loop's thread; never blocks.
 * Ownership: belongs to the transport of the inner TLS, and owns the outer one.
 *
 *	net_transport (inner SSL) -> BIO -> net_carrier -> net_transport (outer)
 *
 * The BIO does what BIO_f_ssl does, one step of the outer transport for each
 * call, without a buffer of its own.  But it knows what the outer stream had
 * read too much, works the same over a plain socket, keeps the reason when the
 * outer one breaks, and keeps the two layers' entries in OpenSSL's error queue
 * apart.
 */
#ifndef RELAY_NET_CARRIER_PRIVATE_H
#define RELAY_NET_CARRIER_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/bio.h>

#include "lib/base/buffer.h"
#include "lib/net/transport_private.h"

struct net_carrier;

/*
 * *outer, *in and *out move here and are empty after.  in: read by the outer
 * stream, and the beginning of what the inner TLS reads.  out: not sent yet,
 * goes before all that the inner TLS writes; retry_len: the length that the
 * next write of it must have, or 0.
 */
struct net_carrier *net_carrier_new(struct net_transport *outer,
    struct buffer *in, struct buffer *out, size_t retry_len);
void net_carrier_free(struct net_carrier **);	/* closes outer */

struct net_transport *net_carrier_outer(struct net_carrier *);

/* For SSL_set_bio; it borrows the carrier.  NULL without memory. */
BIO *net_carrier_bio(struct net_carrier *);

/* Send what the outer stream had not: DONE when all is out.  *n: bytes that
 * left. */
enum net_step net_carrier_send_rest(struct net_carrier *, size_t *n,
    struct net_fault *);
size_t net_carrier_unsent(const struct net_carrier *);

/* Bytes wait below the inner TLS that no event will tell of. */
bool net_carrier_has_inside(const struct net_carrier *);

/* Before each call of the inner SSL; and after it, whether the outer transport
 * broke in between. */
void net_carrier_before(struct net_carrier *);
bool net_carrier_broke(const struct net_carrier *, struct net_fault *);

#endif
