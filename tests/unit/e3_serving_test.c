/*
 * The engine over real links: small calls beside large ones, cancelled calls,
 * callers that are gone, what is made while nobody calls.
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

/* A 30-field call of the same app beside one of 60,000 fields. */
static void
test_small_beside_large(void **state)
{
	static const size_t counts[] = { 60000, 30 };
	struct answer a[2];
	struct buffer b;
	char app[64];
	struct stage s;
	uint64_t id;

	(void)state;
	stage_open_with_app(&s, app);
	for (int i = 0; i < 2; i++) {
		answer_init(&a[i]);
		stage_encrypt_body(&b, app, counts[i], "v");
		assert_int_equal(rpc_link_call(s.clients[WORKER].link,
		    RPC_OP_ENCRYPT, &b, STAGE_WAIT_MS, answer_take, &a[i],
		    &id), RC_OK);
		buffer_fini(&b);
	}
	stage_wait(&s, &a[1].done);
	assert_int_equal(a[1].n, 30);
	assert_false(a[0].done);
	stage_wait(&s, &a[0].done);
	assert_int_equal(a[0].n, 60000);
	for (int i = 0; i < 2; i++)
		buffer_fini(&a[i].bytes);
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
	while (sched_depth(s.engine.sched) == 0) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	rpc_link_cancel(s.clients[WORKER].link, id);
	while (sched_depth(s.engine.sched) != 0 ||
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

/* LoadRecords that is cancelled while its last slice runs has an end, too: the
 * link would wait for it until it looks stalled. */
static void
test_cancelled_load_ends(void **state)
{
	uint64_t id, end_ms = clock_mono_ms() + STAGE_WAIT_MS;
	struct answer made;
	struct buffer b;
	char app[64];
	struct stage s;

	(void)state;
	stage_open_with_app(&s, app);
	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &made),
	    RPC_STATUS_OK);
	for (int i = 0; i < 100; i++) {
		struct answer a;

		answer_init(&a);
		buffer_init(&b, 0, false);
		rpc_put_map(&b, 1);
		rpc_put_str(&b, "records");
		rpc_put_array(&b, 2);
		for (int k = 0; k < 2; k++)
			rpc_put_bin(&b, (struct span){ buffer_data(&made.bytes),
			    buffer_len(&made.bytes) });
		assert_int_equal(rpc_link_call(s.clients[HELPER].link,
		    RPC_OP_LOAD_RECORDS, &b, STAGE_WAIT_MS, answer_take, &a,
		    &id), RC_OK);
		buffer_fini(&b);
		while (sched_depth(s.engine.sched) == 0 && !a.done)
			loop_turn(s.loop, true);
		rpc_link_cancel(s.clients[HELPER].link, id);
		while (rpc_link_in_flight(s.clients[HELPER].link) != 0) {
			loop_turn(s.loop, true);
			assert_true(clock_mono_ms() < end_ms);
		}
		buffer_fini(&a.bytes);
	}
	buffer_fini(&made.bytes);
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
	while (sched_depth(s.engine.sched) == 0)
		loop_turn(s.loop, true);
	stage_client_close(&s.clients[WORKER]);
	while (sched_depth(s.engine.sched) != 0 ||
	    rpc_server_links(s.engine.server) != CLIENTS - 1) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	buffer_fini(&big.bytes);
	stage_close(&s);
}

static void
wait_for_pairs(const struct stage *s)
{
	uint64_t end_ms = clock_mono_ms() + STAGE_WAIT_MS;

	while (scheme_ready_pairs_count(s->engine.pairs) !=
	    2 * SCHEME_READY_PAIRS_MAX)
		assert_true(clock_mono_ms() < end_ms);
}

/* Threads without work make pairs, up to their bound, and again what a call
 * took. */
static void
test_pairs_are_made_in_idle_time(void **state)
{
	struct answer a;
	struct buffer b;
	char app[64];
	struct stage s;

	(void)state;
	stage_open_with_app(&s, app);
	wait_for_pairs(&s);
	stage_encrypt_body(&b, app, 10, "v");
	answer_init(&a);
	assert_int_equal(stage_call(&s, WORKER, RPC_OP_ENCRYPT, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(a.n, 10);
	wait_for_pairs(&s);
	buffer_fini(&a.bytes);
	stage_close(&s);
}

static void
rewrap_body(struct buffer *b, const char *app)
{
	const struct rpc_rewrap r = { .app = span_of(app), .n_tokens = 2 };

	buffer_init(b, 0, true);
	rpc_rewrap_put(b, &r);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rpc_decrypt_put_token(b, SPAN_LIT("x"),
		    SPAN_LIT("")), RC_OK);
}

/* Rewrap of many tokens is a signed call like any other. */
static void
test_rewrap_is_signed(void **state)
{
	struct answer a;
	struct buffer b;
	char app[64];
	struct stage s;

	(void)state;
	stage_open_with_app(&s, app);
	rewrap_body(&b, app);
	assert_int_equal(stage_call(&s, ADMIN, RPC_OP_REWRAP, &b, NULL),
	    RPC_STATUS_NOT_ALLOWED);
	rewrap_body(&b, app);
	answer_init(&a);
	assert_int_equal(stage_call_honest(&s, RPC_OP_REWRAP, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(a.n, 2);
	buffer_fini(&a.bytes);
	stage_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_small_beside_large),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancelled_load_ends),
		cmocka_unit_test(test_caller_gone),
		cmocka_unit_test(test_pairs_are_made_in_idle_time),
		cmocka_unit_test(test_rewrap_is_signed),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
