/* Which certificate is found for which name, and which are not taken. */
#include "certs/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "certs_pki.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static struct pki_cert first, second, nameless;

static int
setup(void **state)
{
	(void)state;
	pki_make(&first, "first", "DNS:Shop.Test,DNS:*.shop.test,"
	    "DNS:both.test,IP:127.0.0.1,DNS:bad..name,DNS:*.*.test", false, NULL);
	pki_make(&second, "second", "DNS:other.test,DNS:both.test", false, NULL);
	pki_make(&nameless, "nameless.test", "IP:127.0.0.1", false, NULL);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	pki_fini(&first);
	pki_fini(&second);
	pki_fini(&nameless);
	return (0);
}

static enum rc
add(struct certs_store *s, const char *label, const struct pki_cert *c,
    const char *const *names, size_t n, char *why)
{
	why[0] = '\0';
	return (certs_store_add(s, label, span_of(c->chain), span_of(c->key),
	    names, n, why, 256));
}

static void
test_names_of_san(void **state)
{
	struct certs_store *s = certs_store_new(NULL);
	SSL_CTX *a, *b;
	char why[256];

	(void)state;
	assert_null(certs_store_default(s));
	assert_null(certs_store_find(s, "shop.test"));
	assert_int_equal(add(s, "first", &first, NULL, 0, why), RC_OK);
	assert_int_equal(add(s, "second", &second, NULL, 0, why), RC_OK);
	a = certs_store_default(s);
	b = certs_store_find(s, "other.test");
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(certs_store_find(s, "shop.test"), a);
	assert_ptr_equal(certs_store_find(s, "www.shop.test"), a);
	assert_ptr_equal(certs_store_find(s, "both.test"), a);	/* first one */
	assert_null(certs_store_find(s, "a.b.shop.test"));	/* one label */
	assert_null(certs_store_find(s, ".shop.test"));
	assert_null(certs_store_find(s, "test"));
	assert_null(certs_store_find(s, "x.other.test"));
	assert_null(certs_store_find(s, "127.0.0.1"));
	assert_null(certs_store_find(s, ""));
	certs_store_free(&s);
	assert_null(s);
	certs_store_free(&s);
}

static void
test_names_given(void **state)
{
	static const char *const given[] = { "*.EU.test.", "shop.test" };
	static const char *const exact[] = { "a.eu.test" };
	static const char *const taken[] = { "fresh.test", "SHOP.test" };
	struct certs_store *s = certs_store_new(NULL);
	char why[256];

	(void)state;
	assert_int_equal(add(s, "first", &first, given, 2, why), RC_OK);
	assert_int_equal(add(s, "second", &second, exact, 1, why), RC_OK);
	assert_ptr_equal(certs_store_find(s, "b.eu.test"), certs_store_default(s));
	assert_ptr_not_equal(certs_store_find(s, "a.eu.test"),
	    certs_store_default(s));
	assert_null(certs_store_find(s, "both.test"));	/* SAN does not count */
	assert_int_equal(add(s, "second", &second, taken, 2, why), RC_EXISTS);
	assert_string_equal(why, "SHOP.test: already served by certificate first");
	assert_null(certs_store_find(s, "fresh.test"));	/* nothing was added */
	certs_store_free(&s);
}

static void
test_refused(void **state)
{
	static const char *const bad_names[] = { "", "a b", "*", "*.", "a.*.test",
	    "*a.test", "*.127.0.0.1", "a..b" };
	struct certs_store *s = certs_store_new(NULL);
	char why[256];

	(void)state;
	for (size_t i = 0; i < N(bad_names); i++) {
		assert_int_equal(add(s, "x", &first, &bad_names[i], 1, why),
		    RC_SYNTAX);
		assert_non_null(strstr(why, "not a host name"));
	}
	assert_int_equal(add(s, "x", &nameless, NULL, 0, why), RC_SYNTAX);
	assert_string_equal(why, "the certificate has no DNS name");
	assert_int_equal(certs_store_add(s, "x", span_of(first.chain),
	    span_of(second.key), NULL, 0, why, sizeof(why)), RC_SYNTAX);
	assert_int_not_equal(why[0], '\0');
	assert_int_equal(certs_store_add(s, "x", SPAN_LIT("no PEM"),
	    span_of(first.key), NULL, 0, why, sizeof(why)), RC_SYNTAX);
	assert_int_equal(certs_store_add(s, "x", span_of(first.chain),
	    SPAN_LIT(""), NULL, 0, why, sizeof(why)), RC_SYNTAX);
	assert_null(certs_store_default(s));
	certs_store_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_san),
		cmocka_unit_test(test_names_given),
		cmocka_unit_test(test_refused),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
