/*
 * ctl/link_ca.h - the CA of an installation's engine links: one P-256 key that
 * signs role certificates and nothing else.
 * Context:   relayctl only; the CA key never reaches another process.
 * Ownership: the creator owns the CA.
 */
#ifndef RELAY_CTL_LINK_CA_H
#define RELAY_CTL_LINK_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/net/tls.h"

#define LINK_CA_DAYS	3653		/* 10 years */
#define LINK_CERT_DAYS	365
#define LINK_NAME_BYTES	64		/* with the NUL */

struct link_ca;

/* A new key and its self-signed certificate.  RC_OK, RC_IO (OpenSSL). */
enum rc link_ca_new(const char *name, struct link_ca **out) must_check;
/* The one that was made before.  RC_OK; RC_SYNTAX: not such a pair. */
enum rc link_ca_load(struct span cert_pem, struct span key_pem,
    struct link_ca **out) must_check;
void link_ca_free(struct link_ca **);

/* Append the CA as PEM; key_pem should be a sensitive buffer. */
enum rc link_ca_pem(const struct link_ca *, struct buffer *cert_pem,
    struct buffer *key_pem) must_check;

/* A new key and its certificate, SAN URI relay://link/<role>/<name>.
 * RC_OK, RC_SYNTAX (role or name), RC_IO. */
enum rc link_ca_issue(const struct link_ca *, const char *role,
    const char *name, unsigned days, struct buffer *cert_pem,
    struct buffer *key_pem) must_check;

/* What a role certificate says of itself; nobody vouches for it here. */
struct link_cert {
	struct net_link_peer	who;	/* its serial as in the file `revoked` */
	uint64_t		ends_ms;	/* since 1970 */
};
/* RC_OK, RC_SYNTAX: no certificate of a link. */
enum rc link_cert_read(struct span pem, struct link_cert *) must_check;

/* 1..63 of letters, digits, '.', '-', '_'. */
bool link_name_valid(const char *);

#endif
