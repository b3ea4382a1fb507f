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
#include "tests/unit/worker_engine_pair.h"
#include "worker/api_key.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

#define APP	"app_0123456789ab"
#define OTHER	"app_ffffffffffff"
#define KEY	"ev:key:1:abc:def:ghi"

/* ---- the engine's answers ---- */

#define HELD_MAX	(API_KEY_ASKED_MAX + 8)

/* What the engine says to every key; held calls are answered by let_go. */
struct script {
	enum rpc_status		status;
	const char		*app;
	const char		*scopes[3];	/* NULL ends */
	uint64_t		cache_s;
	uint64_t		keys_epoch;	/* 0: the engine's */
	bool			hold;
	struct {
		struct engine_link	*link;
		uint64_t		id;
	}			held[HELD_MAX];
	size_t			n_held;
	char			key[RPC_API_KEY_BYTES_MAX + 1];	/* the last */
	size_t			key_len;
};

static void
put_answer(struct buffer *b, const struct script *s, uint64_t epoch)
{
	size_t n = 0;

	while (s->scopes[n] != NULL)
		n++;
	rpc_put_map(b, 5);
	rpc_put_str(b, "app");
	rpc_put_str(b, s->app);
	rpc_put_str(b, "key");
	rpc_put_str(b, "key_0123456789ab");
	rpc_put_str(b, "scopes");
	rpc_put_array(b, n);
	for (size_t i = 0; i < n; i++)
		rpc_put_str(b, s->scopes[i]);
	rpc_put_str(b, "cache_s");
	rpc_put_u64(b, s->cache_s);
	rpc_put_str(b, "keys_epoch");
	rpc_put_u64(b, epoch);
}

static void
say(struct script *s, struct engine_link *l, uint64_t id)
{
	struct buffer b;

	if (s->status != RPC_STATUS_OK) {
		engine_reply(l, id, s->status, NULL, false);
		return;
	}
	buffer_init(&b, 0, false);
	put_answer(&b, s, s->keys_epoch != 0 ? s->keys_epoch :
	    l->engine->keys_epoch);
	engine_reply(l, id, RPC_STATUS_OK, &b, false);
	buffer_fini(&b);
}

static void
on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct script *s = arg;
	struct span key;

	assert_true(span_eq_str(f->op, "Authenticate"));
	assert_true(rpc_get_bytes(rpc_map_get(f->body, "apiKey"), &key));
	assert_in_range(key.len, 1, RPC_API_KEY_BYTES_MAX);
	memcpy(s->key, key.p, key.len);
	s->key_len = key.len;
	if (!s->hold) {
		say(s, l, f->id);
		return;
	}
	assert_in_range(s->n_held, 0, HELD_MAX - 1);
	s->held[s->n_held].link = l;
	s->held[s->n_held++].id = f->id;
}

static void
let_go(struct script *s)
{
	for (size_t i = 0; i < s->n_held; i++)
		say(s, s->held[i].link, s->held[i].id);
	s->n_held = 0;
}

struct fixture {
	struct engine_pair	engines;
	struct script		script;
	struct api_keys		*keys;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	engine_pair_start(&f->engines);
	f->engines.one.on_call = f->engines.two.on_call = on_call;
	f->engines.one.arg = f->engines.two.arg = &f->script;
	f->script.app = APP;
	f->script.cache_s = 60;
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	api_keys_free(&f->keys);
	engine_pair_stop(&f->engines);
	free(f);
	return (0);
}

static void
begin(struct fixture *f, size_t n_engines, unsigned timeout_ms)
{
	engine_pair_pool(&f->engines, n_engines, timeout_ms);
	f->keys = api_keys_new(f->engines.lab.loop, f->engines.pool);
	engine_pair_until_up(&f->engines, n_engines);
}

/* One asker. */
struct ask {
	struct api_keys		*keys;
	uint64_t		id;
	bool			ended;
	size_t			n_ends;
	enum api_key_verdict	verdict;
	uint64_t		cancels;	/* an id, from the callback */
	size_t			*count;		/* NULL, or: those that ended */
};

static void
on_verdict(void *arg, enum api_key_verdict verdict)
{
	struct ask *a = arg;

	a->ended = true;
	a->n_ends++;
	a->verdict = verdict;
	api_key_cancel(a->keys, a->cancels);
	if (a->count != NULL)
		(*a->count)++;
}

/* True: an answer comes later. */
static bool
ask_start(struct ask *a, struct fixture *f, const char *app, const char *key)
{
	a->keys = f->keys;
	a->id = api_key_ask(f->keys, app, span_of(key), on_verdict, a,
	    &a->verdict);
	assert_false(a->ended);
	return (a->id != 0);
}

