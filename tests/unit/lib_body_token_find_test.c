/* Where in a text encrypted strings stand (spec/ciphertext.md 8). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/token_find.h"

#define IV	"AAAAAAAAAAAAAA+/"
#define KEY	"AzXN7Yf0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define REST	IV ":" KEY ":abcd:$"

/* ---- tokens inside of text --------------------------------------------------- */

#define TOKEN	"ev:QkTC:number:" REST
#define SHORT	"ev:" IV ":" KEY "::$"

/* "[]" around what was found, escapes taken out. */
static void
mark(struct span text, unsigned escapes, struct buffer *out)
{
	struct body_token t;
	size_t at = 0;

	buffer_clear(out);
	while (body_token_next(text, escapes, at, &t)) {
		assert_true(t.start >= at && t.start < t.end);
		assert_true(t.end <= text.len);
		buffer_put(out, text.p + at, t.start - at);
		buffer_puts(out, t.escape != BODY_TOKEN_RAW ? "{" : "[");
		assert_int_equal(body_token_append(text, &t, out), RC_OK);
		buffer_puts(out, t.escape != BODY_TOKEN_RAW ? "}" : "]");
		at = t.end;
	}
	buffer_put(out, text.p + at, text.len - at);
}

static const struct {
	unsigned	escapes;
	const char		*text;
	const char		*marked;
} finds[] = {
	{ BODY_TOKEN_RAW, "", "" },
	{ BODY_TOKEN_RAW, "nothing here", "nothing here" },
	{ BODY_TOKEN_RAW, TOKEN, "[" TOKEN "]" },
	{ BODY_TOKEN_RAW, "a," TOKEN ",\"" SHORT "\"\r",
	    "a,[" TOKEN "],\"[" SHORT "]\"\r" },
	{ BODY_TOKEN_RAW, TOKEN SHORT TOKEN,
	    "[" TOKEN "][" SHORT "][" TOKEN "]" },
	{ BODY_TOKEN_RAW, "ev:ev:QkTC:" TOKEN, "ev:ev:QkTC:[" TOKEN "]" },
	{ BODY_TOKEN_RAW, "eev:" SHORT "$", "eev:[" SHORT "]$" },
	{ BODY_TOKEN_RAW, "level:" SHORT, "level:[" SHORT "]" },
	/* a token that breaks off inside of another's parts */
	{ BODY_TOKEN_RAW, "ev:" IV ":" SHORT, "ev:" IV ":[" SHORT "]" },
	{ BODY_TOKEN_RAW, "ev:" IV ":" KEY ":" SHORT,
	    "ev:" IV ":" KEY ":[" SHORT "]" },
	{ BODY_TOKEN_RAW, "ev:" IV ":" KEY ":abc" SHORT,
	    "ev:" IV ":" KEY ":abc[" SHORT "]" },
	/* plain text has no escapes */
	{ BODY_TOKEN_RAW, "ev:" IV ":" KEY ":ab\\/d:$",
	    "ev:" IV ":" KEY ":ab\\/d:$" },
	{ BODY_TOKEN_BACKSLASH, "{\"a\":\"" TOKEN "\"}", "{\"a\":\"[" TOKEN "]\"}" },
	{ BODY_TOKEN_BACKSLASH, "\"ev:" IV ":" KEY ":ab\\/d:$\"",
	    "\"{ev:" IV ":" KEY ":ab/d:$}\"" },
	{ BODY_TOKEN_BACKSLASH, "\"ev:" IV ":" KEY ":ab\\u002bd:$\"",
	    "\"{ev:" IV ":" KEY ":ab+d:$}\"" },
	{ BODY_TOKEN_BACKSLASH, "\\u0065v\\u003A" IV ":" KEY "::\\u0024",
	    "{" SHORT "}" },
	{ BODY_TOKEN_BACKSLASH, "\\u0065\\u0076\\u003a" IV ":" KEY "::$!",
	    "{" SHORT "}!" },
	/* an escaped backslash escapes nothing more */
	{ BODY_TOKEN_BACKSLASH, "\\\\u0065v:" IV ":" KEY "::$",
	    "\\\\u0065v:" IV ":" KEY "::$" },
	{ BODY_TOKEN_BACKSLASH, "\\\\" SHORT, "\\\\[" SHORT "]" },
	{ BODY_TOKEN_BACKSLASH, "\\n" SHORT "\\n", "\\n[" SHORT "]\\n" },
	/* in strings of strings */
	{ BODY_TOKEN_BACKSLASH, "ev:" IV ":" KEY ":ab\\\\/d:$",
	    "{ev:" IV ":" KEY ":ab/d:$}" },
	{ BODY_TOKEN_BACKSLASH, "ev:" IV ":" KEY ":ab\\\\\\/d\\\\u003a$",
	    "{ev:" IV ":" KEY ":ab/d:$}" },
	{ BODY_TOKEN_BACKSLASH, "\\\\u0065v:" IV ":" KEY "::$",
	    "\\\\u0065v:" IV ":" KEY "::$" },
	/* no JSON: bytes stand for themselves */
	{ BODY_TOKEN_BACKSLASH, "C:\\" SHORT "\\u00", "C:\\[" SHORT "]\\u00" },
	{ BODY_TOKEN_BACKSLASH, "\\u00" SHORT, "\\u00[" SHORT "]" },
	{ BODY_TOKEN_BACKSLASH, "\\ud83d\\ude00" SHORT, "\\ud83d\\ude00[" SHORT "]" },
	{ BODY_TOKEN_BACKSLASH, "\\ud83d" SHORT, "\\ud83d[" SHORT "]" },
	{ BODY_TOKEN_BACKSLASH, "ev:" IV ":" KEY ":ab\\u0100d:$",
	    "ev:" IV ":" KEY ":ab\\u0100d:$" },
	{ BODY_TOKEN_BACKSLASH, SHORT "\\", "[" SHORT "]\\" },
};

