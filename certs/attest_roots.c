/*
 * certs/attest_roots.c - PEM or DER into a store that has nothing else in it:
 * no system CA, no folder that a lookup could read.
 */
#include "certs/attest_roots.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include "lib/base/object.h"

#define DER_SEQUENCE	0x30	/* how a certificate starts; '0' in PEM text */

static int
no_password(char *out, int size, int rwflag, void *arg)
{
	(void)out;
	(void)size;
	(void)rwflag;
	(void)arg;
	return (-1);		/* never ask on a terminal */
}

/* How many certificates were added, or -1. */
static int
add_pem(X509_STORE *store, BIO *bio)
{
	bool ok = true;
	X509 *cert;
	int n = 0;

	while (ok && (cert = PEM_read_bio_X509(bio, NULL, no_password,
	    NULL)) != NULL) {
		ok = X509_STORE_add_cert(store, cert) == 1;
		X509_free(cert);
		n++;
	}
	/* The end of the text shows as "no start line". */
	return (ok && ERR_GET_REASON(ERR_peek_last_error()) ==
	    PEM_R_NO_START_LINE ? n : -1);
}

static int
add_der(X509_STORE *store, BIO *bio)
{
	X509 *cert = d2i_X509_bio(bio, NULL);
	bool ok = cert != NULL && BIO_pending(bio) == 0 &&
	    X509_STORE_add_cert(store, cert) == 1;

	X509_free(cert);
	return (ok ? 1 : -1);
}

enum rc
attest_roots_read(struct span certificates, X509_STORE **out, char *why,
    size_t why_size)
{
	X509_STORE *store = X509_STORE_new();
	BIO *bio = NULL;
	int n = 0;

	*out = NULL;
	ensure(store != NULL);
	ERR_clear_error();
	if (certificates.len > INT_MAX)
		n = -1;
	else if (certificates.len > 0) {
		bio = BIO_new_mem_buf(certificates.p, (int)certificates.len);
		ensure(bio != NULL);
		n = certificates.p[0] == DER_SEQUENCE ? add_der(store, bio) :
		    add_pem(store, bio);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (n > 0) {
		(void)snprintf(why, why_size, "%s", "");
		*out = store;
		return (RC_OK);
	}
	X509_STORE_free(store);
	(void)snprintf(why, why_size, "%s", n == 0 ? "no certificate" :
	    "a certificate cannot be read");
	return (RC_SYNTAX);
}
