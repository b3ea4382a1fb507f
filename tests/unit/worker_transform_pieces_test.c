/*
 * worker/transform.c on a JSON body that still comes: cut at every place, with
 * output taken or left between the pieces, with more arriving while a call is
 * out, and with an engine lost on the way.  What comes out is what the body
 * gives when it is whole.
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
#include "tests/unit/worker_action.h"

#define ABC	"YWJj"			/* data of a token: abc */
#define XYZ	"eHl6"			/* xyz */

#define DOC								\
	" {\"a\" :\"abc\", \"skip\":[1,\"\\\"}\",null], \"b\":{\"c\":[true,"	\
	"-1.5e3 ,\"\\u00e9\\ud83d\\ude00\xc3\xa9\"]},\"a\":\"\"} \n"
#define DOC_SELECTIONS	SELECT("json", "$.a") "," SELECT("json", "$.b..*")

struct taker {
	struct buffer	out;		/* everything so far */
	unsigned	takes;		/* between pieces: per cent of what is
					   there */
};

static void
take(struct taker *t, struct buffer *from, size_t len)
{
	buffer_put(&t->out, buffer_data(from), len);
	buffer_consume(from, len);
}

static void
add(struct bench *b, const char *p, size_t len)
{
	assert_int_equal(buffer_append(&b->body, p, len), RC_OK);
}

/* One piece; its result. */
static enum transform_result
feed(struct bench *b, struct taker *t, const char *p, size_t len, bool whole)
{
	enum transform_result result;
	struct buffer *out;

	add(b, p, len);
	result = bench_feed(b, whole);
	if (result == TRANSFORM_PIECE) {
		out = transform_output(b->transform);
		take(t, out, buffer_len(out) * t->takes / 100);
	} else if (result == TRANSFORM_DONE) {
		take(t, &b->body, buffer_len(&b->body));
	}
	return (result);
}

static enum transform_result
feed_text(struct bench *b, struct taker *t, const char *text, bool whole)
{
	return (feed(b, t, text, strlen(text), whole));
}

static void
begin(struct bench *b, struct taker *t, const char *head, unsigned takes)
{
	b->pieces = true;
	bench_begin(b, head, "", 0);
	buffer_init(&t->out, 0, false);
	t->takes = takes;
}

static void
end(struct taker *t, const char *want)
{
	assert_text(&t->out, want);
	buffer_fini(&t->out);
}

/* The document's result when it is whole; the caller frees it. */
static char *
of_whole(struct bench *b, const char *doc)
{
	char *want;

	b->pieces = false;
	assert_int_equal(bench_run(b, START, doc), TRANSFORM_DONE);
	want = strdup(buffer_cstr(&b->body));
	assert_non_null(want);
	return (want);
}

/* ---- cuts ---- */

static void
check_steps(struct bench *b, const char *doc, size_t step, unsigned takes,
    const char *want)
{
	size_t len = strlen(doc), at;
	struct taker t;

	begin(b, &t, START, takes);
	for (at = 0; at + step < len; at += step)
		assert_int_equal(feed(b, &t, doc + at, step, false),
		    TRANSFORM_PIECE);
	assert_int_equal(feed(b, &t, doc + at, len - at, true), TRANSFORM_DONE);
	assert_text(&b->head, START);
	end(&t, want);
}

static void
test_steps(void **state)
{
	struct bench *b = *state;
	char *want;

	bench_relay(b, "request", "encrypt", "", DOC_SELECTIONS);
	want = of_whole(b, DOC);
	assert_int_equal(b->script.n_fields[0], 5);
	for (size_t step = 1; step <= strlen(DOC); step += 1 + step / 8) {
		for (unsigned takes = 0; takes <= 100; takes += 50) {
			check_steps(b, DOC, step, takes, want);
			assert_int_equal(b->tx.sealed, 5);
		}
	}
	free(want);
}

/* Opened again, cut at every place: the document that was sealed, but that
 * what was no text is one now. */