static void
test_find(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
		mark(span_of(finds[i].text), finds[i].escapes, &out);
		assert_string_equal(buffer_cstr(&out), finds[i].marked);
	}
	buffer_fini(&out);
}

/* Each cut of a text, as a block of its own so that a byte read behind it is
 * seen: what is whole before the cut is found, and nothing else. */
static void
test_find_in_every_cut(void **state)
{
	static const char text[] = "x\\u0065v:" IV ":" KEY ":\\/+:$,\\\\"
	    SHORT "\\";
	size_t first = 2 + strlen("u0065v:" IV ":" KEY ":\\/+:$");
	size_t second = sizeof(text) - 2;
	struct body_token t;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = malloc(n + 1);
		size_t at = 0, found = 0;

		assert_non_null(copy);
		memcpy(copy, text, n);
		while (body_token_next((struct span){ copy, n },
		    BODY_TOKEN_BACKSLASH, at, &t)) {
			at = t.end;
			found++;
		}
		assert_int_equal(found, (n >= first) + (n >= second));
		free(copy);
	}
}

/* What a linear scan must not trip over: starts without end. */
static void
test_find_is_linear(void **state)
{
	static const char *const units[] = { "e", "ev:", "ev:A", "\\", "\\u0065",
	    "ev:" IV ":", "ev:" IV ":" KEY ":" };
	size_t n = 4u << 20;
	char *text = malloc(n);
	struct body_token t;

	(void)state;
	assert_non_null(text);
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		size_t len = strlen(units[u]);

		for (size_t i = 0; i < n; i++)
			text[i] = units[u][i % len];
		assert_false(body_token_next((struct span){ text, n },
		    BODY_TOKEN_RAW, 0, &t));
		assert_false(body_token_next((struct span){ text, n },
		    BODY_TOKEN_BACKSLASH, 0, &t));
	}
	/* one start, and base64 to the end */
	memset(text, 'A', n);
	memcpy(text, "ev:" IV ":" KEY ":", 65);
	assert_false(body_token_next((struct span){ text, n },
	    BODY_TOKEN_BACKSLASH, 0, &t));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_in_every_cut),
		cmocka_unit_test(test_find_is_linear),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
