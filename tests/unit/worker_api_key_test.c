/*
 * worker/api_key.c against real peers: engines that answer, lie, are silent or
 * gone; what is remembered, and when it goes.
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

#include "lib/rpc/message.h"
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_api_key_stage.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static void
test_good_is_remembered(void **state)
{
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(f->script.key_len, strlen(KEY));
	assert_memory_equal(f->script.key, KEY, strlen(KEY));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, KEY "x", true), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, "e", true), API_KEY_GOOD);
	/* And not dropped by the sweep, or by a Ping without news. */
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_pings,
	    f->engines.one.n_pings + 3);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
}

/* Asked while there was no engine, written when one came: that counts. */
static void
test_asked_before_any_engine(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 };

	f->engines.one.ready = false;
	engine_pair_pool(&f->engines, 1, NEVER_MS);
	f->keys = api_keys_new(f->engines.lab.loop, f->engines.pool);
	assert_true(key_ask_start(&a, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_pings, 2);
	assert_int_equal(f->engines.one.n_calls, 0);
	f->engines.one.ready = true;
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
}

/* A key that is made now works now. */
static void
test_bad_is_not_remembered(void **state)
{
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_BAD);
	f->script.status = RPC_STATUS_OK;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
}

static void
test_key_of_another_app(void **state)
{
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, OTHER, KEY, true), API_KEY_BAD);
	assert_int_equal(key_ask_verdict(f, OTHER, KEY, false), API_KEY_BAD);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, "", KEY, false), API_KEY_BAD);
	assert_int_equal(key_ask_verdict(f, "app_0123456789abcdef0123456789abcdef01234567",
	    KEY, false), API_KEY_BAD);
}

static void
test_scopes(void **state)
{
	static const struct {
		const char		*scopes[3];
		enum api_key_verdict	verdict;
	} rows[] = {
		{ { NULL }, API_KEY_GOOD },
		{ { "relay", NULL }, API_KEY_GOOD },
		{ { "decrypt", "relay", NULL }, API_KEY_GOOD },
		{ { "decrypt", NULL }, API_KEY_NO_SCOPE },
		{ { "relays", "rela", NULL }, API_KEY_NO_SCOPE },
		{ { "", NULL }, API_KEY_NO_SCOPE },
	};
	struct key_stage *f = *state;
	char key[] = "key 0";

	key_stage_begin(f, 1, NEVER_MS);
	for (size_t i = 0; i < N(rows); i++) {
		memcpy(f->script.scopes, rows[i].scopes,
		    sizeof(rows[i].scopes));
		key[4] = (char)('0' + i);
		assert_int_equal(key_ask_verdict(f, APP, key, true), rows[i].verdict);
		assert_int_equal(key_ask_verdict(f, APP, key, false), rows[i].verdict);
	}
}

/* Only `unauthorized` says something about the key. */
static void
test_statuses(void **state)
{
	static const enum rpc_status none[] = { RPC_STATUS_NOT_ALLOWED,
	    RPC_STATUS_LIMIT, RPC_STATUS_INTERNAL, RPC_STATUS_OVERLOADED,
	    RPC_STATUS_BAD_REQUEST, RPC_STATUS_UNKNOWN_OP };
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	for (size_t i = 0; i < N(none); i++) {
		f->script.status = none[i];
		assert_int_equal(key_ask_verdict(f, APP, KEY, true),
		    API_KEY_NO_ENGINE);
	}
}

enum lie {
	LIE_ARRAY, LIE_EMPTY, LIE_MORE, LIE_NO_SCOPES, LIE_SCOPE_NUMBER,
	LIE_APP_LONG, LIE_APP_EMPTY, LIE_NO_CACHE, LIES
};

