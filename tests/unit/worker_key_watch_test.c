/* worker/key_watch.c against engines that say what a script tells them. */
#include "worker/key_watch.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_api_key_stage.h"

#define KEYS_MAX	(3 * KEY_WATCH_ASKED_MAX)
/* Several looks. */
#define LOOKS_MS	(3 * KEY_WATCH_LOOK_MS + 500)

/* Somebody who lives on a key. */
struct life {
	struct key_watch	*watch;
	size_t			n_ends;
	const char		*cause;
	struct life		*takes;	/* along, at its end */
	size_t			*count;	/* NULL, or: those that ended */
};

static struct key_watches *watches;
static struct life lives[KEYS_MAX];	/* of the test that runs */

static void
on_end(void *arg, const char *cause)
{
	struct life *l = arg;

	l->n_ends++;
	l->cause = cause;
	key_watch_stop(&l->watch);
	if (l->takes != NULL)
		key_watch_stop(&l->takes->watch);
	if (l->count != NULL)
		(*l->count)++;
}

static void
live(struct life *l, const char *app, unsigned key)
{
	struct key_name name = { .scope = API_SCOPE_EGRESS };

	(void)snprintf(name.app, sizeof(name.app), "%s", app);
	(void)snprintf(name.id, sizeof(name.id), "key_%u", key);
	l->watch = key_watch_start(watches, &name, on_end, l);
}

static void
begin(struct key_stage *f, unsigned timeout_ms)
{
	key_stage_begin(f, 1, timeout_ms);
	watches = key_watches_new(f->engines.lab.loop, f->keys,
	    f->engines.pool);
}

static int
setup(void **state)
{
	memset(lives, 0, sizeof(lives));
	return (key_stage_setup(state));
}

static int
teardown(void **state)
{
	for (size_t i = 0; i < KEYS_MAX; i++)
		key_watch_stop(&lives[i].watch);
	key_watches_free(&watches);
	return (key_stage_teardown(state));
}

/*
 * Time passes, and these keys are asked about at most once for each change that
 * the pool saw: where the machine stalls it saw some that nobody made.
 */
static void
expect_quiet(struct key_stage *f, size_t n_keys)
{
	size_t n_calls = f->engines.one.n_calls;
	uint64_t seen = engine_pool_keys_seen(f->engines.pool), now;

	loop_for_ms(f->engines.lab.loop, LOOKS_MS);
	if ((now = engine_pool_keys_seen(f->engines.pool)) != 0 && seen != 0)
		assert_in_range(f->engines.one.n_calls, n_calls,
		    n_calls + (now - seen) * n_keys);
}

/* The engine's epoch changes, and the pool has seen it. */
static void
change_keys(struct key_stage *f)
{
	uint64_t seen = engine_pool_keys_seen(f->engines.pool);

	f->engines.one.keys_epoch++;
	(void)engine_pair_until_keys_seen(&f->engines, seen);
}

/* One question for all who live on a key, and another after a change. */
static void
test_a_change_is_asked_about_once_a_key(void **state)
{
	struct key_stage *f = *state;
	struct life *a = lives;
	size_t n_calls;

	begin(f, NEVER_MS);
	live(&a[0], APP, 1);
	live(&a[1], APP, 1);
	live(&a[2], APP, 2);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	expect_quiet(f, 2);
	n_calls = f->engines.one.n_calls;
	change_keys(f);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls,
	    n_calls + 2);
	expect_quiet(f, 2);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(a[i].n_ends, 0);
		key_watch_stop(&a[i].watch);
	}
	change_keys(f);
	expect_quiet(f, 0);			/* nobody watches */
}

