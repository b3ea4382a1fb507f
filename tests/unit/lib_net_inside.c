/* tests/unit/lib_net_inside.c - outer streams, and a client by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <openssl/err.h>

#include "tests/unit/lib_net_inside.h"

const enum outer outers[OUTERS] = { OUTER_PLAIN, OUTER_TLS };

const char *
outer_name(enum outer outer)
{
	return (outer == OUTER_TLS ? "in tls" : "in plain");
}

bool
server_ready(struct pair *p)
{
	return (p->server.ready != 0);
}

bool
server_ended(struct pair *p)
{
	return (p->server.eof != 0 || p->server.errors != 0);
}

void
accept_inside(struct end *e)
{
	e->ready = e->inputs = 0;
	e->s = net_stream_accept_inside(&e->s, stage.server, &end_ops, e);
}

SSL *
outer_ssl(struct net_stream *s)
{
	return (net_carrier_outer(s->io.carrier)->ssl);
}

void
hand_open(struct hand *h, enum outer outer, SSL_CTX *ctx)
{
	char name[] = "a.test";	/* OpenSSL's macro casts const away */

	kind_open_outer(&h->p, outer, MEDIUM_TCP, 0);
	h->p.server.take = false;
	h->ssl = SSL_new(ctx);
	h->in = BIO_new(BIO_s_mem());
	h->out = BIO_new(BIO_s_mem());
	SSL_set_bio(h->ssl, h->in, h->out);
	assert_int_equal(SSL_set_tlsext_host_name(h->ssl, name), 1);
	SSL_set_connect_state(h->ssl);
}

void
hand_close(struct hand *h)
{
	SSL_set_shutdown(h->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(h->ssl);
	ERR_clear_error();
	pair_close(&h->p);
}

void
hand_say(struct hand *h, size_t n)
{
	char *data;

	assert_true(BIO_get_mem_data(h->out, &data) >= (long)n);
	assert_int_equal(net_stream_write(h->p.client.s, data, n), RC_OK);
	net_stream_flush(h->p.client.s);
	for (size_t i = 0; i < n; i++)		/* consumed */
		assert_int_equal(BIO_read(h->out, &(char){ 0 }, 1), 1);
}

void
hand_say_all(struct hand *h, bool by_byte)
{
	size_t left;

	while ((left = BIO_ctrl_pending(h->out)) != 0) {
		hand_say(h, by_byte ? 1 : left);
		loop_turn(h->p.loop, false);
	}
}

static void
hand_hear(struct hand *h)
{
	struct buffer *got = &h->p.client.got;

	loop_turn(h->p.loop, false);
	if (buffer_len(got) == 0)
		return;
	assert_int_equal(BIO_write(h->in, buffer_data(got),
	    (int)buffer_len(got)), (int)buffer_len(got));
	buffer_clear(got);
}

size_t
hand_hello(struct hand *h)
{
	assert_int_equal(SSL_do_handshake(h->ssl), -1);
	assert_int_equal(SSL_get_error(h->ssl, -1), SSL_ERROR_WANT_READ);
	return (BIO_ctrl_pending(h->out));
}

void
hand_shake(struct hand *h, bool by_byte)
{
	while (SSL_do_handshake(h->ssl) != 1) {
		assert_int_equal(SSL_get_error(h->ssl, -1),
		    SSL_ERROR_WANT_READ);
		hand_say_all(h, by_byte);
		hand_hear(h);
	}
	hand_say_all(h, by_byte);
}

void
hand_echo(struct hand *h, bool by_byte)
{
	char got[8] = "";
	int n;

	assert_int_equal(SSL_write(h->ssl, "ask!", 4), 4);
	hand_say_all(h, by_byte);
	pair_until(&h->p, server_got_4);
	assert_true(end_got(&h->p.server, "ask!"));
	end_send(&h->p.server, "answ");
	while ((n = SSL_read(h->ssl, got, sizeof(got))) <= 0) {
		assert_int_equal(SSL_get_error(h->ssl, n), SSL_ERROR_WANT_READ);
		hand_hear(h);
	}
	assert_int_equal(n, 4);
	assert_memory_equal(got, "answ", 4);
}

void
hand_begin(struct hand *h, size_t cut)
{
	struct end *server = &h->p.server;

	if (cut != 0)
		hand_say(h, cut);
	while (buffer_len(&server->s->in) < cut)
		loop_turn(h->p.loop, true);
	end_send(server, ANSWER);
	server->take = true;
	accept_inside(server);
	assert_int_equal(net_stream_unsent(server->s), strlen(ANSWER));
}

void
hand_hear_answer(struct hand *h)
{
	struct buffer *got = &h->p.client.got;

	while (buffer_len(got) < strlen(ANSWER))
		loop_turn(h->p.loop, true);
	assert_memory_equal(buffer_data(got), ANSWER, strlen(ANSWER));
	buffer_consume(got, strlen(ANSWER));
}
