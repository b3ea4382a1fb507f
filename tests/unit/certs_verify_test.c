/* What a destination's certificate is checked against, and the cache. */
#include "certs/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs_pki.h"

static struct pki_cert ca, other_ca, leaf, wrong;
static char folder[] = "/tmp/relay_certs_verify_XXXXXX";
static char bundle[64];

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
setup(void **state)
{
	(void)state;
	pki_make(&ca, "test ca", NULL, true, NULL);
	pki_make(&other_ca, "other ca", NULL, true, NULL);
	pki_make(&leaf, "leaf", "DNS:shop.test,IP:127.0.0.1", false, &ca);
	pki_make(&wrong, "leaf", "DNS:shop.test", false, &other_ca);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(bundle, sizeof(bundle), "%s/bundle.pem", folder);
	/* No CA of this machine takes part. */
	setenv("SSL_CERT_FILE", "/nonexistent", 1);
	setenv("SSL_CERT_DIR", "/nonexistent", 1);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	pki_fini(&ca);
	pki_fini(&other_ca);
	pki_fini(&leaf);
	pki_fini(&wrong);
	(void)unlink(bundle);
	(void)rmdir(folder);
	return (0);
}

/* Would a connection through ctx take this server under this name? */
static bool
takes(SSL_CTX *ctx, const struct pki_cert *server_cert, const char *name)
{
	SSL_CTX *server = SSL_CTX_new(TLS_server_method());
	struct pki_link l;
	bool ok;

	assert_int_equal(SSL_CTX_use_certificate(server, server_cert->x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server, server_cert->pkey), 1);
	pki_open(&l, ctx, server, name);
	assert_int_equal(SSL_set1_host(l.client, name), 1);
	ok = pki_shake(&l);
	pki_close(&l);
	SSL_CTX_free(server);
	return (ok);
}

static struct certs_verify *
open_verify(struct span extra_ca, const char *want_why)
{
	struct certs_verify *v;
	char why[256];

	assert_int_equal(certs_verify_new(extra_ca, &v, why, sizeof(why)), RC_OK);
	assert_non_null(v);
	assert_int_equal(strncmp(why, want_why, strlen(want_why)), 0);
	assert_int_equal(why[0] == '\0', want_why[0] == '\0');
	return (v);
}

static void
test_trust(void **state)
{
	struct certs_verify *v = open_verify(SPAN_LIT(""), "no CA certificates");
	SSL_CTX *nobody, *ours;
	char why[256];

	(void)state;
	nobody = certs_verify_ctx(v, SPAN_LIT(""), false, why, sizeof(why));
	ours = certs_verify_ctx(v, span_of(ca.chain), false, why, sizeof(why));
	assert_non_null(nobody);
	assert_non_null(ours);
	assert_true(takes(ours, &leaf, "shop.test"));
	assert_false(takes(ours, &leaf, "other.test"));
	assert_false(takes(ours, &wrong, "shop.test"));
	assert_false(takes(nobody, &leaf, "shop.test"));	/* did not spread */
	/* A pinned leaf is trusted as it is. */
	ours = certs_verify_ctx(v, span_of(leaf.chain), true, why, sizeof(why));
	assert_true(takes(ours, &leaf, "shop.test"));
	assert_false(takes(ours, &wrong, "shop.test"));
	certs_verify_free(&v);
	certs_verify_free(&v);
}

static void
test_extra_ca_is_for_all(void **state)
{
	struct certs_verify *v = open_verify(span_of(ca.chain), "");
	SSL_CTX *ctx;
	char why[256];

	(void)state;
	for (int tls_13 = 0; tls_13 < 2; tls_13++) {
		ctx = certs_verify_ctx(v, SPAN_LIT(""), tls_13, why, sizeof(why));
		assert_true(takes(ctx, &leaf, "shop.test"));
		assert_false(takes(ctx, &wrong, "shop.test"));
		ctx = certs_verify_ctx(v, span_of(other_ca.chain), tls_13, why,
		    sizeof(why));
		assert_true(takes(ctx, &leaf, "shop.test"));
		assert_true(takes(ctx, &wrong, "shop.test"));
	}
	certs_verify_free(&v);
}

/* The system's CAs: from the bundle, or else from the folder; both are read
 * when the object is made, and never again. */
