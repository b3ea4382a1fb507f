/*
 * tests/unit/test_certs.h - certificates made on the spot for tests.
 * Context:   unit tests; each failure inside ends the test program.
 * Ownership: test_cert_free gives everything back; spans are views into it.
 */
#ifndef RELAY_TEST_CERTS_H
#define RELAY_TEST_CERTS_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/base/string.h"

struct test_cert {
	EVP_PKEY	*key;		/* P-256 */
	X509		*cert;
	struct span	cert_pem;	/* NUL terminated behind its end */
	struct span	key_pem;	/* NUL terminated behind its end */
	char		serial[48];	/* lower-case hex */
};

/* A self-signed authority, valid for a day. */
struct test_cert *test_ca_new(const char *name);

/* A leaf for client and server use, issued by ca.  san is OpenSSL's list,
 * e.g. "DNS:a.test,IP:127.0.0.1,URI:relay://link/worker/w1", or NULL.
 * valid_s: seconds from now to its end; negative: it has expired. */
struct test_cert *test_leaf_new(const struct test_cert *ca, const char *name,
    const char *san, long valid_s);

void test_cert_free(struct test_cert **);

/* Contexts of lib/net: a server with this leaf, a client that trusts ca (NULL:
 * nobody).  SSL_CTX_free them. */
SSL_CTX *test_server_ctx(const struct test_cert *leaf, int min_version);
SSL_CTX *test_client_ctx(const struct test_cert *ca, int min_version);

#endif
