/* tests/unit/worker_api_key_stage.c - see the header. */
#include "tests/unit/worker_api_key_stage.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test_loop.h"

static void
put_answer(struct buffer *b, const struct key_script *s, uint64_t epoch)
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

void
key_stage_say(struct key_script *s, struct engine_link *l, uint64_t id)
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

void
key_stage_on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct key_script *s = arg;
	struct span key;

	assert_true(span_eq_str(f->op, "Authenticate"));
	if (rpc_map_get(f->body, "apiKey") != NULL) {
		assert_true(rpc_get_bytes(rpc_map_get(f->body, "apiKey"), &key));
	} else {
		assert_true(rpc_get_bytes(rpc_map_get(f->body, "key"), &key));
		assert_non_null(rpc_map_get(f->body, "app"));
	}
	assert_in_range(key.len, 1, RPC_API_KEY_BYTES_MAX);
	memcpy(s->key, key.p, key.len);
	s->key_len = key.len;
	if (!s->hold) {
		key_stage_say(s, l, f->id);
		return;
	}
	assert_in_range(s->n_held, 0, HELD_MAX - 1);
	s->held[s->n_held].link = l;
	s->held[s->n_held++].id = f->id;
}

void
key_stage_let_go(struct key_script *s)
{
	for (size_t i = 0; i < s->n_held; i++)
		key_stage_say(s, s->held[i].link, s->held[i].id);
	s->n_held = 0;
}

int
key_stage_setup(void **state)
{
	struct key_stage *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	engine_pair_start(&f->engines);
	f->engines.one.on_call = f->engines.two.on_call =
	    key_stage_on_call;
	f->engines.one.arg = f->engines.two.arg = &f->script;
	f->script.app = APP;
	f->script.cache_s = 60;
	*state = f;
	return (0);
}

int
key_stage_teardown(void **state)
{
	struct key_stage *f = *state;

	api_keys_free(&f->keys);
	engine_pair_stop(&f->engines);
	free(f);
	return (0);
}

void
key_stage_begin(struct key_stage *f, size_t n_engines, unsigned timeout_ms)
{
	engine_pair_pool(&f->engines, n_engines, timeout_ms);
	f->keys = api_keys_new(f->engines.lab.loop, f->engines.pool);
	engine_pair_until_up(&f->engines, n_engines);
}

void
key_ask_on_verdict(void *arg, const struct api_key_answer *answer)
{
	struct key_ask *a = arg;

	a->ended = true;
	a->n_ends++;
	a->verdict = answer->verdict;
	api_key_cancel(a->keys, a->cancels);
	if (a->count != NULL)
		(*a->count)++;
}

bool
key_ask_span(struct key_ask *a, struct api_keys *keys, const char *app, struct span key,
    api_key_cb *cb)
{
	const struct api_key_question question = { .key = key, .app = app,
	    .scope = API_SCOPE_RELAY };
	struct api_key_answer now;

	a->keys = keys;
	a->id = api_key_ask(keys, &question, cb, a, &now);
	a->verdict = now.verdict;
	return (a->id != 0);
}

bool
key_ask_start(struct key_ask *a, struct key_stage *f, const char *app, const char *key)
{
	bool called = key_ask_span(a, f->keys, app, span_of(key), key_ask_on_verdict);

	assert_false(a->ended);
	return (called);
}

enum api_key_verdict
key_ask_verdict(struct key_stage *f, const char *app, const char *key, bool called)
{
	struct key_ask a = { 0 };
	size_t n = f->engines.one.n_calls + f->engines.two.n_calls;

	assert_int_equal(key_ask_start(&a, f, app, key), called);
	if (called)
		loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(f->engines.one.n_calls + f->engines.two.n_calls,
	    n + called);
	assert_int_equal(api_keys_asked(f->keys), 0);
	return (a.verdict);
}
