/*
 * net/transport_private.h - one step of work on a socket, plain or TLS, and
 * why it failed.
 * Context:   lib/net and its tests only; the loop's thread; never blocks.
 *
 * Everything that differs between a plain and a TLS socket is behind these
 * steps; stream.c is the same for both.  OpenSSL's error queue is empty
 * before and after each of them.
 */
#ifndef RELAY_NET_TRANSPORT_PRIVATE_H
#define RELAY_NET_TRANSPORT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "lib/base/buffer.h"
#include "lib/net/proxyproto.h"
#include "lib/net/stream.h"

struct net_carrier;

struct net_transport {
	int			fd;	/* owned; -1: none */
	SSL			*ssl;	/* owned; NULL: plain */
	bool			said_bye; /* our close_notify is on its way */
	struct net_carrier	*carrier; /* owned; not NULL: `ssl` is inside of
					     another stream, whose transport
					     owns the socket, and `fd` is only
					     a view of it */
};

/* What a step waits for is a state of its caller: a TLS read may have to
 * write first, and the reverse. */
enum net_step {
	NET_STEP_DONE,
	NET_STEP_WANT_READ,
	NET_STEP_WANT_WRITE,
	NET_STEP_EOF,		/* orderly end of input */
	NET_STEP_FAILED		/* see the fault */
};

struct net_fault {
	enum net_reason	reason;
	bool		peer_gone;	/* only writing failed; what the peer
					   sent before may still be read */
	char		why[160];	/* text without data */
};

/* Take an accepted socket and learn its peer. */
void net_transport_adopt(struct net_transport *, int fd, struct net_addr *peer);

/* A socket on its way to p->addr.  DONE (at once) or WANT_WRITE. */
enum net_step net_transport_connect(struct net_transport *,
    const struct net_stream_connect *p, struct net_fault *);
/* The socket became writable: did the connect succeed? */
enum net_step net_transport_connected(struct net_transport *,
    struct net_fault *);

/*
 * Take the PROXY header off the socket and not one byte more: OpenSSL reads
 * there next.  `seen` keeps what came of it between calls.  DONE (*h tells of
 * no client and no bytes when TLS begins at once), WANT_READ or FAILED, also
 * when there is no header and no TLS is to come.
 */
enum net_step net_transport_proxy_header(struct net_transport *,
    struct buffer *seen, struct net_proxyproto *h, struct net_fault *);

/* Put TLS on the socket; server_name may be NULL.  RC_OK or RC_NOMEM. */
enum rc net_transport_tls(struct net_transport *, SSL_CTX *, bool server,
    const char *server_name, SSL_SESSION *) must_check;

/*
 * TLS is to begin inside of what `t` is now: call net_transport_tls next.  in,
 * out and retry_len as for net_carrier_new; net_transport_send_rest comes
 * before the handshake.
 */
void net_transport_go_inside(struct net_transport *t, struct buffer *in,
    struct buffer *out, size_t retry_len);

/* DONE when nothing of the outer stream's output is left.  *n: bytes sent. */
enum net_step net_transport_send_rest(struct net_transport *, size_t *n,
    struct net_fault *);
size_t net_transport_unsent(const struct net_transport *);

enum net_step net_transport_handshake(struct net_transport *,
    struct net_fault *);

/* DONE with *n > 0 bytes, EOF, a WANT or FAILED. */
enum net_step net_transport_read(struct net_transport *, void *, size_t size,
    size_t *n, struct net_fault *);

/* DONE with *n > 0 bytes taken by the kernel.  After a WANT the next call
 * must offer the same bytes and the same length. */
enum net_step net_transport_write(struct net_transport *, const void *,
    size_t len, size_t *n, struct net_fault *);

/* close_notify, of the outer TLS too, and FIN: DONE, a WANT or FAILED. */
enum net_step net_transport_end(struct net_transport *, struct net_fault *);

/* Bytes that left the socket wait inside: no event will tell of them. */
bool net_transport_has_inside(const struct net_transport *);

/* Nothing is being read or written: give OpenSSL's buffers back. */
void net_transport_rest(struct net_transport *);

/* Read and forget: WANT_READ (nothing more now), DONE (stopped early to be
 * fair to others), EOF or FAILED. */
enum net_step net_transport_drop(struct net_transport *);

/* Nothing came and nothing ended since the last read. */
bool net_transport_is_quiet(struct net_transport *);

void net_transport_close(struct net_transport *);

#endif
