/*
 * worker/transform.c on JSON bodies that are whole, with a real engine pool
 * and a scripted engine: what goes to the engine, what comes out for each
 * answer, and that a wrong answer leaves the body as it was and an error in
 * place of a result.
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
#include "tests/unit/worker_action.h"

static void
sealing(struct bench *b, const char *options)
{
	bench_relay(b, "request", "encrypt", options, SELECT("json", "$.*"));
}

static void
opening(struct bench *b, const char *options)
{
	bench_relay(b, "response", "decrypt", options, SELECT("json", "$.*"));
}

static enum transform_result
run(struct bench *b, const char *body, const struct item *items, size_t n)
{
	bench_says(b, items, n);
	return (bench_run(b, START, body));
}

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
	struct bench *b = *state;

	sealing(b, ",\"curve\":\"k1\",\"keyScope\":\"field\"");
	assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_DONE);
	assert_text(&b->body, SEALED);
	assert_text(&b->head, START);
	assert_int_equal(b->tx.sealed, 4);
	assert_int_equal(b->tx.passed, 0);
	assert_int_equal(b->script.encrypt.n_fields, 4);
	assert_int_equal(b->script.encrypt.curve, RPC_CURVE_K1);
	assert_int_equal(b->script.encrypt.scope, RPC_SCOPE_FIELD);
	assert_int_equal(b->script.encrypt.existing, RPC_EXISTING_VERIFY);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(b->script.seen[i].text, want[i].text);
		assert_int_equal(b->script.seen[i].type, want[i].type);
		assert_string_equal(b->script.seen[i].role, "");
	}
	sealing(b, "");
	assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_DONE);
	assert_int_equal(b->script.encrypt.curve, RPC_CURVE_R1);
	assert_int_equal(b->script.encrypt.scope, RPC_SCOPE_REQUEST);
}

static void
test_answer_in_pieces(void **state)
{
	struct bench *b = *state;

	sealing(b, "");
	for (b->script.first = 1; b->script.first <= 4; b->script.first++) {
		assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_DONE);
		assert_text(&b->body, SEALED);
	}
}

static void
test_engine_lost_between_pieces(void **state)
{
	struct bench *b = *state;

	sealing(b, "");
	b->script.first = 3;
	b->script.cut_at = 1;
	assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_DONE);
	assert_text(&b->body, SEALED);
	assert_int_equal(b->tx.sealed, 4);
	assert_int_equal(b->engine.n_calls, 2);
}

/* Whatever the engine says: a token, or an error and the body as it was. */
static void
test_what_is_no_token_is_refused(void **state)
{
	static const char *const bad[] = {
		"x", "4111111111111111", "\"", "ev:QkTC:" IV ":" KEY ":b25l:",
		" " T1, T1 " ", "ev:QkTC:" IV ":" KEY ":b\"5l:$", T1 "\",\"x\":\"",
	};
	struct bench *b = *state;
	struct item item = { RPC_SEALED, 0, NULL, 0 };

	sealing(b, "");
	for (size_t i = 0; i < COUNT(bad); i++) {
		item.text = bad[i];
		assert_int_equal(run(b, "{\"a\":\"x\"}", &item, 1),
		    TRANSFORM_ENGINE);
		assert_text(&b->body, "{\"a\":\"x\"}");
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
	struct bench *b = *state;

	sealing(b, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		b->script.first = rows[i].first;
		assert_int_equal(run(b, "{\"a\":\"x\",\"b\":\"y\"}", many,
		    rows[i].n), TRANSFORM_ENGINE);
		assert_text(&b->body, "{\"a\":\"x\",\"b\":\"y\"}");
		assert_int_equal(b->tx.sealed, 0);
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
		{ "{\"a\":\"" JSON_TOKEN("b25l") "\"}", "", TRANSFORM_DONE },
		{ "{\"a\":\"" T1 "\"}", ",\"existingTokens\":\"encrypt\"",
		    TRANSFORM_ENGINE },
		{ "{\"a\":\"x\"}", ",\"existingTokens\":\"keep\"",
		    TRANSFORM_ENGINE },
		{ "{\"a\":\"4111111111111111\"}", "", TRANSFORM_ENGINE },
		{ "{\"a\":\"ev:\"}", "", TRANSFORM_ENGINE },
		{ "{\"a\":\"x" T1 "\"}", "", TRANSFORM_ENGINE },
		{ "{\"a\":4111}", "", TRANSFORM_ENGINE },
		{ "{\"a\":true}", "", TRANSFORM_ENGINE },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		sealing(b, rows[i].options);
		assert_int_equal(run(b, rows[i].body, &passed, 1), rows[i].want);
		assert_text(&b->body, rows[i].body);
		assert_int_equal(b->tx.passed, rows[i].want == TRANSFORM_DONE);
	}
}

/* What has the form of a token stays, however it is spelled, and nobody is
 * asked about it. */
static void
test_existing_tokens_are_kept(void **state)
{
	static const char kept[] = "{\"a\":\"" T1 "\", \"b\":\"" JSON_TOKEN("b25l")
	    "\",\"c\":[\"" T2 "\"]}";
	struct bench *b = *state;

	sealing(b, ",\"existingTokens\":\"keep\"");
	assert_int_equal(run(b, kept, NULL, 0), TRANSFORM_DONE);
	assert_text(&b->body, kept);
	assert_int_equal(b->engine.n_calls, 0);
	assert_int_equal(b->tx.passed, 3);
	assert_int_equal(b->tx.sealed, 0);
	assert_int_equal(run(b, "{\"a\":\"" T1 "\",\"b\":\"x\",\"c\":1,\"d\":\""
	    T1 " \"}", four, 3), TRANSFORM_DONE);
	assert_text(&b->body, "{\"a\":\"" T1 "\",\"b\":\"" T1 "\",\"c\":\"" T2
	    "\",\"d\":\"" T3 "\"}");
	assert_int_equal(b->script.encrypt.existing, RPC_EXISTING_ENCRYPT);
	assert_string_equal(b->script.seen[0].text, "x");
	assert_string_equal(b->script.seen[2].text, T1 " ");
	assert_int_equal(b->tx.passed, 1);
	assert_int_equal(b->tx.sealed, 3);
}

static void
test_nothing_to_seal_asks_nobody(void **state)
{
	static const char *const bodies[] = {
		"{}", "[]", "null", "{\"a\":null}", " {\"a\":{\"b\":[null,{}]}} ",
		"{\"a\":\"\"}",
	};
	struct bench *b = *state;

	sealing(b, ",\"encryptEmptyStrings\":false");
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(run(b, bodies[i], NULL, 0), TRANSFORM_DONE);
		assert_text(&b->body, bodies[i]);
	}
	assert_int_equal(b->engine.n_calls, 0);
	sealing(b, "");
	assert_int_equal(run(b, "{\"a\":\"\"}", four, 1), TRANSFORM_DONE);
	assert_text(&b->body, "{\"a\":\"" T1 "\"}");
	assert_int_equal(b->script.seen[0].len, 0);
}

