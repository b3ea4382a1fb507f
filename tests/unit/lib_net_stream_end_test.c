/*
 * tests/unit/lib_net_stream_end_test.c - how streams end, or never begin:
 * told from truncation, lingering, closed in callbacks, untrusted, refused.
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

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/timer.h"
#include "tests/unit/lib_net_stream_kind.h"

static bool
server_eof(struct pair *p)
{
	return (p->server.eof != 0 || p->server.errors != 0);
}

static void
test_end_told_from_truncation(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], 0);
		end_send(&p.server, "last");
		net_stream_finish(&p.server.s, 5000);
		assert_null(p.server.s);
		pair_until(&p, client_eof);
		assert_true(end_got(&p.client, "last"));
		assert_int_equal(p.client.eof, 1);
		assert_int_equal(p.client.errors, 0);
		pair_close(&p);

		/* Now the same bytes, but the end is only a FIN. */
		kind_open(&p, &stream_kinds[i], 0);
		end_send(&p.server, "last");
		net_stream_flush(p.server.s);
		assert_int_equal(net_stream_unsent(p.server.s), 0);
		assert_int_equal(shutdown(net_stream_fd(p.server.s), SHUT_WR),
		    0);
		pair_until(&p, client_eof);
		assert_true(end_got(&p.client, "last"));
		if (stream_kinds[i].tls) {
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
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

/* The kernel opens its window for as much as 64 KiB at once (loopback's
 * segments), four records: so long may no progress be seen. */
#define SLOW_MS		10
#define SLOW_BYTES	400000

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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
		client = p.client.s;
		timer_init(&tick, p.loop, on_alarm, client);
		buffer_init(&b, 0, false);
		assert_int_equal(buffer_reserve(&b, SLOW_BYTES, &at), RC_OK);
		for (size_t n = 0; n < SLOW_BYTES; n++)
			at[n] = pattern_at(n);
		buffer_commit(&b, SLOW_BYTES);
		assert_int_equal(net_stream_write_buffer(p.server.s, &b),
		    RC_OK);
		buffer_fini(&b);
		net_stream_finish(&p.server.s, 60);
		while (!client_eof(&p)) {
			unsigned seen = p.client.inputs;

			while (p.client.inputs == seen && !client_eof(&p))
				loop_turn(p.loop, true);
			net_stream_read_pause(client);
			timer_start_ms(&tick, SLOW_MS);
		}
		assert_int_equal(p.client.errors, 0);
		assert_true(end_got_pattern(&p.client, SLOW_BYTES));
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
	for (size_t i = 0; i < STREAM_KINDS * 3 * 2; i++) {
		kind_open(&p, &stream_kinds[i % STREAM_KINDS], 0);
		p.client.close_in = where[i / STREAM_KINDS % 3];
		if (i >= STREAM_KINDS * 3)
			p.client.also_close = &p.server;
		end_send(&p.client, "ask!");
		end_send(&p.server, "answ");
		net_stream_shutdown(p.server.s);
		while (p.client.s != NULL)
			loop_turn(p.loop, true);
		assert_true((p.server.s == NULL) == (i >= STREAM_KINDS * 3));
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
		pair_open(&p, MEDIUM_TCP, stage.server, stage.client, "a.test", 0,
		    false);
		p.client.close_in = CLOSE_IN_READY;
		p.client.also_close = also ? &p.server : NULL;
		end_send(&p.client, "never sent");
		while (p.client.s != NULL)
			loop_turn(p.loop, true);
		pair_settle(&p);
		pair_close(&p);

		pair_open(&p, MEDIUM_TCP, stage.server, stage.stranger, "a.test", 0,
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
	SSL_CTX *old = test_server_ctx(stage.expired, TLS1_2_VERSION);
	const char *sni;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pair_open(&p, MEDIUM_TCP, cases[i].expired ? old : stage.server,
		    cases[i].stranger ? stage.stranger : stage.client, cases[i].name,
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
	pair_open(&p, MEDIUM_TCP, stage.server, stage.client, longer, 0, false);
	assert_int_equal(p.client.errors, 0);	/* only from the loop */
	pair_until(&p, client_error);
	assert_int_equal(p.client.reason, NET_LOCAL_ERROR);
	pair_close(&p);
	pair_open(&p, MEDIUM_TCP, stage.server, stage.client, "", 0, false);
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
	pair_open(&p, MEDIUM_TCP, stage.server, NULL, NULL, 0, false);
	end_send(&p.client, http);
	pair_until(&p, server_error);
	assert_int_equal(p.server.reason, NET_TLS_ERROR);
	assert_string_equal(p.server.why, "http request");
	pair_close(&p);
	/* And garbage between records. */
	pair_open(&p, MEDIUM_TCP, stage.server, stage.client, "a.test", 0, true);
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
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], TINY_SNDBUF);
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
		if (stream_kinds[i].medium == MEDIUM_UNIX)
			assert_true(end_got(&p.client, "answ"));
		assert_true(net_stream_unsent(p.client.s) != 0);
		assert_int_equal(net_stream_write(p.client.s, "x", 1), RC_IO);
		pair_close(&p);
	}
}

static bool
server_broke(struct pair *p)
{
	return (p->server.errors != 0);
}

/* A peer that said goodbye and then resets: OpenSSL calls the failed write the
 * end of the stream, and it is a reset all the same. */
static void
test_reset_behind_a_goodbye(void **state)
{
	const struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < STREAM_KINDS; i++) {
		kind_open(&p, &stream_kinds[i], 0);
		net_stream_shutdown(p.client.s);
		pair_until(&p, server_eof);
		assert_int_equal(p.server.eof, 1);
		(void)setsockopt(net_stream_fd(p.client.s), SOL_SOCKET,
		    SO_LINGER, &hard, sizeof(hard));
		net_stream_close(&p.client.s);
		/* The first one may still find room in the socket. */
		while (p.server.errors == 0) {
			if (net_stream_write(p.server.s, "late", 4) != RC_OK)
				break;
			net_stream_flush(p.server.s);
			loop_turn(p.loop, false);
		}
		pair_until(&p, server_broke);
		assert_int_equal(p.server.reason, NET_RESET);
		pair_close(&p);
	}
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
		cmocka_unit_test(test_reset_behind_a_goodbye),
		cmocka_unit_test(test_names_of_reasons),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(120);		/* a hang is a failure */
	return (cmocka_run_group_tests(tests, stage_setup, stage_teardown));
}
