/* Documents of our own making: each rule of the form, each expectation. */
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

#define AT_MS	(DOC_TIME_S * (uint64_t)1000)

static struct doc_cert root, region, host, leaf;
static X509_STORE *roots;
static struct doc right;		/* copied and changed by each test */
static char aa[1024];			/* what *N stands for */

static int
setup(void **state)
{
	static const struct doc_cert_how ca = { 0 };

	(void)state;
	memset(aa, 0xaa, sizeof(aa));
	doc_cert_make(&root, "test root", true, NULL, &ca);
	doc_cert_make(&region, "region", true, &root, &ca);
	doc_cert_make(&host, "host", true, &region, &ca);
	doc_cert_make(&leaf, "leaf", false, &host, &ca);
	roots = X509_STORE_new();
	assert_int_equal(X509_STORE_add_cert(roots, root.x509), 1);
	right = (struct doc){ .leaf = &leaf,
	    .cas = { &root, &region, &host }, .n_cas = 3 };
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	X509_STORE_free(roots);
	doc_cert_fini(&root);
	doc_cert_fini(&region);
	doc_cert_fini(&host);
	doc_cert_fini(&leaf);
	return (0);
}

static enum rc
read_doc(const struct doc *d, struct attest **out, char *why)
{
	struct buffer b;
	enum rc rc;

	doc_make(&b, d);
	rc = attest_read((struct span){ buffer_data(&b), buffer_len(&b) }, out,
	    why, ATTEST_WHY_BYTES);
	assert_true((rc == RC_OK) == (*out != NULL));
	assert_true((rc == RC_OK) == (why[0] == '\0'));
	buffer_fini(&b);	/* the object has a copy */
	return (rc);
}

static struct attest *
must_read(const struct doc *d)
{
	char why[ATTEST_WHY_BYTES];
	struct attest *a;

	assert_int_equal(read_doc(d, &a, why), RC_OK);
	return (a);
}

static void
test_claims(void **state)
{
	struct attest *a = must_read(&right);
	unsigned char user_data[32];

	(void)state;
	for (unsigned i = 0; i < sizeof(user_data); i++)
		user_data[i] = (unsigned char)i;
	assert_string_equal(attest_module_id(a), DOC_MODULE_ID);
	assert_true(attest_timestamp_ms(a) == AT_MS);
	assert_true(span_eq(attest_pcr(a, 0), (struct span){ aa, 48 }));
	assert_true(span_eq(attest_pcr(a, 16), (struct span){ aa, 48 }));
	assert_int_equal(attest_pcr(a, 8).len, 48);
	assert_int_equal(attest_pcr(a, 5).len, 0);
	assert_int_equal(attest_pcr(a, 31).len, 0);
	assert_int_equal(attest_pcr(a, 32).len, 0);
	assert_true(span_eq(attest_public_key(a), (struct span){ aa, 91 }));
	assert_true(span_eq(attest_nonce(a), (struct span){ aa, 32 }));
	assert_true(span_eq(attest_user_data(a), (struct span){
	    (char *)user_data, 32 }));
	assert_false(attest_debug(a));
	attest_free(&a);
	assert_null(a);
	attest_free(&a);
}

