/* tests/unit/test_certs.c - X.509 by hand, for tests. */
#include "tests/unit/test_certs.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/object.h"
#include "lib/net/tls.h"

static struct span
take_bio(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	struct span s = { NULL, 0 };

	ensure(len > 0);
	s.p = xstrndup(data, (size_t)len);
	s.len = (size_t)len;
	BIO_free(bio);
	return (s);
}

static void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;


	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ensure(ext != NULL);
	ensure(X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

/* Key, random serial, subject and dates; no issuer, no signature yet. */
static struct test_cert *
start(const char *name, long from_s, long valid_s)
{
	struct test_cert *t = xcalloc(1, sizeof(*t));
	BIGNUM *serial = BN_new();
	char *hex;

	t->key = EVP_EC_gen("P-256");
	t->cert = X509_new();
	ensure(t->key != NULL && t->cert != NULL && serial != NULL);
	ensure(BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
	ensure((hex = BN_bn2hex(serial)) != NULL);
	ensure(strlen(hex) < sizeof(t->serial));
	for (size_t i = 0; hex[i] != '\0'; i++)
		t->serial[i] = hex[i] >= 'A' && hex[i] <= 'F' ?
		    (char)(hex[i] + 32) : hex[i];
	OPENSSL_free(hex);
	ensure(BN_to_ASN1_INTEGER(serial,
	    X509_get_serialNumber(t->cert)) != NULL);
	BN_free(serial);
	ensure(X509_set_version(t->cert, X509_VERSION_3) == 1);
	ensure(X509_set_pubkey(t->cert, t->key) == 1);
	ensure(X509_gmtime_adj(X509_getm_notBefore(t->cert), from_s) != NULL);
	ensure(X509_gmtime_adj(X509_getm_notAfter(t->cert), valid_s) != NULL);
	ensure(X509_NAME_add_entry_by_txt(X509_get_subject_name(t->cert),
	    "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1);
	return (t);
}

static void
sign(struct test_cert *t, const struct test_cert *issuer)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

	ensure(X509_set_issuer_name(t->cert,
	    X509_get_subject_name(issuer->cert)) == 1);
	ensure(X509_sign(t->cert, issuer->key, EVP_sha256()) > 0);
	ensure(PEM_write_bio_X509(cert, t->cert) == 1);
	ensure(PEM_write_bio_PrivateKey(key, t->key, NULL, NULL, 0, NULL,
	    NULL) == 1);
	t->cert_pem = take_bio(cert);
	t->key_pem = take_bio(key);
}

struct test_cert *
test_ca_new(const char *name)
{
	struct test_cert *t = start(name, -3600, 86400);

	add_extension(t->cert, t->cert, NID_basic_constraints,
	    "critical,CA:TRUE");
	add_extension(t->cert, t->cert, NID_key_usage,
	    "critical,keyCertSign,cRLSign");
	add_extension(t->cert, t->cert, NID_subject_key_identifier, "hash");
	sign(t, t);
	return (t);
}

struct test_cert *
test_leaf_new(const struct test_cert *ca, const char *name, const char *san,
    long valid_s)
{
	struct test_cert *t = start(name, -86400, valid_s);

	add_extension(t->cert, ca->cert, NID_basic_constraints,
	    "critical,CA:FALSE");
	add_extension(t->cert, ca->cert, NID_key_usage,
	    "critical,digitalSignature");
	add_extension(t->cert, ca->cert, NID_ext_key_usage,
	    "serverAuth,clientAuth");
	if (san != NULL)
		add_extension(t->cert, ca->cert, NID_subject_alt_name, san);
	sign(t, ca);
	return (t);
}

void
test_cert_free(struct test_cert **tp)
{
	struct test_cert *t = *tp;
	void *mem;

	*tp = NULL;
	if (t == NULL)
		return;
	EVP_PKEY_free(t->key);
	X509_free(t->cert);
	memcpy(&mem, &t->cert_pem.p, sizeof(mem));
	free(mem);
	memcpy(&mem, &t->key_pem.p, sizeof(mem));
	free(mem);
	free(t);
}

SSL_CTX *
test_server_ctx(const struct test_cert *leaf, int min_version)
{
	SSL_CTX *ctx = net_tls_server_ctx(min_version);
	char why[128];

	ensure(ctx != NULL);
	ensure(net_tls_use_pem(ctx, leaf->cert_pem, leaf->key_pem, why,
	    sizeof(why)) == RC_OK);
	return (ctx);
}

SSL_CTX *
test_client_ctx(const struct test_cert *ca, int min_version)
{
	SSL_CTX *ctx = net_tls_client_ctx(min_version);
	char why[128];

	ensure(ctx != NULL);
	if (ca != NULL)
		ensure(net_tls_trust_pem(ctx, ca->cert_pem, why,
		    sizeof(why)) == RC_OK);
	return (ctx);
}
