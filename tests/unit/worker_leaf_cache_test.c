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
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>

#include "lib/base/clock.h"
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_leaf_signer.h"
#include "worker/leaf_cache.h"

#define N(a)		(sizeof(a) / sizeof((a)[0]))
#define HOST		"shop.test"
#define LIFE_MS		1000000u	/* a quarter of it is 250 s */
#define MAX		4		/* leaves kept, unless a test says more */

/* ---- the clock: in place of lib/base/clock.c ---- */

static uint64_t ahead_ms;

static uint64_t
clock_of(clockid_t id)
{
	struct timespec t;

	assert_int_equal(clock_gettime(id, &t), 0);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

uint64_t
clock_mono_ns(void)
{
	return (clock_of(CLOCK_MONOTONIC));
}

uint64_t
clock_mono_ms(void)
{
	return (clock_mono_ns() / 1000000);
}

uint64_t
clock_wall_ms(void)
{
	return (clock_of(CLOCK_REALTIME) / 1000000 + ahead_ms);
}

/* ---- the fixture ---- */

struct fixture {
	struct engine_pair	engines;
	struct leaf_signer	signer;
	struct leaf_cache	*leaves;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	ahead_ms = 0;
	engine_pair_start(&f->engines);
	leaf_signer_start(&f->signer, &f->engines);
	f->signer.life_ms = LIFE_MS;
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	leaf_cache_free(&f->leaves);
	assert_null(f->leaves);
	leaf_signer_stop(&f->signer);
	engine_pair_stop(&f->engines);
	free(f);
	return (0);
}

static void
begin(struct fixture *f, size_t n_engines, unsigned timeout_ms, unsigned max)
{
	engine_pair_pool(&f->engines, n_engines, timeout_ms);
	f->leaves = leaf_cache_new(f->engines.pool, max);
	assert_non_null(f->leaves);
	engine_pair_until_up(&f->engines, n_engines);
}

static size_t
n_calls(const struct fixture *f)
{
	return (f->engines.one.n_calls + f->engines.two.n_calls);
}

/* One asker. */
struct ask {
	struct fixture		*f;
	uint64_t		id;
	bool			ended;
	enum leaf_fault		fault;
	SSL_CTX			*ctx;		/* owned reference */
	size_t			*count;		/* NULL, or: those that ended */
	uint64_t		cancels;	/* an id, from the callback */
	struct ask		*starts;	/* NULL, or: asks from the callback */
	const char		*host;		/* for this one */
};

static bool ask_start(struct ask *, struct fixture *, const char *host);

static void
got(struct ask *a, enum leaf_fault fault, SSL_CTX *ctx)
{
	assert_int_equal(ctx != NULL, fault == LEAF_OK);
	a->fault = fault;
	if ((a->ctx = ctx) != NULL)
		assert_int_equal(SSL_CTX_up_ref(ctx), 1);
}

static void
on_leaf(void *arg, enum leaf_fault fault, SSL_CTX *ctx)
{
	struct ask *a = arg;

	assert_false(a->ended);
	a->ended = true;
	got(a, fault, ctx);
	if (a->count != NULL)
		(*a->count)++;
	leaf_cancel(a->f->leaves, a->cancels);
	if (a->starts != NULL)
		(void)ask_start(a->starts, a->f, a->host);
}

/* True: an answer comes later. */
static bool
ask_start(struct ask *a, struct fixture *f, const char *host)
{
	enum leaf_fault fault = LEAF_DENIED;
	SSL_CTX *ctx = NULL;

	a->f = f;
	a->id = leaf_take(f->leaves, host, on_leaf, a, &fault, &ctx);
	assert_false(a->ended);
	if (a->id == 0)
		got(a, fault, ctx);
	return (a->id != 0);
}

static void
ask_end(struct ask *a)
{
	SSL_CTX_free(a->ctx);
	memset(a, 0, sizeof(*a));
}

/* By one call of the engine, or none: as `called` says. */
static enum leaf_fault
fault_of(struct fixture *f, const char *host, bool called)
{
	struct ask a = { .id = 0 };
	size_t n = n_calls(f);
	enum leaf_fault fault;
	bool waits = ask_start(&a, f, host);

	if (waits != called)
		fail_msg("%s: %s", host, waits ? "not kept" : "not asked for");
	if (waits)
		loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(n_calls(f), n + called);
	fault = a.fault;
	assert_int_equal(leaf_is_kept(f->leaves, host), fault == LEAF_OK);
	ask_end(&a);
	return (fault);
}

static SSL_CTX *
kept(struct fixture *f, const char *host)
{
	enum leaf_fault fault;
	SSL_CTX *ctx;

	assert_int_equal(leaf_take(f->leaves, host, on_leaf, NULL, &fault, &ctx),
	    0);
	assert_int_equal(fault, LEAF_OK);
	assert_non_null(ctx);
	return (ctx);
}

/* ---- what a context is ---- */

static void
check_ctx(struct fixture *f, SSL_CTX *ctx, const char *host, int n_chain)
{
	X509 *leaf = SSL_CTX_get0_certificate(ctx);
	STACK_OF(X509) *chain = NULL;

	assert_non_null(leaf);
	assert_int_equal(X509_check_host(leaf, host, 0, 0, NULL), 1);
	assert_int_equal(X509_verify(leaf, f->signer.ca->key), 1);
	assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
	assert_int_equal(SSL_CTX_get0_chain_certs(ctx, &chain), 1);
	assert_int_equal(chain == NULL ? 0 : sk_X509_num(chain), n_chain);
	if (n_chain != 0)
		assert_int_equal(X509_cmp(sk_X509_value(chain, 0),
		    f->signer.ca->cert), 0);
	/* Nothing of a session is kept or handed out. */
	assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
	assert_true((SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET) != 0);
	assert_int_equal(SSL_CTX_get_num_tickets(ctx), 0);
	assert_true(SSL_CTX_get_min_proto_version(ctx) >= TLS1_2_VERSION);
}

static void
test_a_leaf(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS, MAX);
	assert_false(leaf_is_kept(f->leaves, HOST));
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
	assert_string_equal(f->signer.host, HOST);
	check_ctx(f, kept(f, HOST), HOST, 1);
	f->signer.chain = CHAIN_LEAF_ALONE;
	assert_int_equal(fault_of(f, "b.test", true), LEAF_OK);
	check_ctx(f, kept(f, "b.test"), "b.test", 0);
	assert_int_equal(fault_of(f, HOST, false), LEAF_OK);
	assert_int_equal(n_calls(f), 2);
}