static void
tell_lie(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	enum lie lie = *(enum lie *)arg;
	struct buffer b;

	buffer_init(&b, 0, false);
	if (lie == LIE_ARRAY) {
		rpc_put_array(&b, 0);
	} else if (lie == LIE_EMPTY) {
		rpc_put_map(&b, 0);
	} else {
		rpc_put_map(&b, 4);
		rpc_put_str(&b, "app");
		rpc_put_str(&b, lie == LIE_APP_EMPTY ? "" : lie == LIE_APP_LONG ?
		    APP "0123456789abcdef0123456789abcdef" : APP);
		rpc_put_str(&b, "key");
		rpc_put_str(&b, "key_0123456789ab");
		rpc_put_str(&b, lie == LIE_NO_SCOPES ? "scope" : "scopes");
		rpc_put_array(&b, 1);
		if (lie == LIE_SCOPE_NUMBER)
			rpc_put_u64(&b, 1);
		else
			rpc_put_str(&b, "relay");
		rpc_put_str(&b, lie == LIE_NO_CACHE ? "cache" : "cache_s");
		rpc_put_u64(&b, 60);
	}
	engine_reply(l, f->id, RPC_STATUS_OK, &b, lie == LIE_MORE);
	buffer_fini(&b);
}

static void
test_lies(void **state)
{
	struct key_stage *f = *state;
	enum lie lie;

	f->engines.one.on_call = tell_lie;
	f->engines.one.arg = &lie;
	key_stage_begin(f, 1, NEVER_MS);
	for (lie = 0; lie < LIES; lie++)
		assert_int_equal(key_ask_verdict(f, APP, KEY, true),
		    API_KEY_NO_ENGINE);
	f->engines.one.on_call = key_stage_on_call;
	f->engines.one.arg = &f->script;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
}

static void
test_no_engine(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 }, b = { 0 };

	key_stage_begin(f, 0, SOON_MS);
	assert_true(key_ask_start(&a, f, APP, KEY));
	assert_true(key_ask_start(&b, f, APP, KEY));
	assert_int_equal(api_keys_asked(f->keys), 1);
	loop_until(f->engines.lab.loop, &b.ended);
	assert_int_equal(a.verdict, API_KEY_NO_ENGINE);
	assert_int_equal(b.verdict, API_KEY_NO_ENGINE);
}

static void
test_silent_engine(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 };

	f->script.hold = true;
	key_stage_begin(f, 1, SOON_MS);
	assert_true(key_ask_start(&a, f, APP, KEY));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_NO_ENGINE);
	assert_int_equal(api_keys_asked(f->keys), 0);
}

/* Lost in mid call: asked again, on the next link. */
static void
test_engine_lost(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 };

	f->script.hold = true;
	key_stage_begin(f, 1, NEVER_MS);
	assert_true(key_ask_start(&a, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	f->script.hold = false;
	worker_engine_cut(&f->engines.one);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	assert_int_equal(f->engines.one.n_calls, 2);
}

/* ---- when what is remembered goes ---- */

static void
test_epoch_of_ping(void **state)
{
	struct key_stage *f = *state;
	uint64_t seen;

	key_stage_begin(f, 2, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
	seen = engine_pool_keys_seen(f->engines.pool);
	f->engines.one.keys_epoch = f->engines.two.keys_epoch = 2;
	f->script.status = RPC_STATUS_UNAUTHORIZED;	/* revoked */
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_BAD);
}

/* Another key's answer tells before the next Ping does. */
static void
test_epoch_of_answer(void **state)
{
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	f->engines.one.keys_epoch = 2;
	assert_int_equal(key_ask_verdict(f, APP, "other", true), API_KEY_GOOD);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_BAD);
	/* That answer was asked for under the old number: not kept either. */
	assert_int_equal(key_ask_verdict(f, APP, "other", true), API_KEY_BAD);
}

static void
test_silence(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 };
	uint64_t seen;

	key_stage_begin(f, 1, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	seen = engine_pool_keys_seen(f->engines.pool);
	f->engines.one.mute = true;
	engine_pair_until_keys_unsure(&f->engines);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_true(key_ask_start(&a, f, APP, KEY));	/* not from memory */
	worker_engine_unmute(&f->engines.one);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_BAD);
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_BAD);
}

