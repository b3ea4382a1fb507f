/*
 * e3/leaf_cert.h - IssueLeaf: a certificate for a destination's name and a
 * worker's key, under the egress CA that signs now.
 * Context:   a handler on the network thread; it is signed on a crypto thread.
 */
#ifndef RELAY_E3_LEAF_CERT_H
#define RELAY_E3_LEAF_CERT_H

#include "e3/ca.h"
#include "e3/dispatch.h"

#define E3_LEAF_BACK_MS		(UINT64_C(3600) * 1000)		/* clocks differ */
#define E3_LEAF_LIFE_MS		(UINT64_C(24) * 3600 * 1000)

e3_handler e3_issue_leaf;

/*
 * Append leaf, CA and what stands between it and its root to out, as PEM.
 * host: canonical.  key: SubjectPublicKeyInfo of P-256, DER.  *end_ms: of the
 * leaf.  RC_OK; RC_SYNTAX: no such key; RC_DENIED: the CA's name constraints
 * forbid the host; RC_NOMEM.
 */
enum rc e3_leaf_make(const struct e3_ca *, struct scheme_crypto *,
    const char *host, struct span key, uint64_t now_ms, struct buffer *out,
    uint64_t *end_ms) must_check;

/* What each worker may have issued: for e3_engine.leaf_meters. */
void e3_leaf_limit(struct meters *, unsigned per_minute);

#endif
