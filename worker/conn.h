/*
 * worker/conn.h - a client connection: states, deadlines, close, reap.
 * Context:   the loop's thread.
 * Ownership: the worker's lists own conns; a conn owns its stream and its
 *            exchange.
 */
#ifndef RELAY_WORKER_CONN_H
#define RELAY_WORKER_CONN_H

#include "lib/http/message_head.h"
#include "lib/net/stream.h"
#include "worker/error_answer.h"
#include "worker/worker.h"

struct api_call;
struct egress_conn;
struct exchange;
struct key_name;
struct origin_conn;
struct tunnel;

enum conn_state {
	CONN_HANDSHAKE,		/* TLS accept in progress */
	CONN_IDLE,		/* nothing of a request is here */
	CONN_HEAD,		/* a part of a request head is here */
	CONN_WAIT,		/* a head is here, and egress.c waits: for a
				   verdict, a leaf, a blind tunnel's end */
	CONN_HELLO,		/* CONNECT was answered, its TLS not begun */
	CONN_EXCHANGE,		/* exchange != NULL */
	CONN_API,		/* api != NULL */
	CONN_TUNNEL,		/* tunnel != NULL: another protocol */
	CONN_FLUSH,		/* answered; the kernel has not taken it all */
	CONN_CLOSED		/* on wrk->dead: only the reaper touches it */
};

enum close_reason {
	CLOSE_CLIENT_END,	/* orderly, between requests */
	CLOSE_CLIENT_CUT,	/* inside a head or a body */
	CLOSE_CLIENT_BROKE,	/* reset, TLS broken */
	CLOSE_HANDSHAKE_TIMEOUT,
	CLOSE_IDLE_TIMEOUT,
	CLOSE_WRITE_TIMEOUT,
	CLOSE_READS_SLOWLY,	/* under conf's min_read_rate */
	CLOSE_TUNNEL_END,	/* both sides were done */
	CLOSE_TUNNEL_IDLE,
	CLOSE_TUNNEL_BROKE,	/* one side was reset */
	CLOSE_KEY_REVOKED,	/* a tunnel's key is no longer good */
	CLOSE_ANSWERED,		/* finished: flushed, then lingering */
	CLOSE_CUT,		/* an answer had begun and could not be ended */
	CLOSE_NO_MEMORY,
	CLOSE_DRAIN		/* the worker leaves */
};

struct conn {
	unsigned		magic;
#define CONN_MAGIC		0x7a15e3c9
	uint64_t		id;
	struct worker		*wrk;		/* borrowed */
	enum conf_listen_kind	kind;		/* of its listener */
	enum conn_state		state;
	struct net_stream	*stream;	/* owned; NULL once closed */
	struct http_head	head;		/* views into the stream's input */
	struct exchange		*exchange;	/* owned; CONN_EXCHANGE only */
	struct tunnel		*tunnel;	/* owned; CONN_TUNNEL only */
	struct api_call		*api;		/* owned; CONN_API only */
	struct egress_conn	*egress;	/* owned; egress kinds only */
	struct timer		timer;		/* of handshake, idle, head, flush */
	uint64_t		progress;	/* private: bytes sent at arming */
	uint64_t		flush_sent;	/* private: bytes sent when the */
	uint64_t		t_flush_ms;	/* flush began, and when */
	uint64_t		held_bytes;	/* private: ours in wrk->held_bytes */
	bool			close_after;	/* CONN_FLUSH: then finish */
	bool			cut;		/* or rather break off */
	bool			eof;		/* the client sends no more */
	bool			asked;		/* a request came on it */
	bool			trusted;	/* its client is a trusted proxy */
	char			client[NET_ADDR_IP_BYTES];
	TAILQ_ENTRY(conn)	link;
};

/* fd: owned from here.  wrk->certs has a default context. */
void conn_new(struct worker *, int fd, const struct net_addr *peer,
    enum conf_listen_kind);

/* ---- for egress.c ---- */

/* The head stays in the input until conn_go_on, which reads it again. */
void conn_wait(struct conn *);
void conn_go_on(struct conn *);
/* CONNECT was answered with 200: the head is consumed, and TLS is awaited. */
void conn_connected(struct conn *);

/* How much of a request may stand in the stream's input: a body that is read
 * whole and is not copied; 0: what a head needs. */
void conn_input_high(struct conn *, size_t bytes);

/* For broken connections and aborts: everything stops now.  Idempotent;
 * callable from any callback; the memory stays until the loop unwinds. */
void conn_close(struct conn *, enum close_reason);

/* For one that has nothing in flight: flush, close_notify, linger. */
void conn_finish(struct conn *, enum close_reason);

/* The exchange queued its whole answer. */
void conn_answered(struct conn *, bool keep);

/* The answer has begun and cannot be ended: what is queued of it is flushed,
 * then the connection breaks.  The exchange is freed. */
void conn_cut(struct conn *);

/* Client and origin agreed on another protocol: the exchange, which is freed,
 * leaves its connection to a tunnel, which lives as long as this key. */
void conn_tunnel(struct conn *, struct origin_conn **, const struct key_name *);

/* Answer with a refusal in place of an exchange (which is freed).  keep: the
 * request was read to its end, so the connection may go on. */
void conn_refuse(struct conn *, enum error_code, const char *detail,
    const char *ctx, bool head_only, bool keep);

/* Frees what is on wrk->dead: the callback of wrk->reap. */
void conn_reap(struct worker *);

const char *conn_close_name(enum close_reason);

#endif
