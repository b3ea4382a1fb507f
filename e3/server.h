/*
 * e3/server.h - the engine's network side: links in, frames in, replies out.
 * Context:   the network thread (the loop's).
 * Ownership: the server owns its listeners, its links, the scheduler and the
 *            cache of tables.
 *
 *   server -> listeners
 *          -> links (one peer each; a caller of calls)
 *               -> calls: at a crypto thread, or with pieces to send
 *
 * What bounds it: links, calls in flight per link, calls queued in all, bytes
 * of calls held in all, bytes of replies unsent per link.  A link that makes
 * no progress while bytes wait is closed.
 */
#ifndef RELAY_E3_SERVER_H
#define RELAY_E3_SERVER_H

#include "e3/dispatch.h"

struct e3_server;

struct e3_server_config {
	SSL_CTX		*ctx;		/* borrowed: the platform's */
	unsigned	threads;	/* crypto threads */
	unsigned	max_links;
	unsigned	max_queue;	/* calls accepted and not done */
};

/* Starts all threads and fills engine->sched and engine->tables.  NULL: they
 * could not be made. */
struct e3_server *e3_server_new(struct loop *, struct e3_engine *,
    const struct e3_server_config *);
/* Waits for the slices that run; callers get no answer. */
void e3_server_free(struct e3_server **);

/* fd: a listening socket, owned from here. */
void e3_server_listen(struct e3_server *, int fd);

/* Close the listeners, go on serving the links there are; cb when the last one
 * is gone or no call came for E3_DRAIN_MS. */
#define E3_DRAIN_MS	5000
void e3_server_drain(struct e3_server *, void (*cb)(void *), void *arg);

#endif
