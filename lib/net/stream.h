/*
 * net/stream.h - bytes both ways over TCP or a Unix socket, with or without
 * TLS, on plain libevent events.
 * Context:   the loop's thread; nothing here blocks.
 * Ownership: the creator owns the stream until net_stream_close or
 *            net_stream_finish, which clear the caller's pointer.  Callbacks
 *            never come after that.  A stream may be closed from any of its
 *            own callbacks.
 *
 *   CONNECTING or PROXY HEADER -> HANDSHAKE -> OPEN ->
 *       (EOF in, output still open) -> closed
 *
 * An open one may change into the TLS inside of it: HANDSHAKE once more.
 *
 * Output is queued and flushed in the loop's idle hook (writes of one turn
 * leave together), or at once by net_stream_flush.  While any byte is unsent,
 * or an SSL_write waits to be repeated, write interest is armed: the flush
 * hook asserts it whenever the loop goes idle.  An SSL_write that said
 * WANT_WRITE is repeated with the same bytes until the kernel took them.
 */
#ifndef RELAY_NET_STREAM_H
#define RELAY_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/net/addr.h"

struct net_stream;

enum net_reason {
	NET_REFUSED,		/* connect failed: nobody there, no route */
	NET_RESET,		/* the peer cut it, or the kernel did */
	NET_TRUNCATED,		/* TLS ended without close_notify */
	NET_TLS_ERROR,		/* handshake or record broken */
	NET_TLS_UNTRUSTED,	/* the peer's certificate did not verify */
	NET_PROXY_HEADER,	/* a trusted proxy's PROXY header is broken,
				   cut, or not there */
	NET_LOCAL_ERROR		/* no descriptors, no memory */
};
const char *net_reason_name(enum net_reason);

struct net_stream_ops {
	/* Connected and shaken hands, or the PROXY header of a plain stream
	 * read; not called for those of net_stream_accept without TLS, which
	 * are open when it returns. */
	void	(*on_ready)(void *arg);
	/* New bytes at net_stream_input. */
	void	(*on_input)(void *arg);
	/* All output that was queued has been taken by the kernel. */
	void	(*on_drained)(void *arg);
	/* Orderly end of input (FIN, close_notify).  Output stays usable. */
	void	(*on_eof)(void *arg);
	/* Broken: only net_stream_close is left to do.  `why` is text without
	 * data for the log, valid during the call. */
	void	(*on_error)(void *arg, enum net_reason, const char *why);
};

/* fd: owned by the stream from here, also on failure.  ctx NULL: no TLS.
 * An accepted TLS stream begins its handshake at once. */
struct net_stream *net_stream_accept(struct loop *, int fd, SSL_CTX *ctx,
    const struct net_stream_ops *, void *arg);

/*
 * The same for a peer that is a trusted proxy: a PROXY header (proxyproto.h)
 * stands in front of TLS, or the first byte is a ClientHello's and there is
 * none.  The owner's deadline for the handshake covers the header too.
 * ctx NULL: no TLS; then the header must be there (NET_PROXY_HEADER else), as
 * nothing tells one from what a client of its own would say.
 */
struct net_stream *net_stream_accept_proxied(struct loop *, int fd,
    SSL_CTX *ctx, const struct net_stream_ops *, void *arg);

struct net_stream_connect {
	const struct net_addr	*addr;
	SSL_CTX			*ctx;		/* NULL: no TLS */
	const char		*server_name;	/* SNI and name to verify; NULL:
						   neither (engine links) */
	SSL_SESSION		*session;	/* to resume, or NULL; borrowed */
	int			send_buffer_bytes; /* SO_SNDBUF, 0 = system's */
};
/* Failures come by on_error from the loop, never before it returns. */
struct net_stream *net_stream_connect(struct loop *,
    const struct net_stream_connect *, const struct net_stream_ops *,
    void *arg);

/*
 * TLS inside of an open stream, of what follows a CONNECT: *outer, plain or TLS
 * and not shut down, changes into the stream that is returned, and is cleared;
 * no callback of it comes any more.  May be called from one of them, also while
 * the buffer of net_stream_input(*outer) is being looked at.  All of the above
 * holds for the new stream; and:
 *
 * - What *outer had read and nobody consumed is the beginning of the inner TLS.
 * - What *outer had not sent yet leaves first, as it would have, and counts in
 *   net_stream_unsent of the new one until then.
 * - The peer, and the totals so far, are those of *outer.  Pause and high-water
 *   mark are not: it begins with the defaults.
 * - net_stream_ssl is the inner one.
 * - Both ends of TLS are said and expected: without a close_notify of the inner
 *   one the end is NET_TRUNCATED, whatever the outer one says.
 */
