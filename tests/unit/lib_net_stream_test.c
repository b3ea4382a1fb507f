/* tests/unit/lib_net_stream_test.c - streams in fair and foul weather. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/timer.h"
#include "lib/net/stream_private.h"
#include "tests/unit/lib_net_pair.h"

#define TINY_SNDBUF	4096
#define BIG		((size_t)1 << 20)

static struct {
	struct test_cert	*ca, *other_ca, *leaf, *expired;
	SSL_CTX			*server, *client, *stranger;
} t;

static int
setup(void **state)
{
	(void)state;
	t.ca = test_ca_new("ca");
	t.other_ca = test_ca_new("other");
	t.leaf = test_leaf_new(t.ca, "leaf",
	    "DNS:a.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1", 3600);
	t.expired = test_leaf_new(t.ca, "old", "DNS:a.test", -60);
	t.server = test_server_ctx(t.leaf, TLS1_2_VERSION);
	t.client = test_client_ctx(t.ca, TLS1_2_VERSION);
	t.stranger = test_client_ctx(t.other_ca, TLS1_2_VERSION);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	SSL_CTX_free(t.server);
	SSL_CTX_free(t.client);
	SSL_CTX_free(t.stranger);
	test_cert_free(&t.ca);
	test_cert_free(&t.other_ca);
	test_cert_free(&t.leaf);
	test_cert_free(&t.expired);
	return (0);
}

/* Every test below that says "each kind" runs over these. */
static const struct kind {
	const char	*name;
	enum medium	medium;
	bool		tls;
	int		max_version;
} kinds[] = {
	{ "plain tcp", MEDIUM_TCP, false, 0 },
	{ "plain unix", MEDIUM_UNIX, false, 0 },
	{ "tls 1.3 tcp", MEDIUM_TCP, true, TLS1_3_VERSION },
	{ "tls 1.3 unix", MEDIUM_UNIX, true, TLS1_3_VERSION },
	{ "tls 1.2 tcp", MEDIUM_TCP, true, TLS1_2_VERSION },
};
#define N_KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static void
open_kind(struct pair *p, const struct kind *k, int sndbuf)
{
	print_message("  %s\n", k->name);
	if (k->tls)
		SSL_CTX_set_max_proto_version(t.server, k->max_version);
	pair_open(p, k->medium, k->tls ? t.server : NULL,
	    k->tls ? t.client : NULL, k->tls ? "a.test" : NULL, sndbuf, true);
	SSL_CTX_set_max_proto_version(t.server, 0);
}

static bool
server_got_4(struct pair *p)
{
	return (buffer_len(&p->server.got) >= 4);
}

static bool
client_got_4(struct pair *p)
{
	return (buffer_len(&p->client.got) >= 4);
}

static bool
client_eof(struct pair *p)
{
	return (p->client.eof != 0 || p->client.errors != 0);
}

static bool
server_eof(struct pair *p)
{
	return (p->server.eof != 0 || p->server.errors != 0);
}

static bool
client_error(struct pair *p)
{
	return (p->client.errors != 0);
}

static bool
server_error(struct pair *p)
{
	return (p->server.errors != 0);
}

static bool
none_lingers(struct pair *p)
{
	(void)p;
	return (net_stream_lingering() == 0);
}

static void
test_ask_and_answer(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], 0);
		assert_int_equal(p.client.ready, 1);
		/* A plain accepted stream is ready as it is. */
		assert_int_equal(p.server.ready, kinds[i].tls ? 1 : 0);
		assert_true((net_stream_ssl(p.server.s) != NULL) ==
		    kinds[i].tls);
		end_send(&p.client, "ask!");
		assert_int_equal(net_stream_unsent(p.client.s), 4);
		pair_until(&p, server_got_4);
		assert_int_equal(net_stream_unsent(p.client.s), 0);
		assert_int_equal(net_stream_sent_total(p.client.s), 4);
		assert_int_equal(net_stream_received_total(p.server.s), 4);
		assert_int_equal(p.client.drained, 1);
		end_send(&p.server, "answ");
		pair_until(&p, client_got_4);
		assert_true(end_got(&p.server, "ask!"));
		assert_true(end_got(&p.client, "answ"));
		pair_close(&p);
	}
}

