/*
 * worker/transform.c where values stand: form bodies, header fields, and both
 * with a body in one call.  All but the chosen values is compared byte by
 * byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "tests/unit/worker_action.h"

/* data: of the token that the engine makes of a value by itself */
#define ABC	"YWJj"			/* abc */
#define XYZ	"eHl6"			/* xyz */

/* ---- forms ---- */

static void
test_form_is_sealed(void **state)
{
	static const struct {
		const char	*body, *want;
		const char	*value;	/* the first that the engine sees */
		size_t		n;
	} rows[] = {
		{ "card=abc", "card=" FORM_TOKEN(ABC), "abc", 1 },
		{ "a=1&card=abc&b=%zz+%2B", "a=1&card=" FORM_TOKEN(ABC)
		    "&b=%zz+%2B", "abc", 1 },
		{ "c%61rd=a%62c", "c%61rd=" FORM_TOKEN(ABC), "abc", 1 },
		{ "card=a+%2B%0d", "card=" FORM_TOKEN("YSArDQ"), "a +\r", 1 },
		{ "card=%ff", "card=" FORM_TOKEN("%2Fw"), "\xff", 1 },
		{ "&&card=abc&&card=xyz&", "&&card=" FORM_TOKEN(ABC) "&&card="
		    FORM_TOKEN(XYZ) "&", "abc", 2 },
		{ "card=x=yz", "card=" FORM_TOKEN("eD15eg"), "x=yz", 1 },
		/* Without '=', one has to be written before a value. */
		{ "card", "card=" FORM_TOKEN(""), "", 1 },
		{ "card&a=", "card=" FORM_TOKEN("") "&a=", "", 1 },
		{ "card=&pin&a", "card=" FORM_TOKEN("") "&pin=" FORM_TOKEN("")
		    "&a", "", 2 },
	};
	struct bench *b = *state;

	b->syntax = REWRITE_FORM;
	bench_relay(b, "request", "encrypt", "", SELECT_ROLE("form", "card", "pci")
	    "," SELECT("form", "pin") "," SELECT("json", "$..*"));
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(bench_run(b, START, rows[i].body),
		    TRANSFORM_DONE);
		assert_text(&b->body, rows[i].want);
		assert_text(&b->head, START);
		assert_int_equal(b->script.encrypt.n_fields, rows[i].n);
		assert_int_equal(b->script.seen[0].len, strlen(rows[i].value));
		assert_string_equal(b->script.seen[0].text, rows[i].value);
		assert_int_equal(b->script.seen[0].type, RPC_FIELD_STRING);
		assert_string_equal(b->script.seen[0].role, "pci");
		assert_int_equal(b->tx.sealed, rows[i].n);
	}
	assert_string_equal(b->script.seen[1].role, "");	/* pin's */
}

static void
test_form_without_work(void **state)
{
	static const char *const bodies[] = {
		"", "a=1", "Card=abc", "card%=abc", "card=", "card", "&&", "=x",
		"{\"card\":\"abc\"}", "card=" FORM_TOKEN(ABC), "card=" TOKEN(ABC),
	};
	struct bench *b = *state;

	b->syntax = REWRITE_FORM;
	bench_relay(b, "request", "encrypt", ",\"encryptEmptyStrings\":false,"
	    "\"existingTokens\":\"keep\"", SELECT("form", "card"));
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(bench_run(b, START, bodies[i]), TRANSFORM_DONE);
		assert_text(&b->body, bodies[i]);
		assert_int_equal(b->tx.passed, i + 2 >= COUNT(bodies));
	}
	assert_int_equal(b->engine.n_calls, 0);
	b->max_fields = 1;
	assert_int_equal(bench_run(b, START, "card=abc&card=xyz"),
	    TRANSFORM_TOO_MANY);
}