/* A value chosen twice has the role of the first selector that chose it. */
static void
test_roles(void **state)
{
	static const char selections[] = SELECT_ROLE("json", "$.card.cvc", "cvc")
	    "," SELECT("json", "$.note") "," SELECT_ROLE("json", "$..*", "rest");
	struct bench *b = *state;

	bench_relay(b, "request", "encrypt", "", selections);
	assert_int_equal(run(b, "{\"card\":{\"n\":1,\"cvc\":\"2\"},\"note\":\"x\"}",
	    four, 3), TRANSFORM_DONE);
	assert_string_equal(b->script.seen[0].role, "rest");
	assert_string_equal(b->script.seen[1].role, "cvc");
	assert_string_equal(b->script.seen[2].role, "");
	bench_relay(b, "response", "decrypt", "", selections);
	assert_int_equal(run(b, "{\"card\":{\"n\":\"" T1 "\",\"cvc\":\"" T1 "\"},"
	    "\"note\":\"" T1 "\"}", NULL, 0), TRANSFORM_DONE);
	assert_text(&b->body,
	    "{\"card\":{\"n\":\"one\",\"cvc\":\"one\"},\"note\":\"one\"}");
	assert_string_equal(b->script.seen[0].role, "rest");
	assert_string_equal(b->script.seen[1].role, "cvc");
	assert_string_equal(b->script.seen[2].role, "");
}

/* Deeper than what is read. */
#define OPEN10	"[[[[[[[[[["
static const char deep[] = OPEN10 OPEN10 OPEN10 OPEN10 OPEN10 OPEN10 OPEN10
    OPEN10 OPEN10 OPEN10 OPEN10 OPEN10 OPEN10 OPEN10 OPEN10;

