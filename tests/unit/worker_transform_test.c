/*
 * worker/transform.c with a real engine pool and a scripted engine: what goes
 * to the engine, what comes out for each answer, and that a wrong answer
 * leaves the body as it was and an error in place of a result.
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
#include "tests/unit/worker_engine.h"
#include "worker/transform.h"

/* Tokens by form; nobody opens them here. */
#define IV	"AAAAAAAAAAAAAAAA"
#define KEY	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define T1	"ev:QkTC:" IV ":" KEY ":b25l:$"
#define T2	"ev:QkTC:number:" IV ":" KEY ":dHdv:$"
#define T3	"ev:QkTC:boolean:" IV ":" KEY ":dGhyZWU:$"
#define T4	"ev:QkTC:" IV ":" KEY ":Zm91cg:$"

#define SEEN_MAX	8

/* One element of a scripted answer. */
struct item {
	unsigned		status;	/* rpc_seal_status or rpc_open_status */
	enum rpc_field_type	type;	/* opened */
	const char		*text;
	size_t			len;	/* 0: strlen(text) */
};

struct script {
	bool			sealing;
	const struct item	*items;
	size_t			n_items;
	size_t			first;	/* in the first of two pieces; 0: one */
	bool			cut;	/* the link, after the first piece, once */
	/* What the engine saw. */
	size_t			n_seen;
	struct rpc_encrypt	encrypt;
	struct rpc_decrypt	decrypt;
	char			seen[SEEN_MAX][256];
	enum rpc_field_type	seen_type[SEEN_MAX];
};

struct fixture {
	struct lab		lab;
	struct worker_engine	engine;
	struct engine_pool	*pool;
	struct relay		*relay;
	struct buffer		body;
	struct transaction	tx;
	struct transform	*transform;
	struct script		script;
	size_t			max_fields;
	size_t			max_bytes;
	/* The outcome. */
	bool			called;
	enum transform_result	result;
};

/* ---- the engine ---- */

static void
note(struct script *s, enum rpc_field_type type, struct span bytes)
{
	assert_true(s->n_seen < SEEN_MAX);
	assert_true(span_copy(bytes, s->seen[s->n_seen], sizeof(s->seen[0])));
	s->seen_type[s->n_seen++] = type;
}

static void
read_call(struct script *s, const struct rpc_call_frame *f)
{
	struct rpc_field field;
	struct span token, role;

	s->n_seen = 0;
	if (span_eq_str(f->op, "Encrypt")) {
		s->sealing = true;
		assert_int_equal(rpc_encrypt_read(f->body, &s->encrypt), RC_OK);
		for (size_t i = 0; i < s->encrypt.n_fields; i++) {
			assert_int_equal(rpc_encrypt_field_at(&s->encrypt, i,
			    &field), RC_OK);
			note(s, field.type, field.bytes);
		}
		return;
	}
	s->sealing = false;
	assert_true(span_eq_str(f->op, "Decrypt"));
	assert_int_equal(rpc_decrypt_read(f->body, &s->decrypt), RC_OK);
	assert_true(span_eq_str(s->decrypt.app, "app_0123456789ab"));
	assert_true(span_eq_str(s->decrypt.destination, "origin.test"));
	assert_true(span_eq_str(s->decrypt.address, "192.0.2.7"));
	assert_int_equal(s->decrypt.place, RPC_PLACE_RELAY);
	for (size_t i = 0; i < s->decrypt.n_tokens; i++) {
		assert_int_equal(rpc_decrypt_token_at(&s->decrypt, i, &token,
		    &role), RC_OK);
		note(s, RPC_FIELD_STRING, token);
	}
}

static void
write_items(const struct script *s, size_t from, size_t to, struct buffer *out)
{
	rpc_put_array(out, to - from);
	for (size_t i = from; i < to; i++) {
		const struct item *it = &s->items[i];
		size_t len = it->len != 0 ? it->len : strlen(it->text);

		if (s->sealing)
			assert_int_equal(rpc_sealed_put_head(out,
			    (enum rpc_seal_status)it->status, len), RC_OK);
		else
			assert_int_equal(rpc_opened_put_head(out,
			    (enum rpc_open_status)it->status, it->type, len), RC_OK);
		buffer_put(out, it->text, len);
	}
}

