/*
 * certs/attest_chain.h - the certificates in an attestation document, and the
 * roots they must lead to.
 * Context:   pure; no I/O, no clock, any thread.  For attest.c.
 * Ownership: spans are views into the document.
 */
#ifndef RELAY_CERTS_ATTEST_CHAIN_H
#define RELAY_CERTS_ATTEST_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

#define ATTEST_CERT_BYTES_MAX	1024
#define ATTEST_CAS_MAX		8	/* AWS has four: root, region, zone, host */

struct attest_chain {
	struct span	leaf;			/* DER */
	struct span	cas[ATTEST_CAS_MAX];	/* DER; the root first */
	size_t		n_cas;			/* 1 or more */
};

/*
 * The leaf's key when leaf, intermediates and root are, in this order and
 * nothing left out, a valid chain to one of the roots at that time (ms since
 * 1970).  RC_OK: *key is the caller's (EVP_PKEY_free).  RC_DENIED: a reason
 * as attest_authenticate() names them.
 */
enum rc attest_chain_verify(const struct attest_chain *, X509_STORE *roots,
    uint64_t at_ms, EVP_PKEY **key, char *why, size_t why_size) must_check;

#endif