/* Field by field: what may stand there, and what may not. */
static const struct {
	const char	*field;
	const char	*notation;	/* NULL: left out */
	bool		good;
} rules[] = {
	{ "module_id", NULL, false },
	{ "module_id", "''", false },
	{ "module_id", "'x'", true },
	{ "module_id", "'a b'", false },
	{ "module_id", "'a\nb'", false },
	{ "module_id", "'a\xc3\xbc'", false },
	{ "module_id", "#61", false },
	{ "module_id", "n", false },
	{ "digest", NULL, false },
	{ "digest", "'SHA256'", false },
	{ "digest", "'sha384'", false },
	{ "digest", "'SHA384 '", false },
	{ "digest", "''", false },
	{ "digest", "#534841333834", false },
	{ "timestamp", NULL, false },
	{ "timestamp", "0", false },
	{ "timestamp", "1", true },
	{ "timestamp", "18446744073709551615", true },
	{ "timestamp", "-1", false },
	{ "timestamp", "'1700000000000'", false },
	{ "timestamp", "n", false },
	{ "pcrs", NULL, false },
	{ "pcrs", "{}", false },
	{ "pcrs", "[*48]", false },
	{ "pcrs", "n", false },
	{ "pcrs", "{0:*48}", true },
	{ "pcrs", "(0:*48}", true },
	{ "pcrs", "{31:*48}", true },
	{ "pcrs", "{32:*48}", false },
	{ "pcrs", "{4294967296:*48}", false },
	{ "pcrs", "{-1:*48}", false },
	{ "pcrs", "{'0':*48}", false },
	{ "pcrs", "{#00:*48}", false },
	{ "pcrs", "{0:*48,0:*48}", false },
	{ "pcrs", "{0:*32,1:*48,2:*64}", true },
	{ "pcrs", "{0:*31}", false },
	{ "pcrs", "{0:*33}", false },
	{ "pcrs", "{0:*47}", false },
	{ "pcrs", "{0:*49}", false },
	{ "pcrs", "{0:*63}", false },
	{ "pcrs", "{0:*65}", false },
	{ "pcrs", "{0:*0}", false },
	{ "pcrs", "{0:n}", false },
	{ "pcrs", "{0:*48,1:n}", false },
	{ "pcrs", "{0:'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}", false },
	{ "pcrs", "{0:*32,1:*32,2:*32,3:*32,4:*32,5:*32,6:*32,7:*32,8:*32,"
	    "9:*32,10:*32,11:*32,12:*32,13:*32,14:*32,15:*32,16:*32,17:*32,"
	    "18:*32,19:*32,20:*32,21:*32,22:*32,23:*32,24:*32,25:*32,26:*32,"
	    "27:*32,28:*32,29:*32,30:*32,31:*32}", true },
	{ "pcrs", "{0:*32,1:*32,2:*32,3:*32,4:*32,5:*32,6:*32,7:*32,8:*32,"
	    "9:*32,10:*32,11:*32,12:*32,13:*32,14:*32,15:*32,16:*32,17:*32,"
	    "18:*32,19:*32,20:*32,21:*32,22:*32,23:*32,24:*32,25:*32,26:*32,"
	    "27:*32,28:*32,29:*32,30:*32,31:*32,32:*32}", false },
	{ "certificate", NULL, false },
	{ "certificate", "*0", false },
	{ "certificate", "*1", true },		/* its form, not its worth */
	{ "certificate", "*1024", true },
	{ "certificate", "*1025", false },
	{ "certificate", "n", false },
	{ "certificate", "'x'", false },
	{ "certificate", "[*1]", false },
	{ "cabundle", NULL, false },
	{ "cabundle", "[]", false },
	{ "cabundle", "n", false },
	{ "cabundle", "*100", false },
	{ "cabundle", "{1:*100}", false },
	{ "cabundle", "[*1]", true },
	{ "cabundle", "(*1,*1]", true },
	{ "cabundle", "[*1024]", true },
	{ "cabundle", "[*1025]", false },
	{ "cabundle", "[*100,*0]", false },
	{ "cabundle", "[*100,n]", false },
	{ "cabundle", "[*100,'x']", false },
	{ "cabundle", "[*1,*1,*1,*1,*1,*1,*1,*1]", true },
	{ "cabundle", "[*1,*1,*1,*1,*1,*1,*1,*1,*1]", false },
	{ "public_key", NULL, true },
	{ "public_key", "n", true },
	{ "public_key", "*0", false },
	{ "public_key", "*1", true },
	{ "public_key", "*1024", true },
	{ "public_key", "*1025", false },
	{ "public_key", "'x'", false },
	{ "public_key", "t", false },
	{ "user_data", NULL, true },
	{ "user_data", "n", true },
	{ "user_data", "*0", true },
	{ "user_data", "*512", true },
	{ "user_data", "*513", false },
	{ "user_data", "'x'", false },
	{ "nonce", NULL, true },
	{ "nonce", "n", true },
	{ "nonce", "*0", true },
	{ "nonce", "*512", true },
	{ "nonce", "*513", false },
	{ "nonce", "1", false },
};

