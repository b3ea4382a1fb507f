/*
 * e3/server.c over real links: large calls, cancelled calls, callers that are
 * gone, hostile peers, too many of them, draining.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "e3_stage.h"
#include "lib/base/clock.h"
#include "lib/net/stream.h"

/* 60,000 fields and 8 MB of reply through a 4 KiB send buffer; Ping passes. */
static void
test_large(void **state)
{
	struct answer big, ping;
	struct buffer b, empty;
	char app[64];
	struct stage s;
	uint64_t id;

	(void)state;
	stage_open_with_app(&s, app);
	stage_client_close(&s.clients[WORKER]);
	stage_client_open(&s, WORKER, 4096);
	answer_init(&big);
	answer_init(&ping);
	stage_encrypt_body(&b, app, 60000, "a value of no great length");
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_ENCRYPT,
	    &b, STAGE_WAIT_MS, answer_take, &big, &id), RC_OK);
	buffer_fini(&b);
	buffer_init(&empty, 0, false);
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_PING,
	    &empty, STAGE_WAIT_MS, answer_take, &ping, &id), RC_OK);
	stage_wait(&s, &ping.done);
	assert_false(big.done);
	stage_wait(&s, &big.done);
	assert_int_equal(big.status, RPC_STATUS_OK);
	assert_int_equal(big.n, 60000);
	assert_true(big.pieces > 20);
	buffer_fini(&big.bytes);
	stage_close(&s);
}

/* Cancelled: the engine stops, and the link goes on. */
static void
test_cancel(void **state)
{
	struct answer big;
	struct buffer b;
	char app[64];
	struct stage s;
	uint64_t id, end_ms = clock_mono_ms() + STAGE_WAIT_MS;

	(void)state;
	stage_open_with_app(&s, app);
	answer_init(&big);
	stage_encrypt_body(&b, app, 60000, "v");
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_ENCRYPT,
	    &b, STAGE_WAIT_MS, answer_take, &big, &id), RC_OK);
	buffer_fini(&b);
	while (e3_sched_depth(s.engine.sched) == 0) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	rpc_link_cancel(s.clients[WORKER].link, id);
	while (e3_sched_depth(s.engine.sched) != 0 ||
	    rpc_link_in_flight(s.clients[WORKER].link) != 0) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	assert_true(s.engine.fields_sealed < 60000);
	assert_int_equal(stage_call(&s, WORKER, RPC_OP_PING, NULL, NULL),
	    RPC_STATUS_OK);
	buffer_fini(&big.bytes);
	stage_close(&s);
}

/* A link that dies with a call at work leaves nothing behind. */
static void
test_caller_gone(void **state)
{
	struct answer big;
	struct buffer b;
	char app[64];
	struct stage s;
	uint64_t id, end_ms = clock_mono_ms() + STAGE_WAIT_MS;

	(void)state;
	stage_open_with_app(&s, app);
	answer_init(&big);
	stage_encrypt_body(&b, app, 60000, "v");
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_ENCRYPT,
	    &b, STAGE_WAIT_MS, answer_take, &big, &id), RC_OK);
	buffer_fini(&b);
	while (e3_sched_depth(s.engine.sched) == 0)
		loop_turn(s.loop, true);
	stage_client_close(&s.clients[WORKER]);
	while (e3_sched_depth(s.engine.sched) != 0 ||
	    s.engine.links != CLIENTS - 1) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	buffer_fini(&big.bytes);
	stage_close(&s);
}

/* ---- peers that do not keep to the protocol ---- */

struct raw {
	struct net_stream	*stream;
	bool			ready, ended;
};

static void
raw_ready(void *arg)
{
	((struct raw *)arg)->ready = true;
}

static void
raw_nothing(void *arg)
{
	(void)arg;
}

static void
raw_eof(void *arg)
{
	((struct raw *)arg)->ended = true;
}

static void
raw_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	((struct raw *)arg)->ended = true;
}

static const struct net_stream_ops raw_ops = { raw_ready, raw_nothing,
    raw_nothing, raw_eof, raw_error };