/* All who live on it are told, but who was stopped by the first. */
static void
test_the_end_of_a_key(void **state)
{
	static const struct {
		enum rpc_status	status;
		const char	*scope, *cause;
	} t[] = {
		{ RPC_STATUS_UNAUTHORIZED, NULL, "revoked" },
		{ RPC_STATUS_OK, "relay", "not good for this" },
	};
	struct key_stage *f = *state;

	begin(f, NEVER_MS);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct life *a = lives;
		size_t n_ended = 0;

		memset(lives, 0, sizeof(lives));
		f->script.status = t[i].status;
		f->script.scopes[0] = t[i].scope;
		for (size_t j = 0; j < 4; j++) {
			live(&a[j], APP, 1);
			a[j].count = &n_ended;
		}
		a[0].takes = &a[2];
		loop_until_count(f->engines.lab.loop, &n_ended, 3);
		loop_for_ms(f->engines.lab.loop, 20);
		for (size_t j = 0; j < 4; j++)
			assert_int_equal(a[j].n_ends, j == 2 ? 0 : 1);
		assert_non_null(strstr(a[3].cause, t[i].cause));
		assert_int_equal(api_keys_asked(f->keys), 0);
	}
}

/* The last of those who are told takes the key's last other watch along. */
static void
test_who_is_told_stops_the_last_other(void **state)
{
	struct key_stage *f = *state;
	struct life *a = &lives[0], *b = &lives[1];

	begin(f, NEVER_MS);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	live(a, APP, 1);
	live(b, APP, 1);
	a->takes = b;
	loop_until_count(f->engines.lab.loop, &a->n_ends, 1);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_int_equal(b->n_ends, 0);
	assert_null(b->watch);
}

/* An engine that is silent, or does not know, ends nothing; it is asked again. */
static void
test_no_engine_ends_nothing(void **state)
{
	struct key_stage *f = *state;
	struct life *a = lives;

	begin(f, SOON_MS);
	live(a, APP, 1);
	f->script.status = RPC_STATUS_INTERNAL;
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	f->engines.one.mute = true;
	loop_for_ms(f->engines.lab.loop, LOOKS_MS);
	assert_int_equal(a->n_ends, 0);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	worker_engine_unmute(&f->engines.one);
	loop_until_count(f->engines.lab.loop, &a->n_ends, 1);
}

/* What was said before a change counts for nothing. */
static void
test_a_change_while_it_is_asked_about(void **state)
{
	struct key_stage *f = *state;
	struct life *a = lives;

	begin(f, NEVER_MS);
	f->script.hold = true;
	live(a, APP, 1);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	change_keys(f);
	f->script.keys_epoch = f->engines.one.keys_epoch - 1;
	f->script.hold = false;
	key_stage_let_go(&f->script);
	f->script.keys_epoch = 0;
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	loop_until_count(f->engines.lab.loop, &a->n_ends, 1);
}

/* However many keys there are: a few at a time, and each in its turn. */
static void
test_a_few_at_a_time(void **state)
{
	struct key_stage *f = *state;
	struct life *a = lives;
	size_t n_ended = 0;

	begin(f, NEVER_MS);
	f->script.hold = true;
	for (unsigned i = 0; i < KEYS_MAX; i++) {
		live(&a[i], i % 2 == 0 ? APP : OTHER, i);
		a[i].count = &n_ended;
	}
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls,
	    KEY_WATCH_ASKED_MAX);
	loop_for_ms(f->engines.lab.loop, LOOKS_MS);
	assert_int_equal(api_keys_asked(f->keys), KEY_WATCH_ASKED_MAX);
	key_watch_stop(&a[0].watch);	/* in the middle of its question */
	assert_int_equal(api_keys_asked(f->keys), KEY_WATCH_ASKED_MAX - 1);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	f->script.hold = false;
	key_stage_let_go(&f->script);
	loop_until_count(f->engines.lab.loop, &n_ended, KEYS_MAX - 1);
	assert_int_equal(api_keys_asked(f->keys), 0);
	assert_int_equal(a[0].n_ends, 0);
}

#define TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_change_is_asked_about_once_a_key),
		TEST(test_the_end_of_a_key),
		TEST(test_who_is_told_stops_the_last_other),
		TEST(test_no_engine_ends_nothing),
		TEST(test_a_change_while_it_is_asked_about),
		TEST(test_a_few_at_a_time),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
