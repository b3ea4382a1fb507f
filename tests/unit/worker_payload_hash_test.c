/*
 * worker/payload_hash.c: spellings that mean the same have one form, others do
 * not; the hash is SHA-256 of that form.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/base/string.h"
#include "worker/payload_hash.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static enum rc
canonical(const char *text, struct buffer *out)
{
	struct body_json doc;
	enum rc rc;

	buffer_init(out, 0, true);
	assert_int_equal(body_json_read(&doc, text, strlen(text),
	    PAYLOAD_NODES_MAX, NULL), RC_OK);
	rc = payload_canonical(&doc, 0, out);
	body_json_fini(&doc);
	return (rc);
}

static const struct {
	const char	*in, *want;
} forms[] = {
	{ " null ", "null" },
	{ "true", "true" },
	{ "-0.50E+3", "-0.50E+3" },	/* a number's digits are its own */
	{ "\"\"", "\"\"" },
	{ "\"\\u0041\\/b\\u00e9\"", "\"A/b\xc3\xa9\"" },
	{ "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
	{ "\"\\u000a\\n\"", "\"\\n\\n\"" },
	{ "\"\\u0022\\\\\"", "\"\\\"\\\\\"" },
	{ " [ ] ", "[]" },
	{ " { } ", "{}" },
	{ "[ 1 , [ 2 ] , { } ]", "[1,[2],{}]" },
	{ "{ \"b\" : 1 , \"a\" : 2 }", "{\"a\":2,\"b\":1}" },
	{ "{\"b\":{\"d\":1,\"c\":2},\"a\":[{\"y\":0,\"x\":0}]}",
	    "{\"a\":[{\"x\":0,\"y\":0}],\"b\":{\"c\":2,\"d\":1}}" },
	/* by decoded bytes, a prefix first; names of one spelling as they came */
	{ "{\"aa\":1,\"\\u0061\":2,\"\":3}", "{\"\":3,\"a\":2,\"aa\":1}" },
	{ "{\"\":[{\"\":0}]}", "{\"\":[{\"\":0}]}" },
	{ "{\"a\":2,\"\\u0061\":1}", "{\"a\":2,\"a\":1}" },
	{ "{\"a\":1,\"\\u0061\":2}", "{\"a\":1,\"a\":2}" },
	{ "{\"\xc3\xa9\":1,\"z\":2}", "{\"z\":2,\"\xc3\xa9\":1}" },
	{ "{\"a\\u0000b\":1,\"a\":2}", "{\"a\":2,\"a\\u0000b\":1}" },
};

static void
test_forms(void **state)
{
	struct buffer out, again;

	(void)state;
	for (size_t i = 0; i < N(forms); i++) {
		assert_int_equal(canonical(forms[i].in, &out), RC_OK);
		assert_string_equal(buffer_cstr(&out), forms[i].want);
		/* It is its own canonical form. */
		assert_int_equal(canonical(buffer_cstr(&out), &again), RC_OK);
		assert_string_equal(buffer_cstr(&again), forms[i].want);
		buffer_fini(&out);
		buffer_fini(&again);
	}
}

static void
test_what_has_no_form(void **state)
{
	static const char *const texts[] = {
		"\"\\ud800\"", "[\"\\udc00\"]", "{\"\\ud800\":1}",
		"{\"a\":{\"b\":[\"\\ud800x\"]}}",
	};
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < N(texts); i++) {
		assert_int_equal(canonical(texts[i], &out), RC_SYNTAX);
		buffer_fini(&out);
	}
}

static void
hash_of(const char *text, const char *member, char hex[65])
{
	uint8_t hash[RPC_PAYLOAD_HASH_BYTES];
	struct body_json doc;
	uint32_t node = 0;

	assert_int_equal(body_json_read(&doc, text, strlen(text), 0, NULL), RC_OK);
	if (member != NULL)
		assert_int_not_equal(node = body_json_member(&doc, 0, member), 0);
	assert_int_equal(payload_hash(&doc, node, hash), RC_OK);
	hex_encode(hash, sizeof(hash), hex);
	body_json_fini(&doc);
}

static void
test_hash(void **state)
{
	char a[65], b[65];

	(void)state;
	hash_of(" {\"b\":[1], \"a\":\"x\"} ", NULL, a);
	/* printf '{"a":"x","b":[1]}' | sha256sum */
	assert_string_equal(a,
	    "6c17667416e4e6be6ecc8334b4bf4c09"
	    "e6763cb51e57a0fc3e2dfe72ec71fa81");
	hash_of("{\"data\":{\"a\":\"\\u0078\",\"b\":[ 1 ]}}", "data", b);
	assert_string_equal(a, b);
	hash_of("{\"a\":\"x\",\"b\":[1.0]}", NULL, b);
	assert_string_not_equal(a, b);
	hash_of("{\"a\":\"x\",\"b\":[\"1\"]}", NULL, b);
	assert_string_not_equal(a, b);
	hash_of("[{\"a\":\"x\",\"b\":[1]}]", NULL, b);
	assert_string_not_equal(a, b);
}

/* As deep as a document may be, and a wide one. */
static void
test_deep_and_wide(void **state)
{
	char text[2 * BODY_JSON_DEPTH_MAX + 1];
	struct buffer wide, out;

	(void)state;
	memset(text, '[', BODY_JSON_DEPTH_MAX);
	memset(text + BODY_JSON_DEPTH_MAX, ']', BODY_JSON_DEPTH_MAX);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(canonical(text, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out), text);
	buffer_fini(&out);
	buffer_init(&wide, 0, false);
	for (int i = 20000; i > 0; i--)
		buffer_printf(&wide, "%s\"%05d\":%d", i == 20000 ? "{" : ",", i, i);
	buffer_puts(&wide, "}");
	assert_int_equal(canonical(buffer_cstr(&wide), &out), RC_OK);
	assert_int_equal(buffer_len(&out), buffer_len(&wide));
	assert_memory_equal(buffer_data(&out), "{\"00001\":1,\"00002\":2,", 21);
	buffer_fini(&out);
	buffer_fini(&wide);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_what_has_no_form),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_deep_and_wide),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
