/*
 * tests/unit/lib_net_stream_proxied_test.c - accepted streams behind a trusted
 * proxy: a PROXY header or none, then TLS; whole, in pieces, broken, cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/net/stream_private.h"
#include "tests/unit/lib_net_stream_kind.h"

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define IPV4		"\xc0\0\2\1" "\xc6\x33\x64\7" "\xdc\4" "\1\xbb"
#define IPV6		"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"		\
			"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" "\xdc\4" "\1\xbb"

struct header {
	const char	*name;
	struct span	bytes;
	const char	*client;	/* NULL: the peer itself */
};

static const struct header headers[] = {
	{ "none", SPAN_LIT(""), NULL },
	{ "v1 tcp4", SPAN_LIT(
	    "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
	    "192.0.2.1:56324" },
	{ "v1 tcp6", SPAN_LIT("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n"),
	    "[2001:db8::1]:56324" },
	{ "v1 unknown", SPAN_LIT("PROXY UNKNOWN\r\n"), NULL },
	{ "v2 ipv4", SPAN_LIT(SIGNATURE "\x21\x11\0\x0c" IPV4),
	    "192.0.2.1:56324" },
	{ "v2 ipv6", SPAN_LIT(SIGNATURE "\x21\x21\0\x29" IPV6 "\1\0\2h2"),
	    "[2001:db8::1]:56324" },
	/* What begins TLS in front means nothing inside. */
	{ "v1 0x16", SPAN_LIT("PROXY UNKNOWN \x16\3\1\r\n"), NULL },
	{ "v2 0x16", SPAN_LIT(SIGNATURE "\x21\x11\0\x0c"
	    "\x16\3\1\2\x16\3\1\2\x16\3\1\xbb"), "22.3.1.2:5635" },
	{ "v2 local", SPAN_LIT(SIGNATURE "\x20\0\0\0"), NULL },
};
#define HEADERS	(sizeof(headers) / sizeof(headers[0]))

/* ---- a proxy, by hand ---------------------------------------------------- */

/* What a stream of ours would not do: bytes one by one, then TLS. */
struct proxy {
	struct pair	p;		/* its server; its client is not used */
	int		fd;
	SSL		*ssl;		/* NULL until it shakes hands */
	struct net_addr	own;		/* as the server sees it */
};

enum server { SERVER_TLS, SERVER_PROXIED_TLS, SERVER_PROXIED_PLAIN };

static void
proxy_open_to(struct proxy *x, enum server server)
{
	SSL_CTX *ctx = server == SERVER_PROXIED_PLAIN ? NULL : stage.server;
	struct net_addr addr;
	int listener = listen_on(MEDIUM_TCP, &addr), fd;

	memset(x, 0, sizeof(*x));
	x->p.loop = loop_new();
	end_init(&x->p.client);
	end_init(&x->p.server);
	x->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(x->fd, (struct sockaddr *)&addr.ss,
	    addr.len), 0);
	assert_true((fd = accept(listener, NULL, NULL)) >= 0);
	fd_close(&listener);
	x->own.len = sizeof(x->own.ss);
	assert_int_equal(getsockname(x->fd, (struct sockaddr *)&x->own.ss,
	    &x->own.len), 0);
	assert_int_equal(fd_nonblock(fd), RC_OK);
	assert_int_equal(fd_nonblock(x->fd), RC_OK);
	x->p.server.s = (server == SERVER_TLS ? net_stream_accept :
	    net_stream_accept_proxied)(x->p.loop, fd, ctx, &end_ops,
	    &x->p.server);
}

static void
proxy_open(struct proxy *x, bool proxied)
{
	proxy_open_to(x, proxied ? SERVER_PROXIED_TLS : SERVER_TLS);
}

static void
proxy_close(struct proxy *x)
{
	SSL_free(x->ssl);
	fd_close(&x->fd);
	pair_close(&x->p);
}

static void
proxy_send(struct proxy *x, const char *bytes, size_t len)
{
	if (len != 0)
		assert_int_equal(write(x->fd, bytes, len), (ssize_t)len);
}

/* The server has done all it can with what came, and sleeps: nothing in its
 * socket is ready for the interest it has. */
static void
settle_asleep(struct proxy *x)
{
	struct pollfd pfd;

	pair_settle(&x->p);
	assert_non_null(x->p.server.s);
	pfd = (struct pollfd){ net_stream_fd(x->p.server.s), POLLIN, 0 };
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(event_base_get_num_events(loop_base(x->p.loop),
	    EVENT_BASE_COUNT_ACTIVE), 0);
	assert_true(event_pending(&x->p.server.s->ev_read, EV_READ, NULL) != 0);
}