static void
test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		char why[ATTEST_WHY_BYTES];
		struct doc d = right;
		struct attest *a;
		enum rc rc;

		d.field = rules[i].field;
		d.notation = rules[i].notation;
		rc = read_doc(&d, &a, why);
		if ((rc == RC_OK) != rules[i].good)
			fail_msg("%s as %s: %s", rules[i].field,
			    rules[i].notation, rules[i].good ? why : "read");
		assert_true(rc == RC_OK || rc == RC_SYNTAX);
		/* The reason names the field (or the doubled key) alone. */
		assert_true(rc == RC_OK ||
		    strcmp(why, rules[i].field) == 0 ||
		    strcmp(why, "a key twice") == 0);
		attest_free(&a);
	}
}

static void
test_module_id_length(void **state)
{
	char text[300];

	(void)state;
	for (size_t len = 254; len <= 256; len++) {
		char why[ATTEST_WHY_BYTES];
		struct doc d = right;
		struct attest *a;

		memset(text, 'x', sizeof(text));
		text[0] = text[len + 1] = '\'';
		text[len + 2] = '\0';
		d.field = "module_id";
		d.notation = text;
		assert_int_equal(read_doc(&d, &a, why),
		    len <= 255 ? RC_OK : RC_SYNTAX);
		attest_free(&a);
	}
}

