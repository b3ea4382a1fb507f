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

bool net_addr_is_unix(const struct net_addr *);
bool net_addr_is_loopback(const struct net_addr *);
uint16_t net_addr_port(const struct net_addr *);	/* 0 for unix */
bool net_addr_equal(const struct net_addr *, const struct net_addr *);

#endif
