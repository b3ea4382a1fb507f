/* Trust anchors from what an operator's file holds. */
#include "certs/attest_roots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs_pki.h"
#include "lib/base/buffer.h"

static int
count(struct span text)
{
	X509_STORE *store;
	char why[128];
	enum rc rc;
	int n;

	rc = attest_roots_read(text, &store, why, sizeof(why));
	assert_true((rc == RC_OK) == (store != NULL));
	assert_true((rc == RC_OK) == (why[0] == '\0'));
	if (rc != RC_OK) {
		assert_int_equal(rc, RC_SYNTAX);
		return (-1);
	}
	n = sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
	X509_STORE_free(store);
	return (n);
}

static void
test_pem(void **state)
{
	struct pki_cert a, b;
	struct buffer text;

	(void)state;
	pki_make(&a, "a", NULL, true, NULL);
	pki_make(&b, "b", NULL, true, NULL);
	assert_int_equal(count(span_of(a.chain)), 1);
	buffer_init(&text, 0, false);
	buffer_printf(&text, "# two of them\n%s\nand\n%s", a.chain, b.chain);
	assert_int_equal(count(span_of(buffer_cstr(&text))), 2);
	buffer_puts(&text, a.chain);		/* the same again is one */
	assert_int_equal(count(span_of(buffer_cstr(&text))), 2);
	/* One broken certificate spoils the file: it was meant to count. */
	buffer_puts(&text, "-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n");
	assert_int_equal(count(span_of(buffer_cstr(&text))), -1);
	assert_int_equal(count((struct span){ a.chain,
	    strlen(a.chain) - 30 }), -1);
	assert_int_equal(count(span_of(a.key)), -1);
	assert_int_equal(count(SPAN_LIT("")), -1);
	assert_int_equal(count(SPAN_LIT("no certificate")), -1);
	buffer_fini(&text);
	pki_fini(&a);
	pki_fini(&b);
}

static void
test_der(void **state)
{
	unsigned char *der = NULL, longer[2048] = { 0 };
	struct pki_cert a;
	size_t len;

	(void)state;
	pki_make(&a, "a", NULL, true, NULL);
	len = (size_t)i2d_X509(a.x509, &der);
	assert_true(len < sizeof(longer));
	memcpy(longer, der, len);
	assert_int_equal(count((struct span){ (char *)longer, len }), 1);
	assert_int_equal(count((struct span){ (char *)longer, len + 1 }), -1);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(count((struct span){ (char *)longer, i }), -1);
	OPENSSL_free(der);
	pki_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pem),
		cmocka_unit_test(test_der),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