static bool
both_got_big(struct pair *p)
{
	return (buffer_len(&p->client.got) >= BIG &&
	    buffer_len(&p->server.got) >= BIG);
}

/* Both sockets full at once: each side must read to let the other write, and
 * blocked writes must be repeated with their own bytes. */
static void
test_megabyte_both_ways(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		end_send_pattern(&p.client, BIG);
		end_send_pattern(&p.server, BIG);
		pair_until(&p, both_got_big);
		assert_true(end_got_pattern(&p.client, BIG));
		assert_true(end_got_pattern(&p.server, BIG));
		assert_int_equal(net_stream_unsent(p.client.s), 0);
		assert_int_equal(net_stream_sent_total(p.client.s), BIG);
		assert_int_equal(p.client.errors + p.server.errors, 0);
		assert_true(p.server.max_input <= NET_INPUT_HIGH);
		pair_close(&p);
	}
}

/* One megabyte in one write, while more is appended behind it. */
static void
test_append_while_blocked(void **state)
{
	struct pair p;
	struct buffer b;
	char *at;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		buffer_init(&b, BIG, false);
		assert_int_equal(buffer_reserve(&b, BIG - 10, &at), RC_OK);
		for (size_t n = 0; n < BIG - 10; n++)
			at[n] = pattern_at(n);
		buffer_commit(&b, BIG - 10);
		net_stream_read_pause(p.server.s);
		assert_int_equal(net_stream_write_buffer(p.client.s, &b),
		    RC_OK);
		assert_int_equal(buffer_len(&b), 0);
		for (size_t n = BIG - 10; n < BIG; n++) {
			char c = pattern_at(n);

			pair_settle(&p);
			assert_true(net_stream_unsent(p.client.s) > 0);
			buffer_put(&b, &c, 1);
			assert_int_equal(net_stream_write_buffer(p.client.s,
			    &b), RC_OK);
		}
		assert_int_equal(p.client.drained, 0);
		net_stream_read_resume(p.server.s);
		end_send_pattern(&p.server, BIG);
		pair_until(&p, both_got_big);
		assert_true(end_got_pattern(&p.server, BIG));
		assert_int_equal(p.client.drained, 1);
		buffer_fini(&b);
		pair_close(&p);
	}
}

/* Bytes between the two ends pass one at a time. */
struct pump {
	int	a, b;
	size_t	moved;
};

static void
pump_one(int from, int to, struct pump *pump)
{
	char c;

	if (recv(from, &c, 1, MSG_DONTWAIT) != 1)
		return;
	assert_int_equal(send(to, &c, 1, MSG_NOSIGNAL), 1);
	pump->moved++;
}

static void
on_pump(void *arg)
{
	struct pump *p = arg;

	pump_one(p->a, p->b, p);
	pump_one(p->b, p->a, p);
}

/* Client stream - pump - server stream. */
static void
open_pumped(struct pair *p, struct pump *pump, bool tls)
{
	struct net_stream_connect c = { .ctx = tls ? t.client : NULL,
		.server_name = tls ? "a.test" : NULL };
	struct net_addr addr;
	int fds[2];

	memset(p, 0, sizeof(*p));
	memset(pump, 0, sizeof(*pump));
	p->loop = loop_new();
	end_init(&p->client);
	end_init(&p->server);
	p->listener = listen_on(MEDIUM_TCP, &addr);
	c.addr = &addr;
	p->client.s = net_stream_connect(p->loop, &c, &end_ops, &p->client);
	assert_true((pump->a = accept(p->listener, NULL, NULL)) >= 0);
	fd_close(&p->listener);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fds), 0);
	pump->b = fds[0];
	p->server.s = net_stream_accept(p->loop, fds[1], tls ? t.server : NULL,
	    &end_ops, &p->server);
	loop_idle_add(p->loop, on_pump, pump);
}

