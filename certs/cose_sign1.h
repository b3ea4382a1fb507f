/*
 * certs/cose_sign1.h - a COSE_Sign1 message (RFC 9052 4.2) and its ECDSA
 * signature (RFC 9053 2.1).
 * Context:   pure; no I/O, any thread.
 * Ownership: the struct is the caller's; its spans are views into the input.
 */
#ifndef RELAY_CERTS_COSE_SIGN1_H
#define RELAY_CERTS_COSE_SIGN1_H

#include <stdbool.h>

#include <openssl/evp.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

enum cose_alg {			/* RFC 9053 table 1 */
	COSE_ES256 = -7,	/* SHA-256 */
	COSE_ES384 = -35,	/* SHA-384 */
	COSE_ES512 = -36	/* SHA-512 */
};

struct cose_sign1 {
	enum cose_alg	alg;
	bool		bare;		/* the unprotected header is empty */
	struct span	protected;	/* as it is signed; empty: no fields */
	struct span	payload;
	struct span	signature;	/* r then s */
};

/*
 * Read a message, tagged 18 or untagged.  The algorithm is taken from the
 * protected header, or from the unprotected one when only that names it: who
 * cares looks at `protected` or `bare`.
 * RC_OK, RC_SYNTAX (no COSE_Sign1, or a label twice), RC_UNSUPPORTED (another
 * algorithm, a critical field, a payload kept elsewhere, or what
 * certs_cbor_read does not read), RC_LIMIT (of certs_cbor_read).
 * *why is a literal without data, "" on RC_OK.
 */
enum rc cose_sign1_read(struct cose_sign1 *, struct span in, const char **why)
    must_check;

/*
 * Is it this key's signature over the message and external_aad (may be
 * empty)?  The hash is the algorithm's, the signature's length the curve's.
 * RC_OK, else RC_DENIED with a literal at *why.
 */
enum rc cose_sign1_verify(const struct cose_sign1 *, EVP_PKEY *key,
    struct span external_aad, const char **why) must_check;

/* Bytes of a coordinate: 32, 48 or 66 for a key on P-256, P-384 or P-521
 * named as such; 0 for any other, and for a curve given by its numbers. */
size_t cose_sign1_key_bytes(const EVP_PKEY *);

#endif