/* ---- selectors that need the whole document ---- */

/* One selector of the action that needs an index takes the others with it:
 * the same values are found in the same order. */
static void
test_selectors_by_index(void **state)
{
	static const struct {
		const char	*selections;
		const char	*want;	/* of BODY: the engine seals by itself */
	} rows[] = {
#define BODY	"[{\"k\":\"a\",\"n\":1},{\"k\":\"b\" , \"n\":2}, \"c\"]"
#define A	TOKEN("YQ")
#define B	TOKEN("Yg")
#define C	TOKEN("Yw")
#define TWO	"ev:QkTC:number:" IV ":" KEY ":Mg:$"
		{ SELECT("json", "$[-1]"),
		    "[{\"k\":\"a\",\"n\":1},{\"k\":\"b\" , \"n\":2}, \"" C "\"]" },
		{ SELECT("json", "$[?@.n > 1]"),
		    "[{\"k\":\"a\",\"n\":1},{\"k\":\"" B "\" , \"n\":\"" TWO
		    "\"}, \"c\"]" },
		{ SELECT("json", "$[-1]") "," SELECT("json", "$[0].k"),
		    "[{\"k\":\"" A "\",\"n\":1},{\"k\":\"b\" , \"n\":2}, \"" C
		    "\"]" },
		{ SELECT("json", "$..k") "," SELECT("json", "$[?@.k=='b'].k"),
		    "[{\"k\":\"" A "\",\"n\":1},{\"k\":\"" B
		    "\" , \"n\":2}, \"c\"]" },
		{ SELECT("json", "$[?length(@.k)==2]"), BODY },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		bench_relay(b, "request", "encrypt", "", rows[i].selections);
		assert_false(transform_streams(b->relay->routes[0].request));
		assert_int_equal(run(b, BODY, NULL, 0), TRANSFORM_DONE);
		assert_text(&b->body, rows[i].want);
	}
	sealing(b, "");
	assert_true(transform_streams(b->relay->routes[0].request));
}

static void
test_unreadable_by_index(void **state)
{
	static const char *const bodies[] = {
		"", "{", "[1]x", "[\"\xff\"]", "[{\"n\":1,\"k\":\"\\ud800\"}]",
		deep,
	};
	struct bench *b = *state;

	bench_relay(b, "request", "encrypt", "", SELECT("json", "$[?@.n].k"));
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(run(b, bodies[i], NULL, 0), TRANSFORM_MALFORMED);
		assert_text(&b->body, bodies[i]);
	}
	assert_int_equal(b->engine.n_calls, 0);
	b->max_fields = 2;
	assert_int_equal(run(b, "[{\"n\":1,\"k\":[1,2,3]}]", NULL, 0),
	    TRANSFORM_TOO_MANY);
	assert_int_equal(run(b, "[{\"n\":1,\"k\":[1,2]}]", four, 2),
	    TRANSFORM_DONE);
}

/* An array of 2^20 numbers and itself: one over what is indexed; the walk
 * keeps no index and is bounded by the fields alone. */
static void
test_too_many_values(void **state)
{
	struct bench *b = *state;
	struct buffer body;
	const size_t n = 1 << 20;
	char *at;

	buffer_init(&body, 0, false);
	assert_int_equal(buffer_reserve(&body, 2 * n + 1, &at), RC_OK);
	at[0] = '[';
	for (size_t i = 0; i < n; i++) {
		at[1 + 2 * i] = '0';
		at[2 + 2 * i] = i + 1 == n ? ']' : ',';
	}
	buffer_commit(&body, 2 * n + 1);
	for (int by_index = 0; by_index < 2; by_index++) {
		const char *selection = by_index ? SELECT("json", "$[?@]") :
		    SELECT("json", "$.*");

		bench_relay(b, "request", "encrypt", "", selection);
		bench_begin(b, "", buffer_data(&body), buffer_len(&body));
		assert_int_equal(bench_feed(b, true), TRANSFORM_TOO_MANY);
		bench_relay(b, "response", "decrypt", "", selection);
		bench_begin(b, "", buffer_data(&body), buffer_len(&body));
		assert_int_equal(bench_feed(b, true), by_index ?
		    TRANSFORM_TOO_MANY : TRANSFORM_DONE);
	}
	assert_int_equal(b->engine.n_calls, 0);
	buffer_fini(&body);
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
	struct bench *b = *state;

	sealing(b, "");
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(run(b, bodies[i], NULL, 0), TRANSFORM_MALFORMED);
		assert_string_equal(b->why, "not what its selectors can read");
		assert_text(&b->body, bodies[i]);
	}
	assert_int_equal(b->engine.n_calls, 0);
}

