/*
 * worker_engine.h - engines in the test's own process, as a worker meets them:
 * real TLS peers that answer Challenge and Ping by themselves; every other call
 * is the test's to answer, lies and silence included.
 * Context:   tests of worker/engine_pool.c and what calls through it; one loop
 *            turns all ends.
 */
#ifndef RELAY_TESTS_WORKER_ENGINE_H
#define RELAY_TESTS_WORKER_ENGINE_H

#include "lib/base/list.h"
#include "lib/net/stream.h"
#include "lib/rpc/frame.h"
#include "worker/engine_pool.h"

/* What all engines of a test share. */
struct lab {
	struct loop	*loop;		/* owned */
	SSL_CTX		*server_ctx;	/* owned */
	SSL_CTX		*client_ctx;	/* owned: the pool's */
};

void lab_start(struct lab *);
void lab_stop(struct lab *);

struct worker_engine;

struct engine_link {			/* of the engine's end */
	struct worker_engine	*engine;
	struct net_stream	*stream;	/* owned; NULL: gone */
	LIST_ENTRY(engine_link)	chain;
};

typedef void engine_on_call(void *arg, struct engine_link *,
    const struct rpc_call_frame *);

struct worker_engine {
	struct lab		*lab;		/* borrowed */
	char			address[128];	/* as in relay.conf */
	char			dir[64];	/* "" for TCP */
	int			listen_fd;
	struct event		*ev_accept;	/* owned */
	LIST_HEAD(, engine_link) links;		/* owned */
	bool			ready;		/* what Ping says */
	bool			draining;	/* and of going */
	bool			mute;		/* Ping gets no answer yet */
	struct engine_link	*unanswered;	/* borrowed: whose last Ping waits */
	uint64_t		unanswered_id;
	uint64_t		keys_epoch;	/* what Ping says; 0: nothing */
	size_t			n_links;	/* accepted so far */
	size_t			n_pings;
	size_t			n_calls;	/* but Challenge, Ping, Cancel */
	size_t			n_cancels;
	engine_on_call		*on_call;	/* NULL: silence */
	void			*arg;
};

/* Ready.  tcp: on 127.0.0.1 under the name localhost, else a Unix socket. */
void worker_engine_start(struct worker_engine *, struct lab *, bool tcp);
void worker_engine_stop(struct worker_engine *);
/* Not mute any more: the Ping that waits is answered now. */
void worker_engine_unmute(struct worker_engine *);

/* A pool that knows these engines, with one data link to each. */
struct engine_pool *lab_pool(struct lab *, struct net_dns *, unsigned timeout_ms,
    struct worker_engine *const *, size_t n);

/* Queue a reply; body NULL: an empty array. */
void engine_reply(struct engine_link *, uint64_t id, enum rpc_status,
    const struct buffer *body, bool more);
/* Cut one link, or all, now. */
void engine_cut(struct engine_link *);
void worker_engine_cut(struct worker_engine *);

#endif
