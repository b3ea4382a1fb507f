/* worker_leaf_signer.c - see worker_leaf_signer.h. */
#include "tests/unit/worker_leaf_signer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/clock.h"
#include "lib/rpc/message.h"

/* A leaf of this key, signed by the CA, in PEM. */
static void
put_leaf(struct buffer *out, const struct leaf_signer *s, const char *host,
    EVP_PKEY *key)
{
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	X509_EXTENSION *san;
	X509V3_CTX ctx;
	char text[80], *pem;
	long len;

	assert_non_null(cert);
	assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
	assert_int_equal(X509_set_issuer_name(cert,
	    X509_get_subject_name(s->ca->cert)), 1);
	(void)snprintf(text, sizeof(text), "DNS:%s", host);
	X509V3_set_ctx(&ctx, s->ca->cert, cert, NULL, NULL, 0);
	san = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, text);
	assert_non_null(san);
	assert_int_equal(X509_add_ext(cert, san, -1), 1);
	assert_true(X509_sign(cert, s->ca->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	len = BIO_get_mem_data(bio, &pem);
	buffer_put(out, pem, (size_t)len);
	X509_EXTENSION_free(san);
	X509_free(cert);
	BIO_free(bio);
}

static void
put_chain(struct buffer *out, const struct leaf_signer *s, const char *host,
    EVP_PKEY *key)
{
	EVP_PKEY *other;

	switch (s->chain) {
	case CHAIN_EMPTY:
		return;
	case CHAIN_GARBAGE:
		buffer_puts(out, "-----BEGIN CERTIFICATE-----\nAAAA\n"
		    "-----END CERTIFICATE-----\n");
		return;
	case CHAIN_OTHER_KEY:
		assert_non_null(other = EVP_EC_gen("P-256"));
		put_leaf(out, s, host, other);
		EVP_PKEY_free(other);
		return;
	case CHAIN_CA_FIRST:
		buffer_put(out, s->ca->cert_pem.p, s->ca->cert_pem.len);
		put_leaf(out, s, host, key);
		return;
	default:
		break;
	}
	put_leaf(out, s, host, key);
	if (s->chain == CHAIN_CUT)
		buffer_truncate(out, buffer_len(out) / 2);
	else if (s->chain != CHAIN_LEAF_ALONE)
		buffer_put(out, s->ca->cert_pem.p, s->ca->cert_pem.len);
	while (s->chain == CHAIN_TOO_LONG && buffer_len(out) <= 16384)
		buffer_puts(out, "\n");
}

static void
say(struct leaf_signer *s, struct engine_link *l, uint64_t id, const char *host,
    EVP_PKEY *key)
{
	struct buffer body, chain;

	if (s->status != RPC_STATUS_OK) {
		engine_reply(l, id, s->status, NULL, false);
		return;
	}
	buffer_init(&body, 0, false);
	buffer_init(&chain, 0, false);
	put_chain(&chain, s, host, key);
	rpc_pack(&body, RPC_STR("chain", buffer_cstr(&chain)),
	    RPC_U64(s->chain == CHAIN_NO_END ? "not_after" : "not_after_ms",
	    (uint64_t)((int64_t)clock_wall_ms() + s->life_ms)));
	engine_reply(l, id, RPC_STATUS_OK, &body, s->chain == CHAIN_MORE);
	buffer_fini(&chain);
	buffer_fini(&body);
}

static void
tell_ca(struct leaf_signer *s, struct engine_link *l, uint64_t id)
{
	const struct test_cert *ca = s->tells_other ? s->other : s->ca;
	struct buffer body;
	uint8_t sum[32];

	assert_int_equal(EVP_Digest(ca->cert_pem.p, ca->cert_pem.len, sum, NULL,
	    EVP_sha256(), NULL), 1);
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_STR("anchors", ""),
	    RPC_BIN("issuers_sha256", sum, sizeof(sum)),
	    RPC_MAYBE_U64("changes_ms", s->changes_ms));
	engine_reply(l, id, RPC_STATUS_OK, &body, false);
	buffer_fini(&body);
	s->n_told++;
}

static void
on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct leaf_signer *s = arg;
	struct leaf_held *h = &s->held[s->n_held];
	const unsigned char *der;
	struct span host, spki;
	EVP_PKEY *key;

	if (span_eq_str(f->op, "GetCA")) {
		tell_ca(s, l, f->id);
		return;
	}
	assert_true(span_eq_str(f->op, "IssueLeaf"));
	assert_true(rpc_unpack(f->body, RPC_WANT_BYTES("host", &host),
	    RPC_WANT_BYTES("publicKey", &spki)));
	assert_true(span_copy(host, s->host, sizeof(s->host)));
	der = (const unsigned char *)spki.p;
	assert_non_null(key = d2i_PUBKEY(NULL, &der, (long)spki.len));
	assert_true(EVP_PKEY_is_a(key, "EC"));
	assert_int_equal(EVP_PKEY_get_bits(key), 256);
	if (!s->hold) {
		say(s, l, f->id, s->host, key);
		EVP_PKEY_free(key);
		return;
	}
	assert_in_range(s->n_held, 0, LEAF_HELD_MAX - 1);
	*h = (struct leaf_held){ .link = l, .id = f->id, .key = key };
	memcpy(h->host, s->host, sizeof(h->host));
	s->n_held++;
}

static void
drop_held(struct leaf_signer *s)
{
	while (s->n_held != 0)
		EVP_PKEY_free(s->held[--s->n_held].key);
}

void
leaf_signer_let_go(struct leaf_signer *s)
{
	for (size_t i = 0; i < s->n_held; i++)
		say(s, s->held[i].link, s->held[i].id, s->held[i].host,
		    s->held[i].key);
	drop_held(s);
	s->hold = false;
}

void
leaf_signer_turn(struct leaf_signer *s)
{
	struct test_cert *was = s->ca;

	s->ca = s->other;
	s->other = was;
}

/* ---- life ---- */

void
leaf_signer_start(struct leaf_signer *s, struct engine_pair *engines)
{
	memset(s, 0, sizeof(*s));
	s->ca = test_ca_new("egress CA");
	s->other = test_ca_new("next egress CA");
	engines->one.on_call = engines->two.on_call = on_call;
	engines->one.arg = engines->two.arg = s;
}

void
leaf_signer_stop(struct leaf_signer *s)
{
	drop_held(s);
	test_cert_free(&s->ca);
	test_cert_free(&s->other);
}
