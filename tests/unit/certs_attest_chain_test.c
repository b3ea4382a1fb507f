/* The chain of a document: each rule broken in turn, at every place. */
#include "certs/attest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs_attest_doc.h"

enum place { ROOT, REGION, HOST, LEAF, PLACES };

/* root <- region <- host <- leaf, one of them (or none) made otherwise. */
struct family {
	struct doc_cert	certs[PLACES];
	X509_STORE	*roots;		/* owned: the root alone */
};

static void
family_make(struct family *f, enum place other,
    const struct doc_cert_how *how)
{
	static const struct doc_cert_how usual = { 0 };
	static const char *const names[] = { "root", "region", "host", "leaf" };

	for (int i = 0; i < PLACES; i++)
		doc_cert_make(&f->certs[i], names[i], i != LEAF,
		    i == ROOT ? NULL : &f->certs[i - 1],
		    i == (int)other ? how : &usual);
	f->roots = X509_STORE_new();
	assert_int_equal(X509_STORE_add_cert(f->roots, f->certs[ROOT].x509), 1);
}

static void
family_fini(struct family *f)
{
	for (int i = 0; i < PLACES; i++)
		doc_cert_fini(&f->certs[i]);
	X509_STORE_free(f->roots);
}

static struct doc
family_doc(const struct family *f)
{
	return ((struct doc){ .leaf = &f->certs[LEAF], .cas = {
	    &f->certs[ROOT], &f->certs[REGION], &f->certs[HOST] },
	    .n_cas = 3 });
}

/* reason: the start of what it is denied for; NULL: it is authentic. */
static void
check(const struct doc *d, X509_STORE *roots, uint64_t at_ms,
    const char *reason)
{
	char why[ATTEST_WHY_BYTES];
	struct attest *a;
	struct buffer b;
	enum rc rc;

	doc_make(&b, d);
	assert_int_equal(attest_read((struct span){ buffer_data(&b),
	    buffer_len(&b) }, &a, why, sizeof(why)), RC_OK);
	rc = attest_authenticate(a, roots, at_ms, why, sizeof(why));
	if (rc != (reason == NULL ? RC_OK : RC_DENIED) ||
	    strncmp(why, reason == NULL ? "" : reason, reason == NULL ? 1 :
	    strlen(reason)) != 0)
		fail_msg("%s, not %s: %s", rc_name(rc), reason, why);
	attest_free(&a);
	buffer_fini(&b);
}

static uint64_t
at(int seconds)
{
	return ((uint64_t)(DOC_TIME_S + seconds) * 1000);
}

