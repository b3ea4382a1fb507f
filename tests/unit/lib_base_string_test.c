/* tests/unit/lib_base_string_test.c - spans, numbers, encodings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"
#include "lib/base/string.h"

static void
test_spans(void **state)
{
	const struct span none = { NULL, 0 };
	char out[5];

	(void)state;
	assert_true(span_eq(none, span_of("")));
	assert_true(span_eq(span_of("ab"), SPAN_LIT("ab")));
	assert_false(span_eq(span_of("ab"), span_of("abc")));
	assert_true(span_eq_str(SPAN_LIT("ab"), "ab"));
	assert_false(span_eq_str(SPAN_LIT("a\0b"), "a"));
	assert_true(span_eq_case(SPAN_LIT("Content-LENGTH"),
	    "content-length"));
	assert_false(span_eq_case(SPAN_LIT("abc"), "ab"));
	assert_false(span_eq_case(SPAN_LIT("ab"), "abc"));
	assert_false(span_eq_case(SPAN_LIT("a\0"), "a"));
	assert_false(span_eq_case(SPAN_LIT("@["), "`{"));	/* no letters */
	assert_true(span_eq_str(span_trim(SPAN_LIT(" \t a b\t ")), "a b"));
	assert_true(span_eq_str(span_trim(SPAN_LIT(" \t ")), ""));
	assert_true(span_eq_str(span_trim(SPAN_LIT("\n")), "\n"));
	assert_true(span_copy(SPAN_LIT("abcd"), out, sizeof(out)));
	assert_string_equal(out, "abcd");
	assert_false(span_copy(SPAN_LIT("abcde"), out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(span_copy(SPAN_LIT("a\0b"), out, sizeof(out)));
	assert_string_equal(out, "");
	assert_true(span_copy(none, out, 1));
}

static void
test_numbers(void **state)
{
	static const struct {
		const char	*text;
		enum rc		rc;
		uint64_t	v;
	} cases[] = {
		{ "0", RC_OK, 0 }, { "00", RC_OK, 0 }, { "7", RC_OK, 7 },
		{ "18446744073709551615", RC_OK, UINT64_MAX },
		{ "18446744073709551616", RC_SYNTAX, 0 },
		{ "18446744073709551620", RC_SYNTAX, 0 },
		{ "99999999999999999999", RC_SYNTAX, 0 },
		{ "", RC_SYNTAX, 0 }, { "-1", RC_SYNTAX, 0 },
		{ "+1", RC_SYNTAX, 0 }, { " 1", RC_SYNTAX, 0 },
		{ "1 ", RC_SYNTAX, 0 }, { "0x1", RC_SYNTAX, 0 },
		{ "1.0", RC_SYNTAX, 0 }, { "1:", RC_SYNTAX, 0 },
		{ "1/", RC_SYNTAX, 0 },
	};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(string_u64(span_of(cases[i].text), &v),
		    cases[i].rc);
		assert_true(v == cases[i].v);
	}
	assert_int_equal(string_u64(SPAN_LIT("1\0"), &v), RC_SYNTAX);
}

static void
test_base64_vectors(void **state)
{
	static const struct {
		const char *plain, *padded, *bare;
	} cases[] = {		/* RFC 4648 10 */
		{ "", "", "" }, { "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" }, { "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+", "+//+" },
	};
	char out[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].plain);

		assert_int_equal(base64_encoded_len(n, true),
		    strlen(cases[i].padded));
		assert_int_equal(base64_encoded_len(n, false),
		    strlen(cases[i].bare));
		assert_int_equal(base64_encode(cases[i].plain, n, true, out),
		    strlen(cases[i].padded));
		assert_memory_equal(out, cases[i].padded,
		    strlen(cases[i].padded));
		assert_int_equal(base64_encode(cases[i].plain, n, false, out),
		    strlen(cases[i].bare));
		assert_memory_equal(out, cases[i].bare,
		    strlen(cases[i].bare));
		base64url_encode(cases[i].plain, n, out);
		assert_string_equal(out, i == 7 ? "-__-" : cases[i].bare);
		assert_int_equal(base64_decode(span_of(cases[i].padded), true,
		    out, sizeof(out), &len), RC_OK);
		assert_int_equal(len, n);
		assert_memory_equal(out, cases[i].plain, n);
		assert_int_equal(base64_decode(span_of(cases[i].padded),
		    false, out, sizeof(out), &len), RC_OK);
		assert_int_equal(base64_decode(span_of(cases[i].bare), false,
		    out, n, &len), RC_OK);
		assert_int_equal(len, n);
		assert_int_equal(base64_decode(span_of(cases[i].bare), true,
		    out, sizeof(out), &len),
		    strlen(cases[i].bare) % 4 == 0 ? RC_OK : RC_SYNTAX);
	}
}