static bool
both_got_some(struct pair *p)
{
	return (buffer_len(&p->client.got) >= 300 &&
	    buffer_len(&p->server.got) >= 300);
}

static void
turn_until(struct pair *p, pair_cond *cond)
{
	for (unsigned i = 0; i < 1000000; i++) {
		if (cond(p))
			return;
		loop_turn(p->loop, false);
	}
	fail_msg("never");
}

static void
test_byte_by_byte(void **state)
{
	struct pump pump;
	struct pair p;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		open_pumped(&p, &pump, tls != 0);
		end_send_pattern(&p.client, 300);	/* waits for TLS */
		end_send_pattern(&p.server, 300);
		turn_until(&p, both_got_some);
		assert_true(end_got_pattern(&p.client, 300));
		assert_true(end_got_pattern(&p.server, 300));
		assert_true(pump.moved >= 600);
		net_stream_finish(&p.server.s, 5000);
		/* The pump does not pass on the FIN; close_notify says it. */
		if (tls) {
			turn_until(&p, client_eof);
			assert_int_equal(p.client.eof, 1);
		}
		net_stream_close(&p.client.s);
		loop_idle_del(p.loop, on_pump, &pump);
		fd_close(&pump.a);
		fd_close(&pump.b);
		pair_until(&p, none_lingers);
		pair_close(&p);
	}
}

/* The handshake cut at each byte: an error with a reason, never a hang. */
static void
test_handshake_cut_anywhere(void **state)
{
	struct pump pump;
	struct pair p;
	size_t whole;

	(void)state;
	open_pumped(&p, &pump, true);
	while (p.client.ready == 0 || p.server.ready == 0)
		loop_turn(p.loop, false);
	whole = pump.moved;
	loop_idle_del(p.loop, on_pump, &pump);
	fd_close(&pump.a);
	fd_close(&pump.b);
	pair_close(&p);
	assert_true(whole > 500);
	for (size_t cut = 0; cut + 80 < whole; cut += 37) {
		open_pumped(&p, &pump, true);
		while (pump.moved < cut)
			loop_turn(p.loop, false);
		loop_idle_del(p.loop, on_pump, &pump);
		fd_close(&pump.a);
		fd_close(&pump.b);
		pair_until(&p, client_error);
		pair_until(&p, server_error);
		assert_int_equal(p.server.reason, NET_RESET);
		assert_true(p.client.reason == NET_RESET ||
		    p.client.reason == NET_TRUNCATED);
		pair_close(&p);
	}
}

static void
test_end_told_from_truncation(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], 0);
		end_send(&p.server, "last");
		net_stream_finish(&p.server.s, 5000);
		assert_null(p.server.s);
		pair_until(&p, client_eof);
		assert_true(end_got(&p.client, "last"));
		assert_int_equal(p.client.eof, 1);
		assert_int_equal(p.client.errors, 0);
		pair_close(&p);

		/* Now the same bytes, but the end is only a FIN. */
		open_kind(&p, &kinds[i], 0);
		end_send(&p.server, "last");
		net_stream_flush(p.server.s);
		assert_int_equal(net_stream_unsent(p.server.s), 0);
		assert_int_equal(shutdown(net_stream_fd(p.server.s), SHUT_WR),
		    0);
		pair_until(&p, client_eof);
		assert_true(end_got(&p.client, "last"));
		if (kinds[i].tls) {
			assert_int_equal(p.client.eof, 0);
			assert_int_equal(p.client.reason, NET_TRUNCATED);
		} else
			assert_int_equal(p.client.eof, 1);
		pair_close(&p);
	}
}