static void
test_envelope(void **state)
{
	static const struct {
		const char	*protected;
		const char	*unprotected;
		const char	*extra;
		const char	*why;		/* NULL: is read */
	} cases[] = {
		{ "{1:-35}", "{}", NULL, NULL },
		{ "{1:-7}", "{}", NULL, "the header is not just ES384" },
		{ "{1:-36}", "{}", NULL, "the header is not just ES384" },
		{ "{1:-35,4:*1}", "{}", NULL, "the header is not just ES384" },
		{ "(1:-35}", "{}", NULL, "the header is not just ES384" },
		{ "{1:-8}", "{}", NULL, "another algorithm" },
		{ "{}", "{1:-35}", NULL, "a field in the unprotected header" },
		{ "{1:-35}", "{4:*1}", NULL,
		    "a field in the unprotected header" },
		{ "{1:-35}", "{1:-35}", NULL, "a label in both headers" },
		{ "{1:-35}", "[]", NULL, "an item of another type" },
		{ "{1:-35}", "n", NULL, "an item of another type" },
		/* What we do not know is passed over; what is twice, is not. */
		{ "{1:-35}", "{}", "'zone':{'a':[1,t]}", NULL },
		{ "{1:-35}", "{}", "7:1", "a field name is no text" },
		{ "{1:-35}", "{}", "'nonce':*32", "a key twice" },
		{ "{1:-35}", "{}", "'zone':{1:1,1:2}", "a key twice" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char why[ATTEST_WHY_BYTES];
		struct doc d = right;
		struct attest *a;

		d.protected = cases[i].protected;
		d.unprotected = cases[i].unprotected;
		d.extra = cases[i].extra;
		assert_int_equal(read_doc(&d, &a, why),
		    cases[i].why == NULL ? RC_OK : RC_SYNTAX);
		assert_string_equal(why, cases[i].why == NULL ? "" :
		    cases[i].why);
		if (a != NULL)
			assert_int_equal(attest_authenticate(a, roots, AT_MS,
			    why, sizeof(why)), RC_OK);
		attest_free(&a);
	}
}

static void
test_no_document(void **state)
{
	static char large[ATTEST_BYTES_MAX + 1];
	static const struct span cases[] = {
		SPAN_LIT(""), SPAN_LIT("x"), SPAN_LIT("\xa0"), SPAN_LIT("\x80"),
		SPAN_LIT("\xd2\x84"), { NULL, 0 }, { large, sizeof(large) },
		{ large, sizeof(large) - 1 },
		/* A signed payload that is no map. */
		SPAN_LIT("\x84\x44\xa1\x01\x38\x22\xa0\x41\x01\x40"),
		SPAN_LIT("\x84\x44\xa1\x01\x38\x22\xa0\x40\x40"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct attest *a = NULL;
		char why[ATTEST_WHY_BYTES] = "";

		assert_int_equal(attest_read(cases[i], &a, why, sizeof(why)),
		    RC_SYNTAX);
		assert_null(a);
		assert_int_not_equal(why[0], '\0');
	}
}

/* An expectation that the right document fulfils in every point. */
static struct attest_expect
everything(void)
{
	static unsigned char user_data[32];
	static const struct attest_expected_pcr pcrs[] = {
		{ 0, { aa, 48 } }, { 1, { aa, 48 } }, { 2, { aa, 48 } },
		{ 16, { aa, 48 } },
	};

	for (unsigned i = 0; i < sizeof(user_data); i++)
		user_data[i] = (unsigned char)i;
	return ((struct attest_expect){ .roots = roots, .at_ms = AT_MS,
	    .pcrs = pcrs, .n_pcrs = 4, .nonce = { aa, 32 },
	    .user_data = { (char *)user_data, 32 }, .public_key = { aa, 91 } });
}

static void
must_verify(const struct doc *d, const struct attest_expect *want)
{
	struct attest *a = must_read(d);
	char why[ATTEST_WHY_BYTES];
	enum rc rc;

	rc = attest_verify(a, want, why, sizeof(why));
	assert_string_equal(why, "");
	assert_int_equal(rc, RC_OK);
	attest_free(&a);
}

static void
must_deny(const struct doc *d, const struct attest_expect *want,
    const char *reason)
{
	struct attest *a = must_read(d);
	char why[ATTEST_WHY_BYTES];

	assert_int_equal(attest_verify(a, want, why, sizeof(why)), RC_DENIED);
	assert_string_equal(why, reason);
	attest_free(&a);
}

static void
test_verify(void **state)
{
	struct attest_expect want = everything();
	struct doc d = right;

	(void)state;
	must_verify(&d, &want);
	d.tagged = true;
	must_verify(&d, &want);
	/* What is not asked for may be anything, or missing. */
	want.nonce = want.user_data = want.public_key = (struct span){ 0 };
	must_verify(&right, &want);
	d.field = "public_key";
	d.notation = NULL;
	must_verify(&d, &want);
}

static void
test_bindings(void **state)
{
	static const struct {
		const char	*field;
		const char	*notation;
		const char	*why;
	} cases[] = {
		{ "nonce", NULL, "nonce-differs" },
		{ "nonce", "n", "nonce-differs" },
		{ "nonce", "*0", "nonce-differs" },
		{ "nonce", "*31", "nonce-differs" },
		{ "nonce", "*33", "nonce-differs" },
		{ "nonce", "0*32", "nonce-differs" },
		{ "user_data", NULL, "user-data-differs" },
		{ "user_data", "n", "user-data-differs" },
		{ "user_data", "*32", "user-data-differs" },
		{ "user_data", "#000102", "user-data-differs" },
		{ "public_key", NULL, "public-key-differs" },
		{ "public_key", "n", "public-key-differs" },
		{ "public_key", "*90", "public-key-differs" },
		{ "public_key", "0*91", "public-key-differs" },
	};
	struct attest_expect want = everything();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doc d = right;

		d.field = cases[i].field;
		d.notation = cases[i].notation;
		must_deny(&d, &want, cases[i].why);
	}
	/* An empty nonce can be expected; null is not it. */
	want.nonce = SPAN_LIT("");
	must_deny(&right, &want, "nonce-differs");
	for (int null = 0; null < 2; null++) {
		struct doc d = right;

		d.field = "nonce";
		d.notation = null ? "n" : "*0";
		if (null)
			must_deny(&d, &want, "nonce-differs");
		else
			must_verify(&d, &want);
	}
}

static void
test_pcrs(void **state)
{
	static char zero[64];
	static char other[64];
	static const struct {
		struct attest_expected_pcr	pcr;
		const char			*why;
	} cases[] = {
		{ { 3, { aa, 48 } }, NULL },
		{ { 0, { other, 48 } }, "pcr0-differs" },
		{ { 16, { other, 48 } }, "pcr16-differs" },
		{ { 0, { aa, 32 } }, "pcr0-differs" },
		{ { 0, { aa, 64 } }, "pcr0-differs" },
		{ { 0, { aa, 0 } }, "pcr0-differs" },
		{ { 0, { NULL, 0 } }, "pcr0-differs" },
		{ { 0, { zero, 48 } }, "pcr0-differs" },
		{ { 8, { aa, 48 } }, "pcr8-differs" },
		{ { 8, { zero, 48 } }, "pcr8-zero" },
		{ { 5, { aa, 48 } }, "pcr5-missing" },
		{ { 5, { NULL, 0 } }, "pcr5-missing" },
		{ { 5, { zero, 48 } }, "pcr5-missing" },
		{ { 32, { aa, 48 } }, "pcr32-missing" },
		{ { 4294967295u, { aa, 48 } }, "pcr4294967295-missing" },
	};
	struct attest_expect want = everything();

	(void)state;
	memset(other, 0xaa, sizeof(other));
	other[47] ^= 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* As the only one, and as the last of two. */
		const struct attest_expected_pcr two[] = {
			{ 1, { aa, 48 } }, cases[i].pcr,
		};

		for (size_t first = 0; first < 2; first++) {
			want.pcrs = two + first;
			want.n_pcrs = 2 - first;
			if (cases[i].why == NULL)
				must_verify(&right, &want);
			else
				must_deny(&right, &want, cases[i].why);
		}
	}
	want.n_pcrs = 0;
	must_deny(&right, &want, "no-measurement-expected");
}