/* By a call of the engine, or from memory: as `called` says. */
static enum api_key_verdict
verdict(struct fixture *f, const char *app, const char *key, bool called)
{
	struct ask a = { 0 };
	size_t n = f->engines.one.n_calls + f->engines.two.n_calls;

	assert_int_equal(ask_start(&a, f, app, key), called);
	if (called)
		loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(f->engines.one.n_calls + f->engines.two.n_calls,
	    n + called);
	assert_int_equal(api_keys_asked(f->keys), 0);
	return (a.verdict);
}

static void
test_good_is_remembered(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS);
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(f->script.key_len, strlen(KEY));
	assert_memory_equal(f->script.key, KEY, strlen(KEY));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, KEY "x", true), API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, "e", true), API_KEY_GOOD);
	/* And not dropped by the sweep, or by a Ping without news. */
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_pings,
	    f->engines.one.n_pings + 3);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
}

/* Asked while there was no engine, written when one came: that counts. */
static void
test_asked_before_any_engine(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 };

	f->engines.one.ready = false;
	engine_pair_pool(&f->engines, 1, NEVER_MS);
	f->keys = api_keys_new(f->engines.lab.loop, f->engines.pool);
	assert_true(ask_start(&a, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_pings, 2);
	assert_int_equal(f->engines.one.n_calls, 0);
	f->engines.one.ready = true;
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
}

/* A key that is made now works now. */
static void
test_bad_is_not_remembered(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(verdict(f, APP, KEY, true), API_KEY_BAD);
	f->script.status = RPC_STATUS_OK;
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
}

static void
test_key_of_another_app(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS);
	assert_int_equal(verdict(f, OTHER, KEY, true), API_KEY_BAD);
	assert_int_equal(verdict(f, OTHER, KEY, false), API_KEY_BAD);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
	assert_int_equal(verdict(f, "", KEY, false), API_KEY_BAD);
	assert_int_equal(verdict(f, "app_0123456789abcdef0123456789abcdef01234567",
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
		{ { "decrypt", NULL }, API_KEY_BAD },
		{ { "relays", "rela", NULL }, API_KEY_BAD },
		{ { "", NULL }, API_KEY_BAD },
	};
	struct fixture *f = *state;
	char key[] = "key 0";

	begin(f, 1, NEVER_MS);
	for (size_t i = 0; i < N(rows); i++) {
		memcpy(f->script.scopes, rows[i].scopes,
		    sizeof(rows[i].scopes));
		key[4] = (char)('0' + i);
		assert_int_equal(verdict(f, APP, key, true), rows[i].verdict);
		assert_int_equal(verdict(f, APP, key, false), rows[i].verdict);
	}
}

/* Only `unauthorized` says something about the key. */
static void
test_statuses(void **state)
{
	static const enum rpc_status none[] = { RPC_STATUS_NOT_ALLOWED,
	    RPC_STATUS_LIMIT, RPC_STATUS_INTERNAL, RPC_STATUS_OVERLOADED,
	    RPC_STATUS_BAD_REQUEST, RPC_STATUS_UNKNOWN_OP };
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS);
	for (size_t i = 0; i < N(none); i++) {
		f->script.status = none[i];
		assert_int_equal(verdict(f, APP, KEY, true),
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
	struct fixture *f = *state;
	enum lie lie;

	f->engines.one.on_call = tell_lie;
	f->engines.one.arg = &lie;
	begin(f, 1, NEVER_MS);
	for (lie = 0; lie < LIES; lie++)
		assert_int_equal(verdict(f, APP, KEY, true),
		    API_KEY_NO_ENGINE);
	f->engines.one.on_call = on_call;
	f->engines.one.arg = &f->script;
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
}

static void
test_no_engine(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 }, b = { 0 };

	begin(f, 0, SOON_MS);
	assert_true(ask_start(&a, f, APP, KEY));
	assert_true(ask_start(&b, f, APP, KEY));
	assert_int_equal(api_keys_asked(f->keys), 1);
	loop_until(f->engines.lab.loop, &b.ended);
	assert_int_equal(a.verdict, API_KEY_NO_ENGINE);
	assert_int_equal(b.verdict, API_KEY_NO_ENGINE);
}

static void
test_silent_engine(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 };

	f->script.hold = true;
	begin(f, 1, SOON_MS);
	assert_true(ask_start(&a, f, APP, KEY));
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_NO_ENGINE);
	assert_int_equal(api_keys_asked(f->keys), 0);
}

/* Lost in mid call: asked again, on the next link. */
static void
test_engine_lost(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 };

	f->script.hold = true;
	begin(f, 1, NEVER_MS);
	assert_true(ask_start(&a, f, APP, KEY));
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
	struct fixture *f = *state;
	uint64_t seen;

	begin(f, 2, NEVER_MS);
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
	seen = engine_pool_keys_seen(f->engines.pool);
	f->engines.one.keys_epoch = f->engines.two.keys_epoch = 2;
	f->script.status = RPC_STATUS_UNAUTHORIZED;	/* revoked */
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_BAD);
}