static void
test_half_close(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		end_send(&p.client, "ask!");
		net_stream_shutdown(p.client.s);
		assert_int_equal(net_stream_write(p.client.s, "x", 1), RC_IO);
		pair_until(&p, server_eof);
		assert_true(end_got(&p.server, "ask!"));
		assert_int_equal(p.server.eof, 1);
		end_send_pattern(&p.server, 100000);
		while (buffer_len(&p.client.got) < 100000)
			loop_turn(p.loop, true);
		assert_true(end_got_pattern(&p.client, 100000));
		net_stream_finish(&p.server.s, 5000);
		pair_until(&p, client_eof);
		assert_int_equal(p.client.eof, 1);
		/* Both ends have ended: nothing is left to linger for. */
		pair_until(&p, none_lingers);
		pair_close(&p);
	}
}

/* An answer must survive input that nobody read. */
static void
test_linger_saves_the_answer(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		net_stream_read_pause(p.server.s);
		end_send_pattern(&p.client, 300000);	/* more than fits */
		pair_settle(&p);
		end_send_pattern(&p.server, 40000);
		net_stream_finish(&p.server.s, 5000);
		assert_int_equal(net_stream_lingering(), 1);
		pair_until(&p, client_eof);
		assert_int_equal(p.client.errors, 0);
		assert_true(end_got_pattern(&p.client, 40000));
		net_stream_finish(&p.client.s, 5000);
		pair_until(&p, none_lingers);
		pair_close(&p);
	}
}

static void
test_linger_ends_by_itself(void **state)
{
	uint64_t from;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		net_stream_read_pause(p.client.s);
		end_send_pattern(&p.server, 40000);
		from = clock_mono_ms();
		net_stream_finish(&p.server.s, 30);
		pair_until(&p, none_lingers);
		assert_true(clock_mono_ms() - from >= 25);
		pair_close(&p);
	}
}

static void
on_alarm(void *arg)
{
	net_stream_read_resume(arg);
}

/* A slow reader gets everything although it takes longer than linger_ms:
 * progress counts. */
static void
test_linger_waits_for_a_slow_reader(void **state)
{
	struct net_stream *client;
	struct buffer b;
	struct timer tick;
	struct pair p;
	char *at;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		client = p.client.s;
		timer_init(&tick, p.loop, on_alarm, client);
		buffer_init(&b, 0, false);
		assert_int_equal(buffer_reserve(&b, 200000, &at), RC_OK);
		for (size_t n = 0; n < 200000; n++)
			at[n] = pattern_at(n);
		buffer_commit(&b, 200000);
		assert_int_equal(net_stream_write_buffer(p.server.s, &b),
		    RC_OK);
		buffer_fini(&b);
		net_stream_finish(&p.server.s, 60);
		while (!client_eof(&p)) {
			unsigned seen = p.client.inputs;

			while (p.client.inputs == seen && !client_eof(&p))
				loop_turn(p.loop, true);
			net_stream_read_pause(client);
			timer_start_ms(&tick, 20);
		}
		assert_int_equal(p.client.errors, 0);
		assert_true(end_got_pattern(&p.client, 200000));
		timer_fini(&tick);
		net_stream_close(&p.client.s);
		pair_until(&p, none_lingers);
		pair_close(&p);
	}
}

static void
test_close_in_callbacks(void **state)
{
	static const enum close_in where[] = { CLOSE_IN_INPUT,
		CLOSE_IN_DRAINED, CLOSE_IN_EOF };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS * 3 * 2; i++) {
		open_kind(&p, &kinds[i % N_KINDS], 0);
		p.client.close_in = where[i / N_KINDS % 3];
		if (i >= N_KINDS * 3)
			p.client.also_close = &p.server;
		end_send(&p.client, "ask!");
		end_send(&p.server, "answ");
		net_stream_shutdown(p.server.s);
		while (p.client.s != NULL)
			loop_turn(p.loop, true);
		assert_true((p.server.s == NULL) == (i >= N_KINDS * 3));
		pair_settle(&p);
		pair_close(&p);
	}
}