static void
test_every_cut(void **state)
{
	static const char plain[] =
	    " {\"a\" :\"abc\", \"skip\":[1,\"\\\"}\",null], \"b\":{\"c\":[\"true\","
	    "\"-1.5e3\" ,\"\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9\"]},\"a\":\"\"} \n";
	struct bench *b = *state;
	struct taker t;
	char *sealed;
	size_t len;

	bench_relay(b, "request", "encrypt", "", DOC_SELECTIONS);
	sealed = of_whole(b, DOC);
	len = strlen(sealed);
	bench_relay(b, "response", "decrypt", "", SELECT("json", "$..*"));
	for (size_t cut = 0; cut <= len; cut++) {
		begin(b, &t, START, cut % 3 * 50);
		assert_int_equal(feed(b, &t, sealed, cut, false), TRANSFORM_PIECE);
		assert_int_equal(feed(b, &t, sealed + cut, len - cut, true),
		    TRANSFORM_DONE);
		end(&t, plain);
		assert_int_equal(b->tx.opened, 5);
	}
	free(sealed);
}

/* The whole window is done in one piece, and the last one is empty. */
static void
test_empty_pieces(void **state)
{
	struct bench *b = *state;
	struct taker t;

	bench_relay(b, "request", "encrypt", "", DOC_SELECTIONS);
	begin(b, &t, "", 100);
	assert_int_equal(feed_text(b, &t, "", false), TRANSFORM_PIECE);
	assert_int_equal(feed_text(b, &t, "{\"a\":\"abc\"}", false),
	    TRANSFORM_PIECE);
	assert_int_equal(feed_text(b, &t, "", false), TRANSFORM_PIECE);
	assert_int_equal(feed_text(b, &t, "", true), TRANSFORM_DONE);
	end(&t, "{\"a\":\"" TOKEN(ABC) "\"}");
	assert_int_equal(b->engine.n_calls, 1);
}

static void
test_nothing_is_chosen(void **state)
{
	static const char doc[] = "{\"x\":\"abc\",\"y\":[1,2,\"" T1 "\"]} ";
	struct bench *b = *state;

	bench_relay(b, "request", "encrypt", "", DOC_SELECTIONS);
	b->may_reserve = 0;
	for (size_t step = 1; step <= strlen(doc); step++)
		check_steps(b, doc, step, step % 3 * 50, doc);
	bench_relay(b, "request", "encrypt", ",\"existingTokens\":\"keep\"",
	    SELECT("json", "$.y[2]"));
	for (size_t step = 1; step <= strlen(doc); step++) {
		check_steps(b, doc, step, step % 3 * 50, doc);
		assert_int_equal(b->tx.passed, 1);
	}
	assert_int_equal(b->engine.n_calls, 0);
}

/* ---- while a call is out ---- */

/* What arrives then, enough to move the bytes, belongs to the next piece. */
static void
test_window_grows(void **state)
{
	static char space[100000];
	struct bench *b = *state;
	struct buffer want;
	struct taker t;

	memset(space, ' ', sizeof(space));
	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	for (int lost = 0; lost < 2; lost++) {
		b->script.n_calls = 0;
		b->script.first = 1;
		b->script.cut_at = lost ? 1 : 0;
		begin(b, &t, "", 0);
		add(b, "[\"abc\",\"x", 9);
		assert_true(bench_feed_starts(b, false));
		add(b, "yz\"", 3);
		add(b, space, sizeof(space));
		loop_until(b->lab.loop, &b->called);
		assert_int_equal(b->result, TRANSFORM_PIECE);
		/* As far as the text was settled, and no further. */
		assert_text(transform_output(b->transform),
		    "[\"" TOKEN(ABC) "\",");
		assert_int_equal(feed_text(b, &t, "]", true), TRANSFORM_DONE);
		buffer_init(&want, 0, false);
		buffer_puts(&want, "[\"" TOKEN(ABC) "\",\"" TOKEN(XYZ) "\"");
		buffer_put(&want, space, sizeof(space));
		buffer_puts(&want, "]");
		end(&t, buffer_cstr(&want));
		buffer_fini(&want);
	}
}

static void
test_freed_between_and_during(void **state)
{
	struct bench *b = *state;
	struct taker t;

	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	begin(b, &t, START, 0);
	assert_int_equal(feed_text(b, &t, "[1,", false), TRANSFORM_PIECE);
	assert_true(transform_held(b->transform) > strlen(T1));
	transform_free(&b->transform);
	b->engine.on_call = NULL;
	begin(b, &t, START, 0);
	add(b, "[1,2", 4);
	assert_true(bench_feed_starts(b, false));
	loop_until_count(b->lab.loop, &b->engine.n_calls, 2);
	transform_free(&b->transform);
	loop_until_count(b->lab.loop, &b->engine.n_cancels, 1);
	assert_false(b->called);
	end(&t, "");
}

