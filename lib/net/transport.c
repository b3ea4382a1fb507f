/*
 * net/transport.c - socket and TLS calls, one step each, with their errors
 * turned into ours.
 *
 * An OpenSSL call leaves its reasons in a queue of the thread.  A reason left
 * there by one connection would be read as the failure of the next one, so
 * the queue is emptied before each call and after each failure.
 */
#include "lib/net/transport_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/net/carrier_private.h"
#include "lib/net/tls.h"

#define PEEK_BYTES	512	/* more than any PROXY header without long TLVs */
#define TLS_HANDSHAKE	0x16	/* first byte of a ClientHello's record */

/* A full record of the inner TLS, with its frame, fits into one of the outer:
 * 85 bytes more at the most (TLS 1.2, CBC and SHA-384), else a second, nearly
 * empty one would follow each. */
#define INNER_FRAGMENT	(SSL3_RT_MAX_PLAIN_LENGTH - 128)

#define DROP_BYTES	16384	/* thrown away per call ... */
#define DROP_CALLS	16	/* ... and calls per turn of the loop */

static enum net_step
failed(struct net_fault *f, enum net_reason reason, const char *why)
{
	f->reason = reason;
	f->peer_gone = false;
	(void)snprintf(f->why, sizeof(f->why), "%s", why);
	return (NET_STEP_FAILED);
}

static enum net_reason
errno_reason(int err, enum net_reason otherwise)
{
	switch (err) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		return (NET_LOCAL_ERROR);
	}
	return (otherwise);
}

static enum net_step
failed_errno(struct net_fault *f, int err, enum net_reason otherwise)
{
	char text[128];

	return (failed(f, errno_reason(err, otherwise),
	    strerror_r(err, text, sizeof(text))));
}

/* Requests are small and answered at once: Nagle only adds delay. */
static void
set_nodelay(int fd, int family)
{
	int on = 1;

	if (family == AF_INET || family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
		    sizeof(on));
}

void
net_transport_adopt(struct net_transport *t, int fd, struct net_addr *peer)
{
	t->fd = fd;
	peer->len = sizeof(peer->ss);
	/* Gone already?  The first read will say so. */
	if (getpeername(fd, (struct sockaddr *)&peer->ss, &peer->len) < 0)
		peer->len = 0;
	set_nodelay(fd, peer->ss.ss_family);
}

enum net_step
net_transport_connect(struct net_transport *t,
    const struct net_stream_connect *p, struct net_fault *f)
{
	const struct net_addr *a = p->addr;
	int size = p->send_buffer_bytes;

	t->fd = socket(a->ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return (failed_errno(f, errno, NET_LOCAL_ERROR));
	set_nodelay(t->fd, a->ss.ss_family);
	if (size != 0)
		(void)setsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &size,
		    sizeof(size));
	if (connect(t->fd, (const struct sockaddr *)&a->ss, a->len) == 0)
		return (NET_STEP_DONE);
	if (errno == EINPROGRESS || errno == EINTR)
		return (NET_STEP_WANT_WRITE);
	/* EAGAIN: the listener's queue on a Unix socket is full, and there is
	 * no event to wait for. */
	return (failed_errno(f, errno, NET_REFUSED));
}

enum net_step
net_transport_connected(struct net_transport *t, struct net_fault *f)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err != 0)
		return (failed_errno(f, err, NET_REFUSED));
	return (NET_STEP_DONE);
}

/* Fails closed: a name that cannot be set is no name that was checked. */
static bool
expect_name(SSL *ssl, const char *host)
{
	char name[HOST_BYTES];	/* OpenSSL's macro casts const away */

	if (!span_copy(span_of(host), name, sizeof(name)) || name[0] == '\0')
		return (false);
	if (host_is_ip(name))	/* RFC 6066 3: no address in SNI */
		return (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
		    name) == 1);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return (SSL_set_tlsext_host_name(ssl, name) == 1 &&
	    SSL_set1_host(ssl, name) == 1);
}

void
net_transport_go_inside(struct net_transport *t, struct buffer *in,
    struct buffer *out, size_t retry_len)
{
	int fd = t->fd;

	t->carrier = net_carrier_new(t, in, out, retry_len);
	t->fd = fd;
}

enum net_step
net_transport_send_rest(struct net_transport *t, size_t *n,
    struct net_fault *f)
{
	*n = 0;
	return (t->carrier == NULL ? NET_STEP_DONE :
	    net_carrier_send_rest(t->carrier, n, f));
}

size_t
net_transport_unsent(const struct net_transport *t)
{
	return (t->carrier == NULL ? 0 : net_carrier_unsent(t->carrier));
}

