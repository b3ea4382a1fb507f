/* e3/token.c: the grammar, strict, and what is printed reads back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "e3/token.h"

#define IV	"PBV3can5deLhsVsk"
#define EPH	"A/O5VVSSVIZSoniF1RqkW7BUygguZkxCMGZ2xfP6EeIl"
#define DATA	"fgXKRNJT2aEKVsYAAsQcA2SlkH6q6VjZlvh1"
#define D16	"AAAAAAAAAAAAAAAAAAAAAA"		/* 16 zero bytes */

static void
test_good(void **state)
{
	static const struct {
		const char		*text;
		enum e3_token_version	version;
		enum rpc_field_type	type;
		bool			debug;
		size_t			bytes;
	} cases[] = {
		{ "ev:RFVC:" IV ":" EPH ":" DATA ":$", E3_TOKEN_RFVC,
		    RPC_FIELD_STRING, false, 27 },
		{ "ev:" IV ":" EPH ":" DATA ":$", E3_TOKEN_RFVC,
		    RPC_FIELD_STRING, false, 27 },
		{ "ev:number:" IV ":" EPH ":" DATA ":$", E3_TOKEN_RFVC,
		    RPC_FIELD_NUMBER, false, 27 },
		{ "ev:T1JL:string:" IV ":" EPH ":" DATA ":$", E3_TOKEN_T1JL,
		    RPC_FIELD_STRING, false, 27 },
		{ "ev:Tk9D:boolean:" IV ":" EPH ":" D16 ":$", E3_TOKEN_TK9D,
		    RPC_FIELD_BOOLEAN, false, 16 },
		{ "ev:QlJV:" IV ":" EPH ":" D16 "==:$", E3_TOKEN_QLJV,
		    RPC_FIELD_STRING, false, 16 },
		{ "ev:TENZ:" IV ":" EPH ":" D16 "A=:$", E3_TOKEN_TENZ,
		    RPC_FIELD_STRING, false, 17 },
		{ "ev:S0lS:" IV ":" EPH ":" D16 "A:$", E3_TOKEN_S0LS,
		    RPC_FIELD_STRING, false, 17 },
		{ "ev:debug:QkTC:number:" IV ":" EPH ":" D16 "AA:$",
		    E3_TOKEN_QKTC, RPC_FIELD_NUMBER, true, 18 },
		{ "ev:debug:" IV ":" EPH ":" DATA ":$", E3_TOKEN_RFVC,
		    RPC_FIELD_STRING, true, 27 },
	};
	uint8_t data[64];
	struct e3_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(e3_token_parse(span_of(cases[i].text), &t),
		    RC_OK);
		assert_int_equal(t.version, cases[i].version);
		assert_int_equal(t.type, cases[i].type);
		assert_int_equal(t.debug, cases[i].debug);
		assert_int_equal(t.data_bytes, cases[i].bytes);
		assert_int_equal(e3_token_data(&t, data), RC_OK);
	}
}

