/*
 * worker/engine_pool.c against real peers: engine_pool_keys_seen, by which it
 * is known how long an answer about an API key may be remembered.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_engine_pair.h"

static void
test_keys_seen_by_ping(void **state)
{
	struct engine_pair *f = *state;
	uint64_t seen;
	size_t n;

	engine_pair_pool(f, 2, NEVER_MS);
	assert_int_equal(engine_pool_keys_seen(f->pool), 0);
	engine_pair_until_up(f, 2);
	seen = engine_pool_keys_seen(f->pool);
	assert_int_not_equal(seen, 0);
	n = f->two.n_pings;
	loop_until_count(f->lab.loop, &f->two.n_pings, n + 3);
	assert_int_equal(engine_pool_keys_seen(f->pool), seen);
	f->two.keys_epoch = 7;
	seen = engine_pair_until_keys_seen(f, seen);
	f->two.keys_epoch = 1;		/* back is a change as well */
	(void)engine_pair_until_keys_seen(f, seen);
}

/* Silent for a second: what changed meanwhile was not heard.  It is back
 * before the timer looked, or after. */
static void
keys_seen_after_silence(struct engine_pair *f, bool lost)
{
	uint64_t seen;

	engine_pair_pool(f, 1, NEVER_MS);
	seen = engine_pair_until_keys_seen(f, 0);
	f->one.mute = true;
	engine_pair_until_keys_unsure(f);
	if (lost)
		loop_for_ms(f->lab.loop, ENGINE_PING_MS + SOON_MS);
	worker_engine_unmute(&f->one);
	(void)engine_pair_until_keys_seen(f, seen);
}

static void
test_keys_seen_after_silence(void **state)
{
	keys_seen_after_silence(*state, true);
}

static void
test_keys_seen_after_unnoted_silence(void **state)
{
	keys_seen_after_silence(*state, false);
}

/* One of two is gone for good: noted without its link, and then the other one
 * is enough again. */
static void
test_keys_seen_without_one_engine(void **state)
{
	struct engine_pair *f = *state;
	struct worker_engine third, *engines[2] = { &f->one, &third };
	uint64_t seen;

	worker_engine_start(&third, &f->lab, false);
	f->pool = lab_pool(&f->lab, NULL, NEVER_MS, engines, 2);
	engine_pair_until_up(f, 2);
	seen = engine_pool_keys_seen(f->pool);
	worker_engine_stop(&third);
	(void)engine_pair_until_keys_seen(f, seen);
	assert_int_equal(engine_pool_up(f->pool), 1);
	seen = engine_pool_keys_seen(f->pool);
	loop_for_ms(f->lab.loop, ENGINE_SILENT_MS + SOON_MS);
	assert_int_equal(engine_pool_keys_seen(f->pool), seen);
	engine_pool_free(&f->pool);
}

/* Any answer may tell sooner than the next Ping. */
static void
answer_with_epoch(void *arg, struct engine_link *l,
    const struct rpc_call_frame *f)
{
	uint64_t *epoch = arg;
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "keys_epoch");
	rpc_put_u64(&body, *epoch);
	engine_reply(l, f->id, RPC_STATUS_OK, &body, false);
	buffer_fini(&body);
}

struct ask {
	bool	ended;
	enum rc	rc;
};

static enum rc
ask_write(void *arg, struct buffer *body)
{
	(void)arg;
	rpc_put_map(body, 0);
	return (RC_OK);
}

static enum rc
ask_piece(void *arg, const struct rpc_value *body, bool more)
{
	(void)arg;
	(void)body;
	(void)more;
	return (RC_OK);
}

static void
ask_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct ask *a = arg;

	(void)status;
	a->ended = true;
	a->rc = rc;
}

static enum rc
ask(struct engine_pair *f)
{
	static const struct engine_call_ops ops = {
		.on_write = ask_write,
		.on_piece = ask_piece,
		.on_end = ask_end,
	};
	struct ask a = { .ended = false };

	assert_int_not_equal(engine_call(f->pool, RPC_OP_AUTHENTICATE, &ops,
	    &a), 0);
	loop_until(f->lab.loop, &a.ended);
	return (a.rc);
}

static void
test_keys_seen_by_answer(void **state)
{
	struct engine_pair *f = *state;
	uint64_t epoch = 1, seen;

	f->one.on_call = answer_with_epoch;
	f->one.arg = &epoch;
	engine_pair_pool(f, 1, NEVER_MS);
	seen = engine_pair_until_keys_seen(f, 0);
	assert_int_equal(ask(f), RC_OK);
	assert_int_equal(engine_pool_keys_seen(f->pool), seen);
	epoch = f->one.keys_epoch = 2;
	assert_int_equal(ask(f), RC_OK);
	assert_int_not_equal(engine_pool_keys_seen(f->pool), seen);
}

/* A Ping's answer without keys_epoch is none. */
static void
test_ping_without_keys_epoch(void **state)
{
	struct engine_pair *f = *state;

	f->one.keys_epoch = 0;
	engine_pair_pool(f, 1, NEVER_MS);
	loop_until_count(f->lab.loop, &f->one.n_pings, 3);
	assert_int_equal(engine_pool_up(f->pool), 0);
	assert_int_equal(engine_pool_keys_seen(f->pool), 0);
	f->one.keys_epoch = 1;
	(void)engine_pair_until_keys_seen(f, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ENGINE_PAIR_TEST(test_keys_seen_by_ping),
		ENGINE_PAIR_TEST(test_keys_seen_after_silence),
		ENGINE_PAIR_TEST(test_keys_seen_after_unnoted_silence),
		ENGINE_PAIR_TEST(test_keys_seen_without_one_engine),
		ENGINE_PAIR_TEST(test_keys_seen_by_answer),
		ENGINE_PAIR_TEST(test_ping_without_keys_epoch),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