/* Put it on the socket, or on what it is inside of. */
static bool
set_below(struct net_transport *t, SSL *ssl)
{
	BIO *bio;

	if (t->carrier == NULL)
		return (SSL_set_fd(ssl, t->fd) == 1);
	if ((bio = net_carrier_bio(t->carrier)) == NULL)
		return (false);
	SSL_set_bio(ssl, bio, bio);
	return (net_carrier_outer(t->carrier)->ssl == NULL ||
	    SSL_set_max_send_fragment(ssl, INNER_FRAGMENT) == 1);
}

enum rc
net_transport_tls(struct net_transport *t, SSL_CTX *ctx, bool server,
    const char *server_name, SSL_SESSION *session)
{
	SSL *ssl;

	ERR_clear_error();
	if ((ssl = SSL_new(ctx)) == NULL)
		goto fail;
	/* stream.c relies on these, whoever made the context. */
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
	/* One read takes header and body of a record, or many records;
	 * net_transport_has_inside knows of what stays inside. */
	SSL_set_read_ahead(ssl, 1);
	if (!set_below(t, ssl))
		goto fail;
	if (server_name != NULL && !expect_name(ssl, server_name))
		goto fail;
	/* A session that does not fit the context costs a full handshake. */
	if (session != NULL)
		(void)SSL_set_session(ssl, session);
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	t->ssl = ssl;
	ERR_clear_error();
	return (RC_OK);
fail:
	SSL_free(ssl);
	ERR_clear_error();
	return (RC_NOMEM);
}

static enum net_step
failed_ssl(SSL *ssl, bool in_handshake, struct net_fault *f)
{
	unsigned long e = ERR_peek_error();
	long verify = SSL_get_verify_result(ssl);
	char why[sizeof(f->why)];

	if (in_handshake && verify != X509_V_OK &&
	    ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		ERR_clear_error();
		return (failed(f, NET_TLS_UNTRUSTED,
		    X509_verify_cert_error_string(verify)));
	}
	if (ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		ERR_clear_error();
		if (in_handshake)
			return (failed(f, NET_RESET,
			    "closed during the handshake"));
		return (failed(f, NET_TRUNCATED,
		    "closed without close_notify"));
	}
	return (failed(f, NET_TLS_ERROR, net_tls_error(why, sizeof(why))));
}

/* The same reasons as if there were no TLS around this one. */
static bool
outer_broke(struct net_transport *t, bool in_handshake, struct net_fault *f)
{
	if (t->carrier == NULL || !net_carrier_broke(t->carrier, f))
		return (false);
	if (in_handshake && f->reason == NET_TRUNCATED)
		(void)failed(f, NET_RESET, "closed during the handshake");
	return (true);
}

/* What an SSL call that returned `ret` means; err is errno right after it.
 * in_handshake comes from the caller: after a fatal error OpenSSL says it is
 * in a handshake again. */
static enum net_step
ssl_step(struct net_transport *t, int ret, int err, bool in_handshake,
    struct net_fault *f)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_NONE:
		return (NET_STEP_DONE);
	case SSL_ERROR_WANT_READ:
		return (NET_STEP_WANT_READ);
	case SSL_ERROR_WANT_WRITE:
		return (NET_STEP_WANT_WRITE);
	case SSL_ERROR_ZERO_RETURN:
		return (NET_STEP_EOF);
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		if (outer_broke(t, in_handshake, f))
			return (NET_STEP_FAILED);
		if (err == 0)
			return (failed(f, NET_RESET, "closed"));
		return (failed_errno(f, err, NET_RESET));
	}
	return (failed_ssl(t->ssl, in_handshake, f));
}

/* Nothing stale in the queue or in errno may explain what comes now.  To look
 * is half the price of clearing an empty queue. */
static void
ssl_before(struct net_transport *t)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
	if (t->carrier != NULL)
		net_carrier_before(t->carrier);
	errno = 0;
}

enum net_step
net_transport_handshake(struct net_transport *t, struct net_fault *f)
{
	int ret;

	ssl_before(t);
	ret = SSL_do_handshake(t->ssl);
	return (ssl_step(t, ret, errno, true, f));
}

/* recv() that goes on after a signal. */
static ssize_t
receive(int fd, void *out, size_t size, int flags)
{
	ssize_t got;

	do {
		got = recv(fd, out, size, flags);
	} while (got < 0 && errno == EINTR);
	return (got);
}