/* ---- who waits ---- */

static void
test_one_call_for_all_who_wait(void **state)
{
	struct fixture *f = *state;
	struct ask a[5] = { { .id = 0 } };
	size_t n = 0;

	begin(f, 1, NEVER_MS, MAX);
	f->signer.hold = true;
	for (size_t i = 0; i < N(a); i++) {
		a[i].count = &n;
		assert_true(ask_start(&a[i], f, i < 3 ? HOST : "b.test"));
	}
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 2);
	leaf_signer_let_go(&f->signer);
	loop_until_count(f->engines.lab.loop, &n, N(a));
	assert_int_equal(n_calls(f), 2);
	for (size_t i = 0; i < N(a); i++) {
		assert_int_equal(a[i].fault, LEAF_OK);
		assert_ptr_equal(a[i].ctx, a[i < 3 ? 0 : 3].ctx);
		check_ctx(f, a[i].ctx, i < 3 ? HOST : "b.test", 1);
	}
	assert_ptr_not_equal(a[0].ctx, a[3].ctx);
	for (size_t i = 0; i < N(a); i++)
		ask_end(&a[i]);
}

static void
test_cancel(void **state)
{
	struct fixture *f = *state;
	struct ask a = { .id = 0 }, b = { .id = 0 }, c = { .id = 0 };

	begin(f, 1, NEVER_MS, MAX);
	f->signer.hold = true;
	assert_true(ask_start(&a, f, HOST));
	assert_true(ask_start(&b, f, HOST));
	assert_true(ask_start(&c, f, "c.test"));
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
	assert_int_equal(fault_of(f, "c.test", false), LEAF_OK);
	assert_false(a.ended);
	assert_false(c.ended);
	assert_int_equal(f->engines.one.n_cancels, 0);
	leaf_cancel(f->leaves, b.id);
	ask_end(&b);
}