struct net_stream *net_stream_accept_inside(struct net_stream **outer,
    SSL_CTX *ctx, const struct net_stream_ops *, void *arg);
/* The client's part.  server_name as in net_stream_connect. */
struct net_stream *net_stream_connect_inside(struct net_stream **outer,
    SSL_CTX *ctx, const char *server_name, const struct net_stream_ops *,
    void *arg);

void net_stream_set_ops(struct net_stream *, const struct net_stream_ops *,
    void *arg);

/* Bytes read and not yet consumed; consume with buffer_consume.  Its memory
 * is given back when it is empty and the stream goes idle: the pointer to the
 * struct stays valid until the stream is closed, pointers into it do not. */
struct buffer *net_stream_input(struct net_stream *);

/* Stop reading when more than this is unconsumed (default 64 KiB); reading
 * goes on by itself once the owner has consumed below it (seen at idle). */
void net_stream_set_input_high(struct net_stream *, size_t bytes);

/* Stop and go on reading by hand, for back-pressure. */
void net_stream_read_pause(struct net_stream *);
void net_stream_read_resume(struct net_stream *);
bool net_stream_read_paused(const struct net_stream *);

/* Queue a copy: RC_OK, RC_NOMEM; RC_IO when output was shut or broke. */
enum rc net_stream_write(struct net_stream *, const void *, size_t len)
    must_check;
/* Queue the content of b and leave b empty; moves instead of copying when
 * that saves work. */
enum rc net_stream_write_buffer(struct net_stream *, struct buffer *b)
    must_check;

/* The first len bytes of `from`, the input of another stream say, change over:
 * they are consumed there and queued here, moved as above when they are all of
 * it.  Nothing is consumed on failure. */
enum rc net_stream_move(struct net_stream *to, struct buffer *from, size_t len)
    must_check;

/* Bytes queued that the kernel has not taken; 0 only when no SSL_write waits
 * to be repeated: then everything written is *sent*. */
size_t net_stream_unsent(const struct net_stream *);
/* Bytes of application data the kernel took since the start. */
uint64_t net_stream_sent_total(const struct net_stream *);
uint64_t net_stream_received_total(const struct net_stream *);

/*
 * All that is queued changes over to *to, if nothing was taken by the kernel
 * since net_stream_sent_total was `mark`: then the peer has no byte of it.
 * False: some of it has left, or may have.
 */
bool net_stream_take_back(struct net_stream *, uint64_t mark, struct buffer *to);

/* Try to write now instead of at idle.  May call on_error or on_drained. */
void net_stream_flush(struct net_stream *);

/* Close now, without ceremony: for broken streams and aborts. */
void net_stream_close(struct net_stream **);

/* For a peer that was answered: flush, close_notify, shut down writing, read
 * and drop until EOF or linger_ms, then free.  No callback comes.  While
 * output is still queued, each byte the kernel takes starts linger_ms anew (a
 * slow reader gets its answer), up to 15 times linger_ms in all.  A stream
 * whose handshake is not done is closed at once.  The loop must outlive it:
 * wait for net_stream_lingering() == 0. */
void net_stream_finish(struct net_stream **, unsigned linger_ms);

/* Send what is queued, then close_notify / FIN; input goes on. */
void net_stream_shutdown(struct net_stream *);

bool net_stream_is_open(const struct net_stream *);	/* handshake done */
/* False when the peer sent something or ended while nobody was reading: for
 * a check before an idle connection is reused. */
bool net_stream_is_quiet(struct net_stream *);

SSL *net_stream_ssl(struct net_stream *);	/* NULL without TLS; borrowed */
int net_stream_fd(const struct net_stream *);
/* Who is at the other end; from on_ready on the client that a PROXY header
 * names. */
const struct net_addr *net_stream_peer(const struct net_stream *);
/* False: a PROXY header spoke for a client without its address, so that
 * net_stream_peer is the proxy and not who sends. */
bool net_stream_peer_is_known(const struct net_stream *);
/* The TCP peer of a stream made by net_stream_accept_proxied, else NULL. */
const struct net_addr *net_stream_proxy(const struct net_stream *);

/* Streams alive in this process that are lingering after net_stream_finish:
 * a draining role waits for them. */
unsigned net_stream_lingering(void);

#endif
