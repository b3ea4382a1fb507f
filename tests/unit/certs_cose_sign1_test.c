/* COSE_Sign1: the working group's examples, and messages that are none. */
#include "certs/cose_sign1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/base/buffer.h"
#include "lib_body_suite.h"

#define MESSAGE_MAX	1024

struct example {
	struct body_json doc;
	unsigned char	bytes[MESSAGE_MAX];
	struct span	message;	/* view into bytes */
	unsigned char	aad[64];
	struct span	external_aad;
	EVP_PKEY	*key;		/* owned */
	bool		sign1;		/* else another kind of message */
	bool		fail;
};

struct tally {
	unsigned	passed;
	unsigned	failed;		/* as it must */
	unsigned	other;		/* other kinds, refused as such */
};

/* A text of the document as bytes, given as hex. */
static struct span
hex_of(const struct body_json *doc, uint32_t node, unsigned char *out,
    size_t size)
{
	struct buffer hex;
	size_t len;

	suite_text(doc, node, &hex);
	len = buffer_len(&hex) / 2;
	assert_true(len <= size);
	assert_int_equal(hex_decode(suite_span(&hex), out, len), RC_OK);
	buffer_fini(&hex);
	return ((struct span){ (char *)out, len });
}

/* A coordinate as JSON web keys have it; returns its length. */
static size_t
coordinate(const struct body_json *doc, uint32_t key, const char *name,
    unsigned char *out, size_t size)
{
	struct buffer text;
	size_t len;
	char *p;

	suite_text(doc, body_json_member(doc, key, name), &text);
	p = buffer_data(&text);
	for (size_t i = 0; i < buffer_len(&text); i++)
		p[i] = p[i] == '-' ? '+' : p[i] == '_' ? '/' : p[i];
	assert_int_equal(base64_decode(suite_span(&text), false, out, size,
	    &len), RC_OK);
	buffer_fini(&text);
	return (len);
}

static EVP_PKEY *
make_key(const char *curve, unsigned char *point, size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;
	char name[16];
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, len),
		OSSL_PARAM_END,
	};

	(void)snprintf(name, sizeof(name), "%s", curve);
	params[0].data_size = strlen(name);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY,
	    params), 1);
	EVP_PKEY_CTX_free(ctx);
	return (key);
}

static EVP_PKEY *
read_key(const struct body_json *doc, uint32_t key)
{
	unsigned char point[1 + 2 * 66] = { 4 };
	struct buffer curve;
	size_t half;
	EVP_PKEY *out;

	half = coordinate(doc, key, "x", point + 1, 66);
	assert_int_equal(coordinate(doc, key, "y", point + 1 + half, 66), half);
	suite_text(doc, body_json_member(doc, key, "crv"), &curve);
	out = make_key(buffer_cstr(&curve), point, 1 + 2 * half);
	buffer_fini(&curve);
	return (out);
}

static void
example_open(struct example *e, struct span text)
{
	uint32_t input, sign0, node;

	memset(e, 0, sizeof(*e));
	assert_int_equal(body_json_read(&e->doc, text.p, text.len, 0, NULL),
	    RC_OK);
	node = body_json_member(&e->doc, 0, "output");
	e->message = hex_of(&e->doc, body_json_member(&e->doc, node, "cbor"),
	    e->bytes, sizeof(e->bytes));
	node = body_json_member(&e->doc, 0, "fail");
	e->fail = node != 0 && e->doc.nodes[node].type == BODY_JSON_TRUE;
	input = body_json_member(&e->doc, 0, "input");
	sign0 = body_json_member(&e->doc, input, "sign0");
	if ((e->sign1 = sign0 != 0) == false)
		return;
	e->key = read_key(&e->doc, body_json_member(&e->doc, sign0, "key"));
	if ((node = body_json_member(&e->doc, sign0, "external")) != 0)
		e->external_aad = hex_of(&e->doc, node, e->aad, sizeof(e->aad));
}