static void
test_certificates(void **state)
{
	static const struct {
		enum place		place;
		struct doc_cert_how	how;
		const char		*reason;	/* NULL: it is fine */
	} cases[] = {
		{ LEAF, { .basic = "CA:FALSE" }, NULL },
		{ LEAF, { .basic = DOC_NONE }, NULL },
		{ LEAF, { .basic = "critical,CA:TRUE" }, "key-usage: the leaf" },
		{ LEAF, { .usage = DOC_NONE }, "key-usage: the leaf" },
		{ LEAF, { .usage = "critical,digitalSignature" }, NULL },
		{ LEAF, { .usage = "keyAgreement" }, "key-usage: the leaf" },
		{ LEAF, { .usage = "keyCertSign" }, "key-usage: the leaf" },
		{ LEAF, { .old = true }, "key-usage: the leaf" },
		{ LEAF, { .curve = "P-256" }, "curve: the leaf" },
		{ LEAF, { .curve = "P-521" }, "curve: the leaf" },
		{ LEAF, { .digest = NULL }, NULL },
		{ HOST, { .basic = "critical,CA:TRUE,pathlen:0" }, NULL },
		{ HOST, { .usage = "keyCertSign" }, NULL },
		{ HOST, { .basic = "CA:TRUE" }, NULL },
		{ HOST, { .basic = DOC_NONE }, "key-usage: a CA" },
		{ HOST, { .basic = "critical,CA:FALSE" }, "key-usage: a CA" },
		{ HOST, { .usage = DOC_NONE }, "key-usage: a CA" },
		{ HOST, { .usage = "digitalSignature" }, "key-usage: a CA" },
		{ HOST, { .usage = "cRLSign" }, "key-usage: a CA" },
		{ HOST, { .old = true }, "key-usage: a CA" },
		{ HOST, { .curve = "P-256" }, "curve: a CA" },
		{ HOST, { .curve = "P-521" }, "curve: a CA" },
		{ REGION, { .basic = "critical,CA:TRUE,pathlen:1" }, NULL },
		{ REGION, { .basic = "critical,CA:TRUE,pathlen:0" },
		    "chain: path length constraint exceeded" },
		{ REGION, { .basic = DOC_NONE }, "key-usage: a CA" },
		{ REGION, { .usage = "digitalSignature" }, "key-usage: a CA" },
		{ REGION, { .curve = "P-256" }, "curve: a CA" },
		{ ROOT, { .basic = "critical,CA:TRUE,pathlen:2" }, NULL },
		{ ROOT, { .basic = "critical,CA:TRUE,pathlen:1" },
		    "chain: path length constraint exceeded" },
		{ ROOT, { .basic = DOC_NONE }, "key-usage: a CA" },
		{ ROOT, { .usage = DOC_NONE }, "key-usage: a CA" },
		{ ROOT, { .old = true }, "key-usage: a CA" },
		{ ROOT, { .curve = "P-256" }, "curve: a CA" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct family f;
		struct doc d;

		family_make(&f, cases[i].place, &cases[i].how);
		d = family_doc(&f);
		check(&d, f.roots, at(0), cases[i].reason);
		family_fini(&f);
	}
}

/* Hashes weaker than the curve, at every signature that counts. */
static void
test_weak_hash(void **state)
{
	(void)state;
	for (int place = REGION; place < PLACES; place++) {
		struct doc_cert_how how = { .digest = EVP_sha256() };
		struct family f;
		struct doc d;

		family_make(&f, (enum place)place, &how);
		d = family_doc(&f);
		check(&d, f.roots, at(0), "chain: CA signature digest "
		    "algorithm too weak");
		family_fini(&f);
	}
}

/* One certificate with a shorter life than the others, at both its ends. */
static void
test_time(void **state)
{
	(void)state;
	for (int place = ROOT; place < PLACES; place++) {
		struct doc_cert_how how = { .from_s = -60, .until_s = 600 };
		struct family f;
		struct doc d;

		family_make(&f, (enum place)place, &how);
		d = family_doc(&f);
		check(&d, f.roots, at(-61), "chain: certificate is not yet valid");
		check(&d, f.roots, at(-59), NULL);
		check(&d, f.roots, at(0), NULL);
		check(&d, f.roots, at(599), NULL);
		check(&d, f.roots, at(601), "chain: certificate has expired");
		check(&d, f.roots, 0, "chain: certificate is not yet valid");
		check(&d, f.roots, UINT64_MAX, "chain: ");
		family_fini(&f);
	}
}

/* The document names its chain: just these certificates, in this order. */
static void
test_order(void **state)
{
	static const struct {
		int		cas[5];		/* places; 4: a stranger, 5: a
						   twin root; -1: the end */
		const char	*reason;	/* NULL: it is fine */
	} cases[] = {
		{ { ROOT, REGION, HOST, -1 }, NULL },
		{ { HOST, REGION, ROOT, -1 }, "chain: " },
		{ { ROOT, HOST, REGION, -1 }, "chain: it is not the one" },
		{ { REGION, HOST, -1 }, "chain: " },
		{ { ROOT, REGION, -1 }, "chain: unable to get local issuer" },
		{ { ROOT, HOST, -1 }, "chain: unable to get local issuer" },
		{ { ROOT, -1 }, "chain: unable to get local issuer" },
		{ { ROOT, REGION, HOST, HOST, -1 },
		    "chain: it is not the one" },
		{ { ROOT, ROOT, REGION, HOST, -1 },
		    "chain: it is not the one" },
		{ { ROOT, 4, REGION, HOST, -1 }, "chain: it is not the one" },
		{ { ROOT, REGION, HOST, 4, -1 }, "chain: it is not the one" },
		{ { 4, REGION, HOST, -1 }, "chain: it is not the one" },
		{ { 5, REGION, HOST, -1 }, "chain: it is not the one" },
		{ { ROOT, REGION, HOST, LEAF, -1 }, "key-usage: a CA" },
	};
	static const struct doc_cert_how usual = { 0 };
	struct doc_cert stranger, twin;
	struct family f;

	(void)state;
	family_make(&f, PLACES, NULL);
	doc_cert_make(&stranger, "stranger", true, NULL, &usual);
	doc_cert_make(&twin, "root", true, NULL, &usual);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doc d = family_doc(&f);

		for (d.n_cas = 0; cases[i].cas[d.n_cas] >= 0; d.n_cas++) {
			int n = cases[i].cas[d.n_cas];

			d.cas[d.n_cas] = n == 4 ? &stranger : n == 5 ? &twin :
			    &f.certs[n];
		}
		check(&d, f.roots, at(0), cases[i].reason);
	}
	doc_cert_fini(&stranger);
	doc_cert_fini(&twin);
	family_fini(&f);
}

