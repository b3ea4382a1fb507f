/* What a worker says when it asks for a change. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "shm/feed/change_text.h"

#define HEX	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TEXT(op, hash, field, expect, key)				\
	"{\"id\":7,\"op\":" op ",\"hash\":" hash ",\"field\":" field		\
	",\"expect\":" expect ",\"apiKey\":" key "}"

static void
test_good(void **state)
{
	struct change_text c;

	(void)state;
	assert_int_equal(change_text_read(span_of(TEXT("\"put\"", "\"relays\"",
	    "\"a.test\"", "null", "\"k\\u00e9y\"")), &c), RC_OK);
	assert_int_equal(c.id, 7);
	assert_string_equal(c.key, "relays/a.test");
	assert_false(c.remove);
	assert_false(c.had);
	assert_true(c.api_key.sensitive);
	assert_string_equal(buffer_cstr(&c.api_key), "k\xc3\xa9y");
	change_text_fini(&c);
	assert_int_equal(change_text_read(span_of(TEXT("\"delete\"",
	    "\"egress\"", "\"app_0123456789ab\"", "\"" HEX "\"", "\"\"")), &c),
	    RC_OK);
	assert_string_equal(c.key, "egress/app_0123456789ab");
	assert_true(c.remove);
	assert_true(c.had);
	for (unsigned i = 0; i < sizeof(c.seen); i++)
		assert_int_equal(c.seen[i], i);
	change_text_fini(&c);
}

static void
test_bad(void **state)
{
	static const struct {
		const char	*text;
		uint64_t	id;
	} t[] = {
		{ "", 0 }, { "{}", 0 }, { "[7]", 0 }, { "7", 0 }, { "{\"id\":7", 0 },
		{ "{\"id\":\"7\"}", 0 }, { "{\"id\":-7}", 0 }, { "{\"id\":7}", 7 },
		{ TEXT("\"get\"", "\"relays\"", "\"a\"", "null", "\"k\""), 7 },
		{ TEXT("1", "\"relays\"", "\"a\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"apps\"", "\"a\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relay:relays\"", "\"a\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "null", "\"a\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\\u0000\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\\ud800\"", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "[]", "null", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\"", "\"\"", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\"", "\"" HEX "00\"", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\"", "false", "\"k\""), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\"", "null", "null"), 7 },
		{ TEXT("\"put\"", "\"relays\"", "\"a\"", "null", "[\"k\"]"), 7 },
		{ "{\"id\":7,\"op\":\"put\",\"hash\":\"relays\",\"field\":\"a\","
		    "\"apiKey\":\"k\"}", 7 },
	};
	struct change_text c;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (change_text_read(span_of(t[i].text), &c) != RC_SYNTAX)
			fail_msg("%s", t[i].text);
		assert_int_equal(c.id, t[i].id);
		change_text_fini(&c);
	}
}

/* Longest field that a key has room for, and one more. */
static void
test_long(void **state)
{
	char field[SHM_KEY_BYTES + 8], text[2 * SHM_KEY_BYTES + 256];
	struct change_text c;

	(void)state;
	for (size_t over = 0; over < 2; over++) {
		size_t len = SHM_KEY_BYTES - strlen(SHM_RELAYS) + over;

		memset(field, 'a', len);
		field[len] = '\0';
		(void)snprintf(text, sizeof(text), TEXT("\"put\"", "\"relays\"",
		    "\"%s\"", "null", "\"k\""), field);
		assert_int_equal(change_text_read(span_of(text), &c), over == 0 ?
		    RC_OK : RC_SYNTAX);
		change_text_fini(&c);
	}
}

/* Every cut of a good one is refused. */
static void
test_cut(void **state)
{
	static const char text[] = TEXT("\"put\"", "\"relays\"", "\"a.test\"",
	    "\"" HEX "\"", "\"key\"");
	struct change_text c;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		assert_int_equal(change_text_read((struct span){ text, n }, &c),
		    RC_SYNTAX);
		change_text_fini(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_cut),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
