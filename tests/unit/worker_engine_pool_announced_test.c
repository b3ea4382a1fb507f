/*
 * worker/engine_pool.c against real peers that come, drain, are overloaded and
 * leave: where a call goes, and that none is lost on the way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_engine_pair.h"

#define N_CALLS	20

/* One call as its asker sees it. */
struct ask {
	size_t		writes;
	bool		ended;
	enum rc		rc;
	enum rpc_status	status;
	size_t		*count;		/* NULL, or: calls that ended */
};

static enum rc
ask_write(void *arg, struct buffer *body)
{
	struct ask *a = arg;

	a->writes++;
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

	assert_false(a->ended);
	a->ended = true;
	a->rc = rc;
	a->status = status;
	if (a->count != NULL)
		++*a->count;
}

static const struct engine_call_ops ask_ops = {
	.on_write = ask_write,
	.on_piece = ask_piece,
	.on_end = ask_end,
};

static void
ask_start(struct engine_pair *f, struct ask *a)
{
	assert_int_not_equal(engine_call(f->pool, RPC_OP_ENCRYPT, &ask_ops, a), 0);
}

/* A call and its good end; how often it was written. */
static size_t
ask_one(struct engine_pair *f)
{
	struct ask a = { 0 };

	ask_start(f, &a);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_OK);
	return (a.writes);
}

static void
answer(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	(void)arg;
	engine_reply(l, f->id, RPC_STATUS_OK, NULL, false);
}

static void
refuse(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	(void)arg;
	engine_reply(l, f->id, RPC_STATUS_OVERLOADED, NULL, false);
}

/* The one call that is not answered yet. */
struct held {
	struct engine_link	*link;
	uint64_t		id;
};

static void
hold(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct held *h = arg;

	h->link = l;
	h->id = f->id;
}

static void
announce(struct engine_pair *f, const struct worker_engine *e, bool draining)
{
	engine_pool_announced(f->pool, &(struct engine_announced){
	    .address = e->address, .draining = draining }, 1);
}

static bool
has_links(const struct worker_engine *e)
{
	const struct engine_link *l;

	LIST_FOREACH(l, &e->links, chain)
		if (l->stream != NULL)
			return (true);
	return (false);
}

static void
until_let_go(struct engine_pair *f, const struct worker_engine *e)
{
	for (unsigned i = 0; has_links(e); i++) {
		assert_in_range(i, 0, 10000);
		loop_for_ms(f->lab.loop, 1);
	}
}

/* Ping has told what changed. */
static void
after_pings(struct engine_pair *f, const struct worker_engine *e)
{
	loop_until_count(f->lab.loop, &e->n_pings, e->n_pings + 2);
	loop_for_ms(f->lab.loop, 5);
}

/* ---- who comes and who leaves ---- */

static void
test_an_announced_engine_is_used(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	f->one.on_call = answer;
	engine_pair_pool(f, 0, NEVER_MS);
	ask_start(f, &a);			/* it waits for somebody */
	announce(f, &f->one, false);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_OK);
	announce(f, &f->one, false);		/* nothing new */
	assert_int_equal(ask_one(f), 1);
	assert_int_equal(f->one.n_links, 2);
	assert_int_equal(engine_pool_up(f->pool), 1);
}

static void
test_one_that_left_answers_its_last_call(void **state)
{
	struct engine_pair *f = *state;
	struct ask last = { 0 };
	struct held held = { 0 };

	f->one.on_call = hold;
	f->one.arg = &held;
	f->two.on_call = answer;
	engine_pair_pool(f, 0, NEVER_MS);
	announce(f, &f->one, false);
	ask_start(f, &last);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	announce(f, &f->two, false);		/* in place of the first */
	assert_int_equal(ask_one(f), 1);
	loop_for_ms(f->lab.loop, SOON_MS);
	assert_int_equal(f->one.n_calls, 1);
	assert_true(has_links(&f->one));
	assert_int_equal(engine_pool_up(f->pool), 1);
	engine_reply(held.link, held.id, RPC_STATUS_OK, NULL, false);
	loop_until(f->lab.loop, &last.ended);
	assert_int_equal(last.rc, RC_OK);
	assert_int_equal(last.writes, 1);
	until_let_go(f, &f->one);
	assert_int_equal(f->one.n_cancels, 0);
	assert_int_equal(ask_one(f), 1);
}

static void
test_none_left(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	f->one.on_call = answer;
	engine_pair_pool(f, 0, SOON_MS);
	announce(f, &f->one, false);
	(void)ask_one(f);
	engine_pool_announced(f->pool, NULL, 0);
	ask_start(f, &a);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_UNAVAILABLE);
	assert_int_equal(a.writes, 0);
	until_let_go(f, &f->one);
}