static enum net_step
header_cut(const struct buffer *seen, ssize_t got, struct net_fault *f)
{
	if (got < 0)
		return (errno == EAGAIN ? NET_STEP_WANT_READ :
		    failed_errno(f, errno, NET_RESET));
	if (buffer_len(seen) == 0)
		return (failed(f, NET_RESET, "closed before the handshake"));
	return (failed(f, NET_PROXY_HEADER, "closed inside the PROXY header"));
}

/*
 * Peeked at first, since TLS may follow in the same segment.  But what is the
 * header's for sure leaves the socket at once: left there, it would keep the
 * socket readable and the loop awake for as long as the rest takes.
 */
enum net_step
net_transport_proxy_header(struct net_transport *t, struct buffer *seen,
    struct net_proxyproto *h, struct net_fault *f)
{
	size_t had = buffer_len(seen), room = NET_PROXYPROTO_BYTES_MAX - had;
	ssize_t got;
	char *at;
	enum rc rc;

	if (room > PEEK_BYTES)
		room = PEEK_BYTES;
	if (buffer_reserve(seen, room, &at) != RC_OK)
		return (failed(f, NET_LOCAL_ERROR, "no memory for input"));
	if ((got = receive(t->fd, at, room, MSG_PEEK)) <= 0)
		return (header_cut(seen, got, f));
	if (had == 0 && at[0] == TLS_HANDSHAKE && t->ssl != NULL) {
		memset(h, 0, sizeof(*h));
		return (NET_STEP_DONE);
	}
	rc = net_proxyproto_read(buffer_data(seen), had + (size_t)got, h);
	if (rc != RC_OK && rc != RC_MORE)
		return (failed(f, NET_PROXY_HEADER, rc == RC_LIMIT ?
		    "PROXY header too long" : "no PROXY header, or a broken one"));
	if (rc == RC_OK)
		got = (ssize_t)(h->bytes - had);
	/* No wait and no surprise: these bytes are there. */
	if (receive(t->fd, at, (size_t)got, 0) != got)
		return (failed(f, NET_LOCAL_ERROR, "peeked bytes are gone"));
	buffer_commit(seen, (size_t)got);
	return (rc == RC_OK ? NET_STEP_DONE : NET_STEP_WANT_READ);
}

enum net_step
net_transport_read(struct net_transport *t, void *out, size_t size, size_t *n,
    struct net_fault *f)
{
	ssize_t got;
	int ret;

	*n = 0;
	if (t->ssl != NULL) {
		ssl_before(t);
		ret = SSL_read_ex(t->ssl, out, size, n);
		return (ssl_step(t, ret, errno, false, f));
	}
	got = receive(t->fd, out, size, 0);
	if (got > 0) {
		*n = (size_t)got;
		return (NET_STEP_DONE);
	}
	if (got == 0)
		return (NET_STEP_EOF);
	if (errno == EAGAIN)
		return (NET_STEP_WANT_READ);
	return (failed_errno(f, errno, NET_RESET));
}

/* Output broke because the peer left: its last words may wait to be read.
 * Inside of another stream err says nothing, and the carrier's fault all. */
static void
note_gone(const struct net_transport *t, struct net_fault *f, int err)
{
	if (t->carrier != NULL)
		return;
	f->peer_gone = f->reason == NET_RESET &&
	    (err == EPIPE || err == ECONNRESET || err == ENOTCONN);
}

enum net_step
net_transport_write(struct net_transport *t, const void *data, size_t len,
    size_t *n, struct net_fault *f)
{
	enum net_step step;
	ssize_t put;
	int ret, err;

	*n = 0;
	if (t->ssl != NULL) {
		ssl_before(t);
		ret = SSL_write_ex(t->ssl, data, len, n);
		err = errno;
		step = ssl_step(t, ret, err, false, f);
		/* close_notify ends the peer's sending only; behind it
		 * SSL_get_error calls every failed write(2) the end. */
		if (step == NET_STEP_EOF)
			step = outer_broke(t, false, f) ? NET_STEP_FAILED :
			    failed_errno(f, err, NET_RESET);
	} else {
		do {
			put = send(t->fd, data, len, MSG_NOSIGNAL);
		} while (put < 0 && errno == EINTR);
		err = errno;
		if (put >= 0) {
			*n = (size_t)put;
			return (NET_STEP_DONE);
		}
		if (err == EAGAIN)
			return (NET_STEP_WANT_WRITE);
		step = failed_errno(f, err, NET_RESET);
	}
	if (step == NET_STEP_FAILED)
		note_gone(t, f, err);
	return (step);
}

/* Once only: the next SSL_shutdown would wait for the peer's.  It comes again
 * while the outer TLS cannot send its own. */
