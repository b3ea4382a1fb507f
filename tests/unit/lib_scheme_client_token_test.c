/* lib/scheme/client_token.c and derive.c: one form of each token; whatever was
 * changed or made by somebody else is no token of ours. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/scheme/client_token.h"

static const uint8_t key[SCHEME_SECRET_BYTES] = "a key of thirty-two bytes.......";

/* ---- derive.c ---- */

/* RFC 5869 A.1: PRK and info of the first test case, and the first 32 bytes of
 * its OKM. */
static void
test_hkdf_expand(void **state)
{
	static const char info[] = "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9";
	uint8_t prk[32], want[32], got[32];

	(void)state;
	assert_int_equal(hex_decode(SPAN_LIT("077709362c2e32df0ddc3f0dc47bba6390"
	    "b6c73bb50f9c3122ec844ad7c2b3e5"), prk, 32), RC_OK);
	assert_int_equal(hex_decode(SPAN_LIT("3cb25f25faacd57a90434f64d0362f2a2d"
	    "2d0a90cf1a5a4c5db02d56ecc4c5bf"), want, 32), RC_OK);
	assert_int_equal(scheme_derive(prk, info, got), RC_OK);
	assert_memory_equal(got, want, 32);
	/* Another end, another key; empty parts count for nothing. */
	assert_int_equal(scheme_derive(prk, "x", got), RC_OK);
	assert_memory_not_equal(got, want, 32);
	assert_int_equal(scheme_hmac(prk, (const struct span[]){
	    { NULL, 0 }, span_of(info), { NULL, 0 }, SPAN_LIT("\1") }, 4, got),
	    RC_OK);
	assert_memory_equal(got, want, 32);
}

/* ---- client_token.c ---- */

static const char claims[] = "{\"version\":1,\"app_uuid\":\"app_0123456789ab\","
    "\"team_uuid\":\"team_0123456789ab\",\"jti\":\"client_side_token_00ff00ff00ff\","
    "\"exp\":1700000000000,\"action\":\"api:decrypt\",\"resource\":null,"
    "\"hashed_body\":null,\"client_ip\":null}";
static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

/* header.claims.mac, signed by key. */
static void
make(const char *head, const char *body, char out[1200])
{
	uint8_t mac[32];
	struct span part;

	base64url_encode(head, strlen(head), out);
	strcat(out, ".");
	base64url_encode(body, strlen(body), out + strlen(out));
	part = span_of(out);
	assert_int_equal(scheme_hmac(key, &part, 1, mac), RC_OK);
	strcat(out, ".");
	base64url_encode(mac, sizeof(mac), out + strlen(out));
}

static void
token(bool bound, struct scheme_client_token *t)
{
	memset(t, 0, sizeof(*t));
	strcpy(t->app, "app_0123456789ab");
	strcpy(t->id, "client_side_token_00ff00ff00ff");
	t->expires_ms = 1700000000000;
	t->bound = bound;
	for (unsigned i = 0; bound && i < sizeof(t->payload); i++)
		t->payload[i] = (uint8_t)(0xf8 + i);	/* '-' and '_' */
}

static void
test_printed_form(void **state)
{
	struct scheme_client_token t, again;
	struct buffer b;
	char want[1200];

	(void)state;
	make(header, claims, want);
	token(false, &t);
	buffer_init(&b, 0, false);
	assert_int_equal(scheme_client_token_print(&t, key, &b), RC_OK);
	assert_string_equal(buffer_cstr(&b), want);
	for (int bound = 0; bound < 2; bound++) {
		token(bound, &t);
		buffer_clear(&b);
		assert_int_equal(scheme_client_token_print(&t, key, &b), RC_OK);
		assert_null(strpbrk(buffer_cstr(&b), "+/="));
		assert_int_equal(scheme_client_token_parse(span_of(
		    buffer_cstr(&b)), &again), RC_OK);
		assert_string_equal(again.app, t.app);
		assert_string_equal(again.id, t.id);
		assert_int_equal(again.expires_ms, t.expires_ms);
		assert_int_equal(again.bound, bound);
		assert_memory_equal(again.payload, t.payload, 32);
		assert_int_equal(scheme_client_token_signed(&again, key), RC_OK);
	}
	buffer_fini(&b);
}

static void
test_the_longest_fits(void **state)
{
	struct scheme_client_token t, again;
	struct buffer b;

	(void)state;
	token(true, &t);
	memset(t.app + 4, 'z', sizeof(t.app) - 5);
	t.expires_ms = UINT64_MAX;
	buffer_init(&b, 0, false);
	assert_int_equal(scheme_client_token_print(&t, key, &b), RC_OK);
	assert_true(buffer_len(&b) <= SCHEME_CLIENT_TOKEN_CHARS_MAX);
	assert_int_equal(scheme_client_token_parse(span_of(buffer_cstr(&b)),
	    &again), RC_OK);
	assert_string_equal(again.app, t.app);
	assert_int_equal(again.expires_ms, UINT64_MAX);
	buffer_fini(&b);
}

static bool
accepted(struct span text)
{
	struct scheme_client_token t;

	return (scheme_client_token_parse(text, &t) == RC_OK &&
	    scheme_client_token_signed(&t, key) == RC_OK);
}

