/*
 * net/dns.h - host name -> addresses, without blocking (c-ares).
 * Context:   the loop's thread.
 *
 * Both families are asked, each answer is cached for the smallest TTL in it,
 * CNAMEs included, clamped to 1..300 s; failures for 5 s.  One family that has
 * addresses is not kept from its user by the other's silence or failure.  The
 * order is that of RFC 8305 4: v6 first, the families taking turns.  IP
 * literals and names of the hosts file answer from the loop without a query.
 * resolv.conf and the hosts file are read by net_dns_new, never later: the
 * sandbox of a worker opens no file.  No search domain is applied.
 */
#ifndef RELAY_NET_DNS_H
#define RELAY_NET_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/net/addr.h"

#define NET_DNS_ADDRS_MAX	16	/* more answers than anyone tries */

struct net_dns;

/* servers: NULL for resolv.conf, or "127.0.0.1:5353,..." for tests. */
struct net_dns *net_dns_new(struct loop *, const char *servers);
void net_dns_free(struct net_dns **);

/*
 * rc RC_OK: n >= 1 addresses with the asked port, valid during the call.
 * RC_NOTFOUND (no such name), RC_TIMEOUT, RC_IO (also: too many names in
 * flight): n is 0.  The callback may resolve and cancel, not free.
 */
typedef void net_dns_cb(void *arg, enum rc, const struct net_addr *, size_t n);

/* Never calls back before it returns.  The id is for net_dns_cancel; after
 * that the callback is not called.  Ids are never 0 and never reused. */
uint64_t net_dns_resolve(struct net_dns *, const char *host, uint16_t port,
    net_dns_cb *, void *arg);
void net_dns_cancel(struct net_dns *, uint64_t id);

#endif