static void
test_close_in_ready_and_error(void **state)
{
	struct pair p;

	(void)state;
	for (int also = 0; also < 2; also++) {
		pair_open(&p, MEDIUM_TCP, t.server, t.client, "a.test", 0,
		    false);
		p.client.close_in = CLOSE_IN_READY;
		p.client.also_close = also ? &p.server : NULL;
		end_send(&p.client, "never sent");
		while (p.client.s != NULL)
			loop_turn(p.loop, true);
		pair_settle(&p);
		pair_close(&p);

		pair_open(&p, MEDIUM_TCP, t.server, t.stranger, "a.test", 0,
		    false);
		p.client.close_in = CLOSE_IN_ERROR;
		p.client.also_close = also ? &p.server : NULL;
		while (p.client.s != NULL)
			loop_turn(p.loop, true);
		assert_int_equal(p.client.errors, 1);
		pair_settle(&p);
		pair_close(&p);
	}
}

static void
test_who_is_trusted(void **state)
{
	static const struct {
		const char	*name;
		bool		stranger;
		bool		expired;
		const char	*why;	/* NULL: accepted */
	} cases[] = {
		{ "a.test", false, false, NULL },
		{ "x.wild.test", false, false, NULL },
		{ "127.0.0.1", false, false, NULL },
		{ "::1", false, false, NULL },
		{ NULL, false, false, NULL },
		{ "b.test", false, false, "hostname mismatch" },
		{ "x.y.wild.test", false, false, "hostname mismatch" },
		{ "127.0.0.2", false, false, "IP address mismatch" },
		{ "a.test", true, false,
		    "unable to get local issuer certificate" },
		{ "a.test", false, true, "certificate has expired" },
	};
	SSL_CTX *old = test_server_ctx(t.expired, TLS1_2_VERSION);
	const char *sni;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pair_open(&p, MEDIUM_TCP, cases[i].expired ? old : t.server,
		    cases[i].stranger ? t.stranger : t.client, cases[i].name,
		    0, cases[i].why == NULL);
		if (cases[i].why == NULL) {
			sni = SSL_get_servername(net_stream_ssl(p.server.s),
			    TLSEXT_NAMETYPE_host_name);
			if (cases[i].name == NULL ||
			    strpbrk(cases[i].name, "gtwxyz") == NULL)
				assert_null(sni);	/* no address */
			else
				assert_string_equal(sni, cases[i].name);
		} else {
			pair_until(&p, client_error);
			assert_int_equal(p.client.reason, NET_TLS_UNTRUSTED);
			assert_string_equal(p.client.why, cases[i].why);
			assert_int_equal(p.client.ready, 0);
			pair_until(&p, server_error);
			assert_int_equal(p.server.reason, NET_TLS_ERROR);
		}
		pair_close(&p);
	}
	SSL_CTX_free(old);
}

static void
test_name_that_cannot_be_checked(void **state)
{
	char longer[300];
	struct pair p;

	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	pair_open(&p, MEDIUM_TCP, t.server, t.client, longer, 0, false);
	assert_int_equal(p.client.errors, 0);	/* only from the loop */
	pair_until(&p, client_error);
	assert_int_equal(p.client.reason, NET_LOCAL_ERROR);
	pair_close(&p);
	pair_open(&p, MEDIUM_TCP, t.server, t.client, "", 0, false);
	pair_until(&p, client_error);
	pair_close(&p);
}