/* A callback cancels who waits for the same answer, before and behind it. */
static void
test_cancel_in_a_callback(void **state)
{
	struct fixture *f = *state;
	struct ask a[3] = { { .id = 0 } };

	begin(f, 1, NEVER_MS, MAX);
	f->signer.hold = true;
	for (size_t i = 0; i < N(a); i++)
		assert_true(ask_start(&a[i], f, HOST));
	a[0].cancels = a[1].id;
	a[2].cancels = a[0].id;
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	leaf_signer_let_go(&f->signer);
	loop_until(f->engines.lab.loop, &a[2].ended);
	assert_true(a[0].ended);
	assert_false(a[1].ended);
	for (size_t i = 0; i < N(a); i++)
		ask_end(&a[i]);
}

/* Pipelined CONNECTs: who was told asks again, for the same host and for
 * another one. */
static void
test_ask_in_a_callback(void **state)
{
	struct fixture *f = *state;
	struct ask a = { .host = HOST }, same = { .host = "b.test" };
	struct ask other = { .id = 0 };

	begin(f, 1, NEVER_MS, 1);
	a.starts = &same;
	same.starts = &other;
	f->signer.status = RPC_STATUS_RATE_LIMITED;
	assert_true(ask_start(&a, f, HOST));
	loop_until(f->engines.lab.loop, &other.ended);
	assert_int_equal(a.fault, LEAF_LIMITED);
	assert_true(same.ended);
	assert_int_equal(same.fault, LEAF_LIMITED);	/* of the same call */
	assert_int_equal(other.fault, LEAF_LIMITED);
	assert_int_equal(n_calls(f), 2);

	memset(&a, 0, sizeof(a));
	memset(&same, 0, sizeof(same));
	a.starts = &same;
	a.host = HOST;
	f->signer.status = RPC_STATUS_OK;
	assert_true(ask_start(&a, f, HOST));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(same.id, 0);		/* it is there by then */
	assert_int_equal(same.fault, LEAF_OK);
	assert_int_equal(n_calls(f), 3);
	ask_end(&a);
	ask_end(&same);
}

static void
test_freed_while_a_call_is_out(void **state)
{
	struct fixture *f = *state;
	struct ask a = { .id = 0 };

	begin(f, 1, NEVER_MS, MAX);
	f->signer.hold = true;
	assert_true(ask_start(&a, f, HOST));
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
	struct fixture *f = *state;
	SSL_CTX *first, *second;

	begin(f, 1, NEVER_MS, MAX);
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
	first = kept(f, HOST);
	ahead_ms = LIFE_MS / 4 * 3 - 10000;
	assert_ptr_equal(kept(f, HOST), first);
	loop_for_ms(f->engines.lab.loop, 5);
	assert_int_equal(n_calls(f), 1);

	ahead_ms = LIFE_MS / 4 * 3 + 1;
	f->signer.hold = true;
	assert_ptr_equal(kept(f, HOST), first);
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(kept(f, HOST), first);
	assert_int_equal(SSL_CTX_up_ref(first), 1);	/* a tunnel has it */
	leaf_signer_let_go(&f->signer);
	while ((second = kept(f, HOST)) == first)
		loop_for_ms(f->engines.lab.loop, 1);
	check_ctx(f, second, HOST, 1);
	check_ctx(f, first, HOST, 1);
	SSL_CTX_free(first);
	/* Its own life counts from here. */
	ahead_ms += LIFE_MS / 2;
	assert_ptr_equal(kept(f, HOST), second);
	loop_for_ms(f->engines.lab.loop, 5);
	assert_int_equal(n_calls(f), 2);
}

