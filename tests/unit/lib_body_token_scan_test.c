/* What looks like an encrypted string (spec/ciphertext.md 1, 2, 8). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/token_scan.h"

#define IV	"AAAAAAAAAAAAAA+/"
#define KEY	"AzXN7Yf0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define REST	IV ":" KEY ":abcd:$"

static const struct {
	const char	*text;
	bool		token;
} cases[] = {
	{ "ev:" REST, true },
	{ "ev:RFVC:" REST, true },
	{ "ev:T1JL:" REST, true },
	{ "ev:Tk9D:" REST, true },
	{ "ev:TENZ:" REST, true },
	{ "ev:QlJV:" REST, true },
	{ "ev:QkTC:" REST, true },
	{ "ev:S0lS:" REST, true },
	{ "ev:debug:QkTC:" REST, true },
	{ "ev:debug:" REST, true },
	{ "ev:QkTC:number:" REST, true },
	{ "ev:QkTC:boolean:" REST, true },
	{ "ev:QkTC:string:" REST, true },
	{ "ev:number:" REST, true },
	{ "ev:debug:S0lS:boolean:" REST, true },
	{ "ev:" IV ":" KEY "::$", true },
	{ "ev:" IV ":" KEY ":ab==:$", true },
	{ "ev:QKTC:" REST, false },
	{ "ev:XXXX:" REST, false },
	{ "ev:qktc:" REST, false },
	{ "EV:QkTC:" REST, false },
	{ "ev:QkTC:debug:" REST, false },
	{ "ev:number:QkTC:" REST, false },
	{ "ev:QkTC:date:" REST, false },
	{ "ev:QkTC:number:number:" REST, false },
	{ "ev:QkTC:QkTC:" REST, false },
	{ "ev:QkTC:" REST " ", false },
	{ " ev:QkTC:" REST, false },
	{ "\"ev:QkTC:" REST "\"", false },
	{ "ev:QkTC:" REST REST, false },
	{ "ev:QkTC:" IV "A:" KEY ":abcd:$", false },
	{ "ev:QkTC:" IV ":" KEY "A:abcd:$", false },
	{ "ev:QkTC:" IV ":" KEY ":ab-d:$", false },
	{ "ev:QkTC:" IV ":" KEY ":ab\\/d:$", false },
	{ "ev:QkTC:" IV ":" KEY ":abcd$", false },
	{ "ev:QkTC:" IV ":" KEY ":abcd:", false },
	{ "ev:QkTC:" IV ":" KEY ":abcd::$", false },
	{ "ev:QkTC:::::$", false },
	{ "", false },
	{ "ev:", false },
};

static void
test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (body_token_whole(span_of(cases[i].text)) != cases[i].token)
			fail_msg("%s", cases[i].text);
	assert_int_equal(strlen("ev:" IV ":" KEY "::$"), BODY_TOKEN_BYTES_MIN);
}

/* No cut and no single foreign byte leaves a token a token. */
static void
test_every_cut_and_change(void **state)
{
	static const char token[] = "ev:QkTC:number:" REST;
	size_t len = sizeof(token) - 1;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		char *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, token, n);
		assert_false(body_token_whole((struct span){ copy, n }));
		free(copy);
	}
	for (size_t i = 0; i < len; i++) {
		char changed[sizeof(token)];

		memcpy(changed, token, sizeof(token));
		changed[i] = '\0';
		assert_false(body_token_whole((struct span){ changed, len }));
		changed[i] = '-';
		assert_false(body_token_whole((struct span){ changed, len }));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_every_cut_and_change),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