/* One step of the client's side; the first one writes the ClientHello. */
static bool
proxy_shake(struct proxy *x)
{
	int ret;

	if (x->ssl == NULL) {
		x->ssl = SSL_new(stage.client);
		assert_non_null(x->ssl);
		assert_int_equal(SSL_set_fd(x->ssl, x->fd), 1);
		assert_int_equal(SSL_set1_host(x->ssl, "a.test"), 1);
		SSL_set_connect_state(x->ssl);
	}
	ret = SSL_do_handshake(x->ssl);
	assert_true(ret == 1 || SSL_get_error(x->ssl, ret) ==
	    SSL_ERROR_WANT_READ);
	return (ret == 1);
}

static void
check_addresses(struct proxy *x, const char *client)
{
	const struct net_addr *proxy = net_stream_proxy(x->p.server.s);
	const struct net_addr *peer = net_stream_peer(x->p.server.s);
	char text[NET_ADDR_TEXT_BYTES];

	assert_non_null(proxy);
	assert_true(net_addr_equal(proxy, &x->own));
	if (client == NULL) {
		assert_true(net_addr_equal(peer, &x->own));
		return;
	}
	net_addr_format(peer, text);
	assert_string_equal(text, client);
}

static void
turn_unbroken(struct proxy *x, unsigned *turns)
{
	loop_turn(x->p.loop, false);
	assert_int_equal(x->p.server.errors, 0);
	assert_true(++*turns < 10000);
}

/* The header is there or on its way: shake hands, and talk both ways. */
static void
check_talk(struct proxy *x, const char *client)
{
	unsigned turns = 0;
	char got[8];

	while (!proxy_shake(x))
		turn_unbroken(x, &turns);
	assert_int_equal(SSL_write(x->ssl, "ask!", 4), 4);
	pair_until(&x->p, server_got_4);
	assert_int_equal(x->p.server.ready, 1);
	assert_true(end_got(&x->p.server, "ask!"));
	assert_int_equal(net_stream_received_total(x->p.server.s), 4);
	check_addresses(x, client);
	end_send(&x->p.server, "answ");
	while (SSL_read(x->ssl, got, sizeof(got)) != 4)
		turn_unbroken(x, &turns);
	assert_memory_equal(got, "answ", 4);
}

/* ---- tests --------------------------------------------------------------- */

/* Header and ClientHello wait in the socket together. */
static void
test_in_one_piece(void **state)
{
	struct proxy x;

	(void)state;
	for (size_t i = 0; i < HEADERS; i++) {
		for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
			print_message("  %s\n", headers[i].name);
			SSL_CTX_set_max_proto_version(stage.server, v);
			proxy_open(&x, true);
			proxy_send(&x, headers[i].bytes.p,
			    headers[i].bytes.len);
			(void)proxy_shake(&x);
			check_talk(&x, headers[i].client);
			proxy_close(&x);
		}
	}
	SSL_CTX_set_max_proto_version(stage.server, 0);
}

static void
test_byte_by_byte(void **state)
{
	struct proxy x;

	(void)state;
	for (size_t i = 0; i < HEADERS; i++) {
		proxy_open(&x, true);
		settle_asleep(&x);
		for (size_t at = 0; at < headers[i].bytes.len; at++) {
			proxy_send(&x, headers[i].bytes.p + at, 1);
			settle_asleep(&x);
			assert_int_equal(x.p.server.errors, 0);
			assert_int_equal(x.p.server.ready, 0);
			assert_false(net_stream_is_open(x.p.server.s));
		}
		check_talk(&x, headers[i].client);
		proxy_close(&x);
	}
}

static void
test_each_split(void **state)
{
	struct proxy x;

	(void)state;
	for (size_t i = 0; i < HEADERS; i++) {
		for (size_t cut = 1; cut < headers[i].bytes.len; cut++) {
			proxy_open(&x, true);
			proxy_send(&x, headers[i].bytes.p, cut);
			settle_asleep(&x);
			proxy_send(&x, headers[i].bytes.p + cut,
			    headers[i].bytes.len - cut);
			(void)proxy_shake(&x);
			check_talk(&x, headers[i].client);
			proxy_close(&x);
		}
	}
}

/* Longer than one look into the socket, and as long as there may be. */
static void
test_longest_header(void **state)
{
	static char longest[NET_PROXYPROTO_BYTES_MAX] =
	    SIGNATURE "\x21\x11\x0f\xf0" IPV4 "\4\x0f\xe1";
	struct proxy x;

	(void)state;
	proxy_open(&x, true);
	proxy_send(&x, longest, sizeof(longest));
	(void)proxy_shake(&x);
	check_talk(&x, "192.0.2.1:56324");
	proxy_close(&x);
	proxy_open(&x, true);
	proxy_send(&x, longest, sizeof(longest) - 1);
	settle_asleep(&x);
	proxy_send(&x, longest + sizeof(longest) - 1, 1);
	check_talk(&x, "192.0.2.1:56324");
	proxy_close(&x);
}

