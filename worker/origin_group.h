/*
 * worker/origin_group.h - connections that are equal: one group for each
 * identity that was asked for, with what is learnt about it.
 * Context:   the loop's thread; origin_pool.c is the one caller.
 * Ownership: groups belong to the table, idle connections to their group.
 */
#ifndef RELAY_WORKER_ORIGIN_GROUP_H
#define RELAY_WORKER_ORIGIN_GROUP_H

#include "worker/origin_circuit.h"
#include "worker/origin_pool.h"
#include "worker/origin_session.h"

#define ORIGIN_GROUPS_MAX	4096	/* identities remembered */
#define ORIGIN_GROUP_BUCKETS	4096	/* one for each, when all are there */

struct origin_groups;
TAILQ_HEAD(origin_conn_list, origin_conn);

struct origin_group {
	LIST_ENTRY(origin_group) by_identity;
	TAILQ_ENTRY(origin_group) by_use;
	struct origin_groups	*table;		/* borrowed: owns us */
	/* the identity */
	char			*host;		/* owned */
	uint16_t		port;
	char			*server_name;	/* owned */
	bool			min_tls_13;
	char			*ca;		/* owned PEM; NULL: none */
	char			*app;		/* owned: of egress, whose connections
						   are no other app's; NULL: ingress */
	bool			plain;		/* see struct relay */
	bool			guarded;
	bool			internal;

	SSL_CTX			*ctx;		/* owned reference; NULL before
						   the first use, and when there is a */
	char			*ca_fault;	/* owned: why the relay's CA is
						   no certificate; else NULL */
	struct origin_session	session;
	struct origin_circuit	circuit;
	struct origin_conn_list	idle;		/* newest first */
	unsigned		n_idle;
	unsigned		n_taken;	/* connections and takers out:
						   the group stays */
};
LIST_HEAD(origin_group_bucket, origin_group);

struct origin_groups {
	const struct conf	*conf;		/* borrowed */
	struct certs_verify	*verify;	/* borrowed */
	uint64_t		seed;		/* of the buckets */
	struct origin_group_bucket buckets[ORIGIN_GROUP_BUCKETS];
	TAILQ_HEAD(origin_group_list, origin_group) by_use;	/* latest first */
	unsigned		n;
};

void origin_groups_init(struct origin_groups *, const struct conf *,
    struct certs_verify *);
/* Nothing is taken any more; idle connections are closed. */
void origin_groups_fini(struct origin_groups *);
/* Close what has been idle for too long. */
void origin_groups_sweep(struct origin_groups *);

/* The group of the relay's destination, made if need be; then the one unused
 * for longest goes, if there are too many.  It stays while n_taken is not 0. */
struct origin_group *origin_group_get(struct origin_groups *,
    const struct relay *);

/* Its connections may carry this relay's requests. */
bool origin_group_fits(const struct origin_group *, const struct relay *);

/* Trust comes with the first use: ctx is there.  False: ca_fault is. */
bool origin_group_trust(struct origin_group *);

struct origin_conn *origin_conn_new(struct origin_group *, struct net_stream *);
void origin_conn_free(struct origin_conn *);

/* The idle connection that was used last and still lives, or NULL. */
struct origin_conn *origin_group_take_idle(struct origin_group *);
/* Owned by the group from here; quiet. */
void origin_group_put_idle(struct origin_group *, struct origin_conn *);

#endif