static void
test_bad(void **state)
{
	static const char *const cases[] = {
		"", "e", "ev", "ev:", "ev::", "$", ":$", "ev:$",
		"Ev:RFVC:" IV ":" EPH ":" DATA ":$",
		" ev:RFVC:" IV ":" EPH ":" DATA ":$",
		"ev:RFVC:" IV ":" EPH ":" DATA ":$ ",
		"ev:RFVC:" IV ":" EPH ":" DATA ":$$",
		"ev:RFVC:" IV ":" EPH ":" DATA ":",
		"ev:RFVC:" IV ":" EPH ":" DATA "$",
		"ev:RFVC:" IV ":" EPH ":" DATA,
		"ev:RFVC:" IV ":" EPH ":$",
		"ev:RFVC:" IV ":" EPH "::$",
		"ev:RFVC:" IV ":" EPH ":" DATA ":" DATA ":$",
		"ev:rfvc:" IV ":" EPH ":" DATA ":$",
		"ev:XXXX:" IV ":" EPH ":" DATA ":$",
		"ev:RFVC:RFVC:" IV ":" EPH ":" DATA ":$",
		"ev:number:RFVC:" IV ":" EPH ":" DATA ":$",
		"ev:RFVC:debug:" IV ":" EPH ":" DATA ":$",
		"ev:RFVC:int:" IV ":" EPH ":" DATA ":$",
		"ev:RFVC::" IV ":" EPH ":" DATA ":$",
		"ev:debug:debug:RFVC:" IV ":" EPH ":" DATA ":$",
		/* iv: 15, 17 characters, padded, URL alphabet */
		"ev:RFVC:PBV3can5deLhsVs:" EPH ":" DATA ":$",
		"ev:RFVC:PBV3can5deLhsVskA:" EPH ":" DATA ":$",
		"ev:RFVC:PBV3can5deLhsVs=:" EPH ":" DATA ":$",
		"ev:RFVC:PBV3can5deLhsV==:" EPH ":" DATA ":$",
		"ev:RFVC:PBV3can5deLhsV-_:" EPH ":" DATA ":$",
		/* ephemeral key: short, not compressed, infinity, hybrid */
		"ev:RFVC:" IV ":A/O5VVSSVIZSoniF1RqkW7BUygguZkxCMGZ2xfP6EeI:"
		    DATA ":$",
		"ev:RFVC:" IV ":BPO5VVSSVIZSoniF1RqkW7BUygguZkxCMGZ2xfP6EeIl:"
		    DATA ":$",
		"ev:RFVC:" IV ":APO5VVSSVIZSoniF1RqkW7BUygguZkxCMGZ2xfP6EeIl:"
		    DATA ":$",
		"ev:RFVC:" IV ":B/O5VVSSVIZSoniF1RqkW7BUygguZkxCMGZ2xfP6EeIl:"
		    DATA ":$",
		/* data: 1 mod 4, wrong or inner padding, shorter than a tag */
		"ev:RFVC:" IV ":" EPH ":" DATA "A:$",
		"ev:RFVC:" IV ":" EPH ":" DATA "=:$",
		"ev:RFVC:" IV ":" EPH ":" DATA "==:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "=:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "===:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "A==:$",
		"ev:RFVC:" IV ":" EPH ":AA==" D16 "==:$",
		"ev:RFVC:" IV ":" EPH ":AAAAAAAAAAAAAAAAAAAA:$",
		"ev:RFVC:" IV ":" EPH ":=:$",
	};
	static const char *const bad_data[] = {
		"ev:RFVC:" IV ":" EPH ":" D16 "-_:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "A A:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "\n\n:$",
		"ev:RFVC:" IV ":" EPH ":AAAAAAAAAAAAAAAAAAAAAB:$", /* spare */
		"ev:RFVC:" IV ":" EPH ":" D16 "B:$",		/* spare */
	};
	uint8_t data[64];
	struct e3_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (e3_token_parse(span_of(cases[i]), &t) != RC_SYNTAX)
			fail_msg("taken: %s", cases[i]);
	for (size_t i = 0; i < sizeof(bad_data) / sizeof(bad_data[0]); i++)
		if (e3_token_parse(span_of(bad_data[i]), &t) == RC_OK &&
		    e3_token_data(&t, data) == RC_OK)
			fail_msg("taken: %s", bad_data[i]);
	/* A NUL inside is no end. */
	assert_int_equal(e3_token_parse((struct span){ "ev:\0", 4 }, &t),
	    RC_SYNTAX);
}

/* Every cut of a good token is refused. */
static void
test_cuts(void **state)
{
	static const char text[] = "ev:QkTC:number:" IV ":" EPH ":" DATA ":$";
	struct e3_token t;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		assert_int_equal(e3_token_parse((struct span){ text, n }, &t),
		    RC_SYNTAX);
		assert_int_equal(e3_token_parse((struct span){ text + n + 1,
		    sizeof(text) - 2 - n }, &t), RC_SYNTAX);
	}
}

static void
test_print(void **state)
{
	static const enum rpc_field_type types[] = { RPC_FIELD_STRING,
	    RPC_FIELD_NUMBER, RPC_FIELD_BOOLEAN };
	uint8_t data[300], back[300];
	char text[600];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t n = E3_TAG_BYTES; n < sizeof(data); n++) {
		struct e3_token t = { .version = n % 2 ? E3_TOKEN_QKTC :
		    E3_TOKEN_S0LS, .type = types[n % 3] }, u;
		size_t len = e3_token_len(t.type, n);

		memset(t.iv, (int)n, sizeof(t.iv));
		memset(t.ephemeral, (int)n + 1, sizeof(t.ephemeral));
		t.ephemeral[0] = 2;
		memset(text, '#', sizeof(text));
		e3_token_print(&t, data, n, text);
		assert_int_equal(text[len - 1], '$');
		assert_int_equal(text[len], '#');
		assert_int_equal(e3_token_parse((struct span){ text, len },
		    &u), RC_OK);
		assert_int_equal(u.version, t.version);
		assert_int_equal(u.type, t.type);
		assert_memory_equal(u.iv, t.iv, sizeof(t.iv));
		assert_memory_equal(u.ephemeral, t.ephemeral,
		    sizeof(t.ephemeral));
		assert_int_equal(u.data_bytes, n);
		assert_int_equal(e3_token_data(&u, back), RC_OK);
		assert_memory_equal(back, data, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_print),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