/* Another key's answer tells before the next Ping does. */
static void
test_epoch_of_answer(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS);
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	f->engines.one.keys_epoch = 2;
	assert_int_equal(verdict(f, APP, "other", true), API_KEY_GOOD);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_BAD);
	/* That answer was asked for under the old number: not kept either. */
	assert_int_equal(verdict(f, APP, "other", true), API_KEY_BAD);
}

static void
test_silence(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 };
	uint64_t seen;

	begin(f, 1, NEVER_MS);
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	seen = engine_pool_keys_seen(f->engines.pool);
	f->engines.one.mute = true;
	engine_pair_until_keys_unsure(&f->engines);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_true(ask_start(&a, f, APP, KEY));	/* not from memory */
	worker_engine_unmute(&f->engines.one);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_BAD);
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_BAD);
}

static void
test_cache_seconds(void **state)
{
	struct fixture *f = *state;

	begin(f, 1, NEVER_MS);
	f->script.cache_s = 0;
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	f->script.cache_s = 1;
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
	loop_for_ms(f->engines.lab.loop, 1001);
	f->script.cache_s = UINT64_MAX;		/* cut, no overflow */
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
	/* The sweep takes what is over and leaves the rest. */
	f->script.cache_s = 1;
	assert_int_equal(verdict(f, APP, "short", true), API_KEY_GOOD);
	loop_for_ms(f->engines.lab.loop, 2100);
	assert_int_equal(verdict(f, APP, KEY, false), API_KEY_GOOD);
	assert_int_equal(verdict(f, APP, "short", true), API_KEY_GOOD);
}

/* ---- several who ask ---- */

static void
test_same_key_is_one_call(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	f->script.hold = true;
	begin(f, 1, NEVER_MS);
	assert_true(ask_start(&a, f, APP, KEY));
	assert_true(ask_start(&b, f, OTHER, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	assert_true(ask_start(&c, f, APP, KEY));
	assert_true(ask_start(&d, f, APP, KEY "x"));
	assert_int_equal(api_keys_asked(f->keys), 2);
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	let_go(&f->script);
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
	struct fixture *f = *state;
	struct ask before = { 0 }, after = { 0 };
	uint64_t seen;

	f->script.hold = true;
	begin(f, 1, NEVER_MS);
	seen = engine_pool_keys_seen(f->engines.pool);
	assert_true(ask_start(&before, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	f->engines.one.keys_epoch = 2;
	(void)engine_pair_until_keys_seen(&f->engines, seen);
	f->script.keys_epoch = 1;		/* said before the change */
	assert_true(ask_start(&after, f, APP, KEY));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 2);
	say(&f->script, f->script.held[0].link, f->script.held[0].id);
	loop_until(f->engines.lab.loop, &before.ended);
	assert_int_equal(before.verdict, API_KEY_GOOD);
	assert_false(after.ended);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	say(&f->script, f->script.held[1].link, f->script.held[1].id);
	loop_until(f->engines.lab.loop, &after.ended);
	assert_int_equal(after.verdict, API_KEY_BAD);
	f->script.hold = false;			/* and neither is remembered */
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_BAD);
}

static void
test_cancel(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 }, b = { 0 }, c = { 0 };

	f->script.hold = true;
	begin(f, 1, NEVER_MS);
	assert_true(ask_start(&a, f, APP, KEY));
	assert_true(ask_start(&b, f, APP, KEY));
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
	let_go(&f->script);
	assert_true(ask_start(&c, f, APP, KEY));	/* it left nothing */
	api_key_cancel(f->keys, c.id);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_int_equal(a.n_ends + b.n_ends + c.n_ends, 0);
	f->script.hold = false;
	assert_int_equal(verdict(f, APP, KEY, true), API_KEY_GOOD);
}

/* The first of three, when told, takes the others back. */
static void
test_cancel_from_a_callback(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 }, b = { 0 }, c = { 0 };

	f->script.hold = true;
	begin(f, 1, NEVER_MS);
	assert_true(ask_start(&a, f, APP, KEY));
	assert_true(ask_start(&b, f, APP, KEY));
	assert_true(ask_start(&c, f, APP, KEY));
	a.cancels = c.id;
	b.cancels = a.id;	/* answered: ignored */
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls, 1);
	let_go(&f->script);
	loop_until(f->engines.lab.loop, &b.ended);
	loop_for_ms(f->engines.lab.loop, 20);
	assert_int_equal(a.n_ends, 1);
	assert_int_equal(b.n_ends, 1);
	assert_int_equal(c.n_ends, 0);
	assert_int_equal(api_keys_asked(f->keys), 0);
}