/* Whatever comes out of a token is one value of the form. */
static void
test_form_is_opened(void **state)
{
	static const struct item foreign[] = {
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "a&b=c d%\n\xc3\xa9", 0 },
		{ RPC_OPEN_OK, RPC_FIELD_NUMBER, "007", 0 },
		{ RPC_OPEN_OK, RPC_FIELD_STRING, "\0\xff", 2 },
		{ RPC_OPEN_WRONG_APP_OR_CHANGED, 0, "", 0 },
	};
	struct bench *b = *state;

	b->syntax = REWRITE_FORM;
	bench_relay(b, "response", "decrypt", "", SELECT("form", "card"));
	bench_says(b, foreign, COUNT(foreign));
	assert_int_equal(bench_run(b, START, "card=" FORM_TOKEN(ABC) "&card=plain&"
	    "card=" TOKEN(ABC) "&card=" FORM_TOKEN(XYZ) "&x=" TOKEN(ABC) "&card="
	    TOKEN(XYZ) "&card"), TRANSFORM_DONE);
	assert_text(&b->body, "card=a%26b%3Dc+d%25%0A%C3%A9&card=plain&card=007&"
	    "card=%00%FF&x=" TOKEN(ABC) "&card=" TOKEN(XYZ) "&card");
	assert_string_equal(b->script.seen[0].text, TOKEN(ABC));
	assert_int_equal(b->tx.opened, 3);
	assert_int_equal(b->tx.kept, 1);
}

/* Each of them is looked at as if it were a token, and takes room then. */
static void
test_form_of_too_many_pairs(void **state)
{
	const size_t n = 1u << 20, len = 2 * n;
	struct bench *b = *state;
	char *body = test_calloc(len + 2, 1);

	for (size_t i = 0; i <= n; i++)
		memcpy(body + 2 * i, "a&", i < n ? 2 : 1);
	b->syntax = REWRITE_FORM;
	bench_relay(b, "response", "decrypt", "", SELECT("form", "a"));
	assert_int_equal(bench_run(b, START, body), TRANSFORM_TOO_MANY);
	body[len] = '\0';
	assert_int_equal(bench_run(b, START, body), TRANSFORM_DONE);
	assert_int_equal(b->engine.n_calls, 0);
	test_free(body);
}

/* ---- header fields ---- */

static void
test_header_values_are_sealed(void **state)
{
	static const char head[] = "POST /?x-card:%20abc HTTP/1.1\r\n"
	    "Host: x-card: abc\r\nX-CARD: abc\r\nX-Card-Not: abc\r\n"
	    "x-pin: \r\nx-card: \xe9:\t, x\r\nX-Cards: abc\r\n";
	struct bench *b = *state;

	b->syntax = REWRITE_NONE;
	bench_relay(b, "request", "encrypt", "", SELECT_ROLE("header", "X-Card",
	    "pci") "," SELECT("header", "x-pin"));
	assert_int_equal(bench_run(b, head, "x-card: abc"), TRANSFORM_DONE);
	assert_text(&b->head, "POST /?x-card:%20abc HTTP/1.1\r\n"
	    "Host: x-card: abc\r\nX-CARD: " TOKEN(ABC) "\r\nX-Card-Not: abc\r\n"
	    "x-pin: " TOKEN("") "\r\nx-card: " TOKEN("6ToJLCB4") "\r\n"
	    "X-Cards: abc\r\n");
	assert_text(&b->body, "x-card: abc");	/* nobody reads it */
	assert_int_equal(b->script.encrypt.n_fields, 3);
	assert_string_equal(b->script.seen[0].text, "abc");
	assert_string_equal(b->script.seen[0].role, "pci");
	assert_string_equal(b->script.seen[1].text, "");
	assert_string_equal(b->script.seen[1].role, "");
	assert_string_equal(b->script.seen[2].text, "\xe9:\t, x");
	assert_int_equal(b->tx.sealed, 3);
}

static void
test_header_without_work(void **state)
{
	static const char *const heads[] = {
		START, START "x: 1\r\n", START "x-card: \r\n",
		START "x-card: " TOKEN(ABC) "\r\nx-card: \r\n",
	};
	struct bench *b = *state;

	b->syntax = REWRITE_NONE;
	bench_relay(b, "request", "encrypt", ",\"encryptEmptyStrings\":false,"
	    "\"existingTokens\":\"keep\"", SELECT("header", "x-card"));
	for (size_t i = 0; i < COUNT(heads); i++) {
		assert_int_equal(bench_run(b, heads[i], ""), TRANSFORM_DONE);
		assert_text(&b->head, heads[i]);
		assert_int_equal(b->tx.passed, i + 1 == COUNT(heads));
	}
	assert_int_equal(b->engine.n_calls, 0);
	b->max_fields = 1;
	assert_int_equal(bench_run(b, START "x-card: 1\r\nX-Card: 2\r\n", ""),
	    TRANSFORM_TOO_MANY);
	assert_text(&b->head, START "x-card: 1\r\nX-Card: 2\r\n");
}

