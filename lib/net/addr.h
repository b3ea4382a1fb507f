/*
 * net/addr.h - where to listen or connect: text <-> socket address.
 * Context:   pure; any process.
 */
#ifndef RELAY_NET_ADDR_H
#define RELAY_NET_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/result.h"

#define NET_ADDR_TEXT_BYTES	128	/* "unix:" + sun_path, or "[v6%scope]:port" */

struct net_addr {
	struct sockaddr_storage	ss;
	socklen_t		len;
};

/* "127.0.0.1:8443", "[::1]:8443", "*:443" (any address, v4) or
 * "unix:/path".  RC_SYNTAX otherwise; names are not resolved here. */
enum rc net_addr_parse(const char *text, struct net_addr *out) must_check;

/* An IP literal (no brackets needed) and a port: RC_OK, or RC_SYNTAX when
 * `host` is not an IP literal. */
enum rc net_addr_from_ip(const char *host, uint16_t port, struct net_addr *out)
    must_check;

/* Always NUL terminated; the form net_addr_parse reads. */
void net_addr_format(const struct net_addr *, char out[NET_ADDR_TEXT_BYTES]);

/* The IP address alone, without port and brackets; an IPv4-mapped one as the
 * IPv4 address that it is.  RC_SYNTAX when it has none or out is too small. */
#define NET_ADDR_IP_BYTES	48
enum rc net_addr_ip(const struct net_addr *, char out[NET_ADDR_IP_BYTES])
    must_check;

bool net_addr_is_unix(const struct net_addr *);
bool net_addr_is_loopback(const struct net_addr *);
uint16_t net_addr_port(const struct net_addr *);	/* 0 for unix */
bool net_addr_equal(const struct net_addr *, const struct net_addr *);

/* A block of IP addresses: those whose first `bits` bits are these. */
struct net_cidr {
	sa_family_t	family;		/* AF_INET or AF_INET6 */
	unsigned char	ip[16];		/* network order; AF_INET: the first 4 */
	unsigned	bits;
};

/* "10.0.0.0/8", "2001:db8::/32", or one address.  Bits of the address behind
 * the prefix do not count.  RC_SYNTAX otherwise. */
enum rc net_cidr_parse(const char *text, struct net_cidr *out) must_check;

/* An IPv4-mapped IPv6 address is the IPv4 address, here and in a block; no
 * other IPv6 block, ::/0 neither, has an IPv4 address in it. */
bool net_cidr_has(const struct net_cidr *, const struct net_addr *);

#endif