static void
test_cache_seconds(void **state)
{
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	f->script.cache_s = 0;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	f->script.cache_s = 1;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
	loop_for_ms(f->engines.lab.loop, 1001);
	f->script.cache_s = UINT64_MAX;		/* cut, no overflow */
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
	/* The sweep takes what is over and leaves the rest. */
	f->script.cache_s = 1;
	assert_int_equal(key_ask_verdict(f, APP, "short", true), API_KEY_GOOD);
	loop_for_ms(f->engines.lab.loop, 2100);
	assert_int_equal(key_ask_verdict(f, APP, KEY, false), API_KEY_GOOD);
	assert_int_equal(key_ask_verdict(f, APP, "short", true), API_KEY_GOOD);
}

/* ---- several who ask ---- */

static void
test_same_key_is_one_call(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	f->script.hold = true;
	key_stage_begin(f, 1, NEVER_MS);
	assert_true(key_ask_start(&a, f, APP, KEY));
	assert_true(key_ask_start(&b, f, OTHER, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	assert_true(key_ask_start(&c, f, APP, KEY));
	assert_true(key_ask_start(&d, f, APP, KEY "x"));
	assert_int_equal(api_keys_asked(f->keys), 2);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	key_stage_let_go(&f->script);
	loop_until(f->engines.lab.loop, &c.ended);
	loop_until(f->engines.lab.loop, &d.ended);
	assert_int_equal(f->engines.one.n_calls, 2);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	assert_int_equal(b.verdict, API_KEY_BAD);
	assert_int_equal(c.verdict, API_KEY_GOOD);
	assert_int_equal(a.n_ends + b.n_ends + c.n_ends + d.n_ends, 4);
}

/* Who comes after a change is not answered from before it. */
static void
test_no_sharing_across_a_change(void **state)
{
	struct key_stage *f = *state;
	struct key_ask before = { 0 }, after = { 0 };
	uint64_t seen;

	f->script.hold = true;
	key_stage_begin(f, 1, NEVER_MS);
	seen = engine_pool_keys_seen(f->engines.pool);
	assert_true(key_ask_start(&before, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	f->engines.one.keys_epoch = 2;
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	f->script.keys_epoch = 1;		/* said before the change */
	assert_true(key_ask_start(&after, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	key_stage_say(&f->script, f->script.held[0].link, f->script.held[0].id);
	loop_until(f->engines.lab.loop, &before.ended);
	assert_int_equal(before.verdict, API_KEY_GOOD);
	assert_false(after.ended);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	key_stage_say(&f->script, f->script.held[1].link, f->script.held[1].id);
	loop_until(f->engines.lab.loop, &after.ended);
	assert_int_equal(after.verdict, API_KEY_BAD);
	f->script.hold = false;			/* and neither is remembered */
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_BAD);
}

static void
test_cancel(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 }, b = { 0 }, c = { 0 };

	f->script.hold = true;
	key_stage_begin(f, 1, NEVER_MS);
	assert_true(key_ask_start(&a, f, APP, KEY));
	assert_true(key_ask_start(&b, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	api_key_cancel(f->keys, a.id);
	api_key_cancel(f->keys, a.id);
	api_key_cancel(f->keys, 0);
	api_key_cancel(f->keys, b.id + 1);
	assert_int_equal(api_keys_asked(f->keys), 1);
	assert_int_equal(engine_pool_calls(f->engines.pool), 1);
	api_key_cancel(f->keys, b.id);		/* the last one takes it along */
	assert_int_equal(api_keys_asked(f->keys), 0);
	assert_int_equal(engine_pool_calls(f->engines.pool), 0);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_cancels, 1);
	key_stage_let_go(&f->script);
	assert_true(key_ask_start(&c, f, APP, KEY));	/* it left nothing */
	api_key_cancel(f->keys, c.id);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_int_equal(a.n_ends + b.n_ends + c.n_ends, 0);
	f->script.hold = false;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
}

/* The first of three, when told, takes the others back. */
static void
test_cancel_from_a_callback(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 }, b = { 0 }, c = { 0 };

	f->script.hold = true;
	key_stage_begin(f, 1, NEVER_MS);
	assert_true(key_ask_start(&a, f, APP, KEY));
	assert_true(key_ask_start(&b, f, APP, KEY));
	assert_true(key_ask_start(&c, f, APP, KEY));
	a.cancels = c.id;
	b.cancels = a.id;	/* answered: ignored */
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	key_stage_let_go(&f->script);
	loop_until(f->engines.lab.loop, &b.ended);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_int_equal(a.n_ends, 1);
	assert_int_equal(b.n_ends, 1);
	assert_int_equal(c.n_ends, 0);
	assert_int_equal(api_keys_asked(f->keys), 0);
}

static void
ask_again(void *arg, const struct api_key_answer *said)
{
	struct key_ask *a = arg;

	assert_int_equal(said->verdict, API_KEY_BAD);
	assert_true(key_ask_span(a, a->keys, APP, SPAN_LIT(KEY), key_ask_on_verdict));
}

/* A callback asks for the same key: that is another call. */
static void
test_ask_from_a_callback(void **state)
{
	struct key_stage *f = *state;
	struct key_ask a = { 0 };

	key_stage_begin(f, 1, NEVER_MS);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_true(key_ask_span(&a, f->keys, APP, SPAN_LIT(KEY), ask_again));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_BAD);
	assert_int_equal(f->engines.one.n_calls, 2);
}

/* ---- other questions ---- */

/* Whose key is it? */
static void
test_anybodys(void **state)
{
	struct api_key_question q = { .key = SPAN_LIT(KEY),
	    .scope = API_SCOPE_EGRESS };
	struct key_stage *f = *state;
	struct api_key_answer now;
	struct key_ask a = { 0 };

	key_stage_begin(f, 1, NEVER_MS);
	a.keys = f->keys;
	a.id = api_key_ask(f->keys, &q, key_ask_on_verdict, &a, &now);
	assert_int_not_equal(a.id, 0);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	assert_int_equal(api_key_ask(f->keys, &q, key_ask_on_verdict, &a, &now), 0);
	assert_int_equal(now.verdict, API_KEY_GOOD);
	assert_string_equal(now.app, APP);
	assert_string_not_equal(now.key_id, "");
	/* An app without a name is nobody. */
	q.app = "";
	assert_int_equal(api_key_ask(f->keys, &q, key_ask_on_verdict, &a, &now), 0);
	assert_int_equal(now.verdict, API_KEY_BAD);
	assert_string_equal(now.app, "");
}

/* What is remembered of a secret says nothing of an id of the same text, and
 * an id is one of its app. */
static void
test_by_id(void **state)
{
	struct api_key_question q = { .key = SPAN_LIT("key_1"), .app = APP,
	    .scope = API_SCOPE_EGRESS };
	struct key_stage *f = *state;
	struct api_key_answer now;
	struct key_ask a = { 0 };

	key_stage_begin(f, 1, NEVER_MS);
	a.keys = f->keys;
	for (int i = 0; i < 3; i++) {
		a.ended = false;
		q.by_id = i != 0;
		q.app = i == 2 ? OTHER : APP;
		assert_int_not_equal(api_key_ask(f->keys, &q, key_ask_on_verdict, &a,
		    &now), 0);
		loop_until(f->engines.lab.loop, &a.ended);
		assert_int_equal(a.verdict, i == 2 ? API_KEY_BAD : API_KEY_GOOD);
	}
	q.app = APP;
	assert_int_equal(api_key_ask(f->keys, &q, key_ask_on_verdict, &a, &now), 0);
	assert_int_equal(now.verdict, API_KEY_GOOD);
	q.key = SPAN_LIT("key_0123456789abcdefghij");	/* no id is that long */
	assert_int_equal(api_key_ask(f->keys, &q, key_ask_on_verdict, &a, &now), 0);
	assert_int_equal(now.verdict, API_KEY_BAD);
}

/* ---- keys that were good ---- */

static bool
was_good(struct key_stage *f, const char *app, const char *key)
{
	const struct api_key_question q = { .key = span_of(key), .app = app,
	    .scope = API_SCOPE_MANAGE };

	return (api_key_was_good(f->keys, &q));
}

static void
test_was_good(void **state)
{
	struct key_stage *f = *state;

	key_stage_begin(f, 1, NEVER_MS);
	f->script.cache_s = 0;		/* known to be good for no time */
	assert_false(was_good(f, NULL, KEY));
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_true(was_good(f, NULL, KEY));
	assert_true(was_good(f, APP, KEY));
	assert_false(was_good(f, OTHER, KEY));
	assert_false(was_good(f, NULL, KEY "x"));
	assert_false(was_good(f, NULL, ""));
	/* Who misuses it does not take it from the others. */
	assert_int_equal(key_ask_verdict(f, OTHER, KEY, true), API_KEY_BAD);
	assert_true(was_good(f, APP, KEY));
	/* An engine that cannot say says nothing. */
	f->script.status = RPC_STATUS_INTERNAL;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_NO_ENGINE);
	assert_true(was_good(f, NULL, KEY));
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_BAD);
	assert_false(was_good(f, NULL, KEY));
	assert_false(was_good(f, APP, KEY));
}

/* It outlives what is known to be good now, and an id is no secret. */
static void
test_was_good_after_a_change(void **state)
{
	struct api_key_question q = { .key = SPAN_LIT("key_1"), .app = APP,
	    .scope = API_SCOPE_EGRESS, .by_id = true };
	struct key_stage *f = *state;
	struct api_key_answer now;
	struct key_ask a = { 0 };
	uint64_t seen;

	key_stage_begin(f, 1, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, APP, KEY, true), API_KEY_GOOD);
	seen = engine_pool_keys_seen(f->engines.pool);
	f->engines.one.keys_epoch = 2;
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	assert_true(was_good(f, APP, KEY));
	a.keys = f->keys;
	assert_int_not_equal(api_key_ask(f->keys, &q, key_ask_on_verdict, &a,
	    &now), 0);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	assert_false(was_good(f, NULL, "key_1"));
	assert_false(was_good(f, APP, "key_1"));
}

