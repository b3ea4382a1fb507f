/*
 * worker/leaf_cache.c against real peers: engines that sign, refuse, lie, are
 * silent or gone.  The wall clock is the test's own, so that leaves grow old at
 * once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_leaf_stage.h"

#define N(a)		(sizeof(a) / sizeof((a)[0]))

static void
test_a_leaf(void **state)
{
	struct leaf_stage *f = *state;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_false(leaf_is_kept(f->leaves, LEAF_HOST));
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	assert_string_equal(f->signer.host, LEAF_HOST);
	leaf_check_ctx(f, leaf_kept(f, LEAF_HOST), LEAF_HOST, 1);
	f->signer.chain = CHAIN_LEAF_ALONE;
	assert_int_equal(leaf_fault_of(f, "b.test", true), LEAF_OK);
	leaf_check_ctx(f, leaf_kept(f, "b.test"), "b.test", 0);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	assert_int_equal(leaf_calls(f), 2);
}

/* ---- who waits ---- */

static void
test_one_call_for_all_who_wait(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a[5] = { { .id = 0 } };
	size_t n = 0;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	f->signer.hold = true;
	for (size_t i = 0; i < N(a); i++) {
		a[i].count = &n;
		assert_true(leaf_ask_start(&a[i], f, i < 3 ? LEAF_HOST : "b.test"));
	}
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 2);
	leaf_signer_let_go(&f->signer);
	loop_until_count(f->engines.lab.loop, &n, N(a));
	assert_int_equal(leaf_calls(f), 2);
	for (size_t i = 0; i < N(a); i++) {
		assert_int_equal(a[i].fault, LEAF_OK);
		assert_ptr_equal(a[i].ctx, a[i < 3 ? 0 : 3].ctx);
		leaf_check_ctx(f, a[i].ctx, i < 3 ? LEAF_HOST : "b.test", 1);
	}
	assert_ptr_not_equal(a[0].ctx, a[3].ctx);
	for (size_t i = 0; i < N(a); i++)
		leaf_ask_end(&a[i]);
}

static void
test_cancel(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .id = 0 }, b = { .id = 0 }, c = { .id = 0 };

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	f->signer.hold = true;
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	assert_true(leaf_ask_start(&b, f, LEAF_HOST));
	assert_true(leaf_ask_start(&c, f, "c.test"));
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 2);
	leaf_cancel(f->leaves, 0);
	leaf_cancel(f->leaves, c.id + 1);
	leaf_cancel(f->leaves, a.id);
	leaf_cancel(f->leaves, a.id);
	leaf_cancel(f->leaves, c.id);
	leaf_signer_let_go(&f->signer);
	loop_until(f->engines.lab.loop, &b.ended);
	assert_int_equal(b.fault, LEAF_OK);
	/* Nobody waited for the other one: it is there all the same. */
	for (int i = 0; i < 1000 && !leaf_is_kept(f->leaves, "c.test"); i++)
		loop_for_ms(f->engines.lab.loop, 1);
	assert_int_equal(leaf_fault_of(f, "c.test", false), LEAF_OK);
	assert_false(a.ended);
	assert_false(c.ended);
	assert_int_equal(f->engines.one.n_cancels, 0);
	leaf_cancel(f->leaves, b.id);
	leaf_ask_end(&b);
}

/* A callback cancels who waits for the same answer, before and behind it. */
static void
test_cancel_in_a_callback(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a[3] = { { .id = 0 } };

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	f->signer.hold = true;
	for (size_t i = 0; i < N(a); i++)
		assert_true(leaf_ask_start(&a[i], f, LEAF_HOST));
	a[0].cancels = a[1].id;
	a[2].cancels = a[0].id;
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	leaf_signer_let_go(&f->signer);
	loop_until(f->engines.lab.loop, &a[2].ended);
	assert_true(a[0].ended);
	assert_false(a[1].ended);
	for (size_t i = 0; i < N(a); i++)
		leaf_ask_end(&a[i]);
}

