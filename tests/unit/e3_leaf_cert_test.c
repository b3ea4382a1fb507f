/* e3/leaf_cert.c: leaves as a client's verification sees them, and what is no
 * host, no key, or not for this worker. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "e3/ca_cert.h"
#include "e3/leaf_cert.h"
#include "e3/x509_text.h"
#include "e3_ca_stage.h"
#include "lib/base/clock.h"

static void
check_leaf(X509 *cert, const char *host)
{
	uint64_t from_ms, to_ms, now_ms = clock_wall_ms();
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	char cn[128] = "";

	assert_true(e3_x509_time_ms(X509_get0_notBefore(cert), &from_ms));
	assert_true(e3_x509_time_ms(X509_get0_notAfter(cert), &to_ms));
	assert_in_range(now_ms - from_ms, 0, HOUR_MS + 20000);
	assert_in_range(to_ms, now_ms + DAY_MS - 20000, now_ms + DAY_MS);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_not_equal(X509_get_extension_flags(cert) & EXFLAG_BCONS, 0);
	assert_non_null(X509_get0_subject_key_id(cert));
	assert_non_null(X509_get0_authority_key_id(cert));
	assert_int_equal(ASN1_STRING_length(serial), 16);
	assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER);
	(void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
	    NID_commonName, cn, sizeof(cn));
	assert_string_equal(cn, strlen(host) <= 64 ? host : "");
	assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(cert,
	    X509_get_ext_by_NID(cert, NID_subject_alt_name, -1))),
	    cn[0] == '\0');
}

#define LABEL60	"a23456789012345678901234567890123456789012345678901234567890"

static void
test_leaves(void **state)
{
	static const struct {
		const char	*host;
		enum rpc_status	want;
	} cases[] = {
		{ "api.example.com", RPC_STATUS_OK },
		{ "a", RPC_STATUS_OK },
		{ "_dmarc.example.com", RPC_STATUS_OK },
		{ "xn--bcher-kva.example", RPC_STATUS_OK },
		{ "192.0.2.7", RPC_STATUS_OK },
		{ "2001:db8::7", RPC_STATUS_OK },
		{ "::1", RPC_STATUS_OK },
		{ LABEL60 ".abc", RPC_STATUS_OK },	/* 64 */
		{ LABEL60 ".abcd", RPC_STATUS_OK },
		{ LABEL60 "." LABEL60 "." LABEL60 "." LABEL60 ".test",
		    RPC_STATUS_OK },
		{ "", RPC_STATUS_BAD_REQUEST },
		{ "API.example.com", RPC_STATUS_BAD_REQUEST },
		{ "example.com.", RPC_STATUS_BAD_REQUEST },
		{ "*.example.com", RPC_STATUS_BAD_REQUEST },
		{ "example.com:443", RPC_STATUS_BAD_REQUEST },
		{ "[::1]", RPC_STATUS_BAD_REQUEST },
		{ "2001:DB8::7", RPC_STATUS_BAD_REQUEST },
		{ "a,DNS:b", RPC_STATUS_BAD_REQUEST },
		{ "a b", RPC_STATUS_BAD_REQUEST },
		{ "b\xc3\xbc" "cher.example", RPC_STATUS_BAD_REQUEST },
		{ LABEL60 "." LABEL60 "." LABEL60 "." LABEL60 "." LABEL60,
		    RPC_STATUS_BAD_REQUEST },
	};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *der;
	struct span spki = ca_public_der(key, &der);
	struct ca_made m;
	struct fixture f;
	X509 *anchor;

	(void)state;
	ca_fixture(&f, NULL, &m);
	anchor = ca_pem_cert(m.cert);
	assert_int_equal(X509_get_pathlen(anchor), 0);
	assert_int_equal(X509_get_key_usage(anchor), KU_KEY_CERT_SIGN |
	    KU_CRL_SIGN);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char chain[8192];
		X509 *cert;

		if (ca_leaf(&f, cases[i].host, spki, chain, sizeof(chain)) !=
		    cases[i].want)
			fail_msg("%s", cases[i].host);
		if (cases[i].want != RPC_STATUS_OK)
			continue;
		assert_int_equal(ca_verify(chain, anchor, "other.test", NULL),
		    X509_V_ERR_HOSTNAME_MISMATCH);
		assert_int_equal(ca_verify(chain, anchor, cases[i].host, &cert),
		    X509_V_OK);
		assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(cert), key), 1);
		check_leaf(cert, cases[i].host);
		X509_free(cert);
	}
	assert_int_equal(f.engine.leaves, 10);
	X509_free(anchor);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	fixture_stop(&f);
}

