/*
 * tests/unit/lib_net_stream_inside_end_test.c - how TLS inside of a stream ends
 * or never begins: which layer said goodbye, was cut, or is garbage.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tests/unit/lib_net_inside.h"

/* ---- ends ---------------------------------------------------------------- */

enum how {
	HOW_BOTH,		/* close_notify of both, FIN */
	HOW_INNER,		/* close_notify of the inner one only */
	HOW_INNER_FIN,
	HOW_OUTER,		/* close_notify of the outer one only */
	HOW_OUTER_FIN,
	HOW_FIN,
	HOW_RESET,
	HOWS
};

static void
end_it(struct net_stream *s, enum how how)
{
	const struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	int fd = net_stream_fd(s);

	if (how == HOW_BOTH || how == HOW_INNER || how == HOW_INNER_FIN)
		assert_int_equal(SSL_shutdown(net_stream_ssl(s)), 0);
	if ((how == HOW_BOTH || how == HOW_OUTER || how == HOW_OUTER_FIN) &&
	    outer_ssl(s) != NULL)
		assert_int_equal(SSL_shutdown(outer_ssl(s)), 0);
	if (how == HOW_RESET)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard,
		    sizeof(hard)), 0);
	if (how == HOW_BOTH || how == HOW_INNER_FIN || how == HOW_OUTER_FIN ||
	    how == HOW_FIN)
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

static void
test_which_end_is_which(void **state)
{
	static const struct {
		enum how	how;
		bool		eof;	/* else: error with ... */
		enum net_reason	reason;
	} cases[HOWS] = {
		{ HOW_BOTH, true, 0 },
		{ HOW_INNER, true, 0 },
		{ HOW_INNER_FIN, true, 0 },
		{ HOW_OUTER, false, NET_TRUNCATED },
		{ HOW_OUTER_FIN, false, NET_TRUNCATED },
		{ HOW_FIN, false, NET_TRUNCATED },
		{ HOW_RESET, false, NET_RESET },
	};
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS * HOWS; i++) {
		enum how how = cases[i % HOWS].how;
		bool tls = outers[i / HOWS] == OUTER_TLS;

		if (how == HOW_OUTER && !tls)
			continue;	/* nothing to say it with */
		print_message("  %s, case %d\n", outer_name(outers[i / HOWS]),
		    (int)how);
		kind_open_outer(&p, outers[i / HOWS], MEDIUM_TCP, 0);
		kind_go_inside(&p);
		pair_settle(&p);
		end_send(&p.client, "last");
		net_stream_flush(p.client.s);
		pair_until(&p, server_got_4);
		end_it(p.client.s, how);
		if (how == HOW_RESET)
			net_stream_close(&p.client.s);
		pair_until(&p, server_ended);
		assert_true(end_got(&p.server, "last"));
		assert_int_equal(p.server.eof, cases[i % HOWS].eof ? 1 : 0);
		if (!cases[i % HOWS].eof) {
			assert_int_equal(p.server.reason, cases[i % HOWS].reason);
			pair_close(&p);
			continue;
		}
		/* Output goes on, and no second end is told. */
		end_send_pattern(&p.server, 100000);
		while (buffer_len(&p.client.got) < 100000)
			loop_turn(p.loop, true);
		assert_true(end_got_pattern(&p.client, 100000));
		pair_settle(&p);
		assert_int_equal(p.server.eof, 1);
		assert_int_equal(p.server.errors, 0);
		pair_close(&p);
	}
}

/* Both close_notify, the inner one first, then FIN. */
static void
test_both_goodbyes_are_said(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS; i++) {
		kind_open_outer(&p, outers[i], MEDIUM_UNIX, 0);
		kind_go_inside(&p);
		end_send(&p.server, "last");
		net_stream_shutdown(p.server.s);
		pair_until(&p, client_eof);
		assert_true(end_got(&p.client, "last"));
		assert_int_equal(p.client.eof, 1);
		assert_int_equal(p.client.errors, 0);
		/* Behind the inner one's is the outer one's, unread. */
		if (outers[i] == OUTER_TLS) {
			assert_int_equal(SSL_get_shutdown(outer_ssl(
			    p.client.s)) & SSL_RECEIVED_SHUTDOWN, 0);
			assert_int_equal(SSL_read(outer_ssl(p.client.s),
			    &(char){ 0 }, 1), 0);
			assert_true((SSL_get_shutdown(outer_ssl(p.client.s)) &
			    SSL_RECEIVED_SHUTDOWN) != 0);
		}
		assert_int_equal(recv(net_stream_fd(p.client.s), &(char){ 0 },
		    1, 0), 0);
		pair_close(&p);
	}
}

