/* lib/scheme/token.c: the grammar, strict, and what is printed reads back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/scheme/token.h"

#define IV	"PBV3can5deLhsVsk"
#define EPH	"A/O5VVSSVIZSoniF1RqkW7BUygguZkxCMGZ2xfP6EeIl"
#define DATA	"fgXKRNJT2aEKVsYAAsQcA2SlkH6q6VjZlvh1"
#define D16	"AAAAAAAAAAAAAAAAAAAAAA"		/* 16 zero bytes */

static void
test_good(void **state)
{
	static const struct {
		const char		*text;
		enum scheme_token_version	version;
		enum rpc_field_type	type;
		bool			debug;
		size_t			bytes;
	} cases[] = {
		{ "ev:RFVC:" IV ":" EPH ":" DATA ":$", SCHEME_TOKEN_RFVC,
		    RPC_FIELD_STRING, false, 27 },
		{ "ev:" IV ":" EPH ":" DATA ":$", SCHEME_TOKEN_RFVC,
		    RPC_FIELD_STRING, false, 27 },
		{ "ev:number:" IV ":" EPH ":" DATA ":$", SCHEME_TOKEN_RFVC,
		    RPC_FIELD_NUMBER, false, 27 },
		{ "ev:T1JL:string:" IV ":" EPH ":" DATA ":$", SCHEME_TOKEN_T1JL,
		    RPC_FIELD_STRING, false, 27 },
		{ "ev:Tk9D:boolean:" IV ":" EPH ":" D16 ":$", SCHEME_TOKEN_TK9D,
		    RPC_FIELD_BOOLEAN, false, 16 },
		{ "ev:QlJV:" IV ":" EPH ":" D16 "==:$", SCHEME_TOKEN_QLJV,
		    RPC_FIELD_STRING, false, 16 },
		{ "ev:TENZ:" IV ":" EPH ":" D16 "A=:$", SCHEME_TOKEN_TENZ,
		    RPC_FIELD_STRING, false, 17 },
		{ "ev:S0lS:" IV ":" EPH ":" D16 "A:$", SCHEME_TOKEN_S0LS,
		    RPC_FIELD_STRING, false, 17 },
		{ "ev:debug:QkTC:number:" IV ":" EPH ":" D16 "AA:$",
		    SCHEME_TOKEN_QKTC, RPC_FIELD_NUMBER, true, 18 },
		{ "ev:debug:" IV ":" EPH ":" DATA ":$", SCHEME_TOKEN_RFVC,
		    RPC_FIELD_STRING, true, 27 },
	};
	uint8_t data[64];
	struct scheme_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(scheme_token_parse(span_of(cases[i].text), &t),
		    RC_OK);
		assert_int_equal(t.version, cases[i].version);
		assert_int_equal(t.type, cases[i].type);
		assert_int_equal(t.debug, cases[i].debug);
		assert_int_equal(t.data_bytes, cases[i].bytes);
		assert_int_equal(scheme_token_data(&t, data), RC_OK);
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
		"ev:RFVC:" IV ":" EPH ":" DATA "=:$",
		"ev:RFVC:" IV ":" EPH ":" DATA "==:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "=:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "A==:$",
		"ev:RFVC:" IV ":" EPH ":AAAAAAAAAAAAAAAAAAAA:$",
		"ev:RFVC:" IV ":" EPH ":=:$",
	};
	static const char *const bad_data[] = {
		"ev:RFVC:" IV ":" EPH ":" D16 "-_:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "A A:$",
		"ev:RFVC:" IV ":" EPH ":" D16 "\n\n:$",
		"ev:RFVC:" IV ":" EPH ":AAAAAAAAAAAAAAAAAAAAAB:$", /* spare */
		"ev:RFVC:" IV ":" EPH ":" D16 "B:$",		/* spare */
		"ev:RFVC:" IV ":" EPH ":" DATA "A:$",		/* 1 mod 4 */
		"ev:RFVC:" IV ":" EPH ":" D16 "===:$",
		"ev:RFVC:" IV ":" EPH ":AA==" D16 "==:$",
		"ev:RFVC:" IV ":" EPH ":" DATA ":" DATA ":$",
	};
	uint8_t data[64];
	struct scheme_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (scheme_token_parse(span_of(cases[i]), &t) != RC_SYNTAX)
			fail_msg("taken: %s", cases[i]);
	for (size_t i = 0; i < sizeof(bad_data) / sizeof(bad_data[0]); i++)
		if (scheme_token_parse(span_of(bad_data[i]), &t) == RC_OK &&
		    scheme_token_data(&t, data) == RC_OK)
			fail_msg("taken: %s", bad_data[i]);
	/* A NUL inside is no end. */
	assert_int_equal(scheme_token_parse((struct span){ "ev:\0", 4 }, &t),
	    RC_SYNTAX);
}