/* ---- bounds ---- */

static void
test_lengths(void **state)
{
	struct key_stage *f = *state;
	char key[RPC_API_KEY_BYTES_MAX + 2];

	memset(key, 'k', sizeof(key));
	key[RPC_API_KEY_BYTES_MAX + 1] = '\0';
	key_stage_begin(f, 1, NEVER_MS);
	assert_int_equal(key_ask_verdict(f, APP, "", false), API_KEY_BAD);
	assert_int_equal(key_ask_verdict(f, APP, key, false), API_KEY_BAD);
	key[RPC_API_KEY_BYTES_MAX] = '\0';
	assert_int_equal(key_ask_verdict(f, APP, key, true), API_KEY_GOOD);
	assert_int_equal(f->script.key_len, RPC_API_KEY_BYTES_MAX);
	assert_memory_equal(f->script.key, key, RPC_API_KEY_BYTES_MAX);
	assert_int_equal(key_ask_verdict(f, APP, key, false), API_KEY_GOOD);
}

/* A NUL ends nothing. */
static void
test_any_bytes(void **state)
{
	static const char one[] = "k\0a", two[] = "k\0b";
	struct key_stage *f = *state;
	struct key_ask a = { 0 };

	key_stage_begin(f, 1, NEVER_MS);
	assert_true(key_ask_span(&a, f->keys, APP, (struct span){ one, 3 },
	    key_ask_on_verdict));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	a.ended = false;
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_true(key_ask_span(&a, f->keys, APP, (struct span){ two, 3 },
	    key_ask_on_verdict));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_BAD);
}