static void
test_deep_is_malformed_and_many_is_too_many(void **state)
{
	struct bench *b = *state;

	sealing(b, "");
	assert_int_equal(run(b, deep, NULL, 0), TRANSFORM_MALFORMED);
	b->max_fields = 2;
	assert_int_equal(run(b, "[1,2,3]", NULL, 0), TRANSFORM_TOO_MANY);
	assert_int_equal(run(b, "[1,2]", four, 2), TRANSFORM_DONE);
	/* Opening counts what is asked for, not what was looked at. */
	opening(b, "");
	assert_int_equal(run(b, "[1,\"x\",\"" T1 "\",\"" T4 "\",3]", NULL, 0),
	    TRANSFORM_DONE);
	assert_text(&b->body, "[1,\"x\",\"one\",\"four\",3]");
	assert_int_equal(run(b, "[\"" T1 "\",\"" T4 "\",\"" T1 "\"]", NULL, 0),
	    TRANSFORM_TOO_MANY);
}

static void
test_result_over_its_limit(void **state)
{
	struct bench *b = *state;

	sealing(b, "");
	b->max_bytes = strlen("{\"a\":\"" T1 "\"}");
	assert_int_equal(run(b, "{\"a\":\"x\"}", four, 1), TRANSFORM_DONE);
	b->max_bytes--;
	assert_int_equal(run(b, "{\"a\":\"x\"}", four, 1), TRANSFORM_TOO_LARGE);
	assert_text(&b->body, "{\"a\":\"x\"}");
	b->max_bytes = strlen(T1);
	assert_int_equal(run(b, "{\"a\":\"x\"}", four, 1), TRANSFORM_TOO_LARGE);
	assert_int_equal(b->engine.n_links, 2);	/* the engine is not to blame */
}

/* What may be held is asked for before the engine is, and covers what comes
 * to be held. */
static void
test_memory_is_asked_for(void **state)
{
	struct bench *b = *state;
	size_t needed;

	sealing(b, "");
	assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_DONE);
	needed = b->reserved;
	assert_true(needed >= buffer_len(&b->body));
	assert_int_equal(b->engine.n_calls, 1);
	b->may_reserve = needed - 1;
	assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_OVERLOADED);
	assert_string_not_equal(b->why, "");
	assert_text(&b->body, PLAIN);
	assert_int_equal(b->engine.n_calls, 1);
	b->may_reserve = needed;
	assert_int_equal(run(b, PLAIN, four, 4), TRANSFORM_DONE);
	b->may_reserve = 0;		/* nothing is done: nothing is held */
	assert_int_equal(run(b, "{\"a\":null}", NULL, 0), TRANSFORM_DONE);
	assert_int_equal(transform_held(NULL), 0);
}

static void
test_engine_refuses(void **state)
{
	struct bench *b = *state;

	sealing(b, "");
	worker_engine_cut(&b->engine);
	b->engine.ready = false;
	engine_pool_free(&b->pool);
	b->pool = lab_pool(&b->lab, NULL, 100,
	    (struct worker_engine *[]){ &b->engine }, 1);
	assert_int_equal(run(b, "{\"a\":\"x\"}", four, 1), TRANSFORM_ENGINE);
	assert_text(&b->body, "{\"a\":\"x\"}");
}

static void
test_freed_while_a_call_is_out(void **state)
{
	struct bench *b = *state;

	sealing(b, "");
	b->engine.on_call = NULL;
	bench_begin(b, START, "{\"a\":\"x\"}", 9);
	assert_true(bench_feed_starts(b, true));
	loop_until_count(b->lab.loop, &b->engine.n_calls, 1);
	transform_free(&b->transform);
	assert_null(b->transform);
	assert_false(transform_is_pending(b->transform));
	loop_until_count(b->lab.loop, &b->engine.n_cancels, 1);
	assert_false(b->called);
	assert_int_equal(engine_pool_calls(b->pool), 0);
	transform_free(&b->transform);		/* NULL is accepted */
}

