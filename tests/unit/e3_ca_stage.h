/*
 * tests/unit/e3_ca_stage.h - egress CAs made, installed and asked for leaves, by
 * calls to an engine without a network (e3_fixture.h).
 * Context:   the e3 tests; failures end the test.
 */
#ifndef RELAY_TESTS_E3_CA_STAGE_H
#define RELAY_TESTS_E3_CA_STAGE_H

#include <openssl/x509v3.h>

#include "e3_fixture.h"

#define HOUR_MS		UINT64_C(3600000)
#define DAY_MS		(24 * HOUR_MS)

struct ca_made {
	char	id[32], request[4096], cert[4096];
};

/* CreateCA and InstallCA; what they made is active. */
enum rpc_status ca_create(struct fixture *, const char *permit,
    bool self_signed, unsigned days, struct ca_made *);
enum rpc_status ca_install(struct fixture *, const char *id, struct span chain,
    uint64_t active_ms);
/* An engine with a self-signed CA that signs, and a worker w1. */
void ca_fixture(struct fixture *, const char *permit, struct ca_made *);

/* "pending, signs": what GetCA shows; anchors: how many. */
void ca_check_states(struct fixture *, const char *want, unsigned anchors);

/* SubjectPublicKeyInfo in *out, the caller's to OPENSSL_free. */
struct span ca_public_der(EVP_PKEY *, unsigned char **out);
/* IssueLeaf; chain may be NULL. */
enum rpc_status ca_leaf(struct fixture *, const char *host, struct span key,
    char *chain, size_t size);
/* As a client that trusts `anchor` does: X509_V_OK or why not.  *out, which may
 * be NULL: the leaf, the caller's. */
int ca_verify(const char *chain, X509 *anchor, const char *host, X509 **out);
X509 *ca_pem_cert(const char *pem);

#endif
