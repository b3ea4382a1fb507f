/*
 * worker/leaf_cache.c when another CA takes over: at once, at a date that was
 * told, and with engines that give no leaf of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include "lib/base/clock.h"
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_leaf_stage.h"

#define N(a)		(sizeof(a) / sizeof((a)[0]))

static void
on_told(void *arg, enum egress_ca_known known, struct span anchors)
{
	size_t *n = arg;

	(void)anchors;
	assert_int_equal(known, EGRESS_CA_NOW);
	(*n)++;
}

/* Which CA signs, as the engine says it after a change. */
static void
learn(struct leaf_stage *f)
{
	uint64_t seen = engine_pool_keys_seen(f->engines.pool);
	struct egress_ca_waiter w = { .waiting = false };
	size_t n = 0;

	f->engines.one.keys_epoch++;
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	egress_ca_ask(f->ca, &w, on_told, &n);
	loop_until_count(f->engines.lab.loop, &n, 1);
}

static void
test_another_ca_signs(void **state)
{
	struct leaf_stage *f = *state;
	SSL_CTX *first;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "b.test", true), LEAF_OK);
	learn(f);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	first = leaf_kept(f, LEAF_HOST);
	assert_int_equal(SSL_CTX_up_ref(first), 1);	/* a tunnel has it */
	leaf_check_ctx(f, first, LEAF_HOST, 1);
	leaf_signer_turn(&f->signer);
	learn(f);
	assert_true(leaf_is_kept(f->leaves, LEAF_HOST));	/* strangers may ask */
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	leaf_check_ctx(f, leaf_kept(f, LEAF_HOST), LEAF_HOST, 1);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, "b.test", true), LEAF_OK);
	leaf_check_ctx(f, leaf_kept(f, "b.test"), "b.test", 1);
	leaf_signer_turn(&f->signer);
	leaf_check_ctx(f, first, LEAF_HOST, 1);
	SSL_CTX_free(first);
}

/* The date was told before: the engine need not be asked when it comes. */
static void
test_another_ca_signs_from_a_date_on(void **state)
{
	struct leaf_stage *f = *state;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	f->signer.changes_ms = clock_wall_ms() + 100000;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	learn(f);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	test_clock_ahead_ms = 100001;
	leaf_signer_turn(&f->signer);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	leaf_check_ctx(f, leaf_kept(f, LEAF_HOST), LEAF_HOST, 1);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	assert_int_equal(f->signer.n_told, 1);
}

/* While there is no new one the former one serves on; asked for every 5 s. */
static void
test_no_leaf_of_the_new_ca(void **state)
{
	static const enum rpc_status status[] = { RPC_STATUS_RATE_LIMITED,
	    RPC_STATUS_NOT_ALLOWED, RPC_STATUS_INTERNAL };
	struct leaf_stage *f = *state;
	SSL_CTX *first;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	first = leaf_kept(f, LEAF_HOST);
	leaf_signer_turn(&f->signer);
	learn(f);
	for (size_t i = 0; i < N(status); i++) {
		f->signer.status = status[i];
		assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
		assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
		test_clock_ahead_ms += 4900;
		assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
		test_clock_ahead_ms += 200;
	}
	f->signer.status = RPC_STATUS_OK;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	leaf_check_ctx(f, leaf_kept(f, LEAF_HOST), LEAF_HOST, 1);
}

/* Nobody waits for an engine that does not answer. */
static void
test_no_engine_when_another_ca_signs(void **state)
{
	struct leaf_stage *f = *state;
	struct leaf_ask a = { .id = 0 };
	SSL_CTX *first;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	first = leaf_kept(f, LEAF_HOST);
	leaf_signer_turn(&f->signer);
	learn(f);
	f->engines.one.mute = true;
	engine_pair_until_up(&f->engines, 0);
	assert_ptr_equal(leaf_kept(f, LEAF_HOST), first);
	worker_engine_unmute(&f->engines.one);
	do {
		leaf_ask_end(&a);
		if (leaf_ask_start(&a, f, LEAF_HOST))
			loop_until(f->engines.lab.loop, &a.ended);
		else
			loop_for_ms(f->engines.lab.loop, 1);
		assert_int_equal(a.fault, LEAF_OK);
	} while (a.ctx == first);
	leaf_check_ctx(f, a.ctx, LEAF_HOST, 1);
	leaf_ask_end(&a);
}

/* It signs with the former CA yet: not asked for with every tunnel. */
static void
test_an_engine_that_is_late(void **state)
{
	struct leaf_stage *f = *state;

	leaf_begin(f, 1, NEVER_MS, LEAF_MAX);
	f->signer.tells_other = true;
	learn(f);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	test_clock_ahead_ms = 1001;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
	test_clock_ahead_ms += 1001;
	leaf_signer_turn(&f->signer);
	f->signer.tells_other = false;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, true), LEAF_OK);
	leaf_check_ctx(f, leaf_kept(f, LEAF_HOST), LEAF_HOST, 1);
	test_clock_ahead_ms += 10000;
	assert_int_equal(leaf_fault_of(f, LEAF_HOST, false), LEAF_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LEAF_TEST(test_another_ca_signs),
		LEAF_TEST(test_another_ca_signs_from_a_date_on),
		LEAF_TEST(test_no_leaf_of_the_new_ca),
		LEAF_TEST(test_no_engine_when_another_ca_signs),
		LEAF_TEST(test_an_engine_that_is_late),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
