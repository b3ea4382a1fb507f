/*
 * ctl/probe.c - a non-blocking socket and poll, so that one deadline holds for
 * everything, and BIO_f_ssl for TLS inside of TLS.
 */
#include "ctl/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/http/chunked.h"
#include "lib/http/framing.h"

#define READ_BYTES	16384

struct probe {
	unsigned	magic;
#define PROBE_MAGIC	0x66d0f3a9
	uint64_t	t_deadline_ms;
	int		fd;		/* owned; -1: none */
	SSL		*tls[2];	/* owned: outside, inside */
	struct buffer	in;		/* owned: read, not used yet */
	struct http_head head;
	long		verified;
	char		why[256];
};

struct probe *
probe_new(unsigned timeout_ms)
{
	struct probe *p = xcalloc(1, sizeof(*p));

	p->magic = PROBE_MAGIC;
	p->t_deadline_ms = clock_mono_ms() + timeout_ms;
	p->fd = -1;
	buffer_init(&p->in, 0, true);
	http_head_init(&p->head);
	return (p);
}

void
probe_free(struct probe **pp)
{
	struct probe *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, PROBE_MAGIC);
	SSL_free(p->tls[1]);
	SSL_free(p->tls[0]);
	fd_close(&p->fd);
	http_head_fini(&p->head);
	buffer_fini(&p->in);
	p->magic = 0;
	free(p);
}

const char *
probe_why(const struct probe *p)
{
	return (p->why);
}

static enum rc
fail(struct probe *p, enum rc rc, const char *why)
{
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
	return (rc);
}

static enum rc
wait_for(struct probe *p, short events)
{
	struct pollfd pfd = { .fd = p->fd, .events = events };
	uint64_t now;
	int n;

	do {
		now = clock_mono_ms();
		if (now >= p->t_deadline_ms)
			return (fail(p, RC_TIMEOUT, "no answer in time"));
		n = poll(&pfd, 1, (int)(p->t_deadline_ms - now));
	} while (n == 0 || (n < 0 && errno == EINTR));
	return (n > 0 ? RC_OK : fail(p, RC_IO, strerror(errno)));
}

/* ---- TCP ------------------------------------------------------------------------------ */

static enum rc
connect_one(struct probe *p, const struct addrinfo *a)
{
	socklen_t len = sizeof(int);
	int error = 0;
	enum rc rc;

	fd_close(&p->fd);
	p->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (p->fd < 0)
		return (fail(p, RC_UNAVAILABLE, strerror(errno)));
	if (connect(p->fd, a->ai_addr, a->ai_addrlen) == 0)
		return (RC_OK);
	if (errno != EINPROGRESS)
		return (fail(p, RC_UNAVAILABLE, strerror(errno)));
	if ((rc = wait_for(p, POLLOUT)) != RC_OK)
		return (rc);
	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	return (error == 0 ? RC_OK : fail(p, RC_UNAVAILABLE, strerror(error)));
}

enum rc
probe_connect(struct probe *p, const struct endpoint *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICSERV }, *found = NULL;
	enum rc rc = RC_NOTFOUND;
	char port[8];
	int error;

	obj_check(p, PROBE_MAGIC);
	p->why[0] = '\0';
	(void)snprintf(port, sizeof(port), "%u", e->port);
	if ((error = getaddrinfo(e->host, port, &hints, &found)) != 0)
		return (fail(p, RC_NOTFOUND, gai_strerror(error)));
	for (struct addrinfo *a = found; rc != RC_OK && a != NULL;
	    a = a->ai_next)
		rc = connect_one(p, a);
	freeaddrinfo(found);
	return (rc);
}

/* ---- TLS -------------------------------------------------------------------------------- */

static SSL *
innermost(const struct probe *p)
{
	return (p->tls[1] != NULL ? p->tls[1] : p->tls[0]);
}

/* RC_OK: try again. */
static enum rc
wait_tls(struct probe *p, SSL *tls, int result)
{
	unsigned long error;
	char text[160];

	switch (SSL_get_error(tls, result)) {
	case SSL_ERROR_WANT_READ:
		return (wait_for(p, POLLIN));
	case SSL_ERROR_WANT_WRITE:
		return (wait_for(p, POLLOUT));
	case SSL_ERROR_ZERO_RETURN:
		return (fail(p, RC_EOF, "the peer closed the connection"));
	case SSL_ERROR_SYSCALL:
		return (fail(p, RC_EOF, "the connection broke"));
	default:
		error = ERR_peek_last_error();
		if (ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return (fail(p, RC_EOF, "the peer closed the "
			    "connection"));
		(void)snprintf(text, sizeof(text), "%s", error == 0 ?
		    "TLS failed" : ERR_reason_error_string(error));
		return (fail(p, RC_IO, text));
	}
}

static bool
set_name(SSL *tls, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls);
	char copy[HOST_BYTES];	/* OpenSSL's macro casts const away */

	if (!span_copy(span_of(name), copy, sizeof(copy)))
		return (false);
	if (host_is_ip(name))
		return (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1);
	return (X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
	    SSL_set_tlsext_host_name(tls, copy) == 1);
}

