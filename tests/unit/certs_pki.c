/* tests/unit/certs_pki.c - see certs_pki.h. */
#include "certs_pki.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/base/object.h"

#define DAY_S	86400

static void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ensure(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static char *
text_of(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	text = xstrndup(data, (size_t)len);
	BIO_free(bio);
	return (text);
}

void
pki_make(struct pki_cert *c, const char *cn, const char *san, bool is_ca,
    const struct pki_cert *issuer)
{
	X509_NAME *name;
	uint32_t serial;
	BIO *bio;

	c->pkey = EVP_EC_gen("P-256");
	c->x509 = X509_new();
	ensure(c->pkey != NULL && c->x509 != NULL);
	ensure(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1);
	ensure(X509_set_version(c->x509, X509_VERSION_3) == 1);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(c->x509), serial);
	X509_gmtime_adj(X509_getm_notBefore(c->x509), -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(c->x509), DAY_S);
	ensure(X509_set_pubkey(c->x509, c->pkey) == 1);
	name = X509_get_subject_name(c->x509);
	ensure(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
	    (const unsigned char *)cn, -1, -1, 0) == 1);
	ensure(X509_set_issuer_name(c->x509, issuer != NULL ?
	    X509_get_subject_name(issuer->x509) : name) == 1);
	add_extension(c->x509, c->x509, NID_basic_constraints,
	    is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (san != NULL)
		add_extension(c->x509, c->x509, NID_subject_alt_name, san);
	ensure(X509_sign(c->x509, issuer != NULL ? issuer->pkey : c->pkey,
	    EVP_sha256()) > 0);
	bio = BIO_new(BIO_s_mem());
	ensure(PEM_write_bio_X509(bio, c->x509) == 1);
	c->chain = text_of(bio);
	bio = BIO_new(BIO_s_mem());
	ensure(PEM_write_bio_PrivateKey(bio, c->pkey, NULL, NULL, 0, NULL,
	    NULL) == 1);
	c->key = text_of(bio);
}

void
pki_fini(struct pki_cert *c)
{
	X509_free(c->x509);
	EVP_PKEY_free(c->pkey);
	free(c->chain);
	free(c->key);
	memset(c, 0, sizeof(*c));
}

SSL_CTX *
pki_client(int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	ensure(ctx != NULL);
	ensure(SSL_CTX_set_min_proto_version(ctx, version) == 1);
	ensure(SSL_CTX_set_max_proto_version(ctx, version) == 1);
	return (ctx);
}

void
pki_open(struct pki_link *l, SSL_CTX *client, SSL_CTX *server,
    const char *name)
{
	char sent[256];		/* OpenSSL's macro wants it writable */
	BIO *a, *b;

	l->client = SSL_new(client);
	l->server = SSL_new(server);
	ensure(l->client != NULL && l->server != NULL);
	ensure(BIO_new_bio_pair(&a, 0, &b, 0) == 1);
	SSL_set_bio(l->client, a, a);
	SSL_set_bio(l->server, b, b);
	SSL_set_connect_state(l->client);
	SSL_set_accept_state(l->server);
	if (name != NULL) {
		ensure(span_copy(span_of(name), sent, sizeof(sent)));
		ensure(SSL_set_tlsext_host_name(l->client, sent) == 1);
	}
}

/* False when this end failed; *done when it is through. */
static bool
turn(SSL *ssl, bool *done)
{
	int n = SSL_do_handshake(ssl), e;

	*done = n == 1;
	if (n == 1)
		return (true);
	e = SSL_get_error(ssl, n);
	return (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE);
}

bool
pki_shake(struct pki_link *l)
{
	bool client = false, server = false, ok = true;
	char byte;

	ERR_clear_error();
	while (ok && !(client && server))
		ok = turn(l->client, &client) && turn(l->server, &server);
	if (ok) {
		/* TLS 1.3 tickets come after the handshake. */
		(void)SSL_write(l->server, "x", 1);
		(void)SSL_read(l->client, &byte, 1);
	}
	ERR_clear_error();
	return (ok);
}

void
pki_close(struct pki_link *l)
{
	/* A session that was not shut down counts as bad and is not resumed. */
	(void)SSL_shutdown(l->client);
	(void)SSL_shutdown(l->server);
	SSL_free(l->client);
	SSL_free(l->server);
	l->client = l->server = NULL;
	ERR_clear_error();
}
