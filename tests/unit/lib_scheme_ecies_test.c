/* lib/scheme/ecies.c and lib/scheme/ecdh.c against Wycheproof and NIST's X9.63
 * cases. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "lib/base/object.h"
#include "lib/scheme/ecies.h"
#include "lib_body_suite.h"

#define BYTES_MAX	1024

static struct scheme_crypto *crypto;
static uint8_t *secret, *z;		/* secure heap */

static int
setup(void **state)
{
	(void)state;
	if (CRYPTO_secure_malloc_init(1 << 18, 32) == 0)
		return (-1);
	crypto = scheme_crypto_new();
	secret = OPENSSL_secure_malloc(SCHEME_SECRET_BYTES);
	z = OPENSSL_secure_malloc(SCHEME_SECRET_BYTES);
	return (crypto != NULL && secret != NULL && z != NULL ? 0 : -1);
}

static int
teardown(void **state)
{
	(void)state;
	OPENSSL_secure_free(secret);
	OPENSSL_secure_free(z);
	scheme_crypto_free(&crypto);
	return (CRYPTO_secure_malloc_done() == 1 ? 0 : -1);
}

/* ---- suites: groups of tests with hex members ---- */

typedef void case_fn(const struct body_json *, uint32_t test, void *arg);

static size_t
hex_of(const struct body_json *j, uint32_t object, const char *name,
    uint8_t out[BYTES_MAX])
{
	struct span raw = body_json_raw(j, body_json_member(j, object, name));

	assert_true(raw.len >= 2);
	raw.p++;
	raw.len -= 2;
	if (raw.len % 2 != 0 || raw.len / 2 > BYTES_MAX)
		return (0);		/* broken on purpose: no bytes */
	assert_int_equal(hex_decode(raw, out, raw.len / 2), RC_OK);
	return (raw.len / 2);
}

static bool
text_is(const struct body_json *j, uint32_t object, const char *name,
    const char *want)
{
	struct span raw = body_json_raw(j, body_json_member(j, object, name));

	return (body_json_text_is(raw, span_of(want)));
}

static void
each_case(const char *file, case_fn *fn, void *arg)
{
	struct body_json j;
	struct buffer text;

	suite_file(suite_path("wycheproof"), file, &text);
	assert_int_equal(body_json_read(&j, buffer_data(&text),
	    buffer_len(&text), 0, NULL), RC_OK);
	for (uint32_t g = body_json_child(&j, body_json_member(&j, 0,
	    "testGroups")); g != 0; g = body_json_sibling(&j, g))
		for (uint32_t t = body_json_child(&j, body_json_member(&j, g,
		    "tests")); t != 0; t = body_json_sibling(&j, t))
			fn(&j, t, arg);
	body_json_fini(&j);
	buffer_fini(&text);
}

/* A private key of any length as 32 bytes; false when it is longer. */
static bool
take_secret(const struct body_json *j, uint32_t t)
{
	uint8_t raw[BYTES_MAX];
	size_t n = hex_of(j, t, "private", raw), skip_n = 0;

	while (skip_n < n && raw[skip_n] == 0)
		skip_n++;
	n -= skip_n;
	if (n > SCHEME_SECRET_BYTES)
		return (false);
	memset(secret, 0, SCHEME_SECRET_BYTES);
	memcpy(secret + SCHEME_SECRET_BYTES - n, raw + skip_n, n);
	return (true);
}

struct count {
	unsigned	valid, invalid, skipped;
};

/* The shared x, from a point of either form; what must be refused is refused
 * before any key exists. */