/* On the socket, or inside of the TLS there is. */
static bool
set_carrier(const struct probe *p, SSL *tls)
{
	BIO *bio;

	if (p->tls[0] == NULL)
		return (SSL_set_fd(tls, p->fd) == 1);
	if ((bio = BIO_new(BIO_f_ssl())) == NULL)
		return (false);
	(void)BIO_set_ssl(bio, p->tls[0], BIO_NOCLOSE);
	SSL_set_bio(tls, bio, bio);
	return (true);
}

static SSL *
make_tls(struct probe *p, X509_STORE *trusted, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *tls = NULL;

	if (ctx == NULL)
		return (NULL);
	SSL_CTX_set1_cert_store(ctx, trusted);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	if ((tls = SSL_new(ctx)) != NULL &&
	    (!set_name(tls, name) || !set_carrier(p, tls))) {
		SSL_free(tls);
		tls = NULL;
	}
	SSL_CTX_free(ctx);
	return (tls);
}

enum rc
probe_tls(struct probe *p, X509_STORE *trusted, const char *name)
{
	bool inside = p->tls[0] != NULL;
	enum rc rc = RC_OK;
	SSL *tls;
	int n;

	obj_check(p, PROBE_MAGIC);
	ensure(p->tls[1] == NULL);
	p->why[0] = '\0';
	p->verified = X509_V_OK;
	ERR_clear_error();
	if ((tls = make_tls(p, trusted, name)) == NULL)
		return (fail(p, RC_IO, "OpenSSL failed"));
	while (rc == RC_OK && (n = SSL_connect(tls)) != 1)
		rc = wait_tls(p, tls, n);
	ERR_clear_error();
	if (rc != RC_OK) {
		p->verified = SSL_get_verify_result(tls);
		if (p->verified != X509_V_OK)
			rc = fail(p, RC_DENIED,
			    X509_verify_cert_error_string(p->verified));
		SSL_free(tls);
		return (rc == RC_EOF ? RC_IO : rc);
	}
	p->tls[inside] = tls;
	return (RC_OK);
}

long
probe_verified(const struct probe *p)
{
	return (p->verified);
}

const char *
probe_tls_version(const struct probe *p)
{
	return (SSL_get_version(innermost(p)));
}

X509 *
probe_certificate(const struct probe *p)
{
	return (SSL_get1_peer_certificate(innermost(p)));
}

bool
probe_chains_to(const struct probe *p, X509_STORE *trusted)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *leaf = probe_certificate(p);
	bool fine = ctx != NULL && leaf != NULL &&
	    X509_STORE_CTX_init(ctx, trusted, leaf,
	    SSL_get_peer_cert_chain(innermost(p))) == 1 &&
	    X509_STORE_CTX_set_default(ctx, "ssl_server") == 1 &&
	    X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	X509_free(leaf);
	ERR_clear_error();
	return (fine);
}

/* ---- bytes ------------------------------------------------------------------------------- */

static enum rc
write_some(struct probe *p, struct span *left)
{
	SSL *tls = innermost(p);
	ssize_t n;

	ERR_clear_error();
	if (tls != NULL)
		n = SSL_write(tls, left->p, (int)left->len);
	else
		n = send(p->fd, left->p, left->len, MSG_NOSIGNAL);
	if (n > 0) {
		left->p += n;
		left->len -= (size_t)n;
		return (RC_OK);
	}
	if (tls != NULL)
		return (wait_tls(p, tls, (int)n));
	if (errno == EAGAIN)
		return (wait_for(p, POLLOUT));
	return (fail(p, RC_IO, strerror(errno)));
}

/* RC_OK: more is in p->in, or it is worth another try. */
static enum rc
read_some(struct probe *p)
{
	SSL *tls = innermost(p);
	ssize_t n;
	char *room;

	if (buffer_reserve(&p->in, READ_BYTES, &room) != RC_OK)
		return (fail(p, RC_IO, "no memory"));
	ERR_clear_error();
	n = tls != NULL ? SSL_read(tls, room, READ_BYTES) :
	    recv(p->fd, room, READ_BYTES, 0);
	buffer_commit(&p->in, n > 0 ? (size_t)n : 0);
	if (n > 0)
		return (RC_OK);
	if (tls != NULL)
		return (wait_tls(p, tls, (int)n));
	if (n == 0)
		return (fail(p, RC_EOF, "the peer closed the connection"));
	if (errno == EAGAIN)
		return (wait_for(p, POLLIN));
	return (fail(p, RC_IO, strerror(errno)));
}

