/*
 * net/proxyproto.h - the PROXY protocol header, versions 1 and 2 (HAProxy's
 * proxy-protocol.txt): whom a trusted proxy speaks for.
 * Context:   pure; no I/O, fuzzed.
 */
#ifndef RELAY_NET_PROXYPROTO_H
#define RELAY_NET_PROXYPROTO_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/result.h"
#include "lib/net/addr.h"

/* Version 1 ends within 107 bytes; version 2 carries TLVs, which we skip: the
 * limit is our own (its length field allows 65,551). */
#define NET_PROXYPROTO_BYTES_MAX	4096

struct net_proxyproto {
	size_t		bytes;		/* of the header: TLS begins behind it */
	bool		local;		/* LOCAL: the proxy speaks for itself */
	bool		has_client;	/* false for LOCAL; for UNKNOWN and
					   families without IP addresses there
					   is a client, but who is not told */
	struct net_addr	client;		/* address and port it came from */
};

/*
 * RC_OK; RC_MORE: not complete yet; RC_SYNTAX: no PROXY header or a broken one
 * (never guess: close); RC_LIMIT: longer than NET_PROXYPROTO_BYTES_MAX.
 */
enum rc net_proxyproto_read(const void *in, size_t len, struct net_proxyproto *)
    must_check;

#endif