static void
example_close(struct example *e)
{
	EVP_PKEY_free(e->key);
	body_json_fini(&e->doc);
}

static enum rc
judge(struct span message, EVP_PKEY *key, struct span external_aad)
{
	struct cose_sign1 m;
	const char *why;
	enum rc rc;

	rc = cose_sign1_read(&m, message, &why);
	assert_int_equal(why[0] == '\0', rc == RC_OK);
	if (rc != RC_OK)
		return (rc);
	rc = cose_sign1_verify(&m, key, external_aad, &why);
	assert_int_equal(why[0] == '\0', rc == RC_OK);
	return (rc);
}

/* No bit of what is signed, nor of the signature, can be another. */
static void
check_bits(struct example *e)
{
	struct cose_sign1 m;
	const char *why;
	struct span parts[3];

	assert_int_equal(cose_sign1_read(&m, e->message, &why), RC_OK);
	parts[0] = m.protected;
	parts[1] = m.payload;
	parts[2] = m.signature;
	for (size_t i = 0; i < 3; i++) {
		size_t from = (size_t)(parts[i].p - e->message.p);

		for (size_t bit = 0; bit < parts[i].len * 8; bit++) {
			unsigned char mask = (unsigned char)(1 << bit % 8);

			e->bytes[from + bit / 8] ^= mask;
			assert_int_not_equal(judge(e->message, e->key,
			    e->external_aad), RC_OK);
			e->bytes[from + bit / 8] ^= mask;
		}
	}
}

static void
check_pass(struct example *e)
{
	EVP_PKEY *other = EVP_EC_gen("P-256");

	assert_int_equal(judge(e->message, e->key, e->external_aad), RC_OK);
	assert_int_equal(judge(e->message, e->key, SPAN_LIT("other")),
	    RC_DENIED);
	if (e->external_aad.len != 0)
		assert_int_equal(judge(e->message, e->key, SPAN_LIT("")),
		    RC_DENIED);
	assert_int_equal(judge(e->message, other, e->external_aad), RC_DENIED);
	EVP_PKEY_free(other);
	for (size_t len = 0; len < e->message.len; len++)
		assert_int_equal(judge((struct span){ e->message.p, len },
		    e->key, e->external_aad), RC_SYNTAX);
	check_bits(e);
}

static void
on_file(const char *name, struct span text, void *arg)
{
	struct tally *tally = arg;
	struct cose_sign1 m;
	struct example e;
	const char *why;

	(void)name;
	example_open(&e, text);
	if (!e.sign1) {
		/* COSE_Sign, Encrypt, Mac and their kin: not ours to read. */
		assert_int_equal(cose_sign1_read(&m, e.message, &why),
		    RC_SYNTAX);
		assert_string_equal(why, "another tag than 18");
		tally->other++;
	} else if (e.fail) {
		assert_int_not_equal(judge(e.message, e.key, e.external_aad),
		    RC_OK);
		tally->failed++;
	} else {
		check_pass(&e);
		tally->passed++;
	}
	example_close(&e);
}

static void
check_folder(const char *folder, unsigned pass, unsigned fail, unsigned other)
{
	struct tally tally = { 0 };
	char path[2048];

	(void)snprintf(path, sizeof(path), "%s/%s", suite_path("cose"), folder);
	assert_int_equal(suite_each_file(path, on_file, &tally),
	    pass + fail + other);
	assert_int_equal(tally.passed, pass);
	assert_int_equal(tally.failed, fail);
	assert_int_equal(tally.other, other);
}

static void
test_suites(void **state)
{
	(void)state;
	check_folder("sign1-tests", 3, 6, 0);
	/* ecdsa-01 to 04 are COSE_Sign: several signers. */
	check_folder("ecdsa-examples", 4, 0, 4);
	/* Of RFC 8152's appendix C only C.2.1 is a COSE_Sign1. */
	check_folder("RFC8152", 1, 0, 16);
}