static const char *
numbered(unsigned i)
{
	static char key[32];

	(void)snprintf(key, sizeof(key), "key %u", i);
	return (key);
}

static void
test_calls_are_bounded(void **state)
{
	static struct key_ask asks[API_KEY_ASKED_MAX + 2];
	struct key_stage *f = *state;
	size_t n_ended = 0;
	unsigned i;

	memset(asks, 0, sizeof(asks));
	f->script.hold = true;
	key_stage_begin(f, 1, NEVER_MS);
	for (i = 0; i < API_KEY_ASKED_MAX; i++) {
		asks[i].count = &n_ended;
		assert_true(key_ask_start(&asks[i], f, APP, numbered(i)));
	}
	/* One more key is not asked for; one of these is. */
	assert_false(key_ask_start(&asks[i], f, APP, "one more"));
	assert_int_equal(asks[i].verdict, API_KEY_NO_ENGINE);
	asks[i + 1].count = &n_ended;
	assert_true(key_ask_start(&asks[i + 1], f, APP, numbered(3)));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls,
	    API_KEY_ASKED_MAX);
	key_stage_let_go(&f->script);
	loop_until_count(f->engines.lab.loop, &n_ended, API_KEY_ASKED_MAX + 1);
	f->script.hold = false;
	assert_int_equal(key_ask_verdict(f, APP, "one more", true), API_KEY_GOOD);
}