/* ---- answers ------------------------------------------------------------------------------ */

static enum rc
read_head(struct probe *p)
{
	const struct http_limits limits = HTTP_LIMITS_DEFAULT;
	enum rc rc;

	for (;;) {
		http_head_reset(&p->head);
		rc = http_head_response(&p->head, buffer_data(&p->in),
		    buffer_len(&p->in), &limits);
		if (rc == RC_SYNTAX)
			return (fail(p, RC_SYNTAX, "the answer is no HTTP"));
		/* 1xx come before an answer (RFC 9110 15.2). */
		if (rc == RC_OK && p->head.status >= 200)
			return (RC_OK);
		if (rc == RC_OK)
			buffer_consume(&p->in, p->head.bytes);
		else if ((rc = read_some(p)) != RC_OK)
			return (rc);
	}
}

/* Bytes from `at` on, at most max of them in all; stops at the end. */
static enum rc
read_until(struct probe *p, size_t want, bool *ended)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && buffer_len(&p->in) < want)
		rc = read_some(p);
	*ended = rc == RC_EOF;
	return (rc == RC_EOF ? RC_OK : rc);
}

static enum rc
read_chunks(struct probe *p, size_t at, struct buffer *body)
{
	struct http_chunked decoder;
	size_t used, len;
	const char *out;
	enum rc rc;

	http_chunked_init(&decoder, PROBE_BODY_MAX);
	for (;;) {
		rc = http_chunked_feed(&decoder, buffer_data(&p->in) + at,
		    buffer_len(&p->in) - at, &used, &out, &len);
		if (rc == RC_SYNTAX)
			return (fail(p, RC_SYNTAX, "the answer's chunks are "
			    "broken"));
		at += used;
		if (len != 0)
			buffer_put(body, out, len);
		if (rc == RC_OK || rc == RC_LIMIT)
			return (RC_OK);
		if (used == 0 && (rc = read_some(p)) != RC_OK)
			return (rc);
	}
}

/* The head points into what was read, so that stays as it is. */
static enum rc
read_body(struct probe *p, enum http_method to, struct buffer *body)
{
	struct http_framing framing;
	size_t at = p->head.bytes, want = PROBE_BODY_MAX;
	bool ended = false;
	enum rc rc;

	if (http_framing_response(&p->head, to, &framing) != RC_OK)
		return (fail(p, RC_SYNTAX, "the answer's length is ambiguous"));
	switch (framing.kind) {
	case HTTP_BODY_NONE:
		return (RC_OK);
	case HTTP_BODY_CHUNKED:
		return (read_chunks(p, at, body));
	case HTTP_BODY_LENGTH:
		if (framing.length < want)
			want = (size_t)framing.length;
		break;
	case HTTP_BODY_UNTIL_CLOSE:
		break;
	}
	if ((rc = read_until(p, at + want, &ended)) != RC_OK)
		return (rc);
	if (ended && framing.kind == HTTP_BODY_LENGTH)
		return (RC_EOF);
	if (buffer_len(&p->in) - at < want)
		want = buffer_len(&p->in) - at;
	buffer_put(body, buffer_data(&p->in) + at, want);
	return (RC_OK);
}

enum rc
probe_request(struct probe *p, struct span request, enum http_method to,
    const struct http_head **head, struct buffer *body)
{
	const struct http_limits limits = HTTP_LIMITS_DEFAULT;
	enum rc rc = RC_OK;

	obj_check(p, PROBE_MAGIC);
	*head = NULL;
	p->why[0] = '\0';
	buffer_clear(&p->in);		/* of the answer before */
	buffer_clear(body);
	while (rc == RC_OK && request.len != 0)
		rc = write_some(p, &request);
	if (rc == RC_OK)
		rc = read_head(p);
	if (rc == RC_OK)
		rc = read_body(p, to, body);
	if (rc != RC_OK)
		return (rc);
	/* The client speaks first in a tunnel (spec/sdk-api.md 4.1). */
	if (to == HTTP_CONNECT && p->head.status / 100 == 2 &&
	    buffer_len(&p->in) != p->head.bytes)
		return (fail(p, RC_SYNTAX, "bytes behind the answer to CONNECT"));
	/* What it points to may have moved while the body came. */
	http_head_reset(&p->head);
	ensure(http_head_response(&p->head, buffer_data(&p->in),
	    buffer_len(&p->in), &limits) == RC_OK);
	*head = &p->head;
	return (RC_OK);
}