static void
reply_items(struct engine_link *l, uint64_t id, const struct script *s,
    size_t from, size_t to, bool more)
{
	struct buffer out;

	buffer_init(&out, 0, false);
	write_items(s, from, to, &out);
	engine_reply(l, id, RPC_STATUS_OK, &out, more);
	buffer_fini(&out);
}

static void
on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct script *s = arg;

	read_call(s, f);
	if (s->first != 0)
		reply_items(l, f->id, s, 0, s->first, true);
	if (s->cut) {
		s->cut = false;
		net_stream_flush(l->stream);
		engine_cut(l);
		return;
	}
	reply_items(l, f->id, s, s->first, s->n_items, false);
}

/* ---- the worker's side ---- */

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct worker_engine *engines[1];

	assert_non_null(f);
	lab_start(&f->lab);
	worker_engine_start(&f->engine, &f->lab, false);
	f->engine.on_call = on_call;
	f->engine.arg = &f->script;
	engines[0] = &f->engine;
	f->pool = lab_pool(&f->lab, NULL, 5000, engines, 1);
	f->max_fields = 65536;
	f->max_bytes = 1 << 20;
	buffer_init(&f->body, 0, true);
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	transform_abort(&f->transform);
	relay_unref(&f->relay);
	buffer_fini(&f->body);
	engine_pool_free(&f->pool);
	worker_engine_stop(&f->engine);
	lab_for_ms(&f->lab, 1);
	lab_stop(&f->lab);
	free(f);
	return (0);
}

/* options: further fields of the relay, with a comma in front, or "".
 * selectors: of one action, as JSON strings with commas. */
static void
use_relay(struct fixture *f, const char *direction, const char *action,
    const char *options, const char *const *selectors)
{
	struct relay_fault fault;
	struct buffer json;

	relay_unref(&f->relay);
	buffer_init(&json, 0, false);
	buffer_printf(&json, "{\"destinationDomain\":\"origin.test\","
	    "\"app\":\"app_0123456789ab\"%s,\"routes\":[{\"method\":\"POST\","
	    "\"path\":\"/\",\"%s\":[{\"action\":\"%s\",\"selections\":[",
	    options, direction, action);
	for (size_t i = 0; selectors[i] != NULL; i++)
		buffer_printf(&json, "%s{\"type\":\"json\",\"selector\":\"%s\"}",
		    i != 0 ? "," : "", selectors[i]);
	buffer_puts(&json, "]}]}]}");
	if (relay_json_parse((struct span){ buffer_data(&json), buffer_len(&json) },
	    &f->relay, &fault) != RC_OK)
		fail_msg("%s: %s", fault.path, fault.reason);
	buffer_fini(&json);
}

static const char *const all[] = { "$.*", NULL };

static void
sealing(struct fixture *f, const char *options)
{
	use_relay(f, "request", "encrypt", options, all);
}

static void
opening(struct fixture *f)
{
	use_relay(f, "response", "decrypt", "", all);
}

static void
on_done(void *arg, enum transform_result result, const char *why)
{
	struct fixture *f = arg;

	assert_false(f->called);
	assert_non_null(why);
	f->called = true;
	f->result = result;
	transform_abort(&f->transform);		/* as its owner does */
}

static enum transform_result
start(struct fixture *f, const char *body, size_t len)
{
	const struct relay_route *route = &f->relay->routes[0];
	const char *why;

	buffer_clear(&f->body);
	buffer_put(&f->body, body, len);
	f->called = false;
	memset(&f->tx, 0, sizeof(f->tx));
	return (transform_start(&(struct transform_job){
	    .engines = f->pool,
	    .relay = f->relay,
	    .action = route->n_request != 0 ? route->request : route->response,
	    .client = "192.0.2.7",
	    .body = &f->body,
	    .tx = &f->tx,
	    .max_fields = f->max_fields,
	    .max_bytes = f->max_bytes,
	}, on_done, f, &f->transform, &why));
}

