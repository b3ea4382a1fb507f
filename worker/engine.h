/*
 * worker/engine.h - one engine as a worker knows it: its links, and the Ping
 * that tells whether it is there, ready, or about to go.
 * Context:   the loop's thread; engine_pool.c is the only user.
 * Ownership: the pool owns its engines.
 *
 * The first link is for Ping alone, the others carry calls.  Each comes back
 * by itself, with backoff.
 */
#ifndef RELAY_WORKER_ENGINE_H
#define RELAY_WORKER_ENGINE_H

#include <stdint.h>

#include "lib/net/dns.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/link.h"

struct engine;

struct engine_ops {
	/* It may take calls that wait: it is ready, or a link is up. */
	void	(*on_room)(void *arg);
	/* What it said of API keys until now counts no more. */
	void	(*on_keys)(void *arg);
	/* It went silent with calls on it.  Ping is answered at any load, so it
	 * is stuck or gone. */
	void	(*on_lost)(void *arg);
};

/* What all engines of a pool have in common. */
struct engine_config {
	struct loop		*loop;	/* borrowed, as all of these */
	struct net_dns		*dns;
	SSL_CTX			*ctx;
	unsigned		links;	/* for calls */
	unsigned		stall_ms;
	int			send_buffer_bytes; /* 0: the system's */
	const struct engine_ops	*ops;
};

/* address: "unix:PATH", "IP:port" or "name:port"; copied.  NULL: none of
 * these.  The config outlives the engine. */
struct engine *engine_new(const struct engine_config *, const char *address,
    void *arg);
/* No callback comes from here on but on_keys; calls on its links are cancelled.
 * Not from a callback of it. */
void engine_free(struct engine **);

/* No links until it is woken: as if it were not there.  Not from a callback of
 * it; nothing is in flight. */
void engine_rest(struct engine *);
void engine_wake(struct engine *);
bool engine_rests(const struct engine *);

const char *engine_address(const struct engine *);
/* Its IP address and port, or one that its name had when it was asked last. */
bool engine_is_at(const struct engine *, const struct net_addr *);

/* A Ping of the last second said ready. */
bool engine_alive(const struct engine *, uint64_t now_ms);
/* It was alive when it was looked at last. */
bool engine_was_alive(const struct engine *);
/* It serves, and asks callers to go elsewhere. */
bool engine_drains(const struct engine *);

/* The link with the fewest calls (*n); NULL: none is up. */
struct rpc_link *engine_link(const struct engine *, unsigned *n);
/* This link of it lied: closed; what is in flight there is cancelled. */
void engine_distrust(struct engine *, struct rpc_link *);
/* It said so to a call: not alive until its next Ping. */
void engine_not_ready(struct engine *);
/* Any answer may bring keys_epoch, so that a change is known before the next
 * Ping.  False: this one did not. */
bool engine_note_keys(struct engine *, const struct rpc_value *body);

#endif
