/*
 * rpc/server.h - the serving end of engine links: links in, frames in,
 * replies out.  link.h is the calling end.
 * Context:   the network thread (the loop's).
 * Ownership: the server owns its listeners, its links and the scheduler.
 *
 *   server -> listeners
 *          -> links (one peer each; an outlet of its caller's)
 *               -> calls: at a thread, or with pieces to send
 *
 * What bounds it: links, calls in flight per link, calls queued in all, bytes
 * of calls held in all, bytes of replies made and not sent per link.  A link
 * that makes no progress while bytes wait is closed.
 */
#ifndef RELAY_RPC_SERVER_H
#define RELAY_RPC_SERVER_H

#include "lib/rpc/served.h"

struct rpc_server;

struct rpc_server_ops {
	/* A call: answer it (rpc_served_emit, rpc_served_fail) or submit it
	 * before this returns. */
	void	(*on_call)(void *arg, struct rpc_served *);
	/* A call that was answered with this status before anybody saw it:
	 * LIMIT, OVERLOADED, or a frame that could not be read. */
	void	(*on_refused)(void *arg, enum rpc_status);
	/* Its job is done, whether or not its link still is; what is added to
	 * job.made here ends the answer. */
	void	(*on_done)(void *arg, struct rpc_served *);
	rpc_served_free_cb	*on_free;
	/* The share of a caller of this role beside others. */
	unsigned (*weight)(enum rpc_role);
};

struct rpc_server_config {
	SSL_CTX			*ctx;		/* borrowed */
	const struct rpc_server_ops *ops;	/* a constant */
	size_t			call_bytes;	/* of what embeds rpc_served */
	unsigned		max_links;
	struct sched_config	sched;		/* on_pieces, arg and
						   outlet_bytes are ours */
};

/* Starts the threads.  NULL: they could not be made. */
struct rpc_server *rpc_server_new(struct loop *,
    const struct rpc_server_config *, void *arg);
/* Waits for the slices that run; callers get no answer. */
void rpc_server_free(struct rpc_server **);

/* fd: a listening socket, owned from here. */
void rpc_server_listen(struct rpc_server *, int fd);

/* Close the listeners, go on serving the links there are; cb when the last one
 * is gone or no call came for RPC_SERVER_DRAIN_MS. */
#define RPC_SERVER_DRAIN_MS	5000
void rpc_server_drain(struct rpc_server *, void (*cb)(void *), void *arg);

struct sched *rpc_server_sched(struct rpc_server *);
unsigned rpc_server_links(const struct rpc_server *);

#endif
