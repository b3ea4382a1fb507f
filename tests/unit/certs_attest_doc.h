/*
 * tests/unit/certs_attest_doc.h - attestation documents made on the spot, by
 * a certificate authority of the test's own: right ones, and ones that break
 * a single rule.
 * Context:   tests; aborts on any failure of its own.
 */
#ifndef RELAY_TESTS_CERTS_ATTEST_DOC_H
#define RELAY_TESTS_CERTS_ATTEST_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/* All documents of the tests are made at this second. */
#define DOC_TIME_S	1700000000
#define DOC_CAS_MAX	10

struct doc_cert {
	X509		*x509;	/* owned */
	EVP_PKEY	*key;	/* owned */
};

/* How a certificate is made; zeros are the right values. */
struct doc_cert_how {
	const char	*curve;		/* NULL: P-384 */
	const EVP_MD	*digest;	/* NULL: SHA-384 */
	const char	*basic;		/* NULL: what its place asks for */
	const char	*usage;		/* NULL: what its place asks for */
	int		from_s;		/* 0: an hour before DOC_TIME_S */
	int		until_s;	/* 0: two hours after */
	bool		old;		/* version 1, with extensions */
};
#define DOC_NONE	""	/* basic or usage: leave the extension out */

/* issuer NULL: self-signed. */
void doc_cert_make(struct doc_cert *, const char *cn, bool ca,
    const struct doc_cert *issuer, const struct doc_cert_how *);
void doc_cert_fini(struct doc_cert *);

/*
 * CBOR from a small notation, to b:  7  -7  'text'  n (null)  t (true)
 * [a,b]  {k:v,k:v}  *48 (48 bytes 0xaa)  0*48 (48 zero bytes)
 * #0A0B (bytes)  (a,b] and (k:v} (of indefinite length).
 */
void doc_cbor(struct buffer *b, const char *notation);

struct doc {
	const struct doc_cert	*leaf;
	const struct doc_cert	*cas[DOC_CAS_MAX];	/* the root first */
	size_t			n_cas;
	/* In place of the field of that name; NULL notation: left out. */
	const char		*field;
	const char		*notation;
	const char		*extra;		/* NULL; "'key':value" added */
	const char		*pcrs;		/* NULL: doc_pcrs */
	const char		*protected;	/* NULL: "{1:-35}", as notation */
	const char		*unprotected;	/* NULL: "{}" */
	EVP_PKEY		*signer;	/* NULL: the leaf's key */
	struct span		leaf_der;	/* p NULL: the leaf's own */
	bool			tagged;
};

#define DOC_MODULE_ID	"i-0123456789abcdef0-enc0123456789abcdef"
#define DOC_NONCE	"*32"
#define DOC_USER_DATA	"#000102030405060708090a0b0c0d0e0f" \
			"101112131415161718191a1b1c1d1e1f"
#define DOC_PUBLIC_KEY	"*91"
extern const char doc_pcrs[];	/* 0 to 4 measured, 8 zero, 16 measured */

/* The signed document; the caller finis the buffer. */
void doc_make(struct buffer *, const struct doc *);

#endif