/* Announced again before its last call ended: its links were never closed. */
static void
test_one_that_is_back_in_time(void **state)
{
	struct engine_pair *f = *state;
	struct ask last = { 0 };
	struct held held = { 0 };
	uint64_t seen;

	f->one.on_call = hold;
	f->one.arg = &held;
	engine_pair_pool(f, 0, NEVER_MS);
	announce(f, &f->one, false);
	ask_start(f, &last);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	seen = engine_pool_keys_seen(f->pool);
	engine_pool_announced(f->pool, NULL, 0);
	assert_int_equal(engine_pool_keys_seen(f->pool), 0);
	announce(f, &f->one, false);
	assert_true(engine_pool_keys_seen(f->pool) > seen);
	engine_reply(held.link, held.id, RPC_STATUS_OK, NULL, false);
	loop_until(f->lab.loop, &last.ended);
	f->one.on_call = answer;
	assert_int_equal(ask_one(f), 1);
	assert_int_equal(f->one.n_links, 2);
}

/* Its end is no graceful one: the call moves. */
static void
test_one_that_left_and_dies(void **state)
{
	struct engine_pair *f = *state;
	struct ask last = { 0 };
	struct held held = { 0 };

	f->one.on_call = hold;
	f->one.arg = &held;
	f->two.on_call = answer;
	engine_pair_pool(f, 0, NEVER_MS);
	announce(f, &f->one, false);
	ask_start(f, &last);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	announce(f, &f->two, false);
	worker_engine_cut(&f->one);
	loop_until(f->lab.loop, &last.ended);
	assert_int_equal(last.rc, RC_OK);
	assert_int_equal(last.writes, 2);
	until_let_go(f, &f->one);
}

/* Conf's engines stay, whatever is announced of them. */
static void
test_conf_stays(void **state)
{
	struct engine_pair *f = *state;

	f->one.on_call = answer;
	engine_pair_pool(f, 1, NEVER_MS);
	announce(f, &f->one, true);		/* the only one: asked all the same */
	assert_int_equal(ask_one(f), 1);
	engine_pool_announced(f->pool, NULL, 0);
	assert_int_equal(ask_one(f), 1);
	assert_int_equal(f->one.n_links, 2);
	assert_int_equal(engine_pool_up(f->pool), 1);
}

static void
test_what_is_no_address(void **state)
{
	static const struct engine_announced junk[] = {
		{ "", false }, { "nobody", false }, { ":1", false },
		{ "a b:1", true }, { "a.test:99999", false }, { "[:1", false },
	};
	struct engine_pair *f = *state;

	f->one.on_call = answer;
	engine_pair_pool(f, 1, NEVER_MS);
	engine_pool_announced(f->pool, junk, sizeof(junk) / sizeof(junk[0]));
	assert_int_equal(ask_one(f), 1);
	assert_int_equal(engine_pool_up(f->pool), 1);
}

/* What is remembered of keys, when an engine leaves without a word. */
static void
test_keys_seen_when_one_leaves(void **state)
{
	struct engine_pair *f = *state;
	uint64_t seen;

	engine_pair_pool(f, 1, NEVER_MS);
	announce(f, &f->two, false);
	engine_pair_until_up(f, 2);
	seen = engine_pool_keys_seen(f->pool);
	engine_pool_announced(f->pool, NULL, 0);
	assert_true(engine_pool_keys_seen(f->pool) > seen);
}

/* ---- who drains ---- */

static void
test_draining_is_for_want_of_others(void **state)
{
	struct engine_pair *f = *state;

	f->one.on_call = f->two.on_call = answer;
	f->one.draining = true;
	engine_pair_pool(f, 1, NEVER_MS);
	assert_int_equal(ask_one(f), 1);	/* nobody else */
	announce(f, &f->two, false);
	engine_pair_until_up(f, 2);
	loop_for_ms(f->lab.loop, 20);
	for (unsigned i = 0; i < N_CALLS; i++)
		(void)ask_one(f);
	assert_int_equal(f->one.n_calls, 1);
	assert_int_equal(f->two.n_calls, N_CALLS);
	/* Now the other one, by its announcement; both drain. */
	announce(f, &f->two, true);
	(void)ask_one(f);
	assert_int_equal(f->one.n_calls + f->two.n_calls, N_CALLS + 2);
	/* The first came back. */
	f->one.draining = false;
	after_pings(f, &f->one);
	f->two.n_calls = 0;
	for (unsigned i = 0; i < N_CALLS; i++)
		(void)ask_one(f);
	assert_int_equal(f->two.n_calls, 0);
}

/* By its announcement: it may wait for its callers to go, so their links do,
 * as long as another one serves. */