static void
raw_open(struct stage *s, const char *san, struct raw *r,
    struct test_cert **cert, SSL_CTX **ctx)
{
	struct net_stream_connect to = { .addr = &s->addr };

	*cert = test_leaf_new(s->ca, "raw", san, 3600);
	*ctx = to.ctx = stage_ctx(s, false, *cert);
	memset(r, 0, sizeof(*r));
	r->stream = net_stream_connect(s->loop, &to, &raw_ops, r);
}

static void
raw_close(struct raw *r, struct test_cert **cert, SSL_CTX **ctx)
{
	net_stream_close(&r->stream);
	SSL_CTX_free(*ctx);
	test_cert_free(cert);
}

static void
test_hostile(void **state)
{
	static const struct {
		const char	*bytes;
		size_t		len;
	} cases[] = {
		{ "\0\0\0\0", 4 },			/* empty frame */
		{ "\xff\xff\xff\xff", 4 },		/* 4 GiB announced */
		{ "\0\0\0\1\xc0", 5 },			/* nil */
		{ "\0\0\0\3\xdd\xff\xff", 7 },		/* array cut short */
		{ "\0\0\0\5\x94\1\0\xa4Ping", 9 },	/* id 0, cut */
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
	};
	struct test_cert *cert;
	struct stage s;
	struct raw r;
	SSL_CTX *ctx;

	(void)state;
	stage_open(&s);
	stage_client_open(&s, WORKER, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		raw_open(&s, "URI:relay://link/worker/w", &r, &cert, &ctx);
		stage_wait(&s, &r.ready);
		assert_int_equal(net_stream_write(r.stream, cases[i].bytes,
		    cases[i].len), RC_OK);
		stage_wait(&s, &r.ended);
		raw_close(&r, &cert, &ctx);
		assert_int_equal(stage_call(&s, WORKER, RPC_OP_PING, NULL, NULL),
		    RPC_STATUS_OK);
	}
	/* Certificates of our CA that are no caller's. */
	raw_open(&s, "URI:relay://link/engine/e", &r, &cert, &ctx);
	stage_wait(&s, &r.ended);
	raw_close(&r, &cert, &ctx);
	raw_open(&s, "DNS:worker.test", &r, &cert, &ctx);
	stage_wait(&s, &r.ended);
	raw_close(&r, &cert, &ctx);
	stage_close(&s);
}

/* More links than allowed: the surplus is cut, the others serve. */
static void
test_max_links(void **state)
{
	struct test_cert *cert[8];
	SSL_CTX *ctx[8];
	struct raw r[8];
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_client_open(&s, WORKER, 0);
	for (int i = 0; i < 7; i++) {
		raw_open(&s, "URI:relay://link/worker/w", &r[i], &cert[i],
		    &ctx[i]);
		stage_wait(&s, &r[i].ready);
	}
	raw_open(&s, "URI:relay://link/worker/w", &r[7], &cert[7], &ctx[7]);
	stage_wait(&s, &r[7].ended);
	assert_int_equal(stage_call(&s, WORKER, RPC_OP_PING, NULL, NULL),
	    RPC_STATUS_OK);
	for (int i = 0; i < 8; i++)
		raw_close(&r[i], &cert[i], &ctx[i]);
	stage_close(&s);
}

static void
on_drained(void *arg)
{
	struct stage *s = arg;

	s->drained = true;
}

/* Links are served while they last; new ones find nobody. */
static void
test_drain(void **state)
{
	struct buffer b;
	char app[64];
	struct stage s;

	(void)state;
	stage_open_with_app(&s, app);
	e3_server_drain(s.server, on_drained, &s);
	stage_encrypt_body(&b, app, 3, "v");
	assert_int_equal(stage_call(&s, WORKER, RPC_OP_ENCRYPT, &b, NULL),
	    RPC_STATUS_OK);
	assert_false(s.drained);
	for (int i = 0; i < CLIENTS; i++)
		stage_client_close(&s.clients[i]);
	stage_wait(&s, &s.drained);
	assert_int_equal(s.engine.links, 0);
	stage_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_caller_gone),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_max_links),
		cmocka_unit_test(test_drain),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