/* ---- lost engines ---- */

/* Only the piece that was out is repeated; what came before stays. */
static void
test_only_the_lost_piece_is_repeated(void **state)
{
	struct bench *b = *state;
	struct taker t;

	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	for (unsigned takes = 0; takes <= 100; takes += 50) {
		b->script.n_calls = 0;
		b->script.first = 1;
		b->script.cut_at = 2;
		begin(b, &t, "", takes);
		assert_int_equal(feed_text(b, &t, "[ \"abc\" , \"", false),
		    TRANSFORM_PIECE);
		assert_int_equal(feed_text(b, &t,
		    "xyz\", \"abc\",\"xyz\" , 1", false), TRANSFORM_PIECE);
		assert_int_equal(feed_text(b, &t, " ]", true), TRANSFORM_DONE);
		end(&t, "[ \"" TOKEN(ABC) "\" , \"" TOKEN(XYZ) "\", \"" TOKEN(ABC)
		    "\",\"" TOKEN(XYZ) "\" , \"ev:QkTC:number:" IV ":" KEY
		    ":MQ:$\" ]");
		assert_int_equal(b->script.n_calls, 4);
		assert_int_equal(b->script.n_fields[0], 1);
		assert_int_equal(b->script.n_fields[1], 3);
		assert_int_equal(b->script.n_fields[2], 3);
		assert_int_equal(b->script.n_fields[3], 1);
		assert_int_equal(b->tx.sealed, 5);
	}
}

/* ---- sizes ---- */

static struct span
filled(char c, size_t len)
{
	char *p = malloc(len);

	assert_non_null(p);
	memset(p, c, len);
	return ((struct span){ p, len });
}

/* One value over many pieces, with small ones before and behind it. */
static void
test_giant_value(void **state)
{
	const size_t piece = 100000, n = 30;
	struct span part = filled('x', piece);
	struct bench *b = *state;
	struct span got;
	struct taker t;

	b->max_bytes = 8 << 20;
	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	begin(b, &t, "", 100);
	assert_int_equal(feed_text(b, &t, "[\"abc\",\"", false), TRANSFORM_PIECE);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(feed(b, &t, part.p, part.len, false),
		    TRANSFORM_PIECE);
	/* Nothing goes out, and nobody is asked, before it is complete. */
	assert_text(&t.out, "[\"" TOKEN(ABC) "\",");
	assert_int_equal(b->engine.n_calls, 1);
	assert_int_equal(feed_text(b, &t, "\",\"xyz\"]", true), TRANSFORM_DONE);
	assert_int_equal(b->engine.n_calls, 2);
	assert_int_equal(b->script.n_fields[1], 2);
	assert_int_equal(b->script.seen[0].len, n * piece);
	got = (struct span){ buffer_data(&t.out), buffer_len(&t.out) };
	assert_int_equal(got.len, 2 * strlen("[\"" TOKEN(ABC) "\"") +
	    strlen(",\"" TOKEN("") "\",]") - 1 + n * piece / 3 * 4);
	assert_memory_equal(got.p + got.len - strlen(",\"" TOKEN(XYZ) "\"]"),
	    ",\"" TOKEN(XYZ) "\"]", strlen(",\"" TOKEN(XYZ) "\"]"));
	buffer_fini(&t.out);
	free((void *)(uintptr_t)part.p);
}

/* Each value of a long answer is looked at, the few tokens in it are opened:
 * slots are kept for the tokens alone. */