/* No event and no wakeup while the rest of a header is on its way. */
static void
test_waiting_does_not_spin(void **state)
{
	struct proxy x;
	unsigned turns = 0;
	uint64_t end;

	(void)state;
	proxy_open(&x, true);
	proxy_send(&x, "PROXY TCP4 ", 11);
	settle_asleep(&x);
	/* Each turn waits for an event, 20 ms at most. */
	for (end = clock_mono_ms() + 200; clock_mono_ms() < end; turns++)
		loop_turn(x.p.loop, true);
	assert_true(turns <= 11);
	assert_int_equal(x.p.server.errors, 0);
	proxy_close(&x);
}

static const struct {
	const char	*name;
	struct span	bytes;
	enum net_reason	reason;
	const char	*why;
} broken[] = {
	{ "http", SPAN_LIT("GET / HTTP/1.1\r\n\r\n"), NET_PROXY_HEADER,
	    "no PROXY header, or a broken one" },
	{ "post", SPAN_LIT("POST / HTTP/1.1\r\n\r\n"), NET_PROXY_HEADER,
	    "no PROXY header, or a broken one" },
	{ "another record", SPAN_LIT("\x17\3\3\0\1x"), NET_PROXY_HEADER,
	    "no PROXY header, or a broken one" },
	{ "v1 address", SPAN_LIT("PROXY TCP4 192.0.2.1 x 1 2\r\n"),
	    NET_PROXY_HEADER, "no PROXY header, or a broken one" },
	{ "v2 version", SPAN_LIT(SIGNATURE "\x11\x11\0\x0c" IPV4),
	    NET_PROXY_HEADER, "no PROXY header, or a broken one" },
	{ "v2 length", SPAN_LIT(SIGNATURE "\x21\x11\xff\xff" IPV4),
	    NET_PROXY_HEADER, "PROXY header too long" },
	{ "a header twice", SPAN_LIT("PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"),
	    NET_TLS_ERROR, NULL },
	{ "no tls", SPAN_LIT("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n"),
	    NET_TLS_ERROR, "http request" },
};

static void
test_broken(void **state)
{
	struct proxy x;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		for (size_t step = 1; step <= broken[i].bytes.len;
		    step += broken[i].bytes.len - 1) {
			proxy_open(&x, true);
			for (size_t at = 0; at + step <= broken[i].bytes.len &&
			    x.p.server.errors == 0; at += step) {
				proxy_send(&x, broken[i].bytes.p + at, step);
				pair_settle(&x.p);
			}
			pair_until(&x.p, server_error);
			if (x.p.server.reason != broken[i].reason)
				fail_msg("%s: %s", broken[i].name,
				    net_reason_name(x.p.server.reason));
			if (broken[i].why != NULL)
				assert_string_equal(x.p.server.why,
				    broken[i].why);
			assert_int_equal(x.p.server.errors, 1);
			assert_int_equal(x.p.server.ready, 0);
			proxy_close(&x);
		}
	}
}

static void
test_end_inside(void **state)
{
	struct proxy x;

	(void)state;
	for (size_t i = 1; i < HEADERS; i++) {
		size_t len = headers[i].bytes.len;

		for (size_t cut = 0; cut <= len; cut++) {
			proxy_open(&x, true);
			proxy_send(&x, headers[i].bytes.p, cut);
			if (cut % 2 != 0)	/* seen together, or apart */
				pair_settle(&x.p);
			assert_int_equal(shutdown(x.fd, SHUT_WR), 0);
			pair_until(&x.p, server_error);
			assert_int_equal(x.p.server.reason,
			    cut == 0 || cut == len ? NET_RESET :
			    NET_PROXY_HEADER);
			assert_string_equal(x.p.server.why, cut == 0 ?
			    "closed before the handshake" : cut == len ?
			    "closed during the handshake" :
			    "closed inside the PROXY header");
			pair_settle(&x.p);
			assert_int_equal(x.p.server.errors, 1);
			assert_int_equal(x.p.server.eof, 0);
			proxy_close(&x);
		}
	}
}

static void
test_reset_inside(void **state)
{
	struct linger hard = { 1, 0 };
	struct proxy x;

	(void)state;
	proxy_open(&x, true);
	proxy_send(&x, "PROXY ", 6);
	settle_asleep(&x);
	assert_int_equal(setsockopt(x.fd, SOL_SOCKET, SO_LINGER, &hard,
	    sizeof(hard)), 0);
	fd_close(&x.fd);
	pair_until(&x.p, server_error);
	assert_int_equal(x.p.server.reason, NET_RESET);
	proxy_close(&x);
}