/* ---- opening ---- */

static void
test_only_tokens_are_asked_for(void **state)
{
	static const struct item items[] = {
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "plain", 0 },
		{ RPC_OPEN_OK, RPC_FIELD_NUMBER, "42", 0 },
	};
	struct bench *b = *state;

	opening(b, "");
	assert_int_equal(run(b, "{\"a\":\"" T1 "\", \"n\":1,\"x\":\"ev:\","
	    "\"\\ud800\":2, \"bad\":\"\\ud800\",\"b\":\"ev:QkTC:number:" IV ":" KEY
	    ":dHdv:\\u0024\"}", items, 2), TRANSFORM_DONE);
	assert_text(&b->body, "{\"a\":\"plain\", \"n\":1,\"x\":\"ev:\","
	    "\"\\ud800\":2, \"bad\":\"\\ud800\",\"b\":42}");
	assert_int_equal(b->tx.opened, 2);
	assert_int_equal(b->tx.kept, 0);
	assert_string_equal(b->script.seen[0].text, T1);
	assert_string_equal(b->script.seen[1].text, T2);
	assert_int_equal(run(b, "{\"a\":\"x\",\"b\":1}", NULL, 0),
	    TRANSFORM_DONE);
	assert_int_equal(b->engine.n_calls, 1);
}

/* `$..*` chooses every value of a document, and each token once. */
static void
test_everything_is_looked_at(void **state)
{
	struct bench *b = *state;

	bench_relay(b, "response", "decrypt", "", SELECT("json", "$..*"));
	assert_int_equal(run(b, "{\"a\":{\"b\":[\"" T1 "\",{\"c\":\"" T4
	    "\"},1,null,true,\"x\"]},\"d\":\"" T1 "\"}", NULL, 0), TRANSFORM_DONE);
	assert_text(&b->body, "{\"a\":{\"b\":[\"one\",{\"c\":\"four\"},1,null,"
	    "true,\"x\"]},\"d\":\"one\"}");
	assert_int_equal(b->script.decrypt.n_tokens, 3);
}

/* Opened text is foreign: what stands in the document is one JSON value. */
static const struct {
	struct item	item;
	const char	*want;	/* NULL: the token stays */
} foreign[] = {
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
	{ { RPC_OPEN_OTHER_ROLE, 0, "", 0 }, NULL },	/* never a fault */
};

static bool
is_forbidden(size_t i)
{
	return (foreign[i].item.status == RPC_OPEN_FORBIDDEN ||
	    foreign[i].item.status == RPC_OPEN_TOO_OLD);
}

static void
test_foreign_text(void **state)
{
	struct bench *b = *state;
	char want[256];

	opening(b, ",\"onUndecryptable\":\"keep\"");
	for (size_t i = 0; i < COUNT(foreign); i++) {
		assert_int_equal(run(b, "[ \"" T1 "\" ]", &foreign[i].item, 1),
		    TRANSFORM_DONE);
		(void)snprintf(want, sizeof(want), "[ %s ]",
		    foreign[i].want != NULL ? foreign[i].want : "\"" T1 "\"");
		assert_text(&b->body, want);
		assert_int_equal(b->tx.opened, foreign[i].want != NULL);
		assert_int_equal(b->tx.kept, foreign[i].want == NULL);
		assert_int_equal(b->tx.forbidden, is_forbidden(i));
	}
}

/* Rejecting: what does not open, or cannot stand here, is an error that
 * changes nothing; what a policy forbids stays all the same. */
static void
test_undecryptable_is_rejected(void **state)
{
	struct bench *b = *state;

	opening(b, ",\"onUndecryptable\":\"reject\"");
	for (size_t i = 0; i < COUNT(foreign); i++) {
		bool forbidden = is_forbidden(i);
		bool other = foreign[i].item.status == RPC_OPEN_OTHER_ROLE;
		bool fine = foreign[i].want != NULL || forbidden || other;

		assert_int_equal(run(b, "[ \"" T1 "\" ]", &foreign[i].item, 1),
		    fine ? TRANSFORM_DONE : TRANSFORM_UNDECRYPTABLE);
		assert_int_equal(b->tx.kept, forbidden || other);
		if (fine)
			continue;
		assert_text(&b->body, "[ \"" T1 "\" ]");
		assert_string_equal(b->why, "a token does not open");
		assert_int_equal(b->tx.opened, 0);
	}
	assert_int_equal(b->engine.n_links, 2);	/* which did nothing wrong */
}