/* Run with this answer: the result, in f->body what became of the body. */
static enum transform_result
transform(struct fixture *f, const char *body, const struct item *items, size_t n)
{
	enum transform_result r;

	f->script.items = items;
	f->script.n_items = n;
	r = start(f, body, strlen(body));
	if (r != TRANSFORM_PENDING) {
		assert_null(f->transform);
		return (r);
	}
	assert_non_null(f->transform);
	lab_until(&f->lab, &f->called);
	return (f->result);
}

static void
assert_body(const struct fixture *f, const char *want)
{
	struct span got = { buffer_data(&f->body), buffer_len(&f->body) };

	if (!span_eq(got, span_of(want)))
		fail_msg("%.*s is not %s", (int)got.len, got.p, want);
}

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- sealing ---- */

#define PLAIN								\
	"{ \"s\" : \"x\\u0041\\\"y\",\t\"n\":-1.0e2 ,\"b\":true,\"z\":null,"	\
	"\"o\":{\"deep\":\"v\"}}"

static const struct item four[] = {
	{ RPC_SEALED, 0, T1, 0 }, { RPC_SEALED, 0, T2, 0 },
	{ RPC_SEALED, 0, T3, 0 }, { RPC_SEALED, 0, T4, 0 },
};
#define SEALED								\
	"{ \"s\" : \"" T1 "\",\t\"n\":\"" T2 "\" ,\"b\":\"" T3 "\",\"z\":null,"	\
	"\"o\":{\"deep\":\"" T4 "\"}}"

static void
test_only_chosen_bytes_change(void **state)
{
	static const struct {
		const char		*text;
		enum rpc_field_type	type;
	} want[] = {
		{ "xA\"y", RPC_FIELD_STRING }, { "-1.0e2", RPC_FIELD_NUMBER },
		{ "true", RPC_FIELD_BOOLEAN }, { "v", RPC_FIELD_STRING },
	};
	struct fixture *f = *state;

	sealing(f, ",\"curve\":\"k1\",\"keyScope\":\"field\"");
	assert_int_equal(transform(f, PLAIN, four, 4), TRANSFORM_DONE);
	assert_body(f, SEALED);
	assert_int_equal(f->tx.sealed, 4);
	assert_int_equal(f->tx.passed, 0);
	assert_int_equal(f->script.n_seen, 4);
	assert_int_equal(f->script.encrypt.curve, RPC_CURVE_K1);
	assert_int_equal(f->script.encrypt.scope, RPC_SCOPE_FIELD);
	assert_int_equal(f->script.encrypt.existing, RPC_EXISTING_VERIFY);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(f->script.seen[i], want[i].text);
		assert_int_equal(f->script.seen_type[i], want[i].type);
	}
}

static void
test_answer_in_pieces(void **state)
{
	struct fixture *f = *state;

	sealing(f, "");
	for (f->script.first = 1; f->script.first <= 4; f->script.first++) {
		assert_int_equal(transform(f, PLAIN, four, 4), TRANSFORM_DONE);
		assert_body(f, SEALED);
	}
}

static void
test_engine_lost_between_pieces(void **state)
{
	struct fixture *f = *state;

	sealing(f, "");
	f->script.first = 3;
	f->script.cut = true;
	assert_int_equal(transform(f, PLAIN, four, 4), TRANSFORM_DONE);
	assert_body(f, SEALED);
	assert_int_equal(f->tx.sealed, 4);
	assert_int_equal(f->engine.n_calls, 2);
}

/* Whatever the engine says: a token, or an error and the body as it was. */
static void
test_what_is_no_token_is_refused(void **state)
{
	static const char *const bad[] = {
		"x", "4111111111111111", "\"", "ev:QkTC:" IV ":" KEY ":b25l:",
		" " T1, T1 " ", "ev:QkTC:" IV ":" KEY ":b\"5l:$", T1 "\",\"x\":\"",
	};
	struct fixture *f = *state;
	struct item item = { RPC_SEALED, 0, NULL, 0 };

	sealing(f, "");
	for (size_t i = 0; i < COUNT(bad); i++) {
		item.text = bad[i];
		assert_int_equal(transform(f, "{\"a\":\"x\"}", &item, 1),
		    TRANSFORM_ENGINE);
		assert_body(f, "{\"a\":\"x\"}");
	}
}

