/*
 * worker/api_ca.c against real peers: one call for all who ask, what is served
 * while it is fresh, after keys changed, and while nobody answers.
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
#include "worker/api_ca.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define ONE	"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define TWO	"-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n"

struct fixture {
	struct engine_pair	engines;
	struct api_ca		*ca;
	const char		*anchors;	/* what the engine says; NULL:
						   silence; "?": nonsense */
	size_t			n_calls;
};

struct asker {
	struct api_ca_waiter	waiter;
	size_t			n_answers;
	bool			known;
	char			text[256];
};

static void
on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *call)
{
	struct fixture *f = arg;
	struct buffer b;

	assert_true(span_eq_str(call->op, "GetCA"));
	f->n_calls++;
	if (f->anchors == NULL)
		return;
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 2);
	rpc_put_str(&b, "cas");
	rpc_put_array(&b, 0);
	rpc_put_str(&b, "anchors");
	if (strcmp(f->anchors, "?") == 0)
		rpc_put_u64(&b, 7);
	else
		rpc_put_str(&b, f->anchors);
	engine_reply(l, call->id, RPC_STATUS_OK, &b, false);
	buffer_fini(&b);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	engine_pair_start(&f->engines);
	f->engines.one.on_call = on_call;
	f->engines.one.arg = f;
	f->engines.one.keys_epoch = 1;
	f->anchors = ONE;
	engine_pair_pool(&f->engines, 1, SOON_MS);
	engine_pair_until_up(&f->engines, 1);
	(void)engine_pair_until_keys_seen(&f->engines, 0);
	f->ca = api_ca_new(f->engines.pool);
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	api_ca_free(&f->ca);
	engine_pair_stop(&f->engines);
	free(f);
	return (0);
}

static void
on_answer(void *arg, const struct span *anchors)
{
	struct asker *a = arg;

	a->n_answers++;
	a->known = anchors != NULL;
	if (anchors != NULL)
		assert_true(span_copy(*anchors, a->text, sizeof(a->text)));
}

static void
ask(struct fixture *f, struct asker *a)
{
	a->n_answers = 0;
	api_ca_ask(f->ca, &a->waiter, on_answer, a);
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
	api_ca_forget(f->ca, &a[1].waiter);
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
	api_ca_forget(f->ca, &a[1].waiter);	/* does no harm */
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
		assert_true(a.known);
		assert_string_equal(a.text, ONE);
	}
	assert_int_equal(f->n_calls, 3);
}

static void
test_nothing_known(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .known = true };

	f->anchors = NULL;
	ask(f, &a);
	until_answered(f, &a);
	assert_false(a.known);
	f->anchors = "";		/* there is none: that is an answer */
	ask(f, &a);
	until_answered(f, &a);
	assert_true(a.known);
	assert_string_equal(a.text, "");
}

static void
test_freed_while_it_asks(void **state)
{
	struct fixture *f = *state;
	struct asker a = { .n_answers = 0 };

	ask(f, &a);
	api_ca_forget(f->ca, &a.waiter);
	api_ca_free(&f->ca);
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
			(void)api_ca_first((struct span){ copy, n });
			test_free(copy);
		}
		assert_true(span_eq_str(api_ca_first(span_of(cases[i].pem)),
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
		CA_TEST(test_nothing_known),
		CA_TEST(test_freed_while_it_asks),
		cmocka_unit_test(test_first_certificate),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
