/*
 * bench/tunnelload_client.c - a tunnel's states.  TLS in TLS is a chain of
 * BIO_f_ssl: the inner one reads records out of the outer one's.
 */
#include "bench/tunnelload_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#define HEAD_MAX	16384	/* of an answer, and what follows a wrong one */

void
tunnel_die(const char *what)
{
	fprintf(stderr, "tunnelload: %s\n", what);
	exit(2);
}

void
tunnel_init(struct tunnel *t, const struct tunnel_plan *plan)
{
	memset(t, 0, sizeof(*t));
	t->plan = plan;
	t->fd = -1;
	if ((t->answer = malloc(plan->expect.len + HEAD_MAX + 1)) == NULL)
		tunnel_die("no memory");
}

void
tunnel_fini(struct tunnel *t)
{
	tunnel_close(t);
	free(t->answer);
	t->answer = NULL;
}

static enum tunnel_turn
failed(struct tunnel *t, const char *why)
{
	t->why = why;
	return (TUNNEL_FAILED);
}

/* ---- reading and writing, by whichever layer is up ---- */

/* > 0: bytes; 0: would block; < 0: over. */
static int
tls_result(SSL *ssl, int n)
{
	if (n > 0)
		return (n);
	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return (0);
	default:
		return (-1);
	}
}

static SSL *
layer(const struct tunnel *t)
{
	return (t->inner != NULL ? t->inner : t->outer);
}

static int
read_some(struct tunnel *t, char *to, size_t room)
{
	SSL *ssl = layer(t);
	ssize_t n;

	if (ssl != NULL)
		return (tls_result(ssl, SSL_read(ssl, to, (int)room)));
	if ((n = read(t->fd, to, room)) > 0)
		return ((int)n);
	return (n < 0 && errno == EAGAIN ? 0 : -1);
}

static int
write_some(struct tunnel *t, const char *from, size_t len)
{
	SSL *ssl = layer(t);
	ssize_t n;

	if (ssl != NULL)
		return (tls_result(ssl, SSL_write(ssl, from, (int)len)));
	if ((n = write(t->fd, from, len)) > 0)
		return ((int)n);
	return (n < 0 && (errno == EAGAIN || errno == ENOTCONN) ? 0 : -1);
}

/* ---- life ---- */

static SSL *
new_tls(const struct tunnel_plan *p)
{
	SSL *ssl = SSL_new(p->ctx);

	if (ssl == NULL || SSL_set_tlsext_host_name(ssl, p->host) != 1 ||
	    SSL_set1_host(ssl, p->host) != 1)
		tunnel_die("no TLS");
	SSL_set_connect_state(ssl);
	return (ssl);
}

static void
begin_inner(struct tunnel *t)
{
	BIO *bio;

	t->inner = new_tls(t->plan);
	if (t->outer == NULL) {
		if (SSL_set_fd(t->inner, t->fd) != 1)
			tunnel_die("no TLS");
	} else {
		if ((bio = BIO_new(BIO_f_ssl())) == NULL ||
		    BIO_set_ssl(bio, t->outer, BIO_CLOSE) != 1)
			tunnel_die("no TLS");
		SSL_set_bio(t->inner, bio, bio);
	}
	t->state = TUNNEL_INNER;
}

bool
tunnel_open(struct tunnel *t)
{
	const struct tunnel_plan *p = t->plan;
	int on = 1;

	t->sent = t->have = t->need = 0;
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0)
		tunnel_die("no descriptor");
	(void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(t->fd, (const struct sockaddr *)&p->server,
	    sizeof(p->server)) != 0 && errno != EINPROGRESS) {
		t->why = "connect";
		return (false);
	}
	switch (p->form) {
	case TUNNEL_TLS:
		t->outer = new_tls(p);
		if (SSL_set_fd(t->outer, t->fd) != 1)
			tunnel_die("no TLS");
		t->state = TUNNEL_OUTER;
		break;
	case TUNNEL_PLAIN:
		t->state = TUNNEL_CONNECT;
		break;
	case TUNNEL_DIRECT:
		begin_inner(t);
		break;
	}
	return (true);
}

void
tunnel_ask(struct tunnel *t)
{
	t->sent = t->have = t->need = 0;
	t->state = TUNNEL_REQUEST;
}

void
tunnel_close(struct tunnel *t)
{
	ERR_clear_error();
	if (t->inner != NULL) {
		(void)SSL_shutdown(t->inner);
		SSL_free(t->inner);	/* its BIO ends the outer one */
	} else
		SSL_free(t->outer);
	t->inner = t->outer = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	t->state = TUNNEL_CLOSED;
}

/* ---- steps: each may pass into the next ---- */

