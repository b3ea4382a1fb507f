/*
 * worker/engine_pool.h - calls to engines: choose a link, queue while none is
 * up, deadline, move to another engine when one is lost.
 * Context:   the loop's thread.
 * Ownership: who waits holds an id; a reply whose asker is gone is dropped.
 *
 * Every op sent from here may be repeated (Encrypt, Decrypt and Authenticate
 * change nothing), so a call whose link is lost moves to another one until its
 * deadline.  The body is written anew for each try by the asker: large bodies
 * are held once.
 *
 * Engines are those of conf, for good, and those that are announced, which come
 * and go.  One that drains is asked only while no other is up.
 */
#ifndef RELAY_WORKER_ENGINE_POOL_H
#define RELAY_WORKER_ENGINE_POOL_H

#include <stdint.h>

#include "lib/net/dns.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/link.h"

struct engine_pool;

struct engine_pool_config {
	const char *const	*addresses;	/* of conf: "unix:...", "host:port" */
	size_t			n_addresses;
	struct net_dns		*dns;		/* borrowed: outlives the pool */
	SSL_CTX			*ctx;		/* borrowed: outlives the pool */
	unsigned		links;		/* data links per engine */
	unsigned		timeout_ms;	/* one call, every try included */
	unsigned		stall_ms;
	int			send_buffer_bytes; /* 0: the system's */
};
#define ENGINE_WAITING_MAX	4096	/* calls without a link; beyond: refused */
#define ENGINE_PING_MS		500
#define ENGINE_SILENT_MS	1000	/* no Ping answer: not chosen any more */

struct engine_pool *engine_pool_new(struct loop *,
    const struct engine_pool_config *);
void engine_pool_free(struct engine_pool **);

struct engine_announced {
	const char	*address;	/* "host:port"; copied */
	bool		draining;
};

/* These are announced now, and no others: new ones are connected; those that
 * left get no new calls and are let go when they have answered the last. */
void engine_pool_announced(struct engine_pool *,
    const struct engine_announced *, size_t n);

struct engine_call_ops {
	/*
	 * Write the call's body.  Runs once per try; a second time means that
	 * an engine was lost and everything received so far is void.
	 * RC_OK, or RC_LIMIT / RC_NOMEM: the call fails with that.
	 */
	enum rc	(*on_write)(void *arg, struct buffer *body);
	/*
	 * A piece of the answer (body: a view, valid during the call), `more`
	 * follow.  RC_OK to go on.  RC_LIMIT, RC_NOMEM: the asker cannot take
	 * it; the call fails with that.  Anything else: the answer is wrong;
	 * the link, which cannot be believed any more, is closed and the call
	 * fails with RC_SYNTAX.
	 */
	enum rc	(*on_piece)(void *arg, const struct rpc_value *body, bool more);
	/* The end: RC_OK after the last piece, else no usable answer came:
	 * RC_UNAVAILABLE, RC_TIMEOUT, RC_LIMIT, RC_SYNTAX, RC_DENIED (status
	 * says why).  Always the last callback. */
	void	(*on_end)(void *arg, enum rc, enum rpc_status);
};

/* Never calls back before it returns.  0: too many calls wait already. */
uint64_t engine_call(struct engine_pool *, enum rpc_op,
    const struct engine_call_ops *, void *arg);
/* No callback comes after this; 0 and answered ids are ignored. */
void engine_call_cancel(struct engine_pool *, uint64_t id);

/* An engine listens there, as far as is known: see engine_is_at. */
bool engine_pool_is_at(const struct engine_pool *, const struct net_addr *);
/* Engines that answer at this moment, but those that left. */
unsigned engine_pool_up(const struct engine_pool *);
unsigned engine_pool_calls(const struct engine_pool *);

/*
 * Who remembers what an engine said of an API key remembers this number too,
 * taken before the question was written, and forgets both when it is another
 * one: some engine's keys_epoch changed, or an engine came, left or was silent
 * for ENGINE_SILENT_MS, so that it could not have told.
 * 0: nothing may be remembered now.
 */
uint64_t engine_pool_keys_seen(const struct engine_pool *);

#endif