static void
test_system(void **state)
{
	static const char *const vars[] = { "SSL_CERT_FILE", "SSL_CERT_DIR" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct certs_verify *v;
		SSL_CTX *ctx;
		char why[256];

		write_file(bundle, ca.chain);
		setenv(vars[i], i == 0 ? bundle : folder, 1);
		v = open_verify(SPAN_LIT(""), "");
		setenv(vars[i], "/nonexistent", 1);
		assert_int_equal(unlink(bundle), 0);
		ctx = certs_verify_ctx(v, SPAN_LIT(""), false, why, sizeof(why));
		assert_true(takes(ctx, &leaf, "shop.test"));
		assert_false(takes(ctx, &wrong, "shop.test"));
		ctx = certs_verify_ctx(v, span_of(other_ca.chain), false, why,
		    sizeof(why));
		assert_true(takes(ctx, &leaf, "shop.test"));
		assert_true(takes(ctx, &wrong, "shop.test"));
		certs_verify_free(&v);
	}
}

static void
test_minimum_version(void **state)
{
	struct certs_verify *v = open_verify(span_of(ca.chain), "");
	char why[256];

	(void)state;
	for (int tls_13 = 0; tls_13 < 2; tls_13++) {
		SSL_CTX *ctx = certs_verify_ctx(v, span_of(ca.chain), tls_13, why,
		    sizeof(why));

		assert_int_equal(SSL_CTX_get_min_proto_version(ctx),
		    tls_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
		assert_int_equal(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_PEER);
	}
	certs_verify_free(&v);
}

static void
test_cache_is_shared_and_bounded(void **state)
{
	struct certs_verify *v = open_verify(span_of(ca.chain), "");
	SSL_CTX *kept, *aged, *ctx;
	char why[256], text[4096];

	(void)state;
	kept = certs_verify_ctx(v, span_of(ca.chain), false, why, sizeof(why));
	assert_ptr_equal(kept, certs_verify_ctx(v, span_of(ca.chain), false, why,
	    sizeof(why)));
	assert_ptr_not_equal(kept, certs_verify_ctx(v, span_of(ca.chain), true,
	    why, sizeof(why)));
	aged = certs_verify_ctx(v, span_of(other_ca.chain), false, why,
	    sizeof(why));
	SSL_CTX_up_ref(aged);		/* so that its address is not used again */
	for (int i = 0; i < 256; i++) {
		/* Other text, same certificate: a context of its own. */
		(void)snprintf(text, sizeof(text), "# %d\n%s", i, ca.chain);
		ctx = certs_verify_ctx(v, span_of(text), false, why, sizeof(why));
		assert_non_null(ctx);
		assert_ptr_equal(kept, certs_verify_ctx(v, span_of(ca.chain),
		    false, why, sizeof(why)));
	}
	assert_ptr_not_equal(aged, certs_verify_ctx(v, span_of(other_ca.chain),
	    false, why, sizeof(why)));
	assert_true(takes(aged, &wrong, "shop.test"));	/* who kept it, has it */
	SSL_CTX_free(aged);
	certs_verify_free(&v);
}

static void
test_bad_pem(void **state)
{
	static const char *const bad[] = { "x", "-----BEGIN CERTIFICATE-----\nAA\n"
	    "-----END CERTIFICATE-----\n" };
	struct certs_verify *v, *none;
	char why[256];

	(void)state;
	v = open_verify(span_of(ca.chain), "");
	for (size_t i = 0; i < 2; i++) {
		why[0] = '\0';
		assert_null(certs_verify_ctx(v, span_of(bad[i]), false, why,
		    sizeof(why)));
		assert_int_not_equal(why[0], '\0');
		why[0] = '\0';
		assert_int_equal(certs_verify_new(span_of(bad[i]), &none, why,
		    sizeof(why)), RC_SYNTAX);
		assert_null(none);
		assert_int_not_equal(why[0], '\0');
	}
	certs_verify_free(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_extra_ca_is_for_all),
		cmocka_unit_test(test_system),
		cmocka_unit_test(test_minimum_version),
		cmocka_unit_test(test_cache_is_shared_and_bounded),
		cmocka_unit_test(test_bad_pem),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