/* Whose word counts: roots alone, and only the right one. */
static void
test_roots(void **state)
{
	static const struct doc_cert_how usual = { 0 };
	X509_STORE *store = X509_STORE_new();
	struct doc_cert twin;
	struct family f;
	struct doc d;

	(void)state;
	family_make(&f, PLACES, NULL);
	d = family_doc(&f);
	check(&d, store, at(0), "chain: ");			/* none */
	doc_cert_make(&twin, "root", true, NULL, &usual);
	assert_int_equal(X509_STORE_add_cert(store, twin.x509), 1);
	check(&d, store, at(0), "chain: ");	/* its name, another key */
	/* An intermediate in the set is no root. */
	assert_int_equal(X509_STORE_add_cert(store, f.certs[HOST].x509), 1);
	check(&d, store, at(0), "chain: ");
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	check(&d, store, at(0), "chain: it is not the one");
	/* Beside others the right one is found. */
	assert_int_equal(X509_STORE_add_cert(store, f.certs[ROOT].x509), 1);
	X509_STORE_set_flags(store, 0);
	check(&d, f.roots, at(0), NULL);
	X509_STORE_free(store);
	doc_cert_fini(&twin);
	family_fini(&f);
}

/* A chain of the longest kind, and its root as the leaf's only issuer. */
static void
test_length(void **state)
{
	static const struct doc_cert_how usual = { 0 };
	struct doc_cert certs[9] = { { NULL, NULL } };
	X509_STORE *store = X509_STORE_new();

	(void)state;
	for (int i = 0; i < 8; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "ca %d", i);
		doc_cert_make(&certs[i], name, true, i == 0 ? NULL :
		    &certs[i - 1], &usual);
	}
	assert_int_equal(X509_STORE_add_cert(store, certs[0].x509), 1);
	for (size_t n = 1; n <= 8; n++) {
		struct doc d = { .leaf = &certs[8], .n_cas = n };

		for (size_t i = 0; i < n; i++)
			d.cas[i] = &certs[i];
		doc_cert_make(&certs[8], "leaf", false, &certs[n - 1], &usual);
		check(&d, store, at(0), NULL);
		doc_cert_fini(&certs[8]);
	}
	for (int i = 0; i < 8; i++)
		doc_cert_fini(&certs[i]);
	X509_STORE_free(store);
}

static void
test_leaf_bytes(void **state)
{
	static const struct doc_cert_how usual = { 0 };
	unsigned char *der = NULL, longer[1024] = { 0 };
	struct doc_cert alone;
	struct family f;
	struct doc d;
	int len;

	(void)state;
	family_make(&f, PLACES, NULL);
	d = family_doc(&f);
	len = i2d_X509(f.certs[LEAF].x509, &der);
	assert_true(len > 0 && len < (int)sizeof(longer));
	memcpy(longer, der, (size_t)len);
	d.leaf_der = (struct span){ (char *)longer, (size_t)len };
	check(&d, f.roots, at(0), NULL);
	d.leaf_der.len++;			/* a byte behind it */
	check(&d, f.roots, at(0), "certificate: not readable");
	d.leaf_der.len -= 2;
	check(&d, f.roots, at(0), "certificate: not readable");
	longer[0] = 0;
	d.leaf_der.len = (size_t)len;
	check(&d, f.roots, at(0), "certificate: not readable");
	/* A leaf that issued itself. */
	doc_cert_make(&alone, "leaf", false, NULL, &usual);
	d.leaf = &alone;
	d.leaf_der = (struct span){ NULL, 0 };
	check(&d, f.roots, at(0), "chain: ");
	doc_cert_fini(&alone);
	OPENSSL_free(der);
	family_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_weak_hash),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_leaf_bytes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