/* The owner's deadline ends it, or its callback. */
static void
test_owner_closes_inside(void **state)
{
	struct proxy x;

	(void)state;
	for (int how = 0; how < 3; how++) {
		proxy_open(&x, true);
		proxy_send(&x, "PROXY ", 6);
		settle_asleep(&x);
		switch (how) {
		case 0:
			net_stream_close(&x.p.server.s);
			break;
		case 1:		/* nobody was answered: no linger */
			net_stream_finish(&x.p.server.s, 1000);
			assert_int_equal(net_stream_lingering(), 0);
			break;
		case 2:
			x.p.server.close_in = CLOSE_IN_ERROR;
			proxy_send(&x, "?\r\n", 3);
			pair_until(&x.p, server_error);
			assert_null(x.p.server.s);
		}
		proxy_close(&x);
	}
}

/* Without TLS: bytes stand behind the header, cut at each place. */
static void
test_plain(void **state)
{
	char bytes[200];
	struct proxy x;

	(void)state;
	for (size_t i = 1; i < HEADERS; i++) {
		size_t len = headers[i].bytes.len;

		memcpy(bytes, headers[i].bytes.p, len);
		memcpy(bytes + len, "ask!", 4);
		for (size_t cut = 0; cut <= len + 4; cut++) {
			proxy_open_to(&x, SERVER_PROXIED_PLAIN);
			assert_false(net_stream_is_open(x.p.server.s));
			proxy_send(&x, bytes, cut);
			settle_asleep(&x);
			assert_int_equal(x.p.server.ready, cut >= len ? 1 : 0);
			proxy_send(&x, bytes + cut, len + 4 - cut);
			pair_until(&x.p, server_got_4);
			assert_int_equal(x.p.server.ready, 1);
			assert_true(end_got(&x.p.server, "ask!"));
			assert_int_equal(net_stream_received_total(
			    x.p.server.s), 4);
			check_addresses(&x, headers[i].client);
			end_send(&x.p.server, "answ");
			net_stream_flush(x.p.server.s);
			assert_int_equal(read(x.fd, bytes + len, 4), 4);
			assert_memory_equal(bytes + len, "answ", 4);
			memcpy(bytes + len, "ask!", 4);
			proxy_close(&x);
		}
	}
}

/* Nothing but a header is taken for one, the beginning of TLS neither. */
static void
test_plain_without_a_header(void **state)
{
	static const struct span cases[] = { SPAN_LIT("GET / HTTP/1.1\r\n"),
		SPAN_LIT("PRI * HTTP/2.0\r\n"), SPAN_LIT("PROXY TCP9\r\n"),
		SPAN_LIT("\x16\3\1\2\0\1"), SPAN_LIT("\0") };
	struct proxy x;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		proxy_open_to(&x, SERVER_PROXIED_PLAIN);
		proxy_send(&x, cases[i].p, cases[i].len);
		pair_until(&x.p, server_error);
		assert_int_equal(x.p.server.reason, NET_PROXY_HEADER);
		assert_int_equal(x.p.server.ready + x.p.server.inputs, 0);
		proxy_close(&x);
	}
}

/* Whom the header named stays the peer of the TLS inside. */
static void
test_inside(void **state)
{
	struct proxy x;

	(void)state;
	for (size_t i = 1; i < HEADERS; i++) {
		bool known;

		proxy_open_to(&x, SERVER_PROXIED_PLAIN);
		proxy_send(&x, headers[i].bytes.p, headers[i].bytes.len);
		settle_asleep(&x);
		known = net_stream_peer_is_known(x.p.server.s);
		assert_int_equal(known, strstr(headers[i].name, "v1 0x16") ==
		    NULL && strstr(headers[i].name, "unknown") == NULL);
		x.p.server.ready = 0;
		x.p.server.s = net_stream_accept_inside(&x.p.server.s,
		    stage.server, &end_ops, &x.p.server);
		check_talk(&x, headers[i].client);
		assert_int_equal(net_stream_peer_is_known(x.p.server.s), known);
		proxy_close(&x);
	}
}

/* To anybody else a header is no TLS. */
static void
test_peer_that_is_not_trusted(void **state)
{
	struct proxy x;

	(void)state;
	proxy_open(&x, false);
	proxy_send(&x, headers[1].bytes.p, headers[1].bytes.len);
	assert_null(net_stream_proxy(x.p.server.s));
	pair_until(&x.p, server_error);
	assert_int_equal(x.p.server.reason, NET_TLS_ERROR);
	assert_true(net_addr_equal(net_stream_peer(x.p.server.s), &x.own));
	proxy_close(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_one_piece),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_each_split),
		cmocka_unit_test(test_longest_header),
		cmocka_unit_test(test_waiting_does_not_spin),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_end_inside),
		cmocka_unit_test(test_reset_inside),
		cmocka_unit_test(test_owner_closes_inside),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_plain_without_a_header),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_peer_that_is_not_trusted),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(60);
	return (cmocka_run_group_tests(tests, stage_setup, stage_teardown));
}