static void
test_few_tokens_among_many_values(void **state)
{
	const size_t n = 100000;
	struct bench *b = *state;
	struct buffer doc, want;
	struct taker t;

	buffer_init(&doc, 0, false);
	buffer_init(&want, 0, false);
	for (size_t i = 0; i < n; i++) {
		const char *between = i == 0 ? "[" : ", ";

		if (i % 25000 == 0 || i + 1 == n) {
			buffer_printf(&doc, "%s\"%s\"", between, TOKEN(ABC));
			buffer_printf(&want, "%s\"abc\"", between);
			continue;
		}
		buffer_printf(&doc, "%s[%zu,\"v\"]", between, i);
		buffer_printf(&want, "%s[%zu,\"v\"]", between, i);
	}
	buffer_puts(&doc, "]");
	buffer_puts(&want, "]");
	b->max_bytes = 8 << 20;
	b->max_fields = 5;
	bench_relay(b, "response", "decrypt", "", SELECT("json", "$..*"));
	b->pieces = false;
	bench_begin(b, "", buffer_data(&doc), buffer_len(&doc));
	assert_int_equal(bench_feed(b, true), TRANSFORM_DONE);
	assert_text(&b->body, buffer_cstr(&want));
	assert_int_equal(b->tx.opened, 5);
	begin(b, &t, "", 100);
	for (size_t at = 0, step = 300000; at < buffer_len(&doc); at += step) {
		bool whole = buffer_len(&doc) - at <= step;

		assert_int_equal(feed(b, &t, buffer_data(&doc) + at, whole ?
		    buffer_len(&doc) - at : step, whole), whole ?
		    TRANSFORM_DONE : TRANSFORM_PIECE);
	}
	end(&t, buffer_cstr(&want));
	assert_int_equal(b->tx.opened, 5);
	buffer_fini(&doc);
	buffer_fini(&want);
}

/* Memory is asked for by the piece; what was taken out is held no more. */
static void
test_memory_by_the_piece(void **state)
{
	struct span part = filled(' ', 50000);
	struct bench *b = *state;
	struct taker t;

	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	begin(b, &t, "", 100);
	assert_int_equal(feed_text(b, &t, "[", false), TRANSFORM_PIECE);
	for (int i = 0; i < 10; i++) {
		add(b, part.p, part.len);
		assert_int_equal(feed_text(b, &t, "\"abc\",", false),
		    TRANSFORM_PIECE);
		assert_in_range(b->reserved, part.len, part.len + 1000);
		assert_true(transform_held(b->transform) < 4 * part.len);
	}
	b->may_reserve = 100;
	assert_int_equal(feed_text(b, &t, "\"abc\"]", true), TRANSFORM_OVERLOADED);
	assert_int_equal(b->engine.n_calls, 10);
	buffer_fini(&t.out);
	free((void *)(uintptr_t)part.p);
}

/* ---- a head too ---- */

/* Its values go with the first piece that has a call, and once. */
static void
test_head_goes_first(void **state)
{
	struct bench *b = *state;
	struct taker t;

	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*") ","
	    SELECT("header", "x-card"));
	begin(b, &t, START "X-Card: xyz\r\n", 100);
	assert_int_equal(feed_text(b, &t, "[", false), TRANSFORM_PIECE);
	assert_text(&b->head, START "X-Card: " TOKEN(XYZ) "\r\n");
	assert_int_equal(feed_text(b, &t, "\"abc\",", false), TRANSFORM_PIECE);
	assert_int_equal(feed_text(b, &t, "\"xyz\"]", true), TRANSFORM_DONE);
	end(&t, "[\"" TOKEN(ABC) "\",\"" TOKEN(XYZ) "\"]");
	assert_text(&b->head, START "X-Card: " TOKEN(XYZ) "\r\n");
	assert_int_equal(b->script.n_calls, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(b->script.n_fields[i], 1);
}

/* A head that became shorter, and a lost engine behind it. */
static void
test_opened_head_counts_once(void **state)
{
	struct bench *b = *state;
	struct buffer head, want;
	struct taker t;

	buffer_init(&head, 0, false);
	buffer_init(&want, 0, false);
	for (int i = 0; i < 20; i++) {
		buffer_puts(&head, i == 0 ? START : "");
		buffer_puts(&head, "x-card: " TOKEN(ABC) "\r\n");
		buffer_puts(&want, i == 0 ? START : "");
		buffer_puts(&want, "x-card: abc\r\n");
	}
	b->may_reserve = 20000;
	bench_relay(b, "response", "decrypt", "", SELECT("json", "$.*") ","
	    SELECT("header", "x-card"));
	b->script.first = 1;
	b->script.cut_at = 2;
	begin(b, &t, buffer_cstr(&head), 100);
	assert_int_equal(feed_text(b, &t, "[ ", false), TRANSFORM_PIECE);
	assert_text(&b->head, buffer_cstr(&want));
	assert_int_equal(feed_text(b, &t, "\"" T1 "\",", false),
	    TRANSFORM_PIECE);
	assert_true(b->reserved < 1000);
	assert_int_equal(feed_text(b, &t, "\"" T4 "\"]", true),
	    TRANSFORM_DONE);
	end(&t, "[ \"one\",\"four\"]");
	assert_text(&b->head, buffer_cstr(&want));
	assert_int_equal(b->tx.opened, 22);
	buffer_fini(&head);
	buffer_fini(&want);
}