static void
test_short_and_long_answers_are_refused(void **state)
{
	static const struct {
		size_t	n, first;
	} rows[] = { { 0, 0 }, { 1, 0 }, { 3, 0 }, { 1, 1 }, { 3, 3 }, { 3, 1 } };
	static const struct item many[] = {
		{ RPC_SEALED, 0, T1, 0 }, { RPC_SEALED, 0, T1, 0 },
		{ RPC_SEALED, 0, T1, 0 },
	};
	struct fixture *f = *state;

	sealing(f, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		f->script.first = rows[i].first;
		assert_int_equal(transform(f, "{\"a\":\"x\",\"b\":\"y\"}", many,
		    rows[i].n), TRANSFORM_ENGINE);
		assert_body(f, "{\"a\":\"x\",\"b\":\"y\"}");
		assert_int_equal(f->tx.sealed, 0);
	}
}

/* "Passed" is for what looks like a token and for nothing else. */
static void
test_passed(void **state)
{
	static const struct item passed = { RPC_PASSED, 0, "", 0 };
	static const struct {
		const char		*body;
		const char		*options;
		enum transform_result	want;
	} rows[] = {
		{ "{\"a\":\"" T1 "\"}", "", TRANSFORM_DONE },
		{ "{\"a\":\"\\u0065v:QkTC:" IV ":" KEY ":b25l:\\u0024\"}", "",
		    TRANSFORM_DONE },
		{ "{\"a\":\"" T1 "\"}", ",\"existingTokens\":\"encrypt\"",
		    TRANSFORM_ENGINE },
		{ "{\"a\":\"4111111111111111\"}", "", TRANSFORM_ENGINE },
		{ "{\"a\":\"ev:\"}", "", TRANSFORM_ENGINE },
		{ "{\"a\":\"x" T1 "\"}", "", TRANSFORM_ENGINE },
		{ "{\"a\":4111}", "", TRANSFORM_ENGINE },
		{ "{\"a\":true}", "", TRANSFORM_ENGINE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		sealing(f, rows[i].options);
		assert_int_equal(transform(f, rows[i].body, &passed, 1),
		    rows[i].want);
		assert_body(f, rows[i].body);
		assert_int_equal(f->tx.passed, rows[i].want == TRANSFORM_DONE);
	}
}

static void
test_nothing_to_seal_asks_nobody(void **state)
{
	static const char *const bodies[] = {
		"{}", "[]", "null", "{\"a\":null}", " {\"a\":{\"b\":[null,{}]}} ",
		"{\"a\":\"\"}",
	};
	struct fixture *f = *state;

	sealing(f, ",\"encryptEmptyStrings\":false");
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(transform(f, bodies[i], NULL, 0), TRANSFORM_DONE);
		assert_body(f, bodies[i]);
	}
	assert_int_equal(f->engine.n_calls, 0);
	sealing(f, "");
	assert_int_equal(transform(f, "{\"a\":\"\"}", four, 1), TRANSFORM_DONE);
	assert_body(f, "{\"a\":\"" T1 "\"}");
	assert_string_equal(f->script.seen[0], "");
}

/* ---- limits and bodies that cannot be read ---- */

static void
test_unreadable_bodies(void **state)
{
	static const char *const bodies[] = {
		"", "{", "{\"a\":1", "{\"a\":1}x", "{'a':1}", "\xef\xbb\xbf{}",
		"{\"a\":\"\xff\"}", "{\"a\":\"\\ud800\"}", "{\"a\":01}", "\f{}",
		"{\"a\":1} {\"b\":2}",
	};
	struct fixture *f = *state;

	sealing(f, "");
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(transform(f, bodies[i], NULL, 0),
		    TRANSFORM_MALFORMED);
		assert_body(f, bodies[i]);
	}
	assert_int_equal(f->engine.n_calls, 0);
}

static enum transform_result
transform_repeated(struct fixture *f, const char *unit, size_t n, const char *end)
{
	struct buffer body;
	enum transform_result r;

	buffer_init(&body, 0, false);
	for (size_t i = 0; i < n; i++)
		buffer_puts(&body, unit);
	buffer_puts(&body, end);
	r = start(f, buffer_data(&body), buffer_len(&body));
	buffer_fini(&body);
	return (r);
}