/* A renewal that fails leaves the former one, and is tried again in 5 s. */
static void
test_renewal_that_fails(void **state)
{
	struct fixture *f = *state;
	SSL_CTX *first;

	begin(f, 1, NEVER_MS, MAX);
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
	first = kept(f, HOST);
	ahead_ms = LIFE_MS / 5 * 4;
	f->signer.status = RPC_STATUS_INTERNAL;
	assert_ptr_equal(kept(f, HOST), first);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_ptr_equal(kept(f, HOST), first);
	loop_for_ms(f->engines.lab.loop, 5);
	assert_int_equal(n_calls(f), 2);
	ahead_ms += 5000;
	/* One that has ended is no news either. */
	f->signer.status = RPC_STATUS_OK;
	f->signer.life_ms = 0;
	assert_ptr_equal(kept(f, HOST), first);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 3);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_ptr_equal(kept(f, HOST), first);
	ahead_ms += 5000;
	f->signer.life_ms = LIFE_MS;
	assert_ptr_equal(kept(f, HOST), first);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 4);
}

static void
test_ended_is_never_served(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS, MAX);
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
	ahead_ms = LIFE_MS + 1;
	assert_false(leaf_is_kept(f->leaves, HOST));
	f->signer.status = RPC_STATUS_INTERNAL;
	assert_int_equal(fault_of(f, HOST, true), LEAF_NO_ENGINE);
	assert_int_equal(fault_of(f, HOST, true), LEAF_NO_ENGINE);
	f->signer.status = RPC_STATUS_OK;
	/* Not even a new one. */
	f->signer.life_ms = -1000;
	assert_int_equal(fault_of(f, HOST, true), LEAF_NO_ENGINE);
	assert_int_equal(fault_of(f, "new.test", true), LEAF_NO_ENGINE);
	f->signer.life_ms = LIFE_MS;
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
	assert_int_equal(fault_of(f, HOST, false), LEAF_OK);
}

/* ---- room ---- */

