/*
 * certs/attest.h - the attestation document of an AWS Nitro enclave: read it,
 * and say whether it vouches for the engine that we talk to.
 * Context:   pure; no I/O, no clock, any process, any thread.  Verifying one
 *            document takes five P-384 verifications, some milliseconds.
 * Ownership: a struct attest owns a copy of its document.
 *
 * Reading believes nothing: the accessors return what the document claims.
 * attest_verify() is the one answer to "may this engine see data?".
 * why[why_size] is a reason without data of the document, and "" on RC_OK.
 */
#ifndef RELAY_CERTS_ATTEST_H
#define RELAY_CERTS_ATTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

#define ATTEST_BYTES_MAX	0x3000	/* the most that /dev/nsm answers */
#define ATTEST_REGISTERS	32	/* PCR 0 to 31 */
#define ATTEST_WHY_BYTES	160	/* room for any reason */

struct attest;

/*
 * Read a document and check its form: COSE_Sign1 with ES384 alone in its
 * header, each field of the right type and size.
 * RC_OK      *out is the caller's: attest_free
 * RC_SYNTAX  it is none; why is the field, or what is wrong with the rest
 */
enum rc attest_read(struct span document, struct attest **out, char *why,
    size_t why_size) must_check;
void attest_free(struct attest **);

/* Claims; spans and text live as long as the object.  The module id is
 * printable ASCII without spaces, fit for a log. */
const char *attest_module_id(const struct attest *);
uint64_t attest_timestamp_ms(const struct attest *);	/* since 1970 */
/* len 0: the document has no such register. */
struct span attest_pcr(const struct attest *, unsigned index);
/* p NULL: null or absent.  user_data and nonce may be there and empty. */
struct span attest_public_key(const struct attest *);
struct span attest_user_data(const struct attest *);
struct span attest_nonce(const struct attest *);

/* True unless PCR 0, 1 and 2 are there and none of them is all zero.  They
 * measure the image; a debug enclave has them zero (and others not: PCR 3 and
 * 4 come from the parent), and its console shows what it holds. */
bool attest_debug(const struct attest *);

/*
 * Did a Nitro security module under one of these roots sign this document?
 * Says nothing about what runs there, nor when it was signed: at_ms (since
 * 1970) is the time at which the certificates must be valid.
 * RC_OK, or RC_DENIED with a reason that starts with one of
 *   certificate  one that cannot be read
 *   key-usage    not a signing leaf under CAs
 *   curve        a key of the chain that is not on P-384
 *   chain        no valid chain of just these certificates to a root
 *   signature    the document is not signed by its leaf
 */
enum rc attest_authenticate(const struct attest *, X509_STORE *roots,
    uint64_t at_ms, char *why, size_t why_size) must_check;

struct attest_expected_pcr {
	unsigned	index;
	struct span	value;	/* view, 32, 48 or 64 raw bytes */
};

struct attest_expect {
	X509_STORE	*roots;		/* borrowed: certs/attest_roots.h */
	/* Now, for a live engine (leaves live three hours); the document's
	 * own timestamp only for a document that was verified when it came. */
	uint64_t	at_ms;
	const struct attest_expected_pcr *pcrs;	/* view; at least one */
	size_t		n_pcrs;
	/* p NULL: any.  Only a nonce of ours proves that the document is not
	 * an old one, only a public key that it speaks for this peer. */
	struct span	nonce;		/* what we sent */
	struct span	user_data;	/* SHA-256 of the link CA: 32 bytes */
	struct span	public_key;	/* DER SPKI of the peer's certificate */
};

/*
 * Authentic, no debug enclave, and all that is expected holds.
 * RC_OK, or RC_DENIED with a reason of attest_authenticate() or
 *   debug-enclave             attest_debug(), whatever is expected
 *   no-measurement-expected   n_pcrs is 0: any enclave of anybody would do
 *   pcrN-missing, pcrN-differs, pcrN-zero
 *                             a register of zeros measures nothing: it counts
 *                             as no match even where zeros are expected
 *   nonce-differs, user-data-differs, public-key-differs
 */
enum rc attest_verify(const struct attest *, const struct attest_expect *,
    char *why, size_t why_size) must_check;

#endif