static void
check_point(const struct body_json *j, uint32_t t, enum rpc_curve curve,
    const uint8_t *point, size_t len, struct count *n)
{
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(crypto);
	struct scheme_public_key peer;
	uint8_t want[BYTES_MAX];
	enum rc rc = RC_SYNTAX;

	if (!take_secret(j, t)) {
		n->skipped++;
		return;
	}
	memset(&peer, 0, sizeof(peer));
	memset(z, 0x5a, SCHEME_SECRET_BYTES);
	if (len == SCHEME_POINT_BYTES)
		rc = scheme_ecdh_decode(ecdh, curve, point, &peer);
	else if (len == SCHEME_FULL_POINT_BYTES) {
		memcpy(peer.full, point, len);
		rc = RC_OK;
	}
	if (rc == RC_OK)
		rc = scheme_ecdh_agree(ecdh, curve, secret, &peer, z);
	if (text_is(j, t, "result", "invalid")) {
		assert_int_equal(rc, RC_SYNTAX);
		for (size_t i = 0; i < SCHEME_SECRET_BYTES; i++)
			assert_int_equal(z[i], 0x5a);
		n->invalid++;
		return;
	}
	/* "acceptable" leaves the choice; a point off the curve is refused. */
	if (rc == RC_SYNTAX && text_is(j, t, "result", "acceptable")) {
		n->skipped++;
		return;
	}
	assert_int_equal(rc, RC_OK);
	assert_int_equal(hex_of(j, t, "shared", want), SCHEME_SECRET_BYTES);
	assert_memory_equal(z, want, SCHEME_SECRET_BYTES);
	n->valid++;
}

static void
case_r1(const struct body_json *j, uint32_t t, void *arg)
{
	uint8_t point[BYTES_MAX];
	size_t len = hex_of(j, t, "public", point);

	check_point(j, t, RPC_CURVE_R1, point, len, arg);
}

/* Public keys come as SubjectPublicKeyInfo; those of the one plain form carry
 * a point for us, the rest tests ASN.1, which tokens do not have. */
static void
case_k1(const struct body_json *j, uint32_t t, void *arg)
{
	static const uint8_t plain[] = { 0x30, 0x56, 0x30, 0x10, 0x06, 0x07,
	    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
	    0x04, 0x00, 0x0a, 0x03, 0x42, 0x00 };
	static const uint8_t small[] = { 0x30, 0x36, 0x30, 0x10, 0x06, 0x07,
	    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
	    0x04, 0x00, 0x0a, 0x03, 0x22, 0x00 };
	uint8_t spki[BYTES_MAX];
	size_t len = hex_of(j, t, "public", spki);
	struct count *n = arg;

	if (len == sizeof(plain) + SCHEME_FULL_POINT_BYTES &&
	    memcmp(spki, plain, sizeof(plain)) == 0)
		check_point(j, t, RPC_CURVE_K1, spki + sizeof(plain),
		    SCHEME_FULL_POINT_BYTES, n);
	else if (len == sizeof(small) + SCHEME_POINT_BYTES &&
	    memcmp(spki, small, sizeof(small)) == 0)
		check_point(j, t, RPC_CURVE_K1, spki + sizeof(small),
		    SCHEME_POINT_BYTES, n);
	else
		n->skipped++;
}

static void
test_ecdh_suite(void **state)
{
	struct count n = { 0, 0, 0 };

	(void)state;
	each_case("ecdh_secp256r1_ecpoint_test.json", case_r1, &n);
	print_message("P-256: %u agreed, %u refused, %u skipped\n", n.valid,
	    n.invalid, n.skipped);
	assert_true(n.valid > 200 && n.invalid > 5);
	memset(&n, 0, sizeof(n));
	each_case("ecdh_secp256k1_test.json", case_k1, &n);
	print_message("secp256k1: %u agreed, %u refused, %u skipped\n",
	    n.valid, n.invalid, n.skipped);
	assert_true(n.valid > 200 && n.invalid > 5);
}

