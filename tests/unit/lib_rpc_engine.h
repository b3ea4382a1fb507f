/*
 * lib_rpc_engine.h - an engine in the test's own process: a real TLS peer on a
 * Unix socket, whose answers the test writes, lies and silence included.
 * Context:   the link's tests; one loop turns both ends.
 */
#ifndef RELAY_TESTS_LIB_RPC_ENGINE_H
#define RELAY_TESTS_LIB_RPC_ENGINE_H

#include "lib/net/stream.h"
#include "lib/rpc/link.h"

#define ENGINE_SEEN_MAX	400

struct engine {
	struct loop		*loop;		/* owned */
	char			dir[64];	/* of the socket; made and removed */
	int			listen_fd;
	struct event		*ev_accept;	/* owned */
	SSL_CTX			*server_ctx;	/* owned */
	SSL_CTX			*client_ctx;	/* owned: the link's */
	struct net_stream	*stream;	/* owned; NULL: nobody connected */
	int			send_buffer_bytes;	/* of accepted sockets */
	bool			silent;		/* do not even accept */
	bool			sips;		/* reads as much as the test
						   lets its stream take in */
	bool			accepted;
	bool			gone;		/* the link closed its side */

	/* The link's first call is answered by itself and not among those
	 * below, unless the test wants it. */
	bool			own_challenge;	/* it is in on_call's hands */
	bool			every_call;	/* calls are to be signed */
	bool			greeted;	/* the link knows */
	uint64_t		greeting_id;	/* of that first call */

	/* Calls that came, by order. */
	size_t			n_seen;
	uint64_t		seen_id[ENGINE_SEEN_MAX];
	char			seen_op[ENGINE_SEEN_MAX][32];

	/* Optional: what to do with each whole call. */
	void	(*on_call)(struct engine *, const struct rpc_call_frame *,
		    struct span payload);
	void			*arg;		/* the test's */
};

/* peer_uri: the certificate the engine shows, as relay://link/engine/e1. */
void engine_start(struct engine *, const char *peer_uri);
void engine_stop(struct engine *);

/* A config that reaches it; the test changes what it wants. */
struct rpc_link_config engine_link_config(struct engine *);

/* Queue a reply; body NULL: an empty map. */
void engine_reply(struct engine *, uint64_t id, enum rpc_status,
    const struct buffer *body, bool more);
/* Queue bytes as they are. */
void engine_send(struct engine *, const void *, size_t len);
/* Cut the link now. */
void engine_cut(struct engine *);

#define ENGINE_CHALLENGE	"the first challenge of the link "	/* 32 */

/* The last call with this op: its id, or 0. */
uint64_t engine_seen_id(const struct engine *, const char *op);

#endif
