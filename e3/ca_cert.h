/*
 * e3/ca_cert.h - X.509 of an egress CA: the request that a root answers, the
 * certificate without a root, and what an answer must be.
 * Context:   a crypto thread: each signs or verifies.
 *
 * Every CA is P-256, signs certificates and revocation lists only, and has
 * path length 0: what it signs signs nothing.
 */
#ifndef RELAY_E3_CA_CERT_H
#define RELAY_E3_CA_CERT_H

#include "e3/ca.h"
#include "lib/rpc/codec.h"

#define E3_CA_NAME_BYTES	65	/* a common name (RFC 5280: 64) and NUL */
#define E3_CA_PERMIT_MAX	16
#define E3_CA_DAYS		1825	/* five years */
#define E3_CA_DAYS_MAX		7300

/* What CreateCA asks for. */
struct e3_ca_wish {
	char		name[E3_CA_NAME_BYTES];
	struct buffer	constraints;	/* owned: x509v3_config(5); empty: none */
	bool		self_signed;
	uint64_t	days;
};
/* {name?, permit?, selfSigned?, days?}.  RC_OK, RC_SYNTAX: *w needs no end. */
enum rc e3_ca_wish_read(const struct rpc_value *body, struct e3_ca_wish *w)
    must_check;
void e3_ca_wish_fini(struct e3_ca_wish *);

/* Append PEM.  RC_OK, RC_NOMEM. */
enum rc e3_ca_request(const struct e3_ca *, struct e3_ca_wish *,
    struct buffer *out) must_check;
enum rc e3_ca_self_signed(const struct e3_ca *, struct e3_ca_wish *,
    uint64_t now_ms, struct buffer *out) must_check;

/*
 * Is the chain of ca (e3_ca_set_chain) good to sign leaves, in place of what
 * `former` holds: a request, or a chain?  NULL: yes, else one word why not.
 */
const char *e3_ca_fault(const struct e3_ca *, const struct e3_ca *former,
    uint64_t now_ms);

/* No name constraint of its chain forbids the names of this certificate, which
 * is signed. */
bool e3_ca_permits(const struct e3_ca *, X509 *leaf);

#endif