/* Pipelined CONNECTs: who was told asks again, for the same host and for
 * another one. */
static void
test_ask_in_a_callback(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .host = LEAF_HOST }, same = { .host = "b.test" };
	struct leaf_ask other = { .id = 0 };

	leaf_begin(f, 1, NEVER_MS, 1);
	a.starts = &same;
	same.starts = &other;
	f->signer.status = RPC_STATUS_RATE_LIMITED;
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	loop_until(f->engines.lab.loop, &other.ended);
	assert_int_equal(a.fault, LEAF_LIMITED);
	assert_true(same.ended);
	assert_int_equal(same.fault, LEAF_LIMITED);	/* of the same call */
	assert_int_equal(other.fault, LEAF_LIMITED);
	assert_int_equal(leaf_calls(f), 2);

	memset(&a, 0, sizeof(a));
	memset(&same, 0, sizeof(same));
	a.starts = &same;
	a.host = LEAF_HOST;
	f->signer.status = RPC_STATUS_OK;
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(same.id, 0);		/* it is there by then */
	assert_int_equal(same.fault, LEAF_OK);
	assert_int_equal(leaf_calls(f), 3);
	leaf_ask_end(&a);
	leaf_ask_end(&same);
}

static void
test_freed_while_a_call_is_out(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .id = 0 };

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	f->signer.hold = true;
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	leaf_cancel(f->leaves, a.id);
	leaf_cache_free(&f->leaves);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_cancels, 1);
	leaf_signer_let_go(&f->signer);
	loop_for_ms(f->engines.lab.loop, 10);
	assert_false(a.ended);
}

/* ---- time ---- */

/* Ahead of its end, while it is served; nobody waits twice. */
static void
test_renewal(void **state)
{
	struct leaf_stage *f = *state;
	SSL_CTX *first, *second;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	first = leaf_kept(f, LEAF_HOST);
	test_clock_ahead_ms = LEAF_LIFE_MS / 4 * 3 - 10000;
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	loop_for_ms(f->engines.lab.loop, 5);
	assert_int_equal(leaf_calls(f), 1);

	test_clock_ahead_ms = LEAF_LIFE_MS / 4 * 3 + 1;
	f->signer.hold = true;
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	assert_int_equal(SSL_CTX_up_ref(first), 1);	/* a tunnel has it */
	leaf_signer_let_go(&f->signer);
	while ((second = leaf_kept(f, LEAF_HOST)) == first)
		loop_for_ms(f->engines.lab.loop, 1);
	leaf_check_ctx(f, second, LEAF_HOST, 1);
	leaf_check_ctx(f, first, LEAF_HOST, 1);
	SSL_CTX_free(first);
	/* Its own life counts from here. */
	test_clock_ahead_ms += LEAF_LIFE_MS / 2;
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), second);
	loop_for_ms(f->engines.lab.loop, 5);
	assert_int_equal(leaf_calls(f), 2);
}

/* A renewal that fails leaves the former one, and is tried again in 5 s. */
static void
test_renewal_that_fails(void **state)
{
	struct leaf_stage *f = *state;
	SSL_CTX *first;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	first = leaf_kept(f, LEAF_HOST);
	test_clock_ahead_ms = LEAF_LIFE_MS / 5 * 4;
	f->signer.status = RPC_STATUS_INTERNAL;
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	loop_for_ms(f->engines.lab.loop, 5);
	assert_int_equal(leaf_calls(f), 2);
	test_clock_ahead_ms += 5000;
	/* One that has ended is no news either. */
	f->signer.status = RPC_STATUS_OK;
	f->signer.life_ms = 0;
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 3);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	test_clock_ahead_ms += 5000;
	f->signer.life_ms = LEAF_LIFE_MS;
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 4);
}

