/*
 * ctl/ca_bundle.h - the system's trusted certificates together with ours, for
 * runtimes whose setting replaces the system's store.
 * Context:   blocks for files.
 */
#ifndef RELAY_CTL_CA_BUNDLE_H
#define RELAY_CTL_CA_BUNDLE_H

#include <openssl/x509.h>

#include "ctl/ctl.h"

#define CA_BUNDLE_BYTES_MAX	(8u << 20)

/* The system's bundle, PEM: the one SSL_CERT_FILE names already, else where
 * distributions keep it.  Empty when there is none. */
void ca_bundle_system(struct buffer *out);

/* Every certificate of a PEM text; others of its blocks are passed over.  NULL
 * when one is broken.  The caller frees it with ca_bundle_free. */
STACK_OF(X509) *ca_bundle_parse(struct span pem);
void ca_bundle_free(STACK_OF(X509) **);

/* A store that trusts them; NULL: broken PEM.  The caller's. */
X509_STORE *ca_bundle_store(struct span pem);

/*
 * Append a key store for Java (PKCS #12) that holds them as trusted: without
 * password and encryption, since nothing in it is secret.  RC_OK; RC_SYNTAX:
 * broken PEM, or none; RC_IO: OpenSSL failed.
 */
enum rc ca_bundle_pkcs12(struct span pem, struct buffer *out) must_check;

#endif
