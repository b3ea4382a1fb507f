/*
 * tests/unit/lib_net_stream_inside_test.c - an open stream changes into the TLS
 * inside of it: at any byte of the hello, with output unsent, from callbacks.
 *
 * That such streams carry, pause, linger and close like all others is shown by
 * the other tests of streams, which run over them too (lib_net_stream_kind).
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

#define BIG	((size_t)1 << 20)

static bool
both_got_big(struct pair *p)
{
	return (buffer_len(&p->client.got) >= BIG &&
	    buffer_len(&p->server.got) >= BIG);
}

static void
run_hello_cut(enum outer outer, bool by_byte, size_t cut)
{
	struct hand h;

	hand_open(&h, outer, stage.client);
	assert_true(hand_hello(&h) >= cut);
	hand_begin(&h, cut);
	hand_hear_answer(&h);
	hand_shake(&h, by_byte);
	pair_until(&h.p, server_ready);
	assert_int_equal(h.p.server.ready, 1);
	assert_string_equal(SSL_get_servername(net_stream_ssl(h.p.server.s),
	    TLSEXT_NAMETYPE_host_name), "a.test");
	hand_echo(&h, by_byte);
	assert_int_equal(ERR_peek_error(), 0);
	hand_close(&h);
}

static void
test_hello_cut_anywhere(void **state)
{
	struct hand h;
	size_t hello;

	(void)state;
	hand_open(&h, OUTER_PLAIN, stage.client);
	hello = hand_hello(&h);
	hand_close(&h);
	assert_true(hello > 150);
	for (size_t i = 0; i < OUTERS * 2; i++) {
		print_message("  %s, %s\n", outer_name(outers[i % OUTERS]),
		    i < OUTERS ? "whole" : "byte by byte");
		for (size_t cut = 0; cut <= hello; cut++)
			run_hello_cut(outers[i % OUTERS], i >= OUTERS, cut);
	}
}

/* ---- the change ---------------------------------------------------------- */

/* A lot is queued, of TLS a record half out, and the hello is there already:
 * all of it leaves first, in order, and nobody has to wait for that. */
static void
test_unsent_output_leaves_first(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS; i++) {
		print_message("  %s\n", outer_name(outers[i]));
		kind_open_outer(&p, outers[i], MEDIUM_TCP, TINY_SNDBUF);
		net_stream_read_pause(p.client.s);
		end_send_pattern(&p.server, 40000);	/* all is queued */
		for (size_t n = 40000; n < BIG; n++)
			assert_int_equal(net_stream_write(p.server.s,
			    &(char){ pattern_at(n) }, 1), RC_OK);
		pair_settle(&p);
		assert_true(net_stream_unsent(p.server.s) != 0);
		assert_true((p.server.s->retry_len != 0) ==
		    (outers[i] == OUTER_TLS));
		accept_inside(&p.server);
		assert_int_equal(net_stream_unsent(p.server.s) +
		    net_stream_sent_total(p.server.s), BIG);
		end_send(&p.server, "answ");	/* inside, behind the rest */
		pair_settle(&p);
		assert_false(net_stream_is_open(p.server.s));
		net_stream_read_resume(p.client.s);
		while (buffer_len(&p.client.got) < BIG)
			loop_turn(p.loop, true);
		assert_true(end_got_pattern(&p.client, BIG));
		while (net_stream_unsent(p.server.s) != 4)
			loop_turn(p.loop, false);
		assert_int_equal(net_stream_sent_total(p.server.s), BIG);
		buffer_clear(&p.client.got);
		p.client.s = net_stream_connect_inside(&p.client.s,
		    stage.client, "a.test", &end_ops, &p.client);
		pair_until(&p, client_got_4);
		assert_true(end_got(&p.client, "answ"));
		assert_int_equal(net_stream_sent_total(p.server.s), BIG + 4);
		assert_int_equal(p.server.errors + p.client.errors, 0);
		pair_close(&p);
	}
}

/* Which callback of the outer stream makes the inner one. */
static struct pair *changing;
static enum close_in change_in;

static void
change(enum close_in here)
{
	struct net_stream *outer = changing->server.s;

	if (here != change_in)
		return;
	if (here == CLOSE_IN_INPUT)
		end_send(&changing->server, ANSWER);
	accept_inside(&changing->server);
	assert_ptr_not_equal(changing->server.s, outer);
}

static void
outer_input(void *arg)
{
	(void)arg;
	change(CLOSE_IN_INPUT);
}

static void
outer_drained(void *arg)
{
	(void)arg;
	change(CLOSE_IN_DRAINED);
}

static void
outer_eof(void *arg)
{
	(void)arg;
	change(CLOSE_IN_EOF);
}