/* Scalars outside [1, n-1] and points that are none. */
static void
test_ranges(void **state)
{
	static const char *const order[] = {
		"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
		"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
	};
	static const uint8_t firsts[] = { 0, 1, 4, 5, 6, 7, 0xff };
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(crypto);
	struct scheme_public_key pub, peer;

	(void)state;
	for (int i = 0; i < 2; i++) {
		enum rpc_curve curve = i == 0 ? RPC_CURVE_R1 : RPC_CURVE_K1;

		assert_int_equal(scheme_ecdh_generate(ecdh, curve, secret, &peer),
		    RC_OK);
		memset(secret, 0, SCHEME_SECRET_BYTES);
		assert_int_equal(scheme_ecdh_public(ecdh, curve, secret, &pub),
		    RC_SYNTAX);
		assert_int_equal(scheme_ecdh_agree(ecdh, curve, secret, &peer, z),
		    RC_SYNTAX);
		for (int above = 0; above < 2; above++) {
			assert_int_equal(hex_decode(span_of(order[i]), secret,
			    SCHEME_SECRET_BYTES), RC_OK);
			secret[SCHEME_SECRET_BYTES - 1] =
			    (uint8_t)(secret[SCHEME_SECRET_BYTES - 1] + above);
			assert_int_equal(scheme_ecdh_public(ecdh, curve, secret,
			    &pub), RC_SYNTAX);
			assert_int_equal(scheme_ecdh_agree(ecdh, curve, secret,
			    &peer, z), RC_SYNTAX);
		}
		secret[SCHEME_SECRET_BYTES - 1] =
		    (uint8_t)(secret[SCHEME_SECRET_BYTES - 1] - 2);
		assert_int_equal(scheme_ecdh_public(ecdh, curve, secret, &pub),
		    RC_OK);
		for (size_t k = 0; k < sizeof(firsts); k++) {
			uint8_t bad[SCHEME_POINT_BYTES];

			memcpy(bad, peer.compressed, sizeof(bad));
			bad[0] = firsts[k];
			assert_int_equal(scheme_ecdh_decode(ecdh, curve, bad,
			    &pub), RC_SYNTAX);
		}
		peer.full[64] ^= 1;
		assert_int_equal(scheme_ecdh_agree(ecdh, curve, secret, &peer, z),
		    RC_SYNTAX);
	}
}

/* ---- AES-256-GCM ---- */

static void
case_gcm(const struct body_json *j, uint32_t t, void *arg)
{
	uint8_t key[BYTES_MAX], iv[BYTES_MAX], aad[BYTES_MAX], msg[BYTES_MAX];
	uint8_t sealed[BYTES_MAX + SCHEME_TAG_BYTES], out[BYTES_MAX * 2];
	size_t n_aad, n_msg, n_ct;
	struct count *n = arg;
	struct span extra, in;
	enum rc rc;

	if (hex_of(j, t, "key", key) != SCHEME_SECRET_BYTES ||
	    hex_of(j, t, "iv", iv) != SCHEME_IV_BYTES) {
		n->skipped++;
		return;
	}
	n_aad = hex_of(j, t, "aad", aad);
	n_msg = hex_of(j, t, "msg", msg);
	n_ct = hex_of(j, t, "ct", sealed);
	assert_int_equal(hex_of(j, t, "tag", sealed + n_ct), SCHEME_TAG_BYTES);
	extra = (struct span){ (const char *)aad, n_aad };
	in = (struct span){ (const char *)sealed, n_ct + SCHEME_TAG_BYTES };
	rc = scheme_ecies_open(crypto, key, iv, extra, in, out);
	if (text_is(j, t, "result", "invalid")) {
		assert_int_equal(rc, RC_DENIED);
		n->invalid++;
		return;
	}
	assert_int_equal(rc, RC_OK);
	assert_memory_equal(out, msg, n_msg);
	/* The same bytes sealed, in two parts. */
	assert_int_equal(scheme_ecies_seal(crypto, key, iv, extra, (struct span){
	    (const char *)msg, n_msg / 3 }, (struct span){ (const char *)msg +
	    n_msg / 3, n_msg - n_msg / 3 }, out), RC_OK);
	assert_memory_equal(out, sealed, n_ct + SCHEME_TAG_BYTES);
	n->valid++;
}

