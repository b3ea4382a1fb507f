/*
 * e3/ca.h - an egress CA: a key that was made here, and, once an operator has
 * brought it, the chain of its certificate.
 * Context:   made by a crypto thread, then read by any thread; never changed
 *            after the app that holds it was published or sealed.
 * Ownership: counted: snapshots of one app share it.  The last unref wipes it.
 *
 *   pending --InstallCA--> published --active_ms--> signs --> old
 *
 * What a CA is just now follows from its dates and the clock alone: nothing
 * has to happen at the moment when the next one takes over.
 */
#ifndef RELAY_E3_CA_H
#define RELAY_E3_CA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "lib/base/buffer.h"
#include "lib/scheme/ecies.h"

#define E3_CAS_MAX		8	/* of app_system: years of rollovers */
#define E3_CA_ID_BYTES		16	/* "ca_" + 12 hex + NUL */
#define E3_CA_CERTS_MAX		4	/* of its chain, the root included */
#define E3_CA_PEM_BYTES_MAX	RPC_CHAIN_BYTES_MAX

enum e3_ca_state {
	E3_CA_PENDING,		/* has a request, and no certificate */
	E3_CA_PUBLISHED,	/* clients learn it; it does not sign yet */
	E3_CA_SIGNS,		/* at most one */
	E3_CA_OLD		/* published until its end */
};

struct e3_ca {
	unsigned	magic;
#define E3_CA_MAGIC	0xe6ca57a7
	atomic_uint	refs;
	char		id[E3_CA_ID_BYTES];	/* of the public key */
	struct scheme_public_key pub;		/* P-256 */
	uint8_t		*secret;		/* owned: secure heap */
	EVP_PKEY	*key;			/* owned: the same, see ca.c */
	uint64_t	created_ms;
	uint64_t	active_ms;		/* 0: no certificate yet */
	struct buffer	pem;			/* owned: request, then chain */
	unsigned	n_certs;
	X509		*certs[E3_CA_CERTS_MAX];	/* owned: its own first, the
							   root last */
	uint64_t	not_before_ms, not_after_ms;	/* of all of them: the last
							   begin, the first end */
};

/* secret NULL: a new key; else the CA of this one, which is copied.
 * RC_OK, RC_NOMEM (the secure heap is full), RC_SYNTAX (no such key). */
enum rc e3_ca_new(struct scheme_crypto *, const uint8_t *secret,
    struct e3_ca **) must_check;
struct e3_ca *e3_ca_ref(struct e3_ca *);
void e3_ca_unref(struct e3_ca **);

/* Read a chain in place of what pem holds: certs, dates, and pem as we write
 * it.  RC_SYNTAX: no certificates, too many, or the first is not of our key. */
enum rc e3_ca_set_chain(struct e3_ca *, struct span pem) must_check;

/* What a leaf of it brings along, as PEM: its own certificate, and what stands
 * between that and its root.  Clients have the root, or do not trust us.
 * False: no memory, or over the buffer's limit. */
bool e3_ca_put_issuers(const struct e3_ca *, struct buffer *out) must_check;

/* ---- several of them, in the order in which they were made ---- */

/* The one that signs now; NULL: none. */
struct e3_ca *e3_ca_signing(struct e3_ca *const *, unsigned n,
    uint64_t now_ms);
/* When another one than now signs, or none, if nobody changes them until then;
 * 0: never. */
uint64_t e3_ca_changes_ms(struct e3_ca *const *, unsigned n, uint64_t now_ms);
enum e3_ca_state e3_ca_state(const struct e3_ca *,
    const struct e3_ca *signing, uint64_t now_ms);
const char *e3_ca_state_name(enum e3_ca_state);

#endif
