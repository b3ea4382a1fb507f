/*
 * bench/e3load_links.h - the links of one client: all up before the load
 * begins; what is lost later comes again.
 * Context:   the client's thread.
 * Ownership: the client embeds it.
 */
#ifndef RELAY_BENCH_E3LOAD_LINKS_H
#define RELAY_BENCH_E3LOAD_LINKS_H

#include <openssl/ssl.h>

#include "bench/e3load_profile.h"
#include "lib/base/timer.h"
#include "lib/rpc/link.h"

struct load_links;
struct load_link {
	struct load_links	*all;		/* borrowed: embeds us */
	struct net_addr		addr;
	struct rpc_link		*link;		/* owned; NULL while lost */
	bool			up;
	struct timer		retry;
};

struct load_links {
	struct load_link	of[LOAD_LINKS_MAX];
	size_t			n, next;
	bool			may_fail;	/* else a loss ends the process */
	const char		*name;		/* view: the client's */
	struct loop		*loop;		/* borrowed */
	SSL_CTX			*ctx;		/* borrowed */
};

/* As many as the client has, round the profile's addresses, which have been
 * checked; returns when all are up. */
void load_links_open(struct load_links *, const struct load_client *,
    unsigned index, const struct load_profile *, struct loop *, SSL_CTX *);
void load_links_close(struct load_links *);

/* The next in turn that has room for a call; NULL: none has. */
struct rpc_link *load_links_choose(struct load_links *);

#endif
