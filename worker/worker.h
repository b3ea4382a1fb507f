/*
 * worker/worker.h - what all parts of one relay-worker share.
 * Context:   one process, one loop, no locks.
 *
 * Object map:  listeners -> conn -> exchange -> { engine call id,
 * origin_conn }.  A conn owns its exchange, an exchange owns its origin_conn
 * and the id of its engine call.  A conn of an egress listener owns its egress
 * (what its CONNECT was about), one of the key API its api_call.  Pools own
 * idle things.  Relay snapshots are counted; nothing else is.
 */
#ifndef RELAY_WORKER_WORKER_H
#define RELAY_WORKER_WORKER_H

#include "certs/store.h"
#include "certs/verify.h"
#include "conf/conf_file.h"
#include "lib/base/list.h"
#include "lib/base/loop.h"
#include "lib/base/timer.h"
#include "lib/http/message_head.h"
#include "lib/ipc/channel.h"
#include "lib/net/addr.h"
#include "lib/net/dns.h"

struct accept;
struct address_meter;
struct api;
struct api_keys;
struct conn;
struct egress_ca;
struct engine_list;
struct engine_pool;
struct feed_client;
struct key_watches;
struct leaf_cache;
struct origin_pool;
struct route_table;
TAILQ_HEAD(conn_list, conn);

/* What sealing adds to a file, metadata of other makers included: what was
 * sealed at the limit can be opened again. */
#define WORKER_FILE_SEALED_MORE	1024

struct worker {
	const char		*name;		/* borrowed: argv */
	struct loop		*loop;		/* owned */
	struct conf		*conf;		/* owned */
	struct http_limits	head_limits;	/* from conf */
	struct ipc_channel	*control;	/* owned */
	struct certs_ticket_keys *tickets;	/* owned */
	struct certs_store	*certs;		/* owned */
	struct certs_verify	*verify;	/* owned */
	struct net_dns		*dns;		/* owned */
	struct route_table	*routes;	/* owned */
	struct engine_pool	*engines;	/* owned */
	struct engine_list	*engine_list;	/* owned; NULL: conf's alone */
	struct api_keys		*api_keys;	/* owned */
	struct key_watches	*key_watches;	/* owned: of tunnels */
	struct api		*api;		/* owned */
	struct feed_client	*feed;		/* owned: changes of records */
	struct origin_pool	*origins;	/* owned */
	struct egress_ca	*egress_ca;	/* owned */
	struct leaf_cache	*leaves;	/* owned */
	struct address_meter	*auth_failures;	/* owned: by client address */
	struct address_meter	*leaf_quota;	/* owned: by client address */
	struct accept		*accept;	/* owned */

	struct net_cidr		*trusted;	/* owned: conf's trusted_proxies */
	size_t			n_trusted;

	struct conn_list	live;
	struct conn_list	dead;		/* the reaper's, see conn.c */
	struct event		*reap;		/* owned */
	unsigned		n_live;
	uint64_t		next_conn_id;
	uint64_t		held_bytes;	/* of bodies, all exchanges together */
	bool			draining;
	struct timer		drain_timer;
};

#endif