/* Every cut of a good token is refused. */
static void
test_cuts(void **state)
{
	static const char text[] = "ev:QkTC:number:" IV ":" EPH ":" DATA ":$";
	struct scheme_token t;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		assert_int_equal(scheme_token_parse((struct span){ text, n }, &t),
		    RC_SYNTAX);
		assert_int_equal(scheme_token_parse((struct span){ text + n + 1,
		    sizeof(text) - 2 - n }, &t), RC_SYNTAX);
	}
}

static void
test_print(void **state)
{
	static const enum rpc_field_type types[] = { RPC_FIELD_STRING,
	    RPC_FIELD_NUMBER, RPC_FIELD_BOOLEAN };
	uint8_t data[300], point[SCHEME_POINT_BYTES];
	char text[600], back[600];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t n = SCHEME_TAG_BYTES; n < sizeof(data); n++) {
		struct scheme_token t = { .version = n % 2 ? SCHEME_TOKEN_QKTC :
		    SCHEME_TOKEN_S0LS, .type = types[n % 3] }, u;
		size_t len = scheme_token_len(t.type, n);

		memset(t.iv, (int)n, sizeof(t.iv));
		memset(point, (int)n + 1, sizeof(point));
		point[0] = 2;
		scheme_token_set_ephemeral(&t, point);
		memset(text, '#', sizeof(text));
		/* from anywhere, and from the end of its own place */
		scheme_token_print(&t, data, n, back);
		memcpy(text + len - n, data, n);
		scheme_token_print(&t, (uint8_t *)text + len - n, n, text);
		assert_memory_equal(text, back, len);
		assert_int_equal(text[len - 1], '$');
		assert_int_equal(text[len], '#');
		assert_int_equal(scheme_token_parse((struct span){ text, len },
		    &u), RC_OK);
		assert_int_equal(u.version, t.version);
		assert_int_equal(u.type, t.type);
		assert_memory_equal(u.iv, t.iv, sizeof(t.iv));
		assert_memory_equal(u.ephemeral, t.ephemeral,
		    sizeof(t.ephemeral));
		assert_int_equal(u.data_bytes, n);
		assert_int_equal(scheme_token_data(&u, (uint8_t *)back), RC_OK);
		assert_memory_equal(back, data, n);
	}
}

/* ---- metadata ---- */

static void
test_metadata(void **state)
{
	static const struct {
		const char	*role;
		uint32_t	sealed_s;
		const char	*hex;
	} cases[] = {
		/* the map of spec/ciphertext.md, but for our `eo` */
		{ "test-role", 0x6553f100, "1a0083a26472a9746573742d726f6c65"
		    "a2656f14a26574ce6553f100" },
		{ "", 1, "0d0082a2656f14a26574ce00000001" },
	};
	uint8_t out[64];
	char hex[129];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scheme_metadata m = { span_of(cases[i].role),
		    cases[i].sealed_s }, back;
		size_t n = scheme_metadata_len(m.role);
		struct span value = { (const char *)out, n + 5 };

		scheme_metadata_write(&m, out);
		hex_encode(out, n, hex);
		assert_string_equal(hex, cases[i].hex);
		memcpy(out + n, "value", 5);
		assert_int_equal(scheme_metadata_take(&value, &back), RC_OK);
		assert_true(span_eq_str(value, "value"));
		assert_true(span_eq(back.role, m.role));
		assert_int_equal(back.sealed_s, m.sealed_s);
	}
}

