/*
 * tests/unit/certs_pki.h - certificates made on the spot, and a handshake in
 * memory, for the tests of certs/.
 */
#ifndef RELAY_TESTS_CERTS_PKI_H
#define RELAY_TESTS_CERTS_PKI_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "lib/base/string.h"

struct pki_cert {
	X509		*x509;	/* owned */
	EVP_PKEY	*pkey;	/* owned */
	char		*chain;	/* owned PEM text */
	char		*key;	/* owned PEM text */
};

/* A P-256 certificate.  issuer NULL: self-signed.  san: OpenSSL's text, e.g.
 * "DNS:a.test,IP:127.0.0.1"; NULL: none. */
void pki_make(struct pki_cert *, const char *cn, const char *san, bool is_ca,
    const struct pki_cert *issuer);
void pki_fini(struct pki_cert *);

/* Both ends of one connection in memory. */
struct pki_link {
	SSL	*client;	/* owned */
	SSL	*server;	/* owned */
};

/* name NULL: no SNI.  Set more on the SSLs before pki_shake. */
void pki_open(struct pki_link *, SSL_CTX *client, SSL_CTX *server,
    const char *name);
/* True when both ends are done; tickets have been read by the client. */
bool pki_shake(struct pki_link *);
void pki_close(struct pki_link *);

/* A client that trusts nothing and checks nothing. */
SSL_CTX *pki_client(int version);

#endif