static void
test_gcm_suite(void **state)
{
	struct count n = { 0, 0, 0 };

	(void)state;
	each_case("aes_gcm_test.json", case_gcm, &n);
	print_message("AES-256-GCM: %u opened, %u refused, %u skipped\n",
	    n.valid, n.invalid, n.skipped);
	assert_true(n.valid > 30 && n.invalid > 10);
	for (size_t i = 0; i < SCHEME_TAG_BYTES; i++)
		assert_int_equal(scheme_ecies_open(crypto, secret, z,
		    (struct span){ NULL, 0 }, (struct span){
		    (const char *)secret, i }, z), RC_SYNTAX);
}

/* ---- KDF ---- */

/* "name = hex" of the response file into out; SIZE_MAX: another line. */
static size_t
kdf_line(const char *line, const char *name, uint8_t out[BYTES_MAX])
{
	size_t n = strlen(name), len;

	if (strncmp(line, name, n) != 0 || strncmp(line + n, " = ", 3) != 0)
		return (SIZE_MAX);
	line += n + 3;
	len = strspn(line, "0123456789abcdef");
	assert_int_equal(hex_decode((struct span){ line, len }, out, len / 2),
	    RC_OK);
	return (len / 2);
}

static void
test_x963_suite(void **state)
{
	uint8_t shared[BYTES_MAX], info[BYTES_MAX], want[BYTES_MAX];
	size_t n_shared = 0, n_info = 0, n;
	uint8_t got[SCHEME_SECRET_BYTES];
	struct buffer text;
	bool sha256 = false;
	unsigned cases = 0;
	char *line, *save;

	(void)state;
	suite_file(suite_path("kdf-x963"), "ansx963_2001.txt", &text);
	(void)buffer_cstr(&text);
	for (line = strtok_r(buffer_data(&text), "\r\n", &save); line != NULL;
	    line = strtok_r(NULL, "\r\n", &save)) {
		if (strncmp(line, "[SHA", 4) == 0)
			sha256 = strcmp(line, "[SHA-256]") == 0;
		if (!sha256)
			continue;
		if ((n = kdf_line(line, "Z", shared)) != SIZE_MAX)
			n_shared = n;
		if (strcmp(line, "SharedInfo =") == 0)
			n_info = 0;
		if ((n = kdf_line(line, "SharedInfo", info)) != SIZE_MAX)
			n_info = n;
		if ((n = kdf_line(line, "key_data", want)) == SIZE_MAX)
			continue;
		/* Ours is the first round of as many as they ask for. */
		assert_int_equal(scheme_ecies_x963(crypto, shared, n_shared,
		    (struct span){ (const char *)info, n_info }, got), RC_OK);
		assert_memory_equal(got, want, n < sizeof(got) ? n :
		    sizeof(got));
		cases++;
	}
	print_message("X9.63 with SHA-256: %u cases\n", cases);
	assert_true(cases > 3);
	buffer_fini(&text);
}

/* Without memory a good point is not called a bad one: its token would be
 * taken for a foreign one. */
static void
test_full_secure_heap(void **state)
{
	struct scheme_ecdh *fresh = scheme_ecdh_new();
	struct scheme_public_key pub, got;
	void *first = NULL, *p;
	enum rc rc;

	(void)state;
	assert_non_null(fresh);
	assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(crypto),
	    RPC_CURVE_R1, secret, &pub), RC_OK);
	for (size_t n = 1 << 17; n >= 32; n /= 2)
		while ((p = OPENSSL_secure_malloc(n)) != NULL) {
			memcpy(p, &first, sizeof(first));
			first = p;
		}
	rc = scheme_ecdh_decode(fresh, RPC_CURVE_R1, pub.compressed, &got);
	for (; first != NULL; first = p) {
		memcpy(&p, first, sizeof(p));
		OPENSSL_secure_free(first);
	}
	assert_int_equal(rc, RC_NOMEM);
	assert_int_equal(scheme_ecdh_decode(fresh, RPC_CURVE_R1,
	    pub.compressed, &got), RC_OK);
	assert_memory_equal(&got, &pub, sizeof(pub));
	scheme_ecdh_free(&fresh);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ecdh_suite),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_gcm_suite),
		cmocka_unit_test(test_x963_suite),
		cmocka_unit_test(test_full_secure_heap),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