static void
receive_exactly(int fd, size_t n)
{
	while (n-- != 0)
		assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT), 1);
}

/* The socket takes only so many goodbyes, or none: the others wait, and each
 * is said once. */
static void
test_goodbyes_wait_for_room(void **state)
{
	size_t junk, room;
	struct pair p;
	int from, to;

	(void)state;
	for (size_t i = 0; i < OUTERS * 3; i++) {
		bool tls = outers[i % OUTERS] == OUTER_TLS;

		kind_open_outer(&p, outers[i % OUTERS], MEDIUM_UNIX, TINY_SNDBUF);
		kind_go_inside(&p);
		pair_settle(&p);
		net_stream_read_pause(p.client.s);
		pair_settle(&p);
		from = net_stream_fd(p.server.s);
		to = net_stream_fd(p.client.s);
		for (junk = 0; send(from, "", 1, MSG_DONTWAIT) == 1;)
			junk++;
		/* What was no TLS is taken away by hand. */
		room = i / OUTERS;
		receive_exactly(to, room);
		net_stream_shutdown(p.server.s);
		loop_turn(p.loop, false);
		assert_int_equal(p.server.s->output, room < (tls ? 2 : 1) ?
		    NET_OUTPUT_ENDING : NET_OUTPUT_ENDED);
		assert_int_equal(p.server.s->io.said_bye, room != 0);
		if (tls)
			assert_int_equal(net_carrier_outer(
			    p.server.s->io.carrier)->said_bye, room == 2);
		receive_exactly(to, junk - room);
		while (p.server.s->output != NET_OUTPUT_ENDED)
			loop_turn(p.loop, false);
		net_stream_read_resume(p.client.s);
		pair_until(&p, client_eof);
		assert_int_equal(p.client.eof, 1);
		assert_int_equal(p.client.errors, 0);
		pair_close(&p);
	}
}

/* ---- handshakes that fail ------------------------------------------------ */

static void
test_garbage_instead_of_a_hello(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct hand h;

	(void)state;
	for (size_t i = 0; i < OUTERS * 3; i++) {
		size_t early = i / OUTERS == 0 ? 0 : i / OUTERS == 1 ? 3 :
		    strlen(http);

		hand_open(&h, outers[i % OUTERS], stage.client);
		assert_int_equal(BIO_write(h.out, http, (int)strlen(http)),
		    (int)strlen(http));
		hand_begin(&h, early);
		hand_say_all(&h, false);
		pair_until(&h.p, server_error);
		assert_int_equal(h.p.server.reason, NET_TLS_ERROR);
		assert_string_equal(h.p.server.why, "http request");
		assert_int_equal(h.p.server.ready + h.p.server.inputs, 0);
		assert_int_equal(ERR_peek_error(), 0);
		hand_close(&h);
	}
}