static void
test_deep_is_malformed_and_many_is_too_many(void **state)
{
	struct fixture *f = *state;

	sealing(f, "");
	assert_int_equal(transform_repeated(f, "[", 5000, ""), TRANSFORM_MALFORMED);
	f->max_fields = 2;
	assert_int_equal(transform(f, "[1,2,3]", NULL, 0), TRANSFORM_TOO_MANY);
	assert_int_equal(transform(f, "[1,2]", four, 2), TRANSFORM_DONE);
}

/* An array of 2^20 nulls and itself: one over what is indexed. */
static void
test_too_many_values(void **state)
{
	struct fixture *f = *state;
	struct buffer body;
	const size_t n = 1 << 20;
	char *at;

	sealing(f, "");
	buffer_init(&body, 0, false);
	assert_int_equal(buffer_reserve(&body, 2 * n + 1, &at), RC_OK);
	at[0] = '[';
	for (size_t i = 0; i < n; i++) {
		at[1 + 2 * i] = '0';
		at[2 + 2 * i] = i + 1 == n ? ']' : ',';
	}
	buffer_commit(&body, 2 * n + 1);
	assert_int_equal(start(f, buffer_data(&body), buffer_len(&body)),
	    TRANSFORM_TOO_MANY);
	opening(f);
	assert_int_equal(start(f, buffer_data(&body), buffer_len(&body)),
	    TRANSFORM_TOO_MANY);
	buffer_fini(&body);
}

static void
test_result_over_its_limit(void **state)
{
	struct fixture *f = *state;

	sealing(f, "");
	f->max_bytes = strlen("{\"a\":\"" T1 "\"}");
	assert_int_equal(transform(f, "{\"a\":\"x\"}", four, 1), TRANSFORM_DONE);
	f->max_bytes--;
	assert_int_equal(transform(f, "{\"a\":\"x\"}", four, 1),
	    TRANSFORM_TOO_LARGE);
	assert_body(f, "{\"a\":\"x\"}");
	f->max_bytes = strlen(T1);
	assert_int_equal(transform(f, "{\"a\":\"x\"}", four, 1),
	    TRANSFORM_TOO_LARGE);
	assert_int_equal(f->engine.n_links, 2);	/* the engine is not to blame */
}

static void
test_engine_refuses(void **state)
{
	struct fixture *f = *state;

	sealing(f, "");
	worker_engine_cut(&f->engine);
	f->engine.ready = false;
	engine_pool_free(&f->pool);
	f->pool = lab_pool(&f->lab, NULL, 100,
	    (struct worker_engine *[]){ &f->engine }, 1);
	assert_int_equal(transform(f, "{\"a\":\"x\"}", four, 1), TRANSFORM_ENGINE);
	assert_body(f, "{\"a\":\"x\"}");
}

static void
test_abort(void **state)
{
	struct fixture *f = *state;

	sealing(f, "");
	f->engine.on_call = NULL;
	assert_int_equal(start(f, "{\"a\":\"x\"}", 9), TRANSFORM_PENDING);
	lab_until_count(&f->lab, &f->engine.n_calls, 1);
	transform_abort(&f->transform);
	assert_null(f->transform);
	lab_until_count(&f->lab, &f->engine.n_cancels, 1);
	assert_false(f->called);
	assert_int_equal(engine_pool_calls(f->pool), 0);
}

/* ---- opening ---- */

static void
test_only_tokens_are_asked_for(void **state)
{
	static const struct item items[] = {
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "plain", 0 },
		{ RPC_OPEN_OK, RPC_FIELD_NUMBER, "42", 0 },
	};
	struct fixture *f = *state;

	opening(f);
	assert_int_equal(transform(f, "{\"a\":\"" T1 "\", \"n\":1,\"x\":\"ev:\","
	    "\"\\ud800\":2, \"bad\":\"\\ud800\",\"b\":\"ev:QkTC:number:" IV ":" KEY
	    ":dHdv:\\u0024\"}", items, 2), TRANSFORM_DONE);
	assert_body(f, "{\"a\":\"plain\", \"n\":1,\"x\":\"ev:\","
	    "\"\\ud800\":2, \"bad\":\"\\ud800\",\"b\":42}");
	assert_int_equal(f->tx.opened, 2);
	assert_int_equal(f->tx.kept, 0);
	assert_string_equal(f->script.seen[0], T1);
	assert_string_equal(f->script.seen[1], T2);
	assert_int_equal(transform(f, "{\"a\":\"x\",\"b\":1}", NULL, 0),
	    TRANSFORM_DONE);
	assert_int_equal(f->engine.n_calls, 1);
}