static void
test_base64_refusals(void **state)
{
	static const char *const bad[] = { "Z", "Zg=", "Zg===", "=", "==",
		"====", "Z===", "Zm9v=", "Zm9v==", "Zh==", "Zm9=", "Zm 9v",
		"Zm9v\n", "Zm-_", "Zg==Zg==", "Zg==v", "Z=g=", "\x80m9v" };
	char out[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (int pad = 0; pad < 2; pad++) {
			enum rc rc = base64_decode(span_of(bad[i]), pad != 0,
			    out, sizeof(out), &len);

			if (rc != RC_SYNTAX)
				fail_msg("accepted: %s", bad[i]);
			assert_int_equal(len, 0);
		}
	}
	/* Unpadded text with spare bits that are not zero. */
	assert_int_equal(base64_decode(SPAN_LIT("Zh"), false, out,
	    sizeof(out), &len), RC_SYNTAX);
	assert_int_equal(base64_decode(SPAN_LIT("Zm9vYg=="), true, out, 3,
	    &len), RC_LIMIT);
	assert_int_equal(base64_decode(SPAN_LIT("Zm9vYg=="), true, out, 4,
	    &len), RC_OK);
}

static void
test_base64_round_trips(void **state)
{
	unsigned char in[200], back[200];
	char text[300];
	size_t len;

	(void)state;
	for (size_t n = 0; n <= sizeof(in); n++) {
		random_bytes(in, n);
		for (int pad = 0; pad < 2; pad++) {
			struct span s = { text, base64_encode(in, n, pad != 0,
			    text) };

			assert_int_equal(base64_decode(s, pad != 0, back,
			    sizeof(back), &len), RC_OK);
			assert_int_equal(len, n);
			assert_memory_equal(in, back, n);
		}
	}
}

static void
test_hex(void **state)
{
	unsigned char out[3];
	char text[7];

	(void)state;
	hex_encode("\x00\xab\xff", 3, text);
	assert_string_equal(text, "00abff");
	hex_encode("", 0, text);
	assert_string_equal(text, "");
	assert_int_equal(hex_decode(SPAN_LIT("00aBFf"), out, 3), RC_OK);
	assert_memory_equal(out, "\x00\xab\xff", 3);
	assert_int_equal(hex_decode(SPAN_LIT("00ab"), out, 3), RC_SYNTAX);
	assert_int_equal(hex_decode(SPAN_LIT("00abff00"), out, 3), RC_SYNTAX);
	assert_int_equal(hex_decode(SPAN_LIT("00abf"), out, 2), RC_SYNTAX);
	assert_int_equal(hex_decode(SPAN_LIT("00abfg"), out, 3), RC_SYNTAX);
	assert_int_equal(hex_decode(SPAN_LIT("0x"), out, 1), RC_SYNTAX);
	assert_int_equal(hex_decode(SPAN_LIT(""), out, 0), RC_OK);
}

static void
test_utf8(void **state)
{
	static const struct {
		const char	*text;
		bool		ok;
	} cases[] = {
		{ "", true }, { "plain ascii, longer than a word", true },
		{ "\xc2\x80", true }, { "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true }, { "\xed\x9f\xbf", true },
		{ "\xee\x80\x80", true }, { "\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80", true }, { "\xf4\x8f\xbf\xbf", true },
		{ "\xc0\x80", false }, { "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false }, { "\xf0\x8f\xbf\xbf", false },
		{ "\xed\xa0\x80", false }, { "\xed\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false }, { "\xf5\x80\x80\x80", false },
		{ "\xff", false }, { "\x80", false }, { "\xc2", false },
		{ "\xe1\x80", false }, { "\xf1\x80\x80", false },
		{ "\xc2\x41", false }, { "\xe1\x80\x41", false },
		{ "\xf1\x80\x80\x41", false }, { "\xf8\x88\x80\x80\x80",
		    false },
	};

	(void)state;
	/* At each place relative to the word-wise part. */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t before = 0; before < 17; before++) {
			char text[80];
			size_t n = strlen(cases[i].text);

			memset(text, 'a', sizeof(text));
			memcpy(text + before, cases[i].text, n);
			assert_int_equal(utf8_valid(text, before + n),
			    cases[i].ok);
			assert_int_equal(utf8_valid(text, before + n + 20),
			    cases[i].ok);
		}
	}
	assert_true(utf8_valid("a\0b", 3));
}

static void
test_ids(void **state)
{
	char a[17], b[17];

	(void)state;
	id_make("app_", a);
	id_make("app_", b);
	assert_int_equal(strlen(a), 16);
	assert_memory_equal(a, "app_", 4);
	assert_int_equal(strspn(a + 4, "0123456789abcdef"), 12);
	assert_string_not_equal(a, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_base64_refusals),
		cmocka_unit_test(test_base64_round_trips),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_ids),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