static void
outer_error(void *arg, enum net_reason reason, const char *why)
{
	(void)arg;
	fail_msg("%s: %s", net_reason_name(reason), why);
}

static const struct net_stream_ops outer_ops = {
	.on_input = outer_input,
	.on_drained = outer_drained,
	.on_eof = outer_eof,
	.on_error = outer_error,
};

static void
test_change_in_callbacks(void **state)
{
	static const enum close_in where[] = { CLOSE_IN_INPUT,
		CLOSE_IN_DRAINED, CLOSE_IN_EOF };
	struct hand h;

	(void)state;
	for (size_t i = 0; i < OUTERS * 3; i++) {
		change_in = where[i / OUTERS];
		changing = &h.p;
		hand_open(&h, outers[i % OUTERS], stage.client);
		net_stream_set_ops(h.p.server.s, &outer_ops, NULL);
		h.p.server.take = true;
		if (change_in == CLOSE_IN_DRAINED)
			end_send(&h.p.server, ANSWER);
		(void)hand_hello(&h);
		hand_say_all(&h, false);
		if (change_in == CLOSE_IN_EOF) {
			/* The hello is answered, then there is nothing. */
			net_stream_shutdown(h.p.client.s);
			pair_until(&h.p, server_error);
			assert_int_equal(h.p.server.reason, NET_RESET);
			assert_string_equal(h.p.server.why,
			    "closed during the handshake");
			hand_close(&h);
			continue;
		}
		hand_hear_answer(&h);
		hand_shake(&h, false);
		hand_echo(&h, false);
		hand_close(&h);
	}
}

static void
test_peer_and_totals_stay(void **state)
{
	struct net_addr was;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS; i++) {
		kind_open_outer(&p, outers[i], MEDIUM_TCP, 0);
		was = *net_stream_peer(p.server.s);
		end_send(&p.client, "CONNECT!");
		end_send(&p.server, "OK");
		while (buffer_len(&p.server.got) < 8)
			loop_turn(p.loop, true);
		while (buffer_len(&p.client.got) < 2)
			loop_turn(p.loop, true);
		buffer_clear(&p.server.got);
		kind_go_inside(&p);
		assert_true(net_addr_equal(net_stream_peer(p.server.s), &was));
		assert_true(net_stream_peer_is_known(p.server.s));
		assert_null(net_stream_proxy(p.server.s));
		assert_true(net_stream_fd(p.server.s) >= 0);
		assert_non_null(net_stream_ssl(p.server.s));
		assert_ptr_not_equal(net_stream_ssl(p.server.s),
		    outer_ssl(p.server.s));
		end_send(&p.client, "ask!");
		pair_until(&p, server_got_4);
		assert_int_equal(net_stream_received_total(p.server.s), 12);
		assert_int_equal(net_stream_sent_total(p.server.s), 2);
		assert_int_equal(net_stream_sent_total(p.client.s), 12);
		pair_close(&p);
	}
}

static void
test_inside_of_an_inside(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS; i++) {
		kind_open_outer(&p, outers[i], MEDIUM_TCP, TINY_SNDBUF);
		for (int depth = 0; depth < 3; depth++)
			kind_go_inside(&p);
		end_send_pattern(&p.client, BIG);
		end_send_pattern(&p.server, BIG);
		pair_until(&p, both_got_big);
		assert_true(end_got_pattern(&p.client, BIG));
		assert_true(end_got_pattern(&p.server, BIG));
		net_stream_finish(&p.server.s, 5000);
		pair_until(&p, client_eof);
		assert_int_equal(p.client.eof, 1);
		net_stream_finish(&p.client.s, 5000);
		pair_until(&p, none_lingers);
		pair_close(&p);
	}
}

/* The outer stream knows already that its peer is gone, and its owner not. */
static void
test_inside_of_a_broken_one(void **state)
{
	const struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < OUTERS; i++) {
		kind_open_outer(&p, outers[i], MEDIUM_TCP, 0);
		pair_settle(&p);
		(void)setsockopt(net_stream_fd(p.client.s), SOL_SOCKET,
		    SO_LINGER, &hard, sizeof(hard));
		net_stream_close(&p.client.s);
		end_send(&p.server, ANSWER);
		net_stream_flush(p.server.s);
		assert_int_equal(p.server.errors, 0);
		assert_int_equal(p.server.s->output, NET_OUTPUT_BROKEN);
		accept_inside(&p.server);
		assert_int_equal(p.server.errors, 0);	/* only from the loop */
		pair_until(&p, server_error);
		assert_int_equal(p.server.reason, NET_RESET);
		assert_int_equal(p.server.ready, 0);
		pair_close(&p);
	}
}