/* Passed is for tokens, here too. */
static void
test_header_tokens_pass(void **state)
{
	static const struct item passed = { RPC_PASSED, 0, "", 0 };
	struct bench *b = *state;

	b->syntax = REWRITE_NONE;
	bench_relay(b, "request", "encrypt", "", SELECT("header", "x-card"));
	bench_says(b, &passed, 1);
	assert_int_equal(bench_run(b, START "x-card: " T1 "\r\n", ""),
	    TRANSFORM_DONE);
	assert_text(&b->head, START "x-card: " T1 "\r\n");
	assert_int_equal(b->tx.passed, 1);
	assert_int_equal(bench_run(b, START "x-card: abc\r\n", ""),
	    TRANSFORM_ENGINE);
	assert_text(&b->head, START "x-card: abc\r\n");
}

/* Nothing that comes out of a token makes a second field of a head. */
static void
test_header_values_are_opened(void **state)
{
	static const struct {
		struct item	item;
		const char	*want;		/* NULL: the token stays */
	} rows[] = {
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "plain", 0 }, "plain" },
		{ { RPC_OPEN_OK, RPC_FIELD_NUMBER, "007", 0 }, "007" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a \t\xe9, b", 0 },
		    "a \t\xe9, b" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "", 0 }, "" },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\r\nb: c", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\nb", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\rb", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\0b", 3 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\x7f", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "\x01", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, " a", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, "a\t", 0 }, NULL },
		{ { RPC_OPEN_OK, RPC_FIELD_STRING, " ", 0 }, NULL },
		{ { RPC_OPEN_NOT_A_TOKEN, 0, "", 0 }, NULL },
	};
	struct bench *b = *state;
	struct buffer want;

	b->syntax = REWRITE_NONE;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bench_relay(b, "response", "decrypt", "",
		    SELECT("header", "x-card"));
		bench_says(b, &rows[i].item, 1);
		assert_int_equal(bench_run(b, START "X-Card: " T1 "\r\nb: x\r\n",
		    ""), TRANSFORM_DONE);
		buffer_init(&want, 0, false);
		buffer_printf(&want, START "X-Card: %s\r\nb: x\r\n",
		    rows[i].want != NULL ? rows[i].want : T1);
		assert_text(&b->head, buffer_cstr(&want));
		buffer_fini(&want);
		assert_int_equal(b->tx.opened, rows[i].want != NULL);
		assert_int_equal(b->tx.kept, rows[i].want == NULL);
		if (rows[i].want != NULL)
			continue;
		bench_relay(b, "response", "decrypt",
		    ",\"onUndecryptable\":\"reject\"", SELECT("header", "x-card"));
		assert_int_equal(bench_run(b, START "X-Card: " T1 "\r\n", ""),
		    TRANSFORM_UNDECRYPTABLE);
		assert_text(&b->head, START "X-Card: " T1 "\r\n");
	}
}

/* ---- a head and a body ---- */

#define BOTH	SELECT_ROLE("json", "$.a", "body") ","			\
	SELECT_ROLE("header", "x-card", "head") "," SELECT("form", "a")

static const char both_head[] = START "a: b\r\nX-Card: xyz\r\n";

/* One call: the head's values are first, whatever the order of selections. */
static void
test_head_and_body_in_one_call(void **state)
{
	struct bench *b = *state;

	bench_relay(b, "request", "encrypt", "", BOTH);
	for (b->script.first = 0; b->script.first <= 2; b->script.first++) {
		assert_int_equal(bench_run(b, both_head, "{ \"a\": \"abc\" }"),
		    TRANSFORM_DONE);
		assert_text(&b->head, START "a: b\r\nX-Card: " TOKEN(XYZ) "\r\n");
		assert_text(&b->body, "{ \"a\": \"" TOKEN(ABC) "\" }");
		assert_int_equal(b->script.encrypt.n_fields, 2);
		assert_string_equal(b->script.seen[0].role, "head");
		assert_string_equal(b->script.seen[1].role, "body");
		assert_int_equal(b->tx.sealed, 2);
	}
	assert_int_equal(b->engine.n_calls, 3);
	b->script.first = 1;
	b->syntax = REWRITE_FORM;
	assert_int_equal(bench_run(b, both_head, "a=abc"), TRANSFORM_DONE);
	assert_text(&b->head, START "a: b\r\nX-Card: " TOKEN(XYZ) "\r\n");
	assert_text(&b->body, "a=" FORM_TOKEN(ABC));
	bench_relay(b, "response", "decrypt", "", BOTH);
	assert_int_equal(bench_run(b, START "x-card: " TOKEN(XYZ) "\r\n",
	    "a=" FORM_TOKEN(ABC)), TRANSFORM_DONE);
	assert_text(&b->head, START "x-card: xyz\r\n");
	assert_text(&b->body, "a=abc");
}