/* ---- faults in a later piece ---- */

static void
test_late_faults(void **state)
{
	static const struct {
		const char		*first, *last;
		enum transform_result	want;
	} rows[] = {
		{ "[1,2", ",3]", TRANSFORM_DONE },
		{ "[1,2", ",3", TRANSFORM_MALFORMED },
		{ "[1,2", ",3]]", TRANSFORM_MALFORMED },
		{ "[1,2]", "x", TRANSFORM_MALFORMED },
		{ "[1,2", ",\"\\ud800\"]", TRANSFORM_MALFORMED },
		{ "[1,2,\"\xc3", "\"]", TRANSFORM_MALFORMED },
		{ "", "", TRANSFORM_MALFORMED },
		{ "[1,2", ",3,4]", TRANSFORM_TOO_MANY },
		{ "[1,2,", "3,4]", TRANSFORM_TOO_MANY },
	};
	struct bench *b = *state;
	struct taker t;

	b->max_fields = 3;
	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	for (size_t i = 0; i < COUNT(rows); i++) {
		begin(b, &t, "", 100);
		assert_int_equal(feed_text(b, &t, rows[i].first, false), TRANSFORM_PIECE);
		assert_int_equal(feed_text(b, &t, rows[i].last, true), rows[i].want);
		assert_non_null(b->why);
		buffer_fini(&t.out);
	}
}

/* max_bytes bounds what stands in the output, taken or not. */
static void
test_late_limit_of_the_result(void **state)
{
	struct bench *b = *state;
	struct taker t;

	b->max_bytes = strlen("[\"" T1 "\",\"" T1 "\"]") - 1;
	bench_relay(b, "request", "encrypt", "", SELECT("json", "$.*"));
	begin(b, &t, "", 0);
	assert_int_equal(feed_text(b, &t, "[\"abc\"", false), TRANSFORM_PIECE);
	assert_int_equal(feed_text(b, &t, ",\"abc\"]", true), TRANSFORM_TOO_LARGE);
	end(&t, "");
	begin(b, &t, "", 100);
	assert_int_equal(feed_text(b, &t, "[\"abc\"", false), TRANSFORM_PIECE);
	assert_int_equal(feed_text(b, &t, ",\"abc\"]", true), TRANSFORM_DONE);
	end(&t, "[\"" TOKEN(ABC) "\",\"" TOKEN(ABC) "\"]");
}

/* One error ends it; what was taken before is what it was. */
static void
test_late_undecryptable(void **state)
{
	static const struct item wrong = { RPC_OPEN_WRONG_APP_OR_CHANGED, 0, "", 0 };
	struct bench *b = *state;
	struct taker t;

	bench_relay(b, "response", "decrypt", ",\"onUndecryptable\":\"reject\"",
	    SELECT("json", "$.*"));
	begin(b, &t, "", 100);
	assert_int_equal(feed_text(b, &t, "[\"" T1 "\",", false),
	    TRANSFORM_PIECE);
	bench_says(b, &wrong, 1);
	assert_int_equal(feed_text(b, &t, "\"" T1 "\"]", true),
	    TRANSFORM_UNDECRYPTABLE);
	end(&t, "[\"one\",");
	assert_int_equal(b->tx.opened, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_steps),
		BENCH_TEST(test_every_cut),
		BENCH_TEST(test_empty_pieces),
		BENCH_TEST(test_nothing_is_chosen),
		BENCH_TEST(test_window_grows),
		BENCH_TEST(test_freed_between_and_during),
		BENCH_TEST(test_only_the_lost_piece_is_repeated),
		BENCH_TEST(test_giant_value),
		BENCH_TEST(test_few_tokens_among_many_values),
		BENCH_TEST(test_memory_by_the_piece),
		BENCH_TEST(test_head_goes_first),
		BENCH_TEST(test_opened_head_counts_once),
		BENCH_TEST(test_late_faults),
		BENCH_TEST(test_late_limit_of_the_result),
		BENCH_TEST(test_late_undecryptable),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