static enum net_step
say_bye(struct net_transport *t, struct net_fault *f)
{
	enum net_step step;
	int ret, err;

	if (t->ssl == NULL || t->said_bye)
		return (NET_STEP_DONE);
	ssl_before(t);
	ret = SSL_shutdown(t->ssl);
	err = errno;
	/* 0: ours is sent, the peer's is still to come. */
	if (ret < 0) {
		step = ssl_step(t, ret, err, false, f);
		/* As in net_transport_write. */
		if (step == NET_STEP_EOF && outer_broke(t, false, f))
			step = NET_STEP_FAILED;
		if (step == NET_STEP_FAILED)
			note_gone(t, f, err);
		if (step != NET_STEP_DONE && step != NET_STEP_EOF)
			return (step);
	}
	ERR_clear_error();
	t->said_bye = true;
	return (NET_STEP_DONE);
}

enum net_step
net_transport_end(struct net_transport *t, struct net_fault *f)
{
	enum net_step step;
	int err;

	if ((step = say_bye(t, f)) != NET_STEP_DONE)
		return (step);
	if (t->carrier != NULL)
		return (net_transport_end(net_carrier_outer(t->carrier), f));
	if (shutdown(t->fd, SHUT_WR) == 0)
		return (NET_STEP_DONE);
	err = errno;
	(void)failed_errno(f, err, NET_RESET);
	note_gone(t, f, err);
	return (NET_STEP_FAILED);
}

static bool
ssl_has_inside(const SSL *ssl)
{
	return (SSL_pending(ssl) > 0 || SSL_has_pending(ssl));
}

bool
net_transport_has_inside(const struct net_transport *t)
{
	return ((t->ssl != NULL && ssl_has_inside(t->ssl)) ||
	    (t->carrier != NULL && net_carrier_has_inside(t->carrier)));
}

/*
 * CLEANSE_PLAINTEXT wiped each byte as it was handed out, so that what is left
 * is ciphertext; but while it is set, OpenSSL wipes the whole buffer once more
 * before it frees it.  By hand and not by SSL_MODE_RELEASE_BUFFERS, which does
 * that after each read.  Never inside a record: OpenSSL before 3.0.14 forgets
 * that it has read the header (CVE-2024-4741).
 */
static void
ssl_rest(SSL *ssl)
{
	if (ssl_has_inside(ssl) || strcmp(SSL_rstate_string(ssl), "RH") != 0)
		return;
	SSL_clear_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
	(void)SSL_free_buffers(ssl);	/* not if a write is half out */
	SSL_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
}

void
net_transport_rest(struct net_transport *t)
{
	if (t->ssl != NULL)
		ssl_rest(t->ssl);
	if (t->carrier != NULL)
		net_transport_rest(net_carrier_outer(t->carrier));
}

enum net_step
net_transport_drop(struct net_transport *t)
{
	char junk[DROP_BYTES];
	ssize_t n = -1;

	/* Raw bytes even under TLS: nobody will look at them. */
	for (unsigned i = 0; i < DROP_CALLS; i++) {
		n = recv(t->fd, junk, sizeof(junk), 0);
		if (n == 0)
			return (NET_STEP_EOF);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && t->ssl == NULL)
			secret_wipe(junk, (size_t)n);
	}
	if (n > 0 || errno == EINTR)
		return (NET_STEP_DONE);
	return (errno == EAGAIN ? NET_STEP_WANT_READ : NET_STEP_FAILED);
}

bool
net_transport_is_quiet(struct net_transport *t)
{
	enum net_step step;
	struct net_fault f;
	size_t n;
	char byte;
	int ret;

	/* Nearly always nothing is there, and this is the cheapest way to
	 * see it; what is inside already was looked at when it came. */
	if (receive(t->fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN)
		return (true);
	if (t->ssl == NULL)
		return (false);
	/* A look inside: session tickets come late and are no answer. */
	ssl_before(t);
	ret = SSL_peek_ex(t->ssl, &byte, 1, &n);
	step = ssl_step(t, ret, errno, false, &f);
	return (step == NET_STEP_WANT_READ);
}

void
net_transport_close(struct net_transport *t)
{
	if (t->ssl != NULL) {
		/* Else SSL_free marks the session as not to be resumed for
		 * the lack of a close_notify (TLS 1.1 dropped that rule);
		 * after a fatal alert it already is. */
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN |
		    SSL_RECEIVED_SHUTDOWN);
		SSL_free(t->ssl);
		t->ssl = NULL;
		ERR_clear_error();
	}
	if (t->carrier == NULL)
		fd_close(&t->fd);
	net_carrier_free(&t->carrier);	/* closes the socket */
	t->fd = -1;
}
