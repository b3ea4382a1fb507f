/*
 * worker/egress_ca.c against real peers: one call for all who ask, what is served
 * while it is fresh, after keys changed, after the date of a rollover, and while
 * nobody answers.  The wall clock is the test's own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "lib/base/clock.h"
#include "tests/unit/test_clock.h"
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_engine_pair.h"
#include "worker/egress_ca.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define ONE	"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define TWO	"-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n"

struct fixture {
	struct engine_pair	engines;
	struct egress_ca	*ca;
	const char		*anchors;	/* what the engine says; NULL:
						   silence; "?": nonsense */
	const char		*issuers;	/* NULL: an older engine */
	uint64_t		changes_ms;
	size_t			n_calls;
};

/* ---- the fixture ---- */

struct asker {
	struct egress_ca_waiter	waiter;
	size_t			n_answers;
	enum egress_ca_known	known;
	char			text[256];
};

static void
sum_of(const char *text, uint8_t sum[EGRESS_CA_SUM_BYTES])
{
	assert_int_equal(EVP_Digest(text, strlen(text), sum, NULL, EVP_sha256(),
	    NULL), 1);
}

static void
on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *call)
{
	struct fixture *f = arg;
	uint8_t sum[EGRESS_CA_SUM_BYTES];
	struct buffer b;

	assert_true(span_eq_str(call->op, "GetCA"));
	f->n_calls++;
	if (f->anchors == NULL)
		return;
	buffer_init(&b, 0, false);
	rpc_put_map(&b, f->issuers != NULL ? 4 : 2);
	rpc_put_str(&b, "cas");
	rpc_put_array(&b, 0);
	rpc_put_str(&b, "anchors");
	if (strcmp(f->anchors, "?") == 0)
		rpc_put_u64(&b, 7);
	else
		rpc_put_str(&b, f->anchors);
	if (f->issuers != NULL) {
		sum_of(f->issuers, sum);
		rpc_put_str(&b, "issuers_sha256");
		rpc_put_bin(&b, (struct span){ (const char *)sum, sizeof(sum) });
		rpc_put_str(&b, "changes_ms");
		rpc_put_u64(&b, f->changes_ms);
	}
	engine_reply(l, call->id, RPC_STATUS_OK, &b, false);
	buffer_fini(&b);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	test_clock_ahead_ms = 0;
	engine_pair_start(&f->engines);
	f->engines.one.on_call = on_call;
	f->engines.one.arg = f;
	f->engines.one.keys_epoch = 1;
	f->anchors = ONE;
	engine_pair_pool(&f->engines, 1, SOON_MS);
	engine_pair_until_up(&f->engines, 1);
	(void)engine_pair_until_keys_seen(&f->engines, 0);
	f->ca = egress_ca_new(f->engines.lab.loop, f->engines.pool);
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	egress_ca_free(&f->ca);
	engine_pair_stop(&f->engines);
	free(f);
	return (0);
}

static void
on_answer(void *arg, enum egress_ca_known known, struct span anchors)
{
	struct asker *a = arg;

	a->n_answers++;
	a->known = known;
	assert_true(span_copy(anchors, a->text, sizeof(a->text)));
}

static void
ask(struct fixture *f, struct asker *a)
{
	a->n_answers = 0;
	egress_ca_ask(f->ca, &a->waiter, on_answer, a);
}

static void
until_answered(struct fixture *f, const struct asker *a)
{
	loop_until_count(f->engines.lab.loop, &a->n_answers, 1);
}

static void
test_one_call_for_all_who_ask(void **state)
{
	struct fixture *f = *state;
	struct asker a[3] = { 0 };

	for (size_t i = 0; i < N(a); i++)
		ask(f, &a[i]);
	egress_ca_forget(f->ca, &a[1].waiter);
	for (size_t i = 0; i < N(a); i += 2) {
		until_answered(f, &a[i]);
		assert_string_equal(a[i].text, ONE);
	}
	assert_int_equal(a[1].n_answers, 0);
	assert_int_equal(f->n_calls, 1);
	/* Fresh: answered at once, without a call. */
	ask(f, &a[1]);
	assert_int_equal(a[1].n_answers, 1);
	assert_int_equal(f->n_calls, 1);
	egress_ca_forget(f->ca, &a[1].waiter);	/* does no harm */
}

