/*
 * ctl/endpoint.h - where something of Relay listens, as its clients name it.
 * Context:   pure.
 */
#ifndef RELAY_CTL_ENDPOINT_H
#define RELAY_CTL_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf_file.h"
#include "lib/base/buffer.h"
#include "lib/base/host.h"

struct endpoint {
	bool		tls;
	char		host[HOST_BYTES];	/* canonical */
	uint16_t	port;			/* 0: there is none */
};

/* "https://host:port", "http://host:port", with a slash behind it or not;
 * "host:port" is TLS; without a port 443 or 80.  No user, path or query.
 * RC_SYNTAX. */
enum rc endpoint_parse(const char *text, struct endpoint *out) must_check;

/* "host" or "host:port" of a destination; otherwise: the port without one. */
enum rc endpoint_parse_host(const char *text, uint16_t otherwise,
    struct endpoint *out) must_check;

/* The first listener of this kind; false: there is none.  One that takes every
 * address is "localhost" to clients on this machine. */
bool endpoint_of_conf(const struct conf *, enum conf_listen_kind,
    struct endpoint *out);

/* Append "host:port", IPv6 in brackets. */
void endpoint_put_authority(const struct endpoint *, struct buffer *out);

/* Append "https://host:port"; with a key "https://user:key@host:port", both
 * percent-encoded: all but letters, digits and "-._~" (RFC 3986 2.3), which
 * every client decodes. */
void endpoint_put_url(const struct endpoint *, const char *user,
    struct span key, struct buffer *out);

#endif