/* ---- stalls -------------------------------------------------------------- */

/* Both directions full, then both go on; and the keys of both layers change in
 * the middle.  An answer to that is not asked for: OpenSSL 3.0 breaks when it
 * has to answer while a write is to be repeated, in any TLS (its issue 8677). */
static void
test_stalled_both_ways(void **state)
{
	struct pair p;
	unsigned updates;

	(void)state;
	for (size_t i = 0; i < OUTERS; i++) {
		print_message("  %s\n", outer_name(outers[i]));
		kind_open_outer(&p, outers[i], MEDIUM_TCP, TINY_SNDBUF);
		kind_go_inside(&p);
		net_stream_read_pause(p.client.s);
		net_stream_read_pause(p.server.s);
		end_send_pattern(&p.client, BIG);
		end_send_pattern(&p.server, BIG);
		pair_settle(&p);
		assert_int_equal(p.client.inputs + p.server.inputs, 0);
		assert_true(p.client.s->retry_len != 0);
		assert_true(p.server.s->retry_len != 0);
		net_stream_read_resume(p.client.s);
		pair_settle(&p);
		net_stream_read_pause(p.client.s);
		net_stream_read_resume(p.server.s);
		pair_settle(&p);
		net_stream_read_resume(p.client.s);
		updates = 0;
		while (!both_got_big(&p)) {
			assert_int_equal(p.client.errors + p.server.errors, 0);
			SSL *ssl = updates % 2 == 0 || outers[i] == OUTER_PLAIN ?
			    net_stream_ssl(p.client.s) : outer_ssl(p.client.s);

			/* Not possible while a write is to be repeated. */
			if (SSL_key_update(ssl,
			    SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
				updates++;
			ERR_clear_error();
			loop_turn(p.loop, true);
		}
		assert_true(updates > 4);
		assert_true(end_got_pattern(&p.client, BIG));
		assert_true(end_got_pattern(&p.server, BIG));
		assert_int_equal(p.client.errors + p.server.errors, 0);
		pair_close(&p);
	}
}

/* A record of the inner one, its frame included, is one of the outer: two for
 * what needs two, and no small ones in between. */
static void
test_records_fit(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	unsigned char wire[40000] = { 0 };
	struct pair p;
	size_t at;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		unsigned records = 0;

		SSL_CTX_set_max_proto_version(stage.server, versions[i]);
		kind_open_outer(&p, OUTER_TLS, MEDIUM_UNIX, 0);
		kind_go_inside(&p);
		SSL_CTX_set_max_proto_version(stage.server, 0);
		pair_settle(&p);
		net_stream_read_pause(p.server.s);
		assert_int_equal(net_stream_write(p.client.s, wire, 30000),
		    RC_OK);
		net_stream_flush(p.client.s);
		assert_int_equal(net_stream_unsent(p.client.s), 0);
		n = recv(net_stream_fd(p.server.s), wire, sizeof(wire), 0);
		assert_true(n > 30000);
		for (at = 0; at < (size_t)n; records++)
			at += 5u + ((size_t)wire[at + 3] << 8 | wire[at + 4]);
		assert_int_equal(at, n);
		assert_int_equal(records, 2);
		pair_close(&p);
	}
}

/* A connection that was closed without ceremony gives a session all the same. */
static void
test_resumption(void **state)
{
	SSL_SESSION *kept = NULL;
	struct hand h;

	(void)state;
	for (int i = 0; i < 4; i++) {
		hand_open(&h, outers[i % (int)OUTERS], stage.client);
		if (kept != NULL)
			assert_int_equal(SSL_set_session(h.ssl, kept), 1);
		hand_begin(&h, 0);
		hand_hear_answer(&h);
		hand_shake(&h, false);
		hand_echo(&h, false);
		assert_int_equal(SSL_session_reused(h.ssl), i != 0);
		SSL_SESSION_free(kept);
		kept = SSL_get1_session(h.ssl);
		hand_close(&h);
	}
	SSL_SESSION_free(kept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_cut_anywhere),
		cmocka_unit_test(test_unsent_output_leaves_first),
		cmocka_unit_test(test_change_in_callbacks),
		cmocka_unit_test(test_peer_and_totals_stay),
		cmocka_unit_test(test_inside_of_an_inside),
		cmocka_unit_test(test_inside_of_a_broken_one),
		cmocka_unit_test(test_stalled_both_ways),
		cmocka_unit_test(test_records_fit),
		cmocka_unit_test(test_resumption),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(300);		/* a hang is a failure */
	return (cmocka_run_group_tests(tests, stage_setup, stage_teardown));
}