/* Four times what fits: the newest is known, most places are in use, and no
 * key got another's answer. */
static void
test_memory_is_bounded(void **state)
{
	const unsigned n = 4 * API_KEY_REMEMBERED_MAX;
	struct key_stage *f = *state;
	unsigned known = 0;

	key_stage_begin(f, 1, NEVER_MS);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(key_ask_verdict(f, i % 2 == 0 ? APP : OTHER, numbered(i),
		    true), i % 2 == 0 ? API_KEY_GOOD : API_KEY_BAD);
	assert_int_equal(key_ask_verdict(f, APP, numbered(n - 1), false), API_KEY_GOOD);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	for (unsigned i = 0; i < n; i++) {
		struct key_ask a = { 0 };

		if (key_ask_start(&a, f, APP, numbered(i))) {
			api_key_cancel(f->keys, a.id);
			continue;
		}
		assert_int_equal(a.verdict, API_KEY_GOOD);
		known++;
	}
	assert_in_range(known, API_KEY_REMEMBERED_MAX * 3 / 4,
	    API_KEY_REMEMBERED_MAX);
}

#define TEST(t)	cmocka_unit_test_setup_teardown(t, key_stage_setup, \
    key_stage_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good_is_remembered),
		TEST(test_asked_before_any_engine),
		TEST(test_bad_is_not_remembered),
		TEST(test_key_of_another_app),
		TEST(test_scopes),
		TEST(test_statuses),
		TEST(test_lies),
		TEST(test_no_engine),
		TEST(test_silent_engine),
		TEST(test_engine_lost),
		TEST(test_epoch_of_ping),
		TEST(test_epoch_of_answer),
		TEST(test_silence),
		TEST(test_cache_seconds),
		TEST(test_same_key_is_one_call),
		TEST(test_no_sharing_across_a_change),
		TEST(test_cancel),
		TEST(test_cancel_from_a_callback),
		TEST(test_ask_from_a_callback),
		TEST(test_anybodys),
		TEST(test_by_id),
		TEST(test_was_good),
		TEST(test_was_good_after_a_change),
		TEST(test_lengths),
		TEST(test_any_bytes),
		TEST(test_calls_are_bounded),
		TEST(test_memory_is_bounded),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