static void
test_ended_is_never_served(void **state)
{
	struct leaf_stage *f = *state;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	test_clock_ahead_ms = LEAF_LIFE_MS + 1;
	assert_false(leaf_is_kept(f->leaves, LEAF_HOST));
	f->signer.status = RPC_STATUS_INTERNAL;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_NO_ENGINE);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_NO_ENGINE);
	f->signer.status = RPC_STATUS_OK;
	/* Not even a new one. */
	f->signer.life_ms = -1000;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_NO_ENGINE);
	assert_int_equal(leaf_fault_of(f, "new.test", true), LEAF_NO_ENGINE);
	f->signer.life_ms = LEAF_LIFE_MS;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
}

/* ---- room ---- */

static void
test_the_one_unused_for_longest_goes(void **state)
{
	struct leaf_stage *f = *state;

	leaf_begin(f, 1, NEVER_MS, 3);
	assert_int_equal(leaf_fault_of(f, "a.test", true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "b.test", true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "c.test", true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "a.test", false), LEAF_OK);
	assert_true(leaf_is_kept(f->leaves, "b.test"));		/* is no use */
	assert_int_equal(leaf_fault_of(f, "d.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "b.test"));
	assert_true(leaf_is_kept(f->leaves, "c.test"));
	assert_int_equal(leaf_fault_of(f, "b.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "c.test"));
	assert_int_equal(leaf_fault_of(f, "a.test", false), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "d.test", false), LEAF_OK);
}

/* Hosts that get no leaf push nobody out, nor does one that is renewed. */
static void
test_refused_hosts_take_no_room(void **state)
{
	struct leaf_stage *f = *state;
	char host[32];

	leaf_begin(f, 1, NEVER_MS, 2);
	assert_int_equal(leaf_fault_of(f, "a.test", true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "b.test", true), LEAF_OK);
	f->signer.status = RPC_STATUS_RATE_LIMITED;
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(host, sizeof(host), "h%u.test", i);
		assert_int_equal(leaf_fault_of(f, host, true), LEAF_LIMITED);
	}
	f->signer.status = RPC_STATUS_OK;
	test_clock_ahead_ms = LEAF_LIFE_MS / 5 * 4;
	(void)leaf_kept(f, "a.test");
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 8);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_true(leaf_is_kept(f->leaves, "a.test"));
	assert_true(leaf_is_kept(f->leaves, "b.test"));
	/* Nothing is left of them that could go in place of a leaf. */
	assert_int_equal(leaf_fault_of(f, "c.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "b.test"));
	assert_int_equal(leaf_fault_of(f, "d.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "a.test"));
	assert_true(leaf_is_kept(f->leaves, "c.test"));
}

/* So many hosts at once; what is kept, and who joins, are served. */
static void
test_too_many_at_once(void **state)
{
	static struct leaf_ask a[LEAF_ASKED_MAX];
	struct leaf_stage *f = *state;
	struct leaf_ask more = { .id = 0 }, joins = { .id = 0 };
	size_t n = 0;
	char host[32];

	leaf_begin(f, 1, NEVER_MS, 2 * LEAF_ASKED_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	f->signer.hold = true;
	memset(a, 0, sizeof(a));
	for (size_t i = 0; i < N(a); i++) {
		(void)snprintf(host, sizeof(host), "h%zu.test", i);
		a[i].count = &n;
		assert_true(leaf_ask_start(&a[i], f, host));
	}
	assert_false(leaf_ask_start(&more, f, "more.test"));
	assert_int_equal(more.fault, LEAF_NO_ENGINE);
	assert_false(leaf_is_kept(f->leaves, "more.test"));
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	joins.count = &n;
	assert_true(leaf_ask_start(&joins, f, "h7.test"));
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, N(a));
	leaf_signer_let_go(&f->signer);
	loop_until_count(f->engines.lab.loop, &n, N(a) + 1);
	for (size_t i = 0; i < N(a); i++) {
		assert_int_equal(a[i].fault, LEAF_OK);
		leaf_ask_end(&a[i]);
	}
	assert_int_equal(joins.fault, LEAF_OK);
	leaf_ask_end(&joins);
	assert_int_equal(leaf_fault_of(f, "more.test", true), LEAF_OK);
}

/* ---- engines that do not ---- */

static void
test_statuses(void **state)
{
	static const struct {
		enum rpc_status	status;
		enum leaf_fault	fault;
	} rows[] = {
		{ RPC_STATUS_NO_SUCH_KEY, LEAF_NO_CA },
		{ RPC_STATUS_RATE_LIMITED, LEAF_LIMITED },
		{ RPC_STATUS_NOT_ALLOWED, LEAF_DENIED },
		{ RPC_STATUS_BAD_REQUEST, LEAF_DENIED },
		{ RPC_STATUS_INTERNAL, LEAF_NO_ENGINE },
		{ RPC_STATUS_OVERLOADED, LEAF_NO_ENGINE },
		{ RPC_STATUS_UNKNOWN_OP, LEAF_NO_ENGINE },
		{ RPC_STATUS_UNAUTHORIZED, LEAF_NO_ENGINE },
		{ RPC_STATUS_LIMIT, LEAF_NO_ENGINE },
	};
	struct leaf_stage *f = *state;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	for (size_t i = 0; i < N(rows); i++) {
		f->signer.status = rows[i].status;
		if (leaf_fault_of(f, LEAF_HOST, true) != rows[i].fault)
			fail_msg("%s", rpc_status_name(rows[i].status));
	}
	f->signer.status = RPC_STATUS_OK;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
}

static void
test_bad_chains(void **state)
{
	struct leaf_stage *f = *state;
	enum leaf_chain chain;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	for (chain = CHAIN_EMPTY; chain < CHAINS; chain++) {
		f->signer.chain = chain;
		if (leaf_fault_of(f, LEAF_HOST, true) != LEAF_NO_ENGINE)
			fail_msg("chain %d is taken", (int)chain);
	}
	f->signer.chain = CHAIN_GOOD;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
}

static void
test_no_engine(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .id = 0 }, b = { .id = 0 };

	leaf_begin(f, 0, SOON_MS, LEAF_MAX);
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	assert_true(leaf_ask_start(&b, f, LEAF_HOST));
	loop_until(f->engines.lab.loop, &b.ended);
	assert_true(a.ended);
	assert_int_equal(a.fault, LEAF_NO_ENGINE);
	assert_int_equal(b.fault, LEAF_NO_ENGINE);
}

/* Silence ends, too: a CONNECT has no other timer while it waits. */
static void
test_a_silent_engine(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .id = 0 };

	leaf_begin(f, 1, SOON_MS, LEAF_MAX);
	f->signer.hold = true;
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.fault, LEAF_NO_ENGINE);
	assert_false(leaf_is_kept(f->leaves, LEAF_HOST));
}

static void
test_an_engine_that_leaves(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .id = 0 };

	leaf_begin(f, 2, NEVER_MS, LEAF_MAX);
	f->signer.hold = true;
	assert_true(leaf_ask_start(&a, f, LEAF_HOST));
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	f->signer.hold = false;
	engine_cut(f->signer.held[0].link);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.fault, LEAF_OK);
	assert_int_equal(leaf_calls(f), 2);
	leaf_check_ctx(f, a.ctx, LEAF_HOST, 1);
	leaf_ask_end(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LEAF_TEST(test_a_leaf),
		LEAF_TEST(test_one_call_for_all_who_wait),
		LEAF_TEST(test_cancel),
		LEAF_TEST(test_cancel_in_a_callback),
		LEAF_TEST(test_ask_in_a_callback),
		LEAF_TEST(test_freed_while_a_call_is_out),
		LEAF_TEST(test_renewal),
		LEAF_TEST(test_renewal_that_fails),
		LEAF_TEST(test_ended_is_never_served),
		LEAF_TEST(test_the_one_unused_for_longest_goes),
		LEAF_TEST(test_refused_hosts_take_no_room),
		LEAF_TEST(test_too_many_at_once),
		LEAF_TEST(test_statuses),
		LEAF_TEST(test_bad_chains),
		LEAF_TEST(test_no_engine),
		LEAF_TEST(test_a_silent_engine),
		LEAF_TEST(test_an_engine_that_leaves),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
