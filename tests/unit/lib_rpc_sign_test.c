/* lib/rpc/sign.c: a signature opens for the same key, challenge and bytes
 * alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/err.h>

#include "lib/rpc/sign.h"

static struct span
bytes_of(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static const char challenge_text[] = "0123456789abcdef0123456789abcdef";
static const struct span challenge = { challenge_text, 32 };
static const struct span part = SPAN_LIT("\x01\xa9" "CreateApp\x80");

static void
test_sign_and_verify(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	struct buffer sig;
	char copy[128];

	(void)state;
	buffer_init(&sig, 0, false);
	assert_int_equal(rpc_sign(key, challenge, part, &sig), RC_OK);
	assert_in_range(buffer_len(&sig), 60, 72);
	assert_int_equal(rpc_verify(key, challenge, part, bytes_of(&sig)),
	    RC_OK);
	assert_int_equal(rpc_verify(other, challenge, part, bytes_of(&sig)),
	    RC_DENIED);
	assert_int_equal(rpc_verify(key, challenge, SPAN_LIT("other"),
	    bytes_of(&sig)), RC_DENIED);
	assert_int_equal(rpc_verify(key, (struct span){ challenge_text, 31 },
	    part, bytes_of(&sig)), RC_DENIED);
	assert_int_equal(rpc_verify(key, challenge, part,
	    (struct span){ NULL, 0 }), RC_DENIED);
	assert_int_equal(rpc_verify(NULL, challenge, part, bytes_of(&sig)),
	    RC_DENIED);
	/* Every byte of it counts, and every length. */
	for (size_t i = 0; i < buffer_len(&sig); i++) {
		memcpy(copy, buffer_data(&sig), buffer_len(&sig));
		copy[i] = (char)(copy[i] ^ 1);
		assert_int_equal(rpc_verify(key, challenge, part,
		    (struct span){ copy, buffer_len(&sig) }), RC_DENIED);
		assert_int_equal(rpc_verify(key, challenge, part,
		    (struct span){ buffer_data(&sig), i }), RC_DENIED);
	}
	assert_int_equal(ERR_peek_error(), 0);
	buffer_fini(&sig);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void
test_another_challenge(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char other[32] = { 0 };
	struct buffer sig;

	(void)state;
	buffer_init(&sig, 0, false);
	assert_int_equal(rpc_sign(key, challenge, part, &sig), RC_OK);
	assert_int_equal(rpc_verify(key, (struct span){ other, 32 }, part,
	    bytes_of(&sig)), RC_DENIED);
	buffer_fini(&sig);
	EVP_PKEY_free(key);
}

static void
test_only_p256(void **state)
{
	EVP_PKEY *keys[] = {
		EVP_EC_gen("P-384"), EVP_EC_gen("secp256k1"),
		EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL
	};
	struct buffer sig;

	(void)state;
	buffer_init(&sig, 0, false);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(rpc_sign(keys[i], challenge, part, &sig),
		    RC_DENIED);
		assert_int_equal(buffer_len(&sig), 0);
		assert_int_equal(rpc_verify(keys[i], challenge, part,
		    SPAN_LIT("\x30\x06\x02\x01\x01\x02\x01\x01")), RC_DENIED);
		EVP_PKEY_free(keys[i]);
	}
	buffer_fini(&sig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign_and_verify),
		cmocka_unit_test(test_another_challenge),
		cmocka_unit_test(test_only_p256),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
