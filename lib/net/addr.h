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

/*
 * What an address is for (IANA's registries of special-purpose addresses, RFC
 * 6890): only NET_ADDR_PUBLIC is somewhere on the Internet.
 *
 * An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4,
 * Teredo, ISATAP) is of the class of that one when that is not public: a
 * gateway may lead there.  The local NAT64 prefix is never public, since its
 * network alone knows where it leads.
 */
enum net_addr_class {
	NET_ADDR_PUBLIC,
	NET_ADDR_LOOPBACK,	/* 127/8, ::1 */
	NET_ADDR_PRIVATE,	/* 10/8, 172.16/12, 192.168/16 (RFC 1918) */
	NET_ADDR_SHARED,	/* 100.64/10: a provider's NAT (RFC 6598) */
	NET_ADDR_LINK_LOCAL,	/* 169.254/16, fe80::/10 */
	NET_ADDR_UNIQUE_LOCAL,	/* fc00::/7 (RFC 4193) */
	NET_ADDR_SITE_LOCAL,	/* fec0::/10, deprecated (RFC 3879) */
	NET_ADDR_MULTICAST,	/* 224/4, ff00::/8 */
	NET_ADDR_BROADCAST,	/* 255.255.255.255 */
	NET_ADDR_THIS_HOST,	/* 0/8, :: */
	NET_ADDR_RESERVED,	/* 240/4, 192.0.0/24, 192.88.99/24,
				   64:ff9b:1::/48, ORCHID, and all of IPv6
				   that is not 2000::/3 nor named here */
	NET_ADDR_DOCUMENTATION,	/* 192.0.2/24, 198.51.100/24, 203.0.113/24,
				   2001:db8::/32, 3fff::/20 */
	NET_ADDR_BENCHMARK,	/* 198.18/15, 2001:2::/48 */
	NET_ADDR_UNIX,
	NET_ADDR_UNKNOWN	/* of no family that we know */
};
enum net_addr_class net_addr_classify(const struct net_addr *);
/* For logs: "public", "link-local" ... */
const char *net_addr_class_name(enum net_addr_class);

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