static void
test_the_one_unused_for_longest_goes(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS, 3);
	assert_int_equal(fault_of(f, "a.test", true), LEAF_OK);
	assert_int_equal(fault_of(f, "b.test", true), LEAF_OK);
	assert_int_equal(fault_of(f, "c.test", true), LEAF_OK);
	assert_int_equal(fault_of(f, "a.test", false), LEAF_OK);
	assert_true(leaf_is_kept(f->leaves, "b.test"));		/* is no use */
	assert_int_equal(fault_of(f, "d.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "b.test"));
	assert_true(leaf_is_kept(f->leaves, "c.test"));
	assert_int_equal(fault_of(f, "b.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "c.test"));
	assert_int_equal(fault_of(f, "a.test", false), LEAF_OK);
	assert_int_equal(fault_of(f, "d.test", false), LEAF_OK);
}

/* Hosts that get no leaf push nobody out, nor does one that is renewed. */
static void
test_refused_hosts_take_no_room(void **state)
{
	struct fixture *f = *state;
	char host[32];

	begin(f, 1, NEVER_MS, 2);
	assert_int_equal(fault_of(f, "a.test", true), LEAF_OK);
	assert_int_equal(fault_of(f, "b.test", true), LEAF_OK);
	f->signer.status = RPC_STATUS_RATE_LIMITED;
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(host, sizeof(host), "h%u.test", i);
		assert_int_equal(fault_of(f, host, true), LEAF_LIMITED);
	}
	f->signer.status = RPC_STATUS_OK;
	ahead_ms = LIFE_MS / 5 * 4;
	(void)kept(f, "a.test");
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 8);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_true(leaf_is_kept(f->leaves, "a.test"));
	assert_true(leaf_is_kept(f->leaves, "b.test"));
	/* Nothing is left of them that could go in place of a leaf. */
	assert_int_equal(fault_of(f, "c.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "b.test"));
	assert_int_equal(fault_of(f, "d.test", true), LEAF_OK);
	assert_false(leaf_is_kept(f->leaves, "a.test"));
	assert_true(leaf_is_kept(f->leaves, "c.test"));
}

/* So many hosts at once; what is kept, and who joins, are served. */
static void
test_too_many_at_once(void **state)
{
	static struct ask a[LEAF_ASKED_MAX];
	struct fixture *f = *state;
	struct ask more = { .id = 0 }, joins = { .id = 0 };
	size_t n = 0;
	char host[32];

	begin(f, 1, NEVER_MS, 2 * LEAF_ASKED_MAX);
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
	f->signer.hold = true;
	memset(a, 0, sizeof(a));
	for (size_t i = 0; i < N(a); i++) {
		(void)snprintf(host, sizeof(host), "h%zu.test", i);
		a[i].count = &n;
		assert_true(ask_start(&a[i], f, host));
	}
	assert_false(ask_start(&more, f, "more.test"));
	assert_int_equal(more.fault, LEAF_NO_ENGINE);
	assert_false(leaf_is_kept(f->leaves, "more.test"));
	assert_int_equal(fault_of(f, HOST, false), LEAF_OK);
	joins.count = &n;
	assert_true(ask_start(&joins, f, "h7.test"));
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, N(a));
	leaf_signer_let_go(&f->signer);
	loop_until_count(f->engines.lab.loop, &n, N(a) + 1);
	for (size_t i = 0; i < N(a); i++) {
		assert_int_equal(a[i].fault, LEAF_OK);
		ask_end(&a[i]);
	}
	assert_int_equal(joins.fault, LEAF_OK);
	ask_end(&joins);
	assert_int_equal(fault_of(f, "more.test", true), LEAF_OK);
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
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS, MAX);
	for (size_t i = 0; i < N(rows); i++) {
		f->signer.status = rows[i].status;
		if (fault_of(f, HOST, true) != rows[i].fault)
			fail_msg("%s", rpc_status_name(rows[i].status));
	}
	f->signer.status = RPC_STATUS_OK;
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
}

static void
test_bad_chains(void **state)
{
	struct fixture *f = *state;
	enum leaf_chain chain;

	begin(f, 1, NEVER_MS, MAX);
	for (chain = CHAIN_EMPTY; chain < CHAINS; chain++) {
		f->signer.chain = chain;
		if (fault_of(f, HOST, true) != LEAF_NO_ENGINE)
			fail_msg("chain %d is taken", (int)chain);
	}
	f->signer.chain = CHAIN_GOOD;
	assert_int_equal(fault_of(f, HOST, true), LEAF_OK);
}

static void
test_no_engine(void **state)
{
	struct fixture *f = *state;
	struct ask a = { .id = 0 }, b = { .id = 0 };

	begin(f, 0, SOON_MS, MAX);
	assert_true(ask_start(&a, f, HOST));
	assert_true(ask_start(&b, f, HOST));
	loop_until(f->engines.lab.loop, &b.ended);
	assert_true(a.ended);
	assert_int_equal(a.fault, LEAF_NO_ENGINE);
	assert_int_equal(b.fault, LEAF_NO_ENGINE);
}

/* Silence ends, too: a CONNECT has no other timer while it waits. */
static void
test_a_silent_engine(void **state)
{
	struct fixture *f = *state;
	struct ask a = { .id = 0 };

	begin(f, 1, SOON_MS, MAX);
	f->signer.hold = true;
	assert_true(ask_start(&a, f, HOST));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.fault, LEAF_NO_ENGINE);
	assert_false(leaf_is_kept(f->leaves, HOST));
}

static void
test_an_engine_that_leaves(void **state)
{
	struct fixture *f = *state;
	struct ask a = { .id = 0 };

	begin(f, 2, NEVER_MS, MAX);
	f->signer.hold = true;
	assert_true(ask_start(&a, f, HOST));
	loop_until_count(f->engines.lab.loop, &f->signer.n_held, 1);
	f->signer.hold = false;
	engine_cut(f->signer.held[0].link);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.fault, LEAF_OK);
	assert_int_equal(n_calls(f), 2);
	check_ctx(f, a.ctx, HOST, 1);
	ask_end(&a);
}

#define LEAF_TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)

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