static enum tunnel_turn
shake_hands(struct tunnel *t, SSL *ssl, enum tunnel_state then)
{
	int n = SSL_do_handshake(ssl);

	if (n == 1) {
		t->state = then;
		return (TUNNEL_ANSWERED);
	}
	if (tls_result(ssl, n) == 0)
		return (TUNNEL_WAIT);
	return (failed(t, ssl == t->inner ? "handshake inside" : "handshake"));
}

static enum tunnel_turn
send_all(struct tunnel *t, const struct tunnel_bytes *b, enum tunnel_state then)
{
	while (t->sent < b->len) {
		int n = write_some(t, b->at + t->sent, b->len - t->sent);

		if (n == 0)
			return (TUNNEL_WAIT);
		if (n < 0)
			return (failed(t, "write"));
		t->sent += (size_t)n;
	}
	t->sent = t->have = t->need = 0;
	t->state = then;
	/* The answer is not there yet: its arrival wakes us. */
	return (TUNNEL_WAIT);
}

/* A 200 to CONNECT is its head and nothing more (RFC 9110 9.3.6). */
static enum tunnel_turn
read_connected(struct tunnel *t)
{
	int n;

	while ((n = read_some(t, t->answer + t->have, HEAD_MAX - t->have)) > 0) {
		t->have += (size_t)n;
		if (t->have < 13)
			continue;
		if (strncmp(t->answer, "HTTP/1.", 7) != 0 ||
		    strncmp(t->answer + 8, " 200 ", 5) != 0)
			return (failed(t, "CONNECT: no 200"));
		if (memcmp(t->answer + t->have - 4, "\r\n\r\n", 4) != 0)
			continue;
		begin_inner(t);
		return (TUNNEL_ANSWERED);
	}
	return (n == 0 ? TUNNEL_WAIT : failed(t, "CONNECT: no answer"));
}

/* The head's end, once it is there: sets t->need. */
static bool
judge_head(struct tunnel *t)
{
	const struct tunnel_bytes *expect = &t->plan->expect;
	const char *end, *length;

	t->answer[t->have] = '\0';
	if ((end = strstr(t->answer, "\r\n\r\n")) == NULL)
		return (t->have < HEAD_MAX);
	length = strcasestr(t->answer, "\r\nContent-Length:");
	if (strncmp(t->answer + 8, " 200 ", 5) != 0 || length == NULL ||
	    length > end)
		return (false);
	t->need = (size_t)(end + 4 - t->answer) + strtoul(length + 17, NULL, 10);
	return (t->need <= expect->len + HEAD_MAX);
}

static bool
is_expected(const struct tunnel *t)
{
	const struct tunnel_bytes *expect = &t->plan->expect;

	if (t->have != t->need)
		return (false);
	return (t->plan->any_answer || (t->need > expect->len &&
	    memcmp(t->answer + t->need - expect->len, expect->at,
	    expect->len) == 0 &&
	    memcmp(t->answer + t->need - expect->len - 4, "\r\n\r\n", 4) == 0));
}

static enum tunnel_turn
read_answer(struct tunnel *t)
{
	size_t room = t->plan->expect.len + HEAD_MAX;
	int n;

	while ((n = read_some(t, t->answer + t->have, room - t->have)) > 0) {
		t->have += (size_t)n;
		if (t->need == 0 && !judge_head(t))
			return (failed(t, "no 200 with a length"));
		if (t->need == 0 || t->have < t->need)
			continue;
		return (is_expected(t) ? TUNNEL_ANSWERED :
		    failed(t, "not the answer that was expected"));
	}
	return (n == 0 ? TUNNEL_WAIT : failed(t, "cut"));
}

/* One state; ANSWERED: the next one may go on at once. */
static enum tunnel_turn
step(struct tunnel *t)
{
	const struct tunnel_plan *p = t->plan;

	switch (t->state) {
	case TUNNEL_CLOSED:
		return (failed(t, "closed"));
	case TUNNEL_OUTER:
		return (shake_hands(t, t->outer, TUNNEL_CONNECT));
	case TUNNEL_CONNECT:
		return (send_all(t, &p->connect, TUNNEL_CONNECTED));
	case TUNNEL_CONNECTED:
		return (read_connected(t));
	case TUNNEL_INNER:
		return (shake_hands(t, t->inner, TUNNEL_REQUEST));
	case TUNNEL_REQUEST:
		return (send_all(t, &p->request, TUNNEL_ANSWER));
	case TUNNEL_ANSWER:
		return (read_answer(t));
	}
	return (failed(t, "state"));
}

enum tunnel_turn
tunnel_step(struct tunnel *t)
{
	enum tunnel_turn turn;
	bool asked;

	ERR_clear_error();
	do {
		asked = t->state == TUNNEL_ANSWER;
		turn = step(t);
	} while (turn == TUNNEL_ANSWERED && !asked);
	return (turn);
}