static void
test_asked_anew_when_keys_changed(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };
	uint64_t seen = engine_pool_keys_seen(f->engines.pool);

	ask(f, &a);
	until_answered(f, &a);
	f->anchors = TWO ONE;
	f->engines.one.keys_epoch++;
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	ask(f, &a);
	until_answered(f, &a);
	assert_string_equal(a.text, TWO ONE);
	assert_int_equal(f->n_calls, 2);
}

/* Silence, then a lie: what was known is served, and asked for again. */
static void
test_what_was_known_is_served_while_nobody_answers(void **state)
{
	static const char *const bad[] = { NULL, "?" };
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };

	ask(f, &a);
	until_answered(f, &a);
	for (size_t i = 0; i < N(bad); i++) {
		uint64_t seen = engine_pool_keys_seen(f->engines.pool);

		f->anchors = bad[i];
		f->engines.one.keys_epoch++;
		(void)engine_pair_until_keys_seen(&f->engines, seen);
		ask(f, &a);
		until_answered(f, &a);
		assert_int_equal(a.known, EGRESS_CA_NOW);
		assert_string_equal(a.text, ONE);
	}
	assert_int_equal(f->n_calls, 3);
}

/* With no engine that could say more nobody waits. */
static void
test_what_is_known_is_served_at_once(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };

	ask(f, &a);
	until_answered(f, &a);
	f->engines.one.mute = true;
	engine_pair_until_keys_unsure(&f->engines);
	ask(f, &a);
	assert_int_equal(a.n_answers, 1);
	assert_int_equal(a.known, EGRESS_CA_NOW);
	assert_string_equal(a.text, ONE);
}

/* ---- rollover ---- */

static bool
left(const struct fixture *f, const char *issuers)
{
	uint8_t sum[EGRESS_CA_SUM_BYTES];

	sum_of(issuers, sum);
	return (egress_ca_left(f->ca, sum));
}

static void
test_a_date(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };

	f->issuers = ONE;
	f->changes_ms = clock_wall_ms() + 1000000;
	assert_false(left(f, ONE) || left(f, TWO));	/* nothing is known */
	ask(f, &a);
	until_answered(f, &a);
	assert_true(!left(f, ONE) && left(f, TWO));
	test_clock_ahead_ms = 1000001;
	assert_true(left(f, ONE) && !left(f, TWO));
	/* Who asks waits, and is told that it is the past. */
	f->anchors = NULL;
	ask(f, &a);
	assert_int_equal(a.n_answers, 0);
	until_answered(f, &a);
	assert_int_equal(a.known, EGRESS_CA_PAST);
	assert_string_equal(a.text, ONE);
	/* An engine whose clock is behind: its word counts. */
	f->anchors = ONE;
	ask(f, &a);
	until_answered(f, &a);
	assert_int_equal(a.known, EGRESS_CA_NOW);
	assert_true(!left(f, ONE) && left(f, TWO));
	test_clock_ahead_ms += 5001;		/* but not for ever */
	assert_true(left(f, ONE));
	f->anchors = TWO ONE;
	f->issuers = TWO;
	f->changes_ms = 0;
	ask(f, &a);
	until_answered(f, &a);
	assert_int_equal(a.known, EGRESS_CA_NOW);
	assert_string_equal(a.text, TWO ONE);
	assert_true(left(f, ONE) && !left(f, TWO));
	assert_int_equal(f->n_calls, 4);
}

/* Without their word every leaf is good until its end. */
static void
test_older_engines(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };

	ask(f, &a);
	until_answered(f, &a);
	assert_false(left(f, ONE) || left(f, TWO));
}