static void
ask_again(void *arg, enum api_key_verdict said)
{
	struct ask *a = arg;

	assert_int_equal(said, API_KEY_BAD);
	a->id = api_key_ask(a->keys, APP, SPAN_LIT(KEY), on_verdict, a,
	    &a->verdict);
	assert_int_not_equal(a->id, 0);
}

/* A callback asks for the same key: that is another call. */
static void
test_ask_from_a_callback(void **state)
{
	struct fixture *f = *state;
	struct ask a = { 0 };

	begin(f, 1, NEVER_MS);
	a.keys = f->keys;
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_int_not_equal(api_key_ask(f->keys, APP, SPAN_LIT(KEY), ask_again,
	    &a, &a.verdict), 0);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_BAD);
	assert_int_equal(f->engines.one.n_calls, 2);
}

/* ---- bounds ---- */

static void
test_lengths(void **state)
{
	struct fixture *f = *state;
	char key[RPC_API_KEY_BYTES_MAX + 2];

	memset(key, 'k', sizeof(key));
	key[RPC_API_KEY_BYTES_MAX + 1] = '\0';
	begin(f, 1, NEVER_MS);
	assert_int_equal(verdict(f, APP, "", false), API_KEY_BAD);
	assert_int_equal(verdict(f, APP, key, false), API_KEY_BAD);
	key[RPC_API_KEY_BYTES_MAX] = '\0';
	assert_int_equal(verdict(f, APP, key, true), API_KEY_GOOD);
	assert_int_equal(f->script.key_len, RPC_API_KEY_BYTES_MAX);
	assert_memory_equal(f->script.key, key, RPC_API_KEY_BYTES_MAX);
	assert_int_equal(verdict(f, APP, key, false), API_KEY_GOOD);
}

/* A NUL ends nothing. */
static void
test_any_bytes(void **state)
{
	static const char one[] = "k\0a", two[] = "k\0b";
	struct fixture *f = *state;
	struct ask a = { 0 };

	begin(f, 1, NEVER_MS);
	a.keys = f->keys;
	assert_int_not_equal(api_key_ask(f->keys, APP, (struct span){ one, 3 },
	    on_verdict, &a, &a.verdict), 0);
	loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(a.verdict, API_KEY_GOOD);
	a.ended = false;
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	assert_int_not_equal(api_key_ask(f->keys, APP, (struct span){ two, 3 },
	    on_verdict, &a, &a.verdict), 0);
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
	static struct ask asks[API_KEY_ASKED_MAX + 2];
	struct fixture *f = *state;
	size_t n_ended = 0;
	unsigned i;

	memset(asks, 0, sizeof(asks));
	f->script.hold = true;
	begin(f, 1, NEVER_MS);
	for (i = 0; i < API_KEY_ASKED_MAX; i++) {
		asks[i].count = &n_ended;
		assert_true(ask_start(&asks[i], f, APP, numbered(i)));
	}
	/* One more key is not asked for; one of these is. */
	assert_false(ask_start(&asks[i], f, APP, "one more"));
	assert_int_equal(asks[i].verdict, API_KEY_NO_ENGINE);
	asks[i + 1].count = &n_ended;
	assert_true(ask_start(&asks[i + 1], f, APP, numbered(3)));
	loop_until_count(f->engines.lab.loop, &f->engines.one.n_calls,
	    API_KEY_ASKED_MAX);
	let_go(&f->script);
	loop_until_count(f->engines.lab.loop, &n_ended, API_KEY_ASKED_MAX + 1);
	f->script.hold = false;
	assert_int_equal(verdict(f, APP, "one more", true), API_KEY_GOOD);
}

/* Four times what fits: the newest is known, most places are in use, and no
 * key got another's answer. */
static void
test_memory_is_bounded(void **state)
{
	const unsigned n = 4 * API_KEY_REMEMBERED_MAX;
	struct fixture *f = *state;
	unsigned known = 0;

	begin(f, 1, NEVER_MS);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(verdict(f, i % 2 == 0 ? APP : OTHER, numbered(i),
		    true), i % 2 == 0 ? API_KEY_GOOD : API_KEY_BAD);
	assert_int_equal(verdict(f, APP, numbered(n - 1), false), API_KEY_GOOD);
	f->script.status = RPC_STATUS_UNAUTHORIZED;
	for (unsigned i = 0; i < n; i++) {
		struct ask a = { 0 };

		if (ask_start(&a, f, APP, numbered(i))) {
			api_key_cancel(f->keys, a.id);
			continue;
		}
		assert_int_equal(a.verdict, API_KEY_GOOD);
		known++;
	}
	assert_in_range(known, API_KEY_REMEMBERED_MAX * 3 / 4,
	    API_KEY_REMEMBERED_MAX);
}

#define TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)

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
		TEST(test_lengths),
		TEST(test_any_bytes),
		TEST(test_calls_are_bounded),
		TEST(test_memory_is_bounded),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