static void
test_who_announces_draining_is_left_alone(void **state)
{
	struct engine_pair *f = *state;
	struct ask last = { 0 };
	struct held held = { 0 };
	size_t n_links;

	f->one.on_call = hold;
	f->one.arg = &held;
	f->two.on_call = answer;
	f->two.ready = false;
	engine_pair_pool(f, 2, NEVER_MS);
	ask_start(f, &last);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	announce(f, &f->one, true);
	loop_for_ms(f->lab.loop, SOON_MS);
	assert_true(has_links(&f->one));	/* nobody else, and a call */
	f->two.ready = true;
	engine_pair_until_up(f, 2);
	loop_for_ms(f->lab.loop, SOON_MS);
	assert_true(has_links(&f->one));
	engine_reply(held.link, held.id, RPC_STATUS_OK, NULL, false);
	loop_until(f->lab.loop, &last.ended);
	assert_int_equal(last.rc, RC_OK);
	until_let_go(f, &f->one);
	assert_int_equal(engine_pool_up(f->pool), 1);
	assert_int_not_equal(engine_pool_keys_seen(f->pool), 0);
	/* The other one is lost: it serves again. */
	f->one.on_call = answer;
	n_links = f->one.n_links;
	f->two.ready = false;
	worker_engine_cut(&f->two);
	assert_int_equal(ask_one(f), 1);
	assert_true(f->one.n_links > n_links);
	/* Ready again: its links stay. */
	f->two.ready = true;
	announce(f, &f->one, false);
	engine_pair_until_up(f, 2);
	loop_for_ms(f->lab.loop, SOON_MS);
	assert_true(has_links(&f->one));
}

/* Under way when it begins to drain: answered where it is. */
static void
test_draining_keeps_its_calls(void **state)
{
	struct engine_pair *f = *state;
	struct ask last = { 0 };
	struct held held = { 0 };

	f->one.on_call = hold;
	f->one.arg = &held;
	f->two.on_call = answer;
	f->two.ready = false;
	engine_pair_pool(f, 2, NEVER_MS);
	ask_start(f, &last);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	f->two.ready = f->one.draining = true;
	engine_pair_until_up(f, 2);
	after_pings(f, &f->one);
	assert_int_equal(ask_one(f), 1);
	assert_int_equal(f->two.n_calls, 1);
	engine_reply(held.link, held.id, RPC_STATUS_OK, NULL, false);
	loop_until(f->lab.loop, &last.ended);
	assert_int_equal(last.rc, RC_OK);
	assert_int_equal(last.writes, 1);
}

/* ---- who is overloaded ---- */

static void
test_overloaded_asks_one_other(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	f->one.on_call = refuse;
	f->two.on_call = answer;
	f->two.ready = false;
	engine_pair_pool(f, 2, NEVER_MS);
	engine_pair_until_up(f, 1);
	ask_start(f, &a);			/* alone: refused at once */
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_UNAVAILABLE);
	assert_int_equal(a.status, RPC_STATUS_OVERLOADED);
	f->two.ready = true;
	engine_pair_until_up(f, 2);
	assert_int_equal(ask_one(f), 2);
	assert_int_equal(f->one.n_calls, 2);
	assert_int_equal(f->two.n_calls, 1);
}

static void
test_overloaded_both(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	f->one.on_call = f->two.on_call = refuse;
	engine_pair_pool(f, 2, NEVER_MS);
	engine_pair_until_up(f, 2);
	loop_for_ms(f->lab.loop, 20);
	ask_start(f, &a);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_UNAVAILABLE);
	assert_int_equal(a.status, RPC_STATUS_OVERLOADED);
	assert_int_equal(a.writes, 2);
	assert_int_equal(f->one.n_calls, 1);
	assert_int_equal(f->two.n_calls, 1);
}

/* The other one is lost with the call: the first is asked again. */
static void
cut(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct worker_engine *other = arg;

	(void)f;
	other->on_call = answer;
	l->engine->ready = false;
	engine_cut(l);
}

static void
test_overloaded_and_then_lost(void **state)
{
	struct engine_pair *f = *state;

	f->one.on_call = refuse;
	f->two.on_call = cut;
	f->two.arg = &f->one;
	engine_pair_pool(f, 2, NEVER_MS);
	engine_pair_until_up(f, 2);
	loop_for_ms(f->lab.loop, 20);
	assert_int_equal(ask_one(f), 3);
	assert_int_equal(f->one.n_calls, 2);
	assert_int_equal(f->two.n_calls, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ENGINE_PAIR_TEST(test_an_announced_engine_is_used),
		ENGINE_PAIR_TEST(test_one_that_left_answers_its_last_call),
		ENGINE_PAIR_TEST(test_none_left),
		ENGINE_PAIR_TEST(test_one_that_is_back_in_time),
		ENGINE_PAIR_TEST(test_one_that_left_and_dies),
		ENGINE_PAIR_TEST(test_conf_stays),
		ENGINE_PAIR_TEST(test_what_is_no_address),
		ENGINE_PAIR_TEST(test_keys_seen_when_one_leaves),
		ENGINE_PAIR_TEST(test_draining_is_for_want_of_others),
		ENGINE_PAIR_TEST(test_who_announces_draining_is_left_alone),
		ENGINE_PAIR_TEST(test_draining_keeps_its_calls),
		ENGINE_PAIR_TEST(test_overloaded_asks_one_other),
		ENGINE_PAIR_TEST(test_overloaded_both),
		ENGINE_PAIR_TEST(test_overloaded_and_then_lost),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