/* Work in one of them alone leaves the other as it is. */
static void
test_work_in_one_of_both(void **state)
{
	struct bench *b = *state;

	bench_relay(b, "request", "encrypt", "", BOTH);
	assert_int_equal(bench_run(b, both_head, " {\"b\":\"abc\"} "),
	    TRANSFORM_DONE);
	assert_text(&b->head, START "a: b\r\nX-Card: " TOKEN(XYZ) "\r\n");
	assert_text(&b->body, " {\"b\":\"abc\"} ");
	assert_int_equal(bench_run(b, START "a: b\r\n", "{\"a\":\"abc\"}"),
	    TRANSFORM_DONE);
	assert_text(&b->head, START "a: b\r\n");
	assert_text(&b->body, "{\"a\":\"" TOKEN(ABC) "\"}");
}

/* Limits are of the whole message; an error changes neither text. */
static void
test_one_fault_for_both(void **state)
{
	static const struct item bad[] = {
		{ RPC_SEALED, 0, T1, 0 }, { RPC_SEALED, 0, "x", 0 },
		{ RPC_SEALED, 0, T1, 0 },
	};
	static const char body[] = "{\"a\":\"abc\"}";
	struct bench *b = *state;
	size_t needed;

	bench_relay(b, "request", "encrypt", "", BOTH);
	for (size_t n = 1; n <= COUNT(bad); n++) {
		bench_says(b, bad, n);
		assert_int_equal(bench_run(b, both_head, body), TRANSFORM_ENGINE);
		assert_text(&b->head, both_head);
		assert_text(&b->body, body);
		assert_int_equal(b->tx.sealed, 0);
	}
	needed = b->reserved;
	bench_says(b, NULL, 0);
	b->max_fields = 1;
	assert_int_equal(bench_run(b, both_head, body), TRANSFORM_TOO_MANY);
	b->max_fields = 2;
	b->may_reserve = needed - 1;
	assert_int_equal(bench_run(b, both_head, body), TRANSFORM_OVERLOADED);
	b->may_reserve = needed;
	assert_int_equal(bench_run(b, both_head, body), TRANSFORM_DONE);
	/* A body that cannot be read is told before anything is done. */
	assert_int_equal(bench_run(b, both_head, "{"), TRANSFORM_MALFORMED);
	assert_text(&b->head, both_head);
}

/* A lost engine begins both anew. */
static void
test_engine_lost_between_both(void **state)
{
	struct bench *b = *state;

	bench_relay(b, "request", "encrypt", "", BOTH);
	b->script.first = 2;
	b->script.cut_at = 1;
	assert_int_equal(bench_run(b, START "x-card: abc\r\n",
	    "{\"a\":[\"abc\",\"xyz\"]}"), TRANSFORM_DONE);
	assert_text(&b->head, START "x-card: " TOKEN(ABC) "\r\n");
	assert_text(&b->body, "{\"a\":[\"" TOKEN(ABC) "\",\"" TOKEN(XYZ) "\"]}");
	assert_int_equal(b->engine.n_calls, 2);
	assert_int_equal(b->tx.sealed, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_form_is_sealed),
		BENCH_TEST(test_form_of_too_many_pairs),
		BENCH_TEST(test_form_without_work),
		BENCH_TEST(test_form_is_opened),
		BENCH_TEST(test_header_values_are_sealed),
		BENCH_TEST(test_header_without_work),
		BENCH_TEST(test_header_tokens_pass),
		BENCH_TEST(test_header_values_are_opened),
		BENCH_TEST(test_head_and_body_in_one_call),
		BENCH_TEST(test_work_in_one_of_both),
		BENCH_TEST(test_one_fault_for_both),
		BENCH_TEST(test_engine_lost_between_both),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