/* On the way in: an error that changes nothing, also where what does not open
 * is kept. */
static void
test_forbidden_fails_on_the_way_in(void **state)
{
	static const struct item two[] = {
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "open", 0 },
		{ RPC_OPEN_FORBIDDEN, 0, "", 0 },
	};
	struct bench *b = *state;

	opening(b, ",\"onUndecryptable\":\"keep\"");
	b->forbidden_fails = true;
	for (size_t i = 0; i < COUNT(foreign); i++) {
		assert_int_equal(run(b, "[ \"" T1 "\" ]", &foreign[i].item, 1),
		    is_forbidden(i) ? TRANSFORM_FORBIDDEN : TRANSFORM_DONE);
		assert_int_equal(b->tx.forbidden, 0);
	}
	assert_int_equal(run(b, "[\"" T1 "\",\"" T4 "\"]", two, 2),
	    TRANSFORM_FORBIDDEN);
	assert_text(&b->body, "[\"" T1 "\",\"" T4 "\"]");
	assert_string_equal(b->why, "a policy forbids to open a token here");
	assert_int_equal(b->tx.opened, 0);
}

static void
refuse(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	enum rpc_status *status = arg;

	engine_reply(l, f->id, *status, NULL, false);
}

static void
test_refusals_of_an_engine(void **state)
{
	static const struct {
		enum rpc_status		status;
		enum transform_result	result;
	} rows[] = {
		{ RPC_STATUS_RATE_LIMITED, TRANSFORM_RATE_LIMITED },
		{ RPC_STATUS_OVERLOADED, TRANSFORM_ENGINE },
		{ RPC_STATUS_NO_SUCH_APP, TRANSFORM_ENGINE },
		{ RPC_STATUS_INTERNAL, TRANSFORM_ENGINE },
	};
	struct bench *b = *state;
	enum rpc_status status;

	sealing(b, "");
	b->engine.on_call = refuse;
	b->engine.arg = &status;
	for (size_t i = 0; i < COUNT(rows); i++) {
		status = rows[i].status;
		assert_int_equal(run(b, "{\"a\":\"x\"}", four, 1),
		    rows[i].result);
		assert_text(&b->body, "{\"a\":\"x\"}");
	}
}

static void
test_short_opening_is_refused(void **state)
{
	static const struct item one[] = {
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "x", 0 },
		{ 99, RPC_FIELD_STRING, "x", 0 },
	};
	struct bench *b = *state;

	opening(b, "");
	assert_int_equal(run(b, "[\"" T1 "\",\"" T1 "\"]", one, 1),
	    TRANSFORM_ENGINE);
	assert_int_equal(run(b, "[\"" T1 "\",\"" T1 "\"]", one, 2),
	    TRANSFORM_ENGINE);
	assert_text(&b->body, "[\"" T1 "\",\"" T1 "\"]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_only_chosen_bytes_change),
		BENCH_TEST(test_answer_in_pieces),
		BENCH_TEST(test_engine_lost_between_pieces),
		BENCH_TEST(test_what_is_no_token_is_refused),
		BENCH_TEST(test_short_and_long_answers_are_refused),
		BENCH_TEST(test_passed),
		BENCH_TEST(test_existing_tokens_are_kept),
		BENCH_TEST(test_nothing_to_seal_asks_nobody),
		BENCH_TEST(test_roles),
		BENCH_TEST(test_selectors_by_index),
		BENCH_TEST(test_unreadable_by_index),
		BENCH_TEST(test_too_many_values),
		BENCH_TEST(test_unreadable_bodies),
		BENCH_TEST(test_deep_is_malformed_and_many_is_too_many),
		BENCH_TEST(test_result_over_its_limit),
		BENCH_TEST(test_memory_is_asked_for),
		BENCH_TEST(test_engine_refuses),
		BENCH_TEST(test_freed_while_a_call_is_out),
		BENCH_TEST(test_only_tokens_are_asked_for),
		BENCH_TEST(test_everything_is_looked_at),
		BENCH_TEST(test_foreign_text),
		BENCH_TEST(test_undecryptable_is_rejected),
		BENCH_TEST(test_forbidden_fails_on_the_way_in),
		BENCH_TEST(test_refusals_of_an_engine),
		BENCH_TEST(test_short_opening_is_refused),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