/* Also where nobody expects it: on the socket, below the outer TLS. */
static void
test_garbage_below(void **state)
{
	static const char junk[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct pair p;

	(void)state;
	for (int open = 0; open < 2; open++) {
		kind_open_outer(&p, OUTER_TLS, MEDIUM_TCP, 0);
		if (open)
			kind_go_inside(&p);
		else
			accept_inside(&p.server);
		pair_settle(&p);
		assert_int_equal(write(net_stream_fd(p.client.s), junk, 20), 20);
		pair_until(&p, server_error);
		assert_int_equal(p.server.reason, NET_TLS_ERROR);
		assert_string_not_equal(p.server.why, "");
		assert_int_equal(p.server.inputs, 0);
		assert_int_equal(ERR_peek_error(), 0);
		pair_close(&p);
	}
}

/* Alerts pass both ways, and each side knows its own reason: the layers share
 * one error queue. */
static void
test_alerts_pass(void **state)
{
	SSL_CTX *old = test_client_ctx(stage.ca, TLS1_2_VERSION);
	SSL_CTX *new = test_server_ctx(stage.leaf, TLS1_3_VERSION);
	struct pair p;

	(void)state;
	SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
	for (size_t i = 0; i < OUTERS; i++) {
		kind_open_outer(&p, outers[i], MEDIUM_TCP, 0);
		p.client.s = net_stream_connect_inside(&p.client.s,
		    stage.stranger, "a.test", &end_ops, &p.client);
		accept_inside(&p.server);
		pair_until(&p, client_error);
		pair_until(&p, server_error);
		assert_int_equal(p.client.reason, NET_TLS_UNTRUSTED);
		assert_string_equal(p.client.why,
		    "unable to get local issuer certificate");
		assert_int_equal(p.server.reason, NET_TLS_ERROR);
		assert_string_equal(p.server.why, "tlsv1 alert unknown ca");
		pair_close(&p);

		kind_open_outer(&p, outers[i], MEDIUM_TCP, 0);
		p.client.s = net_stream_connect_inside(&p.client.s, old,
		    "a.test", &end_ops, &p.client);
		p.server.s = net_stream_accept_inside(&p.server.s, new,
		    &end_ops, &p.server);
		pair_until(&p, client_error);
		pair_until(&p, server_error);
		assert_int_equal(p.server.reason, NET_TLS_ERROR);
		assert_string_equal(p.server.why, "unsupported protocol");
		assert_int_equal(p.client.reason, NET_TLS_ERROR);
		assert_string_equal(p.client.why,
		    "tlsv1 alert protocol version");
		pair_close(&p);
	}
	SSL_CTX_free(old);
	SSL_CTX_free(new);
}

/* The client leaves in the middle of its hello, in every way it can. */
static void
test_hello_cut_off(void **state)
{
	struct hand h;
	size_t hello;

	(void)state;
	for (size_t i = 0; i < OUTERS * 3; i++) {
		hand_open(&h, outers[i % OUTERS], stage.client);
		hello = hand_hello(&h);
		hand_begin(&h, i / OUTERS * (hello / 2));
		pair_settle(&h.p);
		if (i / OUTERS == 1)
			net_stream_finish(&h.p.client.s, 5000);
		else
			assert_int_equal(shutdown(net_stream_fd(h.p.client.s),
			    SHUT_WR), 0);
		pair_until(&h.p, server_error);
		assert_int_equal(h.p.server.reason, NET_RESET);
		assert_string_equal(h.p.server.why,
		    "closed during the handshake");
		net_stream_close(&h.p.server.s);
		hand_close(&h);
	}
}

static void
test_close_in_ready_and_error(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS * 4; i++) {
		bool error = i / OUTERS % 2 != 0;

		kind_open_outer(&p, outers[i % OUTERS], MEDIUM_TCP, 0);
		p.client.s = net_stream_connect_inside(&p.client.s,
		    error ? stage.stranger : stage.client, "a.test", &end_ops,
		    &p.client);
		accept_inside(&p.server);
		p.server.close_in = error ? CLOSE_IN_ERROR : CLOSE_IN_READY;
		p.server.also_close = i / OUTERS >= 2 ? &p.client : NULL;
		end_send(&p.server, "never sent");
		while (p.server.s != NULL)
			loop_turn(p.loop, true);
		assert_int_equal(p.server.ready, error ? 0 : 1);
		pair_settle(&p);
		pair_close(&p);
	}
}

/* Closed by its owner at any time: at once, with output of the outer stream
 * and a part of the hello in hand, and in the middle of the handshake. */
static void
test_close_in_the_handshake(void **state)
{
	struct hand h;

	(void)state;
	for (size_t i = 0; i < OUTERS * 3 * 2; i++) {
		struct net_stream **s = &h.p.server.s;

		hand_open(&h, outers[i % OUTERS], stage.client);
		(void)hand_hello(&h);
		hand_begin(&h, 100);
		if (i / OUTERS % 3 == 1)
			pair_settle(&h.p);
		if (i / OUTERS % 3 == 2) {
			hand_say_all(&h, false);
			pair_settle(&h.p);
			assert_false(net_stream_is_open(*s));
		}
		if (i < OUTERS * 3)
			net_stream_close(s);
		else
			net_stream_finish(s, 5000);
		assert_null(*s);
		assert_int_equal(net_stream_lingering(), 0);
		hand_close(&h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_end_is_which),
		cmocka_unit_test(test_both_goodbyes_are_said),
		cmocka_unit_test(test_goodbyes_wait_for_room),
		cmocka_unit_test(test_garbage_instead_of_a_hello),
		cmocka_unit_test(test_garbage_below),
		cmocka_unit_test(test_alerts_pass),
		cmocka_unit_test(test_hello_cut_off),
		cmocka_unit_test(test_close_in_ready_and_error),
		cmocka_unit_test(test_close_in_the_handshake),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(120);		/* a hang is a failure */
	return (cmocka_run_group_tests(tests, stage_setup, stage_teardown));
}