/* Foreign metadata: any map, in any form of MessagePack. */
static void
test_foreign_metadata(void **state)
{
	static const struct {
		const char	*hex;
		enum rc		rc;
		const char	*role;
		uint32_t	sealed_s;
	} cases[] = {
		{ "80", RC_OK, "", 0 },
		{ "de0000", RC_OK, "", 0 },
		{ "82a2657405a26472a162", RC_OK, "b", 5 },
		{ "82a26574cd0102a2657805", RC_OK, "", 0x102 },
		{ "81d9026574cf00000000ffffffff", RC_OK, "", 0xffffffff },
		{ "81a26574cf0000000100000000", RC_OK, "", 0 },
		{ "81a26574d200000007", RC_OK, "", 7 },
		{ "81a26574d2ffffffff", RC_OK, "", 0 },
		{ "81a26472c40162", RC_OK, "b", 0 },
		{ "81a2647207", RC_OK, "", 0 },
		{ "82a178930191a17981a16b02a26472a162", RC_OK, "b", 0 },
		{ "82a178930191a17981a16b02a26472", RC_SYNTAX, "", 0 },
		{ "82a178930191a178c0a26472a162", RC_OK, "b", 0 },
		{ "82a17881a16b02a26472a162", RC_OK, "b", 0 },
		{ "82a2657401a2657402", RC_OK, "", 1 },	/* the first one */
		{ "", RC_SYNTAX, "", 0 },
		{ "8080", RC_SYNTAX, "", 0 },		/* two values */
		{ "81", RC_SYNTAX, "", 0 },
		{ "81a26574", RC_SYNTAX, "", 0 },
		{ "df00000001", RC_SYNTAX, "", 0 },
		{ "dfffffffff", RC_SYNTAX, "", 0 },
		{ "df000000", RC_SYNTAX, "", 0 },
		{ "810102", RC_SYNTAX, "", 0 },		/* a key of 1 */
		{ "81a2657481", RC_SYNTAX, "", 0 },
		{ "81a26472a9", RC_SYNTAX, "", 0 },
		{ "c0", RC_SYNTAX, "", 0 },
		{ "c1", RC_SYNTAX, "", 0 },
		{ "90", RC_SYNTAX, "", 0 },
	};
	uint8_t in[64];
	struct scheme_metadata m;
	struct span value;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].hex) / 2;

		in[0] = (uint8_t)n;
		in[1] = 0;
		assert_int_equal(hex_decode(span_of(cases[i].hex), in + 2, n),
		    RC_OK);
		in[2 + n] = 'v';
		value = (struct span){ (const char *)in, n + 3 };
		if (scheme_metadata_take(&value, &m) != cases[i].rc)
			fail_msg("metadata %s", cases[i].hex);
		if (cases[i].rc == RC_OK && (!span_eq_str(value, "v") ||
		    !span_eq_str(m.role, cases[i].role) ||
		    m.sealed_s != cases[i].sealed_s))
			fail_msg("metadata %s misread", cases[i].hex);
		/* A length that is longer than what there is. */
		value = (struct span){ (const char *)in, n + 1 };
		assert_int_equal(scheme_metadata_take(&value, &m), RC_SYNTAX);
	}
	for (size_t n = 0; n < 2; n++) {
		value = (struct span){ (const char *)in, n };
		assert_int_equal(scheme_metadata_take(&value, &m), RC_SYNTAX);
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
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_foreign_metadata),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
