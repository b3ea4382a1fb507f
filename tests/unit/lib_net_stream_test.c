/*
 * tests/unit/lib_net_stream_test.c - streams that live: bytes both ways, at
 * every split, paused, queued, flushed, handed on, resumed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/net/stream_private.h"
#include "tests/unit/lib_net_stream_kind.h"

#define BIG		((size_t)1 << 20)

static void
test_ask_and_answer(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], 0);
		assert_int_equal(p.client.ready, 1);
		/* A plain accepted stream is ready as it is. */
		assert_int_equal(p.server.ready, stream_kinds[i].tls ? 1 : 0);
		assert_true((net_stream_ssl(p.server.s) != NULL) ==
		    stream_kinds[i].tls);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
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

/* What one stream read goes out on another: all of it, a part, behind other
 * output, and not at all. */
static void
test_move(void **state)
{
	const size_t sizes[] = { 10, 5000, 60000 };
	struct net_stream *to;
	struct buffer from;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < STREAM_KINDS * 3; i++) {
		size_t size = sizes[i / STREAM_KINDS];
		const char *mem;

		kind_open(&p, &stream_kinds[i % STREAM_KINDS], 0);
		to = p.client.s;
		buffer_init(&from, 0, true);
		for (size_t n = 0; n < size; n++)
			buffer_put(&from, &(char){ pattern_at(n) }, 1);
		assert_int_equal(net_stream_move(to, &from, 0), RC_OK);
		assert_int_equal(net_stream_move(to, &from, 3), RC_OK);
		assert_int_equal(buffer_len(&from), size - 3);
		assert_int_equal(net_stream_move(to, &from, size - 3), RC_OK);
		assert_int_equal(buffer_len(&from), 0);
		assert_int_equal(net_stream_unsent(to), size);
		net_stream_flush(to);
		/* The whole, and nothing before it: large ones change hands. */
		for (size_t n = size; n < 2 * size; n++)
			buffer_put(&from, &(char){ pattern_at(n) }, 1);
		mem = from.mem;
		while (net_stream_unsent(to) != 0)
			loop_turn(p.loop, true);
		assert_int_equal(net_stream_move(to, &from, size), RC_OK);
		assert_true((to->out.mem == mem) == (size >= 5000));
		assert_int_equal(buffer_len(&from), 0);
		while (buffer_len(&p.server.got) < 2 * size)
			loop_turn(p.loop, true);
		assert_true(end_got_pattern(&p.server, 2 * size));
		/* Failure leaves what was to be sent where it is. */
		buffer_puts(&from, "rest");
		net_stream_shutdown(to);
		assert_int_equal(net_stream_move(to, &from, 2), RC_IO);
		assert_int_equal(net_stream_move(to, &from, 4), RC_IO);
		assert_string_equal(buffer_cstr(&from), "rest");
		buffer_fini(&from);
		pair_close(&p);
	}
}

/* What is queued comes back as long as no byte of it has left. */
static void
test_take_back(void **state)
{
	struct buffer back;
	struct pair p;
	uint64_t mark;

	(void)state;
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
		buffer_init(&back, 0, true);
		assert_false(net_stream_take_back(p.client.s, 0, &back));
		end_send(&p.client, "sent");
		net_stream_flush(p.client.s);
		mark = net_stream_sent_total(p.client.s);
		assert_int_equal(mark, 4);
		end_send(&p.client, "head");
		end_send(&p.client, "body");
		assert_false(net_stream_take_back(p.client.s, 0, &back));
		assert_true(net_stream_take_back(p.client.s, mark, &back));
		assert_string_equal(buffer_cstr(&back), "headbody");
		assert_int_equal(net_stream_unsent(p.client.s), 0);
		/* The stream goes on as if it had never been queued. */
		assert_int_equal(net_stream_write_buffer(p.client.s, &back), RC_OK);
		while (buffer_len(&p.server.got) < 12)
			loop_turn(p.loop, true);
		assert_true(end_got(&p.server, "sentheadbody"));
		/* A part has left, perhaps a part of a record. */
		mark = net_stream_sent_total(p.client.s);
		net_stream_read_pause(p.server.s);
		end_send_pattern(&p.client, 1000000);
		pair_settle(&p);
		assert_true(net_stream_unsent(p.client.s) != 0);
		assert_false(net_stream_take_back(p.client.s, mark, &back));
		buffer_fini(&back);
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
pump_open(struct pair *p, struct pump *pump, bool tls)
{
	struct net_stream_connect c = { .ctx = tls ? stage.client : NULL,
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
	p->server.s = net_stream_accept(p->loop, fds[1], tls ? stage.server : NULL,
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
		pump_open(&p, &pump, tls != 0);
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
	pump_open(&p, &pump, true);
	while (p.client.ready == 0 || p.server.ready == 0)
		loop_turn(p.loop, false);
	whole = pump.moved;
	loop_idle_del(p.loop, on_pump, &pump);
	fd_close(&pump.a);
	fd_close(&pump.b);
	pair_close(&p);
	assert_true(whole > 500);
	for (size_t cut = 0; cut + 80 < whole; cut += 37) {
		pump_open(&p, &pump, true);
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
test_pause_and_high_water(void **state)
{
	struct pair p;
	struct buffer *in;

	(void)state;
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], 0);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], 0);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		/* Session tickets of TLS 1.3 are no answer. */
		kind_open(&p, &stream_kinds[i], 0);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], 0);
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
	pair_open(&p, MEDIUM_TCP, stage.server, stage.client, "a.test", 0, true);
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
	SSL_CTX *client = test_client_ctx(stage.ca, TLS1_3_VERSION);
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
		p.server.s = net_stream_accept(p.loop, fd, stage.server, &end_ops,
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ask_and_answer),
		cmocka_unit_test(test_megabyte_both_ways),
		cmocka_unit_test(test_append_while_blocked),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_take_back),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_handshake_cut_anywhere),
		cmocka_unit_test(test_pause_and_high_water),
		cmocka_unit_test(test_idle_memory_is_given_back),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_write_from_a_later_hook),
		cmocka_unit_test(test_flush_is_at_once),
		cmocka_unit_test(test_other_owner),
		cmocka_unit_test(test_socket_options),
		cmocka_unit_test(test_resumption),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(120);		/* a hang is a failure */
	return (cmocka_run_group_tests(tests, stage_setup, stage_teardown));
}