/* Nobody asks: it is known all the same. */
static void
test_watched(void **state)
{
	struct fixture *f = *state;

	f->issuers = ONE;
	f->changes_ms = clock_wall_ms() + 1000000;
	egress_ca_watch(f->ca);
	loop_until_count(f->engines.lab.loop, &f->n_calls, 1);
	while (!left(f, TWO))
		loop_for_ms(f->engines.lab.loop, 1);
	f->issuers = TWO;
	f->engines.one.keys_epoch++;
	loop_until_count(f->engines.lab.loop, &f->n_calls, 2);
	while (!left(f, ONE))
		loop_for_ms(f->engines.lab.loop, 1);
	f->issuers = ONE;
	f->changes_ms = 0;
	test_clock_ahead_ms = 1000001;
	loop_until_count(f->engines.lab.loop, &f->n_calls, 3);
	while (!left(f, TWO))
		loop_for_ms(f->engines.lab.loop, 1);
	/* And no more often than that. */
	loop_for_ms(f->engines.lab.loop, 3 * EGRESS_CA_LOOK_MS);
	assert_int_equal(f->n_calls, 3);
}

static void
test_sum_of_a_chain(void **state)
{
	uint8_t sum[EGRESS_CA_SUM_BYTES], want[EGRESS_CA_SUM_BYTES];

	(void)state;
	sum_of(TWO ONE, want);
	egress_ca_sum(SPAN_LIT(ONE TWO ONE), sum);
	assert_memory_equal(sum, want, sizeof(sum));
	sum_of("", want);
	egress_ca_sum(SPAN_LIT(ONE), sum);
	assert_memory_equal(sum, want, sizeof(sum));
}

static void
test_nothing_known(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .known = EGRESS_CA_NOW };

	f->anchors = NULL;
	ask(f, &a);
	until_answered(f, &a);
	assert_int_equal(a.known, EGRESS_CA_UNKNOWN);
	f->anchors = "";		/* there is none: that is an answer */
	ask(f, &a);
	until_answered(f, &a);
	assert_int_equal(a.known, EGRESS_CA_NOW);
	assert_string_equal(a.text, "");
}

static void
test_freed_while_it_asks(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };

	ask(f, &a);
	egress_ca_forget(f->ca, &a.waiter);
	egress_ca_free(&f->ca);
	loop_for_ms(f->engines.lab.loop, 50);
	assert_int_equal(a.n_answers, 0);
}

static void
test_first_certificate(void **state)
{
	static const struct {
		const char	*pem, *want;
	} cases[] = {
		{ "", "" },
		{ "nothing", "" },
		{ ONE, ONE },
		{ ONE TWO, ONE },
		{ "a comment\n" TWO ONE, TWO },
		{ "-----BEGIN CERTIFICATE-----\nAAAA\n", "" },
		{ "-----END CERTIFICATE-----\n", "" },
		{ "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----",
		    "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		/* Every cut is read within its bounds. */
		for (size_t n = 0; n < strlen(cases[i].pem); n++) {
			char *copy = test_malloc(n + 1);

			memcpy(copy, cases[i].pem, n);
			(void)egress_ca_first((struct span){ copy, n });
			test_free(copy);
		}
		assert_true(span_eq_str(egress_ca_first(span_of(cases[i].pem)),
		    cases[i].want));
	}
}

#define CA_TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CA_TEST(test_one_call_for_all_who_ask),
		CA_TEST(test_asked_anew_when_keys_changed),
		CA_TEST(test_what_was_known_is_served_while_nobody_answers),
		CA_TEST(test_what_is_known_is_served_at_once),
		CA_TEST(test_a_date),
		CA_TEST(test_older_engines),
		CA_TEST(test_watched),
		cmocka_unit_test(test_sum_of_a_chain),
		CA_TEST(test_nothing_known),
		CA_TEST(test_freed_while_it_asks),
		cmocka_unit_test(test_first_certificate),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
