/*
 * worker_origin.h - destinations in the test's own process, as a worker meets
 * them: a name server whose answers the test writes, and on several loopback
 * addresses of one port TLS servers, silent ones and none at all.
 * Context:   tests of worker/origin_*.c; one loop turns all ends.
 */
#ifndef RELAY_TESTS_WORKER_ORIGIN_H
#define RELAY_TESTS_WORKER_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf_file.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/net/dns.h"
#include "lib/net/stream.h"
#include "tests/unit/test_certs.h"

#define LAB_NAMES_MAX	32

struct lab_name {
	const char	*name;		/* borrowed: a literal */
	const char	*ips;		/* separated by blanks; NULL: no answer */
};

struct lab {
	struct loop	*loop;		/* owned */
	struct net_dns	*dns;		/* owned; asks our server only */
	struct event	*ev_dns;	/* owned */
	int		dns_fd;
	struct lab_name	names[LAB_NAMES_MAX];
	size_t		n_names;
	uint16_t	port;		/* free on all loopback addresses, */
	int		port_v4;	/* by these two sockets, which do not */
	int		port_v6;	/* listen; v6: -1 without IPv6 */
	struct test_cert *ca, *other_ca;
	SSL_CTX		*good;		/* owned; *.test, by ca */
	SSL_CTX		*wrong;		/* owned; *.test, by other_ca */
	struct conf	conf;		/* fit for an origin_pool */
	int		n_fds;		/* before all this */
};

void lab_start(struct lab *);
/* Fails the test when a descriptor was left open. */
void lab_stop(struct lab *);

/* What the name server says; no entry: no such name. */
void lab_name(struct lab *, const char *name, const char *ips);

/* Open descriptors of this process. */
int fd_count(void);

enum dest_kind {
	DEST_NONE,		/* refuses */
	DEST_GOOD,
	DEST_WRONG,		/* a certificate that nobody trusts */
	DEST_TLS_12,		/* good, but old */
	DEST_LATE,		/* good; its handshake takes LATE_MS */
	DEST_MUTE,		/* connects and says nothing */
	DEST_SILENT		/* does not even connect */
};
#define DEST_LATE_MS	100
#define DEST_FILL	4	/* connections that fill a queue of none */

struct dest;

struct dest_link {			/* of the destination's end */
	LIST_ENTRY(dest_link)	chain;
	struct dest		*dest;
	struct timer		late;
	int			fd;	/* until TLS starts; -1 */
	struct net_stream	*stream;	/* owned; NULL: not yet */
};

struct dest {
	struct lab		*lab;		/* borrowed */
	enum dest_kind		kind;
	int			fd;		/* -1 for none */
	int			fill[DEST_FILL];
	struct event		*ev;		/* owned */
	SSL_CTX			*ctx;		/* owned reference */
	LIST_HEAD(, dest_link)	links;		/* owned */
	size_t			n_accepted;
	size_t			n_ended;	/* seen to close or break */
};

/* ip: "127.0.0.N" or "::1". */
void dest_start(struct dest *, struct lab *, const char *ip, enum dest_kind);
void dest_stop(struct dest *);
/* Say something on every connection, or close them all. */
void dest_say(struct dest *, const char *);
void dest_cut(struct dest *);

#endif
