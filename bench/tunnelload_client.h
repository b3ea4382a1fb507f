/*
 * bench/tunnelload_client.h - one connection of tunnelload: CONNECT over TLS
 * or in clear, TLS inside of it, requests one after the other; or TLS to the
 * origin without a proxy.
 * Context:   one thread; sockets do not block, an epoll (edge-triggered) says
 *            when to go on.
 * Ownership: the plan is borrowed by all, and is not changed.
 *
 *   tunnel_open -> tunnel_step ... ANSWERED -> tunnel_ask -> tunnel_step ...
 */
#ifndef RELAY_BENCH_TUNNELLOAD_CLIENT_H
#define RELAY_BENCH_TUNNELLOAD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include <netinet/in.h>

#include <openssl/ssl.h>

enum tunnel_form { TUNNEL_TLS, TUNNEL_PLAIN, TUNNEL_DIRECT };

struct tunnel_bytes {
	char	*at;		/* owned by the plan */
	size_t	len;
};

struct tunnel_plan {
	enum tunnel_form	form;
	struct sockaddr_in	server;		/* proxy, or origin */
	SSL_CTX			*ctx;		/* owned; of both layers */
	const char		*host;		/* name of both certificates */
	struct tunnel_bytes	connect;	/* head of CONNECT */
	struct tunnel_bytes	request;	/* head and body */
	struct tunnel_bytes	expect;		/* body of each answer */
	bool			any_answer;	/* ... or any body with a 200 */
};

enum tunnel_turn {
	TUNNEL_WAIT,		/* for the socket */
	TUNNEL_ANSWERED,	/* whole, and as expected */
	TUNNEL_FAILED		/* t->why; only tunnel_close is left */
};

enum tunnel_state { TUNNEL_CLOSED, TUNNEL_OUTER, TUNNEL_CONNECT,
    TUNNEL_CONNECTED, TUNNEL_INNER, TUNNEL_REQUEST, TUNNEL_ANSWER };

struct tunnel {
	const struct tunnel_plan *plan;	/* borrowed: outlives us */
	enum tunnel_state	state;
	int			fd;		/* owned; -1 */
	SSL			*outer;		/* TLS to the proxy; owned by
						   inner's BIO once that is */
	SSL			*inner;		/* owned */
	size_t			sent;		/* of what is being written */
	char			*answer;	/* owned */
	size_t			have, need;	/* need 0: head not whole */
	const char		*why;
};

void tunnel_init(struct tunnel *, const struct tunnel_plan *);
void tunnel_fini(struct tunnel *);

/* Begin to connect; the descriptor is t->fd. */
bool tunnel_open(struct tunnel *);
/* One more request on a tunnel that answered the one before. */
void tunnel_ask(struct tunnel *);
enum tunnel_turn tunnel_step(struct tunnel *);
/* Both ends of TLS are said: a proxy logs anything else as broken. */
void tunnel_close(struct tunnel *);

_Noreturn void tunnel_die(const char *what);

#endif
