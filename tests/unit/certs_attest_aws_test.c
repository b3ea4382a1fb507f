/* A document from a real (debug) enclave of 2023, under AWS's own root. */
#include "certs/attest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "certs/attest_roots.h"
#include "lib/base/buffer.h"
#include "lib_body_suite.h"

#define DOC_MAX		8192
#define MADE_MS		1695049410860ull	/* 18 September 2023 */
#define LEAF_FROM_S	1695047829		/* 14:37:09 that day */
#define LEAF_UNTIL_S	1695058632		/* 17:37:12 */

static unsigned char bytes[DOC_MAX];
static struct span document;	/* view into bytes */
static X509_STORE *roots;

/* Each test starts here: without the suite it is skipped by name. */
static const char *
load(void)
{
	const char *folder = suite_path("nitro-attestation");
	char why[ATTEST_WHY_BYTES];
	struct buffer text;

	if (roots != NULL)
		return (folder);
	suite_file(folder, "attestation-doc-validation/src/nitro.pem", &text);
	assert_int_equal(attest_roots_read(suite_span(&text), &roots, why,
	    sizeof(why)), RC_OK);
	buffer_fini(&text);
	suite_file(folder, "test-data/valid-attestation-doc-base64", &text);
	assert_int_equal(base64_decode(span_trim(suite_span(&text)), false,
	    bytes, sizeof(bytes), &document.len), RC_OK);
	document.p = (char *)bytes;
	buffer_fini(&text);
	return (folder);
}

static int
teardown(void **state)
{
	(void)state;
	X509_STORE_free(roots);
	return (0);
}

static struct attest *
must_read(void)
{
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	assert_int_equal(attest_read(document, &a, why, sizeof(why)), RC_OK);
	return (a);
}

static void
test_root_is_the_known_one(void **state)
{
	unsigned char digest[32];
	char hex[2 * sizeof(digest) + 1];
	X509 *cert;

	(void)state;
	(void)load();
	cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(
	    X509_STORE_get0_objects(roots), 0));
	assert_int_equal(X509_digest(cert, EVP_sha256(), digest, NULL), 1);
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(hex, ATTEST_ROOT_AWS_SHA256);
}

static void
test_authentic_in_its_time(void **state)
{
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	(void)state;
	(void)load();
	a = must_read();
	assert_true(attest_timestamp_ms(a) == MADE_MS);
	assert_string_equal(attest_module_id(a),
	    "i-0918f6c55e3b61d89-enc018aa8b8e2285d13");
	assert_int_equal(attest_authenticate(a, roots, MADE_MS, why,
	    sizeof(why)), RC_OK);
	assert_string_equal(why, "");
	/* The life of the leaf, to the second; then today. */
	assert_int_equal(attest_authenticate(a, roots,
	    LEAF_FROM_S * 1000ull, why, sizeof(why)), RC_OK);
	assert_int_equal(attest_authenticate(a, roots,
	    (LEAF_UNTIL_S - 1) * 1000ull, why, sizeof(why)), RC_OK);
	assert_int_equal(attest_authenticate(a, roots,
	    (LEAF_FROM_S - 1) * 1000ull, why, sizeof(why)), RC_DENIED);
	assert_string_equal(why, "chain: certificate is not yet valid");
	assert_int_equal(attest_authenticate(a, roots,
	    LEAF_UNTIL_S * 1000ull, why, sizeof(why)), RC_DENIED);
	assert_string_equal(why, "chain: certificate has expired");
	assert_int_equal(attest_authenticate(a, roots,
	    (uint64_t)time(NULL) * 1000, why, sizeof(why)), RC_DENIED);
	assert_string_equal(why, "chain: certificate has expired");
	attest_free(&a);
}

/* Its image registers are zero, those of its parent are not. */
static void
test_debug_never_counts(void **state)
{
	static const char zero[48];
	const struct attest_expected_pcr pcrs[] = {
		{ 0, { zero, 48 } }, { 1, { zero, 48 } }, { 2, { zero, 48 } },
		{ 8, { zero, 48 } },
	};
	struct attest_expected_pcr parent;
	struct attest_expect want;
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	(void)state;
	(void)load();
	a = must_read();
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(attest_pcr(a, i).len, 48);
		assert_true((memcmp(attest_pcr(a, i).p, zero, 48) == 0) ==
		    (i != 3 && i != 4));
	}
	assert_int_equal(attest_pcr(a, 16).len, 0);
	assert_true(attest_debug(a));
	want = (struct attest_expect){ .roots = roots, .at_ms = MADE_MS,
	    .pcrs = pcrs, .n_pcrs = 4, .nonce = attest_nonce(a),
	    .user_data = attest_user_data(a) };
	assert_int_equal(attest_verify(a, &want, why, sizeof(why)), RC_DENIED);
	assert_string_equal(why, "debug-enclave");
	parent = (struct attest_expected_pcr){ 3, attest_pcr(a, 3) };
	want.pcrs = &parent;
	want.n_pcrs = 1;
	assert_int_equal(attest_verify(a, &want, why, sizeof(why)), RC_DENIED);
	assert_string_equal(why, "debug-enclave");
	attest_free(&a);
}

