/* Certificates in one file, and in one that Java trusts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "ctl/ca_bundle.h"

/* A self-signed certificate, PEM, appended. */
static void
add_certificate(struct buffer *out, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;

	assert_non_null(key);
	(void)X509_set_version(x, X509_VERSION_3);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -10);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	(void)X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8,
	    (const unsigned char *)name, -1, -1, 0);
	(void)X509_set_issuer_name(x, n);
	(void)X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	len = BIO_get_mem_data(bio, &text);
	buffer_put(out, text, (size_t)len);
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
}

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static int
count(struct span pem)
{
	STACK_OF(X509) *list = ca_bundle_parse(pem);
	int n = list == NULL ? -1 : sk_X509_num(list);

	ca_bundle_free(&list);
	return (n);
}

static void
test_parse(void **state)
{
	struct buffer pem;

	(void)state;
	buffer_init(&pem, 0, false);
	assert_int_equal(count(SPAN_LIT("")), 0);
	assert_int_equal(count((struct span){ NULL, 0 }), 0);
	assert_int_equal(count(SPAN_LIT("no certificate\n")), 0);
	buffer_puts(&pem, "# a comment\n");
	add_certificate(&pem, "one");
	buffer_puts(&pem, "\nand words between\n");
	add_certificate(&pem, "two");
	assert_int_equal(count(view(&pem)), 2);
	/* Cut anywhere in its base64 it is broken, not shorter. */
	buffer_truncate(&pem, buffer_len(&pem) - 60);
	assert_int_equal(count(view(&pem)), -1);
	assert_int_equal(count(SPAN_LIT("-----BEGIN CERTIFICATE-----\n"
	    "AAAA\n-----END CERTIFICATE-----\n")), -1);
	buffer_fini(&pem);
}

static void
test_pkcs12(void **state)
{
	STACK_OF(X509) *list = NULL;
	const unsigned char *der;
	struct buffer pem, out;
	EVP_PKEY *key = NULL;
	X509 *own = NULL;
	PKCS12 *p12;

	(void)state;
	buffer_init(&pem, 0, false);
	buffer_init(&out, 0, false);
	assert_int_equal(ca_bundle_pkcs12(view(&pem), &out), RC_SYNTAX);
	add_certificate(&pem, "one");
	add_certificate(&pem, "two");
	assert_int_equal(ca_bundle_pkcs12(view(&pem), &out), RC_OK);
	der = (const unsigned char *)buffer_data(&out);
	p12 = d2i_PKCS12(NULL, &der, (long)buffer_len(&out));
	assert_non_null(p12);
	assert_false(PKCS12_mac_present(p12));
	assert_int_equal(PKCS12_parse(p12, NULL, &key, &own, &list), 1);
	assert_null(key);
	assert_int_equal(sk_X509_num(list), 2);
	PKCS12_free(p12);
	sk_X509_pop_free(list, X509_free);
	buffer_puts(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n");
	buffer_clear(&out);
	assert_int_equal(ca_bundle_pkcs12(view(&pem), &out), RC_SYNTAX);
	assert_int_equal(buffer_len(&out), 0);
	buffer_fini(&out);
	buffer_fini(&pem);
}

/* What somebody has chosen already stays the base. */
static void
test_system(void **state)
{
	char path[] = "/tmp/relay-bundle-test.XXXXXX";
	int fd = mkstemp(path);
	struct buffer b;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "chosen", 6), 6);
	(void)close(fd);
	assert_int_equal(setenv("SSL_CERT_FILE", path, 1), 0);
	buffer_init(&b, CA_BUNDLE_BYTES_MAX, false);
	ca_bundle_system(&b);
	assert_string_equal(buffer_cstr(&b), "chosen");
	(void)unlink(path);
	ca_bundle_system(&b);		/* a file that is gone is passed over */
	assert_null(strstr(buffer_cstr(&b), "chosen"));
	buffer_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_pkcs12),
		cmocka_unit_test(test_system),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