static void
test_refused(void **state)
{
	struct net_stream_connect c = { .ctx = NULL };
	struct net_addr addr;
	struct pair p;
	int fd;

	(void)state;
	memset(&p, 0, sizeof(p));
	p.loop = loop_new();
	for (int i = 0; i < 3; i++) {
		end_init(&p.client);
		if (i == 0) {
			fd = listen_on(MEDIUM_TCP, &addr);
			fd_close(&fd);
		} else if (i == 1)
			assert_int_equal(net_addr_parse("unix:/nowhere/s",
			    &addr), RC_OK);
		else
			addr.ss.ss_family = 200;	/* no such family */
		c.addr = &addr;
		p.client.s = net_stream_connect(p.loop, &c, &end_ops,
		    &p.client);
		assert_int_equal(p.client.errors, 0);
		assert_int_equal(net_stream_write(p.client.s, "x", 1), RC_OK);
		pair_until(&p, client_error);
		assert_int_equal(p.client.reason,
		    i == 2 ? NET_LOCAL_ERROR : NET_REFUSED);
		assert_true(p.client.why[0] != '\0');
		assert_int_equal(p.client.ready, 0);
		assert_int_equal(net_stream_write(p.client.s, "x", 1), RC_IO);
		assert_true(net_stream_unsent(p.client.s) > 0);
		end_fini(&p.client);
	}
	loop_free(&p.loop);
}

static void
test_garbage_instead_of_tls(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct pair p;

	(void)state;
	pair_open(&p, MEDIUM_TCP, t.server, NULL, NULL, 0, false);
	end_send(&p.client, http);
	pair_until(&p, server_error);
	assert_int_equal(p.server.reason, NET_TLS_ERROR);
	assert_string_equal(p.server.why, "http request");
	pair_close(&p);
	/* And garbage between records. */
	pair_open(&p, MEDIUM_TCP, t.server, t.client, "a.test", 0, true);
	assert_true(write(net_stream_fd(p.client.s), http, 20) == 20);
	pair_until(&p, server_error);
	assert_int_equal(p.server.reason, NET_TLS_ERROR);
	assert_int_equal(p.server.inputs, 0);
	pair_close(&p);
}

/* The peer answers and hangs up while we still send: what it said counts. */
static void
test_last_words_before_a_reset(void **state)
{
	struct linger hard = { 1, 0 };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], TINY_SNDBUF);
		net_stream_read_pause(p.server.s);
		end_send(&p.server, "answ");
		net_stream_flush(p.server.s);
		net_stream_read_pause(p.client.s);
		end_send_pattern(&p.client, 1000000);
		pair_settle(&p);
		assert_true(net_stream_unsent(p.client.s) != 0);
		(void)setsockopt(net_stream_fd(p.server.s), SOL_SOCKET,
		    SO_LINGER, &hard, sizeof(hard));
		net_stream_close(&p.server.s);
		net_stream_read_resume(p.client.s);
		pair_until(&p, client_error);
		assert_int_equal(p.client.reason, NET_RESET);
		/* TCP may drop what was not read yet when the reset came by
		 * SO_LINGER; a Unix socket never does. */
		if (kinds[i].medium == MEDIUM_UNIX)
			assert_true(end_got(&p.client, "answ"));
		assert_true(net_stream_unsent(p.client.s) != 0);
		assert_int_equal(net_stream_write(p.client.s, "x", 1), RC_IO);
		pair_close(&p);
	}
}

static void
test_pause_and_high_water(void **state)
{
	struct pair p;
	struct buffer *in;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], 0);
		net_stream_read_pause(p.server.s);
		assert_true(net_stream_read_paused(p.server.s));
		end_send_pattern(&p.client, 100000);
		pair_settle(&p);
		assert_int_equal(p.server.inputs, 0);

		/* Nobody consumes: it stops at the mark, in the middle of a
		 * record too. */
		p.server.take = false;
		net_stream_set_input_high(p.server.s, 1000);
		net_stream_read_resume(p.server.s);
		pair_settle(&p);
		in = net_stream_input(p.server.s);
		assert_int_equal(buffer_len(in), 1000);
		/* Consumed outside of any callback, in pieces; what is inside
		 * TLS has no event to come. */
		while (buffer_len(&p.server.got) < 100000) {
			size_t n = buffer_len(in) < 700 ? buffer_len(in) : 700;

			assert_true(n != 0);
			buffer_put(&p.server.got, buffer_data(in), n);
			buffer_consume(in, n);
			loop_turn(p.loop, false);
			loop_turn(p.loop, false);
			assert_true(buffer_len(in) <= 1000);
		}
		assert_true(end_got_pattern(&p.server, 100000));
		pair_close(&p);
	}
}