/* Its maker bound the TLS certificate by user_data: the key, in DER. */
static void
test_names_the_key_of_its_certificate(void **state)
{
	const char *folder = load();
	const unsigned char *p;
	unsigned char *spki = NULL;
	struct buffer der;
	struct attest *a = must_read();
	X509 *cert;
	int len;

	(void)state;
	suite_file(folder, "test-data/valid-certificate.der", &der);
	p = (unsigned char *)buffer_data(&der);
	assert_non_null(cert = d2i_X509(NULL, &p, (long)buffer_len(&der)));
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	assert_true(len > 0 && span_eq(attest_user_data(a),
	    (struct span){ (char *)spki, (size_t)len }));
	assert_null(attest_public_key(a).p);
	assert_int_equal(attest_nonce(a).len, 256);
	OPENSSL_free(spki);
	X509_free(cert);
	buffer_fini(&der);
	attest_free(&a);
}

static void
test_wrong_root(void **state)
{
	const char *folder = load();
	X509_STORE *others;
	char why[ATTEST_WHY_BYTES];
	struct attest *a = must_read();
	struct buffer der;

	(void)state;
	suite_file(folder, "test-data/valid-certificate.der", &der);
	assert_int_equal(attest_roots_read(suite_span(&der), &others, why,
	    sizeof(why)), RC_OK);
	assert_int_equal(attest_authenticate(a, others, MADE_MS, why,
	    sizeof(why)), RC_DENIED);
	assert_int_equal(strncmp(why, "chain: ", 7), 0);
	X509_STORE_free(others);
	buffer_fini(&der);
	attest_free(&a);
}

/* Where a changed document was refused. */
struct tally {
	unsigned	form;		/* no document any more */
	unsigned	chain;		/* a certificate */
	unsigned	signature;
};

/* The changed document in bytes must not pass; counted by what stopped it. */
static void
must_refuse(struct tally *t, size_t where)
{
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	if (attest_read(document, &a, why, sizeof(why)) != RC_OK) {
		assert_null(a);
		t->form++;
		return;
	}
	if (attest_authenticate(a, roots, MADE_MS, why, sizeof(why)) == RC_OK)
		fail_msg("byte %zu: the change was not noticed", where);
	if (strncmp(why, "signature: ", 11) == 0)
		t->signature++;
	else
		t->chain++;
	attest_free(&a);
}

/* Every byte with one bit another; some, and the envelope in front of the
 * payload, with each of the eight. */
static void
test_any_altered_byte(void **state)
{
	struct tally t = { 0 };

	(void)state;
	(void)load();
	for (size_t i = 0; i < document.len; i++) {
		bool all = i < 12 || i % 256 == 0 || i + 4 > document.len;

		for (unsigned bit = 0; bit < 8; bit++) {
			if (!all && bit != i % 8)
				continue;
			bytes[i] ^= (unsigned char)(1u << bit);
			must_refuse(&t, i);
			bytes[i] ^= (unsigned char)(1u << bit);
		}
	}
	/* Each of the walls was hit: this test sees what it means to see. */
	assert_true(t.form > 20 && t.chain > 500 && t.signature > 1000);
	assert_true(t.form + t.chain + t.signature > document.len);
}

static void
test_cut_or_longer(void **state)
{
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	(void)state;
	(void)load();
	for (size_t len = 0; len < document.len; len++) {
		assert_int_equal(attest_read((struct span){ document.p, len },
		    &a, why, sizeof(why)), RC_SYNTAX);
		assert_null(a);
	}
	assert_true(document.len < sizeof(bytes));
	bytes[document.len] = 0;
	assert_int_equal(attest_read((struct span){ document.p,
	    document.len + 1 }, &a, why, sizeof(why)), RC_SYNTAX);
	assert_string_equal(why, "bytes behind the item");
}

/* The same document tagged is the same document. */
static void
test_tagged(void **state)
{
	unsigned char tagged[DOC_MAX + 1] = { 0xd2 };
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	(void)state;
	(void)load();
	assert_int_equal(bytes[0], 0x84);	/* AWS sends it untagged */
	memcpy(tagged + 1, bytes, document.len);
	assert_int_equal(attest_read((struct span){ (char *)tagged,
	    document.len + 1 }, &a, why, sizeof(why)), RC_OK);
	assert_int_equal(attest_authenticate(a, roots, MADE_MS, why,
	    sizeof(why)), RC_OK);
	attest_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_is_the_known_one),
		cmocka_unit_test(test_authentic_in_its_time),
		cmocka_unit_test(test_debug_never_counts),
		cmocka_unit_test(test_names_the_key_of_its_certificate),
		cmocka_unit_test(test_wrong_root),
		cmocka_unit_test(test_any_altered_byte),
		cmocka_unit_test(test_cut_or_longer),
		cmocka_unit_test(test_tagged),
	};

	return (cmocka_run_group_tests(tests, NULL, teardown));
}