/* The one encoding of a P-256 point, and nothing else. */
static void
test_foreign_keys(void **state)
{
	static const char *const curves[] = { "P-384", "secp256k1" };
	EVP_PKEY *key = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048), *other;
	char bytes[128], *longer;
	unsigned char *der;
	struct span spki = ca_public_der(key, &der);
	struct ca_made m;
	struct fixture f;

	(void)state;
	ca_fixture(&f, NULL, &m);
	for (size_t n = 0; n < spki.len; n++)
		assert_int_equal(ca_leaf(&f, "a.test", (struct span){ spki.p, n },
		    NULL, 0), RPC_STATUS_BAD_REQUEST);
	e3_leaf_limit(&f.engine.leaf_meters, 100000);
	for (size_t i = 0; i < spki.len; i++) {
		memcpy(bytes, spki.p, spki.len);
		bytes[i] ^= 1;		/* in the point: not on the curve */
		assert_int_equal(ca_leaf(&f, "a.test", (struct span){ bytes,
		    spki.len }, NULL, 0), RPC_STATUS_BAD_REQUEST);
	}
	longer = calloc(1, spki.len + 1);
	memcpy(longer, spki.p, spki.len);
	assert_int_equal(ca_leaf(&f, "a.test", (struct span){ longer,
	    spki.len + 1 }, NULL, 0), RPC_STATUS_BAD_REQUEST);
	free(longer);
	OPENSSL_free(der);
	spki = ca_public_der(rsa, &der);
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
	    RPC_STATUS_BAD_REQUEST);
	for (int i = 0; i < 2; i++) {
		OPENSSL_free(der);
		other = EVP_EC_gen(curves[i]);
		spki = ca_public_der(other, &der);
		assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
		    RPC_STATUS_BAD_REQUEST);
		EVP_PKEY_free(other);
	}
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	EVP_PKEY_free(rsa);
	fixture_stop(&f);
}

static void
test_limit_by_worker(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *der;
	struct span spki = ca_public_der(key, &der);
	unsigned n = 0;
	struct ca_made m;
	struct fixture f;

	(void)state;
	ca_fixture(&f, NULL, &m);
	e3_leaf_limit(&f.engine.leaf_meters, 5);
	while (ca_leaf(&f, "a.test", spki, NULL, 0) == RPC_STATUS_OK)
		n++;
	assert_in_range(n, 6, 8);	/* a minute's saving; debt; our time */
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
	    RPC_STATUS_RATE_LIMITED);
	(void)snprintf(f.peer.name, sizeof(f.peer.name), "w2");
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0), RPC_STATUS_OK);
	f.peer.role = RPC_ROLE_ADMIN;
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
	    RPC_STATUS_NOT_ALLOWED);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	fixture_stop(&f);
}

static void
test_name_constraints(void **state)
{
	static const struct {
		const char	*host;
		enum rpc_status	want;
	} cases[] = {
		{ "example.com", RPC_STATUS_OK },
		{ "a.b.example.com", RPC_STATUS_OK },
		{ "example.org", RPC_STATUS_NOT_ALLOWED },
		{ "badexample.com", RPC_STATUS_NOT_ALLOWED },
		{ "192.0.2.7", RPC_STATUS_NOT_ALLOWED },
		{ "2001:db8::7", RPC_STATUS_NOT_ALLOWED },
	};
	static const char *const bad[] = { "Example.com", "*.example.com", "",
	    ".example.com", "192.0.2.0", "a,permitted;DNS:b" };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *der;
	struct span spki = ca_public_der(key, &der);
	struct ca_made m, other;
	struct fixture f;
	char chain[8192];
	X509 *anchor;

	(void)state;
	ca_fixture(&f, "example.com", &m);
	anchor = ca_pem_cert(m.cert);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (ca_leaf(&f, cases[i].host, spki, chain, sizeof(chain)) !=
		    cases[i].want)
			fail_msg("%s", cases[i].host);
		if (cases[i].want == RPC_STATUS_OK)
			assert_int_equal(ca_verify(chain, anchor, cases[i].host,
			    NULL), X509_V_OK);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ca_create(&f, bad[i], true, 1, &other),
		    RPC_STATUS_BAD_REQUEST);
	assert_int_equal(ca_create(&f, NULL, true, 0, &other),
	    RPC_STATUS_BAD_REQUEST);
	assert_int_equal(ca_create(&f, NULL, true, E3_CA_DAYS_MAX + 1, &other),
	    RPC_STATUS_BAD_REQUEST);
	X509_free(anchor);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	fixture_stop(&f);
}

/* A leaf ends with its CA at the latest. */
static void
test_end_of_the_ca(void **state)
{
	const uint64_t now_ms = clock_wall_ms() / 1000 * 1000;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *der;
	struct span spki = ca_public_der(key, &der);
	uint64_t from_ms, end_ms;
	struct e3_ca *ca;
	struct buffer out;
	struct ca_made m;
	struct fixture f;
	X509 *cert;

	(void)state;
	ca_fixture(&f, NULL, &m);
	ca = e3_keyring_app(f.engine.keyring, SPAN_LIT(E3_SYSTEM_APP))->cas[0];
	for (uint64_t left_ms = 1000; left_ms < 2 * DAY_MS; left_ms *= 5) {
		buffer_init(&out, 0, false);
		ca->not_before_ms = now_ms - left_ms / 50 / 1000 * 1000;
		ca->not_after_ms = now_ms + left_ms;
		assert_int_equal(e3_leaf_make(ca, f.engine.crypto, "a.test",
		    spki, now_ms, &out, &end_ms), RC_OK);
		cert = ca_pem_cert(buffer_cstr(&out));
		assert_true(e3_x509_time_ms(X509_get0_notBefore(cert),
		    &from_ms));
		assert_int_equal(end_ms, now_ms + (left_ms < DAY_MS ? left_ms :
		    DAY_MS));
		assert_true(from_ms >= ca->not_before_ms);
		X509_free(cert);
		buffer_fini(&out);
	}
	ca->not_after_ms = clock_wall_ms();
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
	    RPC_STATUS_NO_SUCH_KEY);
	ca_check_states(&f, "old", 0);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_foreign_keys),
		cmocka_unit_test(test_limit_by_worker),
		cmocka_unit_test(test_name_constraints),
		cmocka_unit_test(test_end_of_the_ca),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