/* A debug enclave is denied even to those who expect its zeros. */
static void
test_debug(void **state)
{
	static char zero[64];
	static const char *const debug[] = {
		"{0:0*48,1:0*48,2:0*48,3:0*48,4:0*48,8:0*48,16:0*48}",
		"{0:0*48,1:0*48,2:0*48,3:*48,4:*48,8:0*48,16:*48}",
		"{0:0*48,1:*48,2:*48,16:*48}", "{0:*48,1:0*48,2:*48,16:*48}",
		"{0:*48,1:*48,2:0*48,16:*48}", "{1:*48,2:*48,16:*48}",
		"{0:*48,2:*48,16:*48}", "{0:*48,1:*48,16:*48}", "{16:*48}",
		"{0:0*32,1:0*64,2:0*48,16:*48}",
	};
	struct attest_expect want = everything();

	(void)state;
	for (size_t i = 0; i < sizeof(debug) / sizeof(debug[0]); i++) {
		const struct attest_expected_pcr zeros[] = {
			{ 0, { zero, 48 } }, { 1, { zero, 48 } },
			{ 2, { zero, 48 } }, { 16, { aa, 48 } },
		};
		struct doc d = right;
		struct attest *a;
		char why[ATTEST_WHY_BYTES];

		d.pcrs = debug[i];
		for (size_t from = 0; from < 4; from++) {
			want.pcrs = zeros + from;
			want.n_pcrs = 4 - from;
			must_deny(&d, &want, "debug-enclave");
		}
		want.n_pcrs = 0;
		must_deny(&d, &want, "debug-enclave");
		/* It is what it says it is, though. */
		a = must_read(&d);
		assert_true(attest_debug(a));
		assert_int_equal(attest_authenticate(a, roots, AT_MS, why,
		    sizeof(why)), RC_OK);
		attest_free(&a);
	}
}

/* Signed by another key than the leaf's: the leaf's issuer, a stranger. */
static void
test_signer(void **state)
{
	struct attest_expect want = everything();
	EVP_PKEY *stranger = EVP_EC_gen("P-384"), *p256 = EVP_EC_gen("P-256");
	struct doc d = right;

	(void)state;
	d.signer = host.key;
	must_deny(&d, &want, "signature: the signature is not the key's");
	d.signer = stranger;
	must_deny(&d, &want, "signature: the signature is not the key's");
	d.signer = p256;
	must_deny(&d, &want, "signature: a signature of another length");
	EVP_PKEY_free(stranger);
	EVP_PKEY_free(p256);
}

/* The document's own words do not count before it is authentic. */
static void
test_order(void **state)
{
	struct attest_expect want = everything();
	X509_STORE *nobody = X509_STORE_new();
	struct doc d = right;

	(void)state;
	want.roots = nobody;
	d.pcrs = "{0:0*48,1:0*48,2:0*48}";
	want.n_pcrs = 0;
	want.nonce = SPAN_LIT("other");
	must_deny(&d, &want, "chain: unable to get local issuer certificate");
	X509_STORE_free(nobody);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_module_id_length),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_no_document),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_pcrs),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_signer),
		cmocka_unit_test(test_order),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