static void
test_form(void **state)
{
	static const struct {
		const char	*hex;
		enum rc		rc;
		const char	*why;
	} cases[] = {
		{ "8443a10126a04141" "4142", RC_OK, "" },
		{ "d28443a10126a04141" "4142", RC_OK, "" },
		{ "d8128443a10126a04141" "4142", RC_OK, "" },
		{ "9f43a10126a04141" "4142ff", RC_OK, "" },
		{ "d2d28443a10126a041414142", RC_SYNTAX, "no array of four" },
		{ "d38443a10126a041414142", RC_SYNTAX, "another tag than 18" },
		{ "01", RC_SYNTAX, "no array of four" },
		{ "a4010102020303" "0404", RC_SYNTAX, "no array of four" },
		{ "8343a10126a04141", RC_SYNTAX, "no array of four" },
		{ "8543a10126a04141414200", RC_SYNTAX, "no array of four" },
		{ "84a10126a041414142", RC_SYNTAX, "an item of another type" },
		{ "8463a10126a041414142", RC_SYNTAX, "text is not UTF-8" },
		{ "8443a101268041414142", RC_SYNTAX, "an item of another type" },
		{ "8443a10126a061414142", RC_SYNTAX, "an item of another type" },
		{ "8443a10126a041416142", RC_SYNTAX, "an item of another type" },
		{ "8443a10126a0f64142", RC_UNSUPPORTED,
		    "the payload is elsewhere" },
		{ "8441" "80a041414142", RC_SYNTAX, "protected is no map" },
		{ "8443a10126a041414142ff", RC_SYNTAX, "bytes behind the item" },
		{ "8444a10126" "00a041414142", RC_SYNTAX,
		    "bytes behind the item" },
		/* The algorithm. */
		{ "8440a041414142", RC_SYNTAX, "no algorithm" },
		{ "8441a0a041414142", RC_SYNTAX, "no algorithm" },
		{ "8440a1012641414142", RC_OK, "" },
		{ "8441a0a1012641414142", RC_OK, "" },
		{ "8444a1013822a041414142", RC_OK, "" },
		{ "8444a1013823a041414142", RC_OK, "" },
		{ "8444a1013824a041414142", RC_UNSUPPORTED, "another algorithm" },
		{ "8443a10106a041414142", RC_UNSUPPORTED, "another algorithm" },
		{ "8443a10127a041414142", RC_UNSUPPORTED, "another algorithm" },
		{ "8443a101f6a041414142", RC_UNSUPPORTED, "another algorithm" },
		{ "8448a101654553323536a041414142", RC_UNSUPPORTED,
		    "another algorithm" },
		{ "844ba1013bfffffffffffffff8a041414142", RC_UNSUPPORTED,
		    "another algorithm" },
		/* Labels that appear twice, and fields we must understand. */
		{ "8443a10126a1012641414142", RC_SYNTAX,
		    "a label in both headers" },
		{ "8445a201260400a1040041414142", RC_SYNTAX,
		    "a label in both headers" },
		{ "8445a201260126a041414142", RC_SYNTAX, "a key twice" },
		{ "8443a10126a20400040041414142", RC_SYNTAX, "a key twice" },
		{ "8446a20126028104a041414142", RC_UNSUPPORTED,
		    "a critical field" },
		{ "8443a10126a102810441414142", RC_SYNTAX,
		    "crit is not protected" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char bytes[64];
		size_t len = strlen(cases[i].hex) / 2;
		struct cose_sign1 m;
		const char *why;

		assert_int_equal(hex_decode(span_of(cases[i].hex), bytes, len),
		    RC_OK);
		assert_int_equal(cose_sign1_read(&m, (struct span){
		    (char *)bytes, len }, &why), cases[i].rc);
		assert_string_equal(why, cases[i].why);
	}
}

static void
test_bare(void **state)
{
	struct cose_sign1 m;
	const char *why;

	(void)state;
	assert_int_equal(cose_sign1_read(&m, SPAN_LIT(
	    "\x84\x44\xa1\x01\x38\x22\xa0\x41P\x42rs"), &why), RC_OK);
	assert_true(m.bare);
	assert_int_equal(m.alg, COSE_ES384);
	assert_true(span_eq_str(m.protected, "\xa1\x01\x38\x22"));
	assert_true(span_eq_str(m.payload, "P"));
	assert_true(span_eq_str(m.signature, "rs"));
	assert_int_equal(cose_sign1_read(&m, SPAN_LIT(
	    "\x84\x44\xa1\x01\x38\x22\xa1\x04\x41k\x41P\x42rs"), &why), RC_OK);
	assert_false(m.bare);
	/* An empty map is signed as no bytes at all. */
	assert_int_equal(cose_sign1_read(&m, SPAN_LIT(
	    "\x84\x41\xa0\xa1\x01\x26\x41P\x42rs"), &why), RC_OK);
	assert_int_equal(m.protected.len, 0);
	assert_false(m.bare);
}

/* P-384 with its curve spelled out: the same numbers, but who compares? */
static EVP_PKEY *
spelled_out(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-384"), *out;
	unsigned char *der = NULL;
	const unsigned char *p;
	long len;

	assert_int_equal(EVP_PKEY_set_utf8_string_param(key,
	    OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT), 1);
	len = i2d_PUBKEY(key, &der);
	assert_true(len > 200);
	p = der;
	assert_non_null(out = d2i_PUBKEY(NULL, &p, len));
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return (out);
}

static void
test_keys(void **state)
{
	static const struct {
		const char	*curve;
		size_t		bytes;
	} curves[] = {
		{ "P-256", 32 }, { "P-384", 48 }, { "P-521", 66 },
		{ "secp256k1", 0 }, { "brainpoolP384r1", 0 },
	};
	struct cose_sign1 m = { .alg = COSE_ES384, .payload = SPAN_LIT("x") };
	char signature[2 * 66];
	const char *why;
	EVP_PKEY *key;

	(void)state;
	memset(signature, 1, sizeof(signature));
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		key = EVP_EC_gen(curves[i].curve);
		assert_int_equal(cose_sign1_key_bytes(key), curves[i].bytes);
		/* Every length but the curve's is refused before any sums. */
		for (size_t len = 0; len <= sizeof(signature); len++) {
			m.signature = (struct span){ signature, len };
			assert_int_equal(cose_sign1_verify(&m, key,
			    SPAN_LIT(""), &why), RC_DENIED);
			assert_string_equal(why, curves[i].bytes == 0 ?
			    "another kind of key" : len != 2 * curves[i].bytes ?
			    "a signature of another length" :
			    "the signature is not the key's");
		}
		EVP_PKEY_free(key);
	}
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_int_equal(cose_sign1_key_bytes(key), 0);
	EVP_PKEY_free(key);
	key = spelled_out();
	assert_int_equal(cose_sign1_key_bytes(key), 0);
	EVP_PKEY_free(key);
	assert_int_equal(cose_sign1_key_bytes(NULL), 0);
}

/* r and s of zero, and beyond the order, prove nothing. */
static void
test_signature_numbers(void **state)
{
	static const unsigned char fill[] = { 0x00, 0xff };
	struct cose_sign1 m = { .alg = COSE_ES384, .payload = SPAN_LIT("x") };
	EVP_PKEY *key = EVP_EC_gen("P-384");
	unsigned char signature[96];
	const char *why;

	(void)state;
	m.signature = (struct span){ (char *)signature, sizeof(signature) };
	for (size_t r = 0; r < sizeof(fill); r++)
		for (size_t s = 0; s < sizeof(fill); s++) {
			memset(signature, fill[r], 48);
			memset(signature + 48, fill[s], 48);
			assert_int_equal(cose_sign1_verify(&m, key,
			    SPAN_LIT(""), &why), RC_DENIED);
		}
	EVP_PKEY_free(key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_signature_numbers),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