/* Opened text is foreign: what stands in the document is one JSON value. */
static void
test_foreign_text(void **state)
{
	static const struct {
		struct item	item;
		const char	*want;	/* NULL: the token stays */
	} rows[] = {
		{ { RPC_OPEN_OK, RPC_FIELD_NUMBER, "1.50e+3", 0 }, "1.50e+3" },
		{ { RPC_OPEN_OK, RPC_FIELD_NUMBER, "007", 0 }, "7" },
		{ { RPC_OPEN_OK, RPC_FIELD_NUMBER, "NaN", 0 }, "\"NaN\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_NUMBER, "1,\"x\":2", 0 },
		    "\"1,\\\"x\\\":2\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_BOOLEAN, "false", 0 }, "false" },
		{ { RPC_OPEN_OK, RPC_FIELD_BOOLEAN, "True", 0 }, "\"True\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_BOOLEAN, "true}", 0 }, "\"true}\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\"b\\c\n", 0 },
		    "\"a\\\"b\\\\c\\n\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\0b", 3 }, "\"a\\u0000b\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "\xc3\xa9", 0 }, "\"\xc3\xa9\"" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "\xff", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_NUMBER, "\xff", 0 }, NULL },
		{ { RPC_OPEN_NOT_A_TOKEN, 0, "", 0 }, NULL },
		{ { RPC_OPEN_WRONG_APP_OR_CHANGED, 0, "", 0 }, NULL },
		{ { RPC_OPEN_FORBIDDEN, 0, "", 0 }, NULL },
		{ { RPC_OPEN_TOO_OLD, 0, "", 0 }, NULL },
		{ { RPC_OPEN_DEBUG, 0, "", 0 }, NULL },
	};
	struct fixture *f = *state;
	char want[256];

	opening(f);
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(transform(f, "[ \"" T1 "\" ]", &rows[i].item, 1),
		    TRANSFORM_DONE);
		(void)snprintf(want, sizeof(want), "[ %s ]",
		    rows[i].want != NULL ? rows[i].want : "\"" T1 "\"");
		assert_body(f, want);
		assert_int_equal(f->tx.opened, rows[i].want != NULL);
		assert_int_equal(f->tx.kept, rows[i].want == NULL);
	}
}

static void
test_short_opening_is_refused(void **state)
{
	static const struct item one[] = {
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "x", 0 },
		{ 99, RPC_FIELD_STRING, "x", 0 },
	};
	struct fixture *f = *state;

	opening(f);
	assert_int_equal(transform(f, "[\"" T1 "\",\"" T1 "\"]", one, 1),
	    TRANSFORM_ENGINE);
	assert_int_equal(transform(f, "[\"" T1 "\",\"" T1 "\"]", one, 2),
	    TRANSFORM_ENGINE);
	assert_body(f, "[\"" T1 "\",\"" T1 "\"]");
}

#define TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_only_chosen_bytes_change),
		TEST(test_answer_in_pieces),
		TEST(test_engine_lost_between_pieces),
		TEST(test_what_is_no_token_is_refused),
		TEST(test_short_and_long_answers_are_refused),
		TEST(test_passed),
		TEST(test_nothing_to_seal_asks_nobody),
		TEST(test_unreadable_bodies),
		TEST(test_deep_is_malformed_and_many_is_too_many),
		TEST(test_too_many_values),
		TEST(test_result_over_its_limit),
		TEST(test_engine_refuses),
		TEST(test_abort),
		TEST(test_only_tokens_are_asked_for),
		TEST(test_foreign_text),
		TEST(test_short_opening_is_refused),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
