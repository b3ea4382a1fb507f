/*
 * worker/origin_connect.h - one new, verified TLS connection to a destination:
 * resolve its name, then race its addresses (RFC 8305).
 * Context:   the loop's thread; nothing here blocks.
 * Ownership: the asker owns the attempt until its callback or
 *            origin_connect_stop.
 *
 *   RESOLVE -> RACE: the first address is tried; another joins each time one
 *   failed, or when nobody answered for delay_ms.  Who is connected holds the
 *   others back while it shakes hands; the first to finish is used, the others
 *   are closed.  All of it under one deadline.
 */
#ifndef RELAY_WORKER_ORIGIN_CONNECT_H
#define RELAY_WORKER_ORIGIN_CONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/loop.h"
#include "lib/net/dns.h"
#include "lib/net/stream.h"
#include "worker/origin_self.h"
#include "worker/origin_session.h"

struct origin_connect;

enum origin_fault {
	ORIGIN_OK,
	ORIGIN_UNRESOLVED,	/* no such name: 503 service-unavailable */
	ORIGIN_REFUSED,		/* 503 service-unavailable */
	ORIGIN_TIMEOUT,		/* 504 request-timeout */
	ORIGIN_FORBIDDEN,	/* not a public address: 403
				   forbidden-destination */
	ORIGIN_LOOP,		/* it is ourselves: 508 tunnel-loop */
	ORIGIN_TLS		/* 502 upstream-tls-error */
};				/* of several addresses the last one listed here
				   is told: it explains most */

/* All borrowed: they outlive the attempt. */
struct origin_connect_to {
	struct loop		*loop;
	struct net_dns		*dns;
	const struct origin_self *self;
	const char		*host;
	uint16_t		port;
	const char		*server_name;	/* SNI and name to verify */
	SSL_CTX			*ctx;		/* NULL: no TLS */
	bool			public_only;	/* other addresses are refused, but */
	const struct net_cidr	*internal;	/* these */
	size_t			n_internal;
	struct origin_session	*session;	/* to resume; kept up to date */
	unsigned		timeout_ms;	/* for all of it */
	unsigned		delay_ms;	/* until the next address joins */
};

struct origin_outcome {
	enum origin_fault	fault;
	const char		*why;		/* for the log; valid during the call */
	bool			its_own;	/* a fault that the destination
						   showed, not our side of it */
	struct net_stream	*stream;	/* the callee's if ORIGIN_OK, else
						   NULL; its ops are to be set */
};
typedef void origin_connect_cb(void *arg, const struct origin_outcome *);

/* Never calls back before it returns; the attempt is gone when it does. */
struct origin_connect *origin_connect_start(const struct origin_connect_to *,
    origin_connect_cb *, void *arg);
/* Nothing is called any more. */
void origin_connect_stop(struct origin_connect **);

#endif