static void
test_idle_memory_is_given_back(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], 0);
		end_send(&p.client, "ask!");
		pair_until(&p, server_got_4);
		loop_turn(p.loop, false);
		assert_null(p.client.s->out.mem);
		assert_null(p.server.s->in.mem);
		/* Also when the owner takes its time. */
		p.server.take = false;
		end_send(&p.client, "more");
		pair_settle(&p);
		assert_int_equal(buffer_len(&p.server.s->in), 4);
		buffer_clear(net_stream_input(p.server.s));
		loop_turn(p.loop, false);
		assert_null(p.server.s->in.mem);
		pair_close(&p);
	}
}

static void
test_quiet(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		/* Session tickets of TLS 1.3 are no answer. */
		open_kind(&p, &kinds[i], 0);
		assert_true(net_stream_is_quiet(p.client.s));
		pair_settle(&p);
		assert_true(net_stream_is_quiet(p.client.s));
		end_send(&p.server, "unas");
		net_stream_flush(p.server.s);
		assert_false(net_stream_is_quiet(p.client.s));
		/* The look inside lost nothing. */
		pair_until(&p, client_got_4);
		assert_true(end_got(&p.client, "unas"));
		assert_true(net_stream_is_quiet(p.client.s));
		net_stream_finish(&p.server.s, 5000);
		loop_turn(p.loop, false);
		assert_false(net_stream_is_quiet(p.client.s));
		pair_until(&p, client_eof);
		assert_int_equal(p.client.eof, 1);
		assert_false(net_stream_is_quiet(p.client.s));
		pair_close(&p);
	}
}

static void
write_late(void *arg)
{
	struct pair *p = arg;

	if (net_stream_sent_total(p->client.s) == 0 &&
	    net_stream_unsent(p->client.s) == 0)
		end_send(&p->client, "late");
}

/* Written by an idle hook that runs after ours: must not wait for an event
 * that nobody will cause. */
static void
test_write_from_a_later_hook(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < N_KINDS; i++) {
		open_kind(&p, &kinds[i], 0);
		pair_settle(&p);
		loop_idle_add(p.loop, write_late, &p);
		pair_until(&p, server_got_4);
		assert_true(end_got(&p.server, "late"));
		loop_idle_del(p.loop, write_late, &p);
		pair_close(&p);
	}
}

static void
test_flush_is_at_once(void **state)
{
	struct pair p;
	char got[8];

	(void)state;
	pair_open(&p, MEDIUM_TCP, NULL, NULL, NULL, 0, true);
	end_send(&p.client, "now!");
	net_stream_flush(p.client.s);
	assert_int_equal(net_stream_unsent(p.client.s), 0);
	assert_int_equal(p.client.drained, 1);
	assert_int_equal(recv(net_stream_fd(p.server.s), got, sizeof(got),
	    MSG_PEEK), 4);
	pair_close(&p);
}

static void
test_other_owner(void **state)
{
	struct end next;
	struct pair p;

	(void)state;
	pair_open(&p, MEDIUM_TCP, t.server, t.client, "a.test", 0, true);
	end_init(&next);
	next.s = p.server.s;
	p.server.s = NULL;
	net_stream_set_ops(next.s, &end_ops, &next);
	end_send(&p.client, "ask!");
	while (buffer_len(&next.got) < 4)
		loop_turn(p.loop, true);
	assert_int_equal(p.server.inputs, 0);
	end_fini(&next);
	pair_close(&p);
}

