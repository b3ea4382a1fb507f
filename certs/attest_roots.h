/*
 * certs/attest_roots.h - whose attestation documents are believed.
 * Context:   pure; no I/O, any thread.  The caller reads the file.
 * Ownership: the store is OpenSSL's counted object; the caller's.
 */
#ifndef RELAY_CERTS_ATTEST_ROOTS_H
#define RELAY_CERTS_ATTEST_ROOTS_H

#include <stddef.h>

#include <openssl/x509.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

/* SHA-256 of the DER of the AWS Nitro root ("aws.nitro-enclaves", valid until
 * October 2049), for whoever fetches it.  The root itself comes from the
 * operator: a certificate inside the program could not be replaced. */
#define ATTEST_ROOT_AWS_SHA256 \
	"641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

/*
 * Trust anchors from PEM text (one certificate or more) or one in DER.
 * RC_OK: *out is the caller's (X509_STORE_free), holds nothing else, and may
 * be shared by threads.
 * RC_SYNTAX: no certificate, or one that cannot be read; why[why_size] says.
 */
enum rc attest_roots_read(struct span certificates, X509_STORE **out,
    char *why, size_t why_size) must_check;

#endif