/* Every bit of every character, every cut, and a character more. */
static void
test_any_change(void **state)
{
	struct scheme_client_token t;
	struct buffer b;
	char text[1200];
	size_t n;

	(void)state;
	for (int bound = 0; bound < 2; bound++) {
		token(bound, &t);
		buffer_init(&b, 0, false);
		assert_int_equal(scheme_client_token_print(&t, key, &b), RC_OK);
		n = buffer_len(&b);
		memcpy(text, buffer_data(&b), n);
		buffer_fini(&b);
		assert_true(accepted((struct span){ text, n }));
		for (size_t bit = 0; bit < 8 * n; bit++) {
			text[bit / 8] ^= (char)(1 << bit % 8);
			if (accepted((struct span){ text, n }))
				fail_msg("bit %zu changed nothing", bit);
			text[bit / 8] ^= (char)(1 << bit % 8);
		}
		for (size_t cut = 0; cut < n; cut++) {
			assert_false(accepted((struct span){ text, cut }));
			assert_false(accepted((struct span){ text + n - cut,
			    cut }));
		}
		for (const char *end = "=.A"; *end != '\0'; end++) {
			text[n] = *end;
			assert_false(accepted((struct span){ text, n + 1 }));
		}
	}
	assert_false(accepted((struct span){ NULL, 0 }));
}

static void
test_another_key(void **state)
{
	uint8_t other[SCHEME_SECRET_BYTES];
	struct scheme_client_token t;
	char text[1200];

	(void)state;
	make(header, claims, text);
	assert_int_equal(scheme_client_token_parse(span_of(text), &t), RC_OK);
	for (unsigned i = 0; i < sizeof(other); i++) {
		memcpy(other, key, sizeof(other));
		other[i] ^= 1;
		assert_int_equal(scheme_client_token_signed(&t, other),
		    RC_DENIED);
	}
}

/* Signed by our key, and still of no shape of ours. */
static void
test_foreign_shapes(void **state)
{
	static const char *const heads[] = {
		"{\"alg\":\"none\"}", "{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"hs256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\" }",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"1\"}", "{}", "",
	};
	static const struct {
		const char	*old, *by;
	} changes[] = {
		{ "\"version\":1", "\"version\":2" },
		{ "\"version\":1", "\"version\":1.0" },
		{ "\"app_uuid\":\"app_0123456789ab\"", "\"app_uuid\":\"app_1\"" },
		{ "\"team_uuid\":\"team_0123456789ab\"",
		    "\"team_uuid\":\"app_0123456789ab\"" },
		{ "team_0123456789ab", "team_0123456789ac" },
		{ "team_0123456789ab", "team_app_0123456789ab" },
		{ "app_0123456789ab", "App_0123456789ab" },
		{ "app_0123456789ab", "app_01\\u003289ab" },
		{ "client_side_token_00ff00ff00ff", "client_side_token_00ff" },
		{ "client_side_token_00ff00ff00ff",
		    "client_side_token_00FF00FF00FF" },
		{ "client_side_token_00ff00ff00ff", "key_00ff00ff00ff" },
		{ "1700000000000", "01700000000000" },
		{ "1700000000000", "+1700000000000" },
		{ "1700000000000", "-1" }, { "1700000000000", "1.7e12" },
		{ "1700000000000", "18446744073709551616" },
		{ "1700000000000", "" }, { "1700000000000", "null" },
		{ "api:decrypt", "api:encrypt" }, { "api:decrypt", "api:*" },
		{ "\"resource\":null", "\"resource\":\"x\"" },
		{ "\"hashed_body\":null", "\"hashed_body\":\"\"" },
		{ "\"hashed_body\":null", "\"hashed_body\":\"AAAA\"" },
		{ "\"hashed_body\":null", "\"hashed_body\":\"AAAAAAAAAAAAAAAAAAAA"
		    "AAAAAAAAAAAAAAAAAAAAAAB\"" },
		{ "\"hashed_body\":null", "\"hashed_body\":0" },
		{ "\"client_ip\":null", "\"client_ip\":\"192.0.2.1\"" },
		{ "\"client_ip\":null", "\"client_ip\":null,\"x\":1" },
		{ "null}", "null} " }, { "{\"version", "{ \"version" },
		{ "null}", "null" },
	};
	char text[1200], body[600];

	(void)state;
	make(header, claims, text);
	assert_true(accepted(span_of(text)));
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		make(heads[i], claims, text);
		assert_false(accepted(span_of(text)));
	}
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *at = strstr(claims, changes[i].old);

		assert_non_null(at);
		(void)snprintf(body, sizeof(body), "%.*s%s%s",
		    (int)(at - claims), claims, changes[i].by,
		    at + strlen(changes[i].old));
		make(header, body, text);
		if (accepted(span_of(text)))
			fail_msg("change %zu", i);
	}
	make(header, "", text);
	assert_false(accepted(span_of(text)));
}

static void
test_names(void **state)
{
	struct scheme_client_token a, b;

	(void)state;
	scheme_client_token_name(&a);
	scheme_client_token_name(&b);
	assert_int_equal(strlen(a.id), 30);
	assert_int_equal(strncmp(a.id, "client_side_token_", 18), 0);
	assert_string_not_equal(a.id, b.id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hkdf_expand),
		cmocka_unit_test(test_printed_form),
		cmocka_unit_test(test_the_longest_fits),
		cmocka_unit_test(test_any_change),
		cmocka_unit_test(test_another_key),
		cmocka_unit_test(test_foreign_shapes),
		cmocka_unit_test(test_names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