static void
test_socket_options(void **state)
{
	int on = 0, size = 0;
	socklen_t len = sizeof(on);
	struct pair p;

	(void)state;
	pair_open(&p, MEDIUM_TCP, NULL, NULL, NULL, 8192, true);
	assert_int_equal(getsockopt(net_stream_fd(p.client.s), IPPROTO_TCP,
	    TCP_NODELAY, &on, &len), 0);
	assert_true(on != 0);
	on = 0;
	assert_int_equal(getsockopt(net_stream_fd(p.server.s), IPPROTO_TCP,
	    TCP_NODELAY, &on, &len), 0);
	assert_true(on != 0);
	assert_int_equal(getsockopt(net_stream_fd(p.client.s), SOL_SOCKET,
	    SO_SNDBUF, &size, &len), 0);
	assert_int_equal(size, 2 * 8192);	/* the kernel doubles it */
	assert_true(net_addr_is_loopback(net_stream_peer(p.client.s)));
	assert_true(net_addr_is_loopback(net_stream_peer(p.server.s)));
	pair_close(&p);
}

static SSL_SESSION *kept;

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return (1);
}

static void
test_resumption(void **state)
{
	SSL_CTX *client = test_client_ctx(t.ca, TLS1_3_VERSION);
	struct net_stream_connect c = { .ctx = client,
		.server_name = "a.test" };
	struct net_addr addr;
	struct pair p;
	int fd;

	(void)state;
	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT |
	    SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, keep_session);
	for (int i = 0; i < 2; i++) {
		memset(&p, 0, sizeof(p));
		p.loop = loop_new();
		end_init(&p.client);
		end_init(&p.server);
		p.listener = listen_on(MEDIUM_TCP, &addr);
		c.addr = &addr;
		c.session = kept;
		p.client.s = net_stream_connect(p.loop, &c, &end_ops,
		    &p.client);
		fd = accept(p.listener, NULL, NULL);
		fd_close(&p.listener);
		assert_int_equal(fd_nonblock(fd), RC_OK);
		p.server.s = net_stream_accept(p.loop, fd, t.server, &end_ops,
		    &p.server);
		while (p.client.ready == 0)
			loop_turn(p.loop, true);
		assert_int_equal(SSL_session_reused(net_stream_ssl(
		    p.client.s)), i);
		pair_settle(&p);
		assert_non_null(kept);
		pair_close(&p);
	}
	SSL_SESSION_free(kept);
	kept = NULL;
	SSL_CTX_free(client);
}

static void
test_names_of_reasons(void **state)
{
	(void)state;
	for (int i = NET_REFUSED; i <= NET_LOCAL_ERROR; i++) {
		const char *name = net_reason_name((enum net_reason)i);

		assert_string_not_equal(name, "unknown");
		for (int j = NET_REFUSED; j < i; j++)
			assert_string_not_equal(name,
			    net_reason_name((enum net_reason)j));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ask_and_answer),
		cmocka_unit_test(test_megabyte_both_ways),
		cmocka_unit_test(test_append_while_blocked),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_handshake_cut_anywhere),
		cmocka_unit_test(test_end_told_from_truncation),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_linger_saves_the_answer),
		cmocka_unit_test(test_linger_ends_by_itself),
		cmocka_unit_test(test_linger_waits_for_a_slow_reader),
		cmocka_unit_test(test_close_in_callbacks),
		cmocka_unit_test(test_close_in_ready_and_error),
		cmocka_unit_test(test_who_is_trusted),
		cmocka_unit_test(test_name_that_cannot_be_checked),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_garbage_instead_of_tls),
		cmocka_unit_test(test_last_words_before_a_reset),
		cmocka_unit_test(test_pause_and_high_water),
		cmocka_unit_test(test_idle_memory_is_given_back),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_write_from_a_later_hook),
		cmocka_unit_test(test_flush_is_at_once),
		cmocka_unit_test(test_other_owner),
		cmocka_unit_test(test_socket_options),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_names_of_reasons),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(120);		/* a hang is a failure */
	return (cmocka_run_group_tests(tests, setup, teardown));
}
