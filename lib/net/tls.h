/*
 * net/tls.h - what every TLS context of ours has in common, the mutual TLS of
 * engine links, and OpenSSL's errors turned into ours.
 * Context:   any process; contexts are built at start or on a record change.
 * Ownership: SSL_CTX is OpenSSL's counted object; each new one belongs to the
 *            caller (SSL_CTX_free).
 */
#ifndef RELAY_NET_TLS_H
#define RELAY_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

/* Base contexts: TLS >= min_version (TLS1_2_VERSION or TLS1_3_VERSION), no
 * renegotiation, no compression, SSL_MODE_ENABLE_PARTIAL_WRITE |
 * ACCEPT_MOVING_WRITE_BUFFER.  NULL only without memory. */
SSL_CTX *net_tls_server_ctx(int min_version);
SSL_CTX *net_tls_client_ctx(int min_version);

/* Chain (leaf first) and private key from PEM text.  On failure a reason
 * without key material goes to why[why_size]. */
enum rc net_tls_use_pem(SSL_CTX *, struct span chain, struct span key,
    char *why, size_t why_size) must_check;

/* Add every certificate of this PEM text to the context's trust. */
enum rc net_tls_trust_pem(SSL_CTX *, struct span ca, char *why,
    size_t why_size) must_check;

/*
 * Engine links (design.md section 2): mutual TLS 1.3, no tickets, no early
 * data, both ends verified against the link CA alone, by role certificates
 * with SAN URI relay://link/<role>/<name>.
 */
struct net_tls_link_files {
	struct span	chain;	/* PEM views, used during the call only */
	struct span	key;
	struct span	ca;
	struct span	revoked;	/* lines of hex serials; may be empty */
};
/* The number of the first line of such a list that is no serial, from 1: no
 * context takes it.  0: all are. */
size_t net_tls_revoked_fault(struct span revoked);
SSL_CTX *net_tls_link_ctx(bool server, const struct net_tls_link_files *,
    char *why, size_t why_size);

#define NET_LINK_NAME_BYTES	64
struct net_link_peer {
	char	role[16];	/* "worker", "feed", "helper", "pulse", "admin",
				   "engine" */
	char	name[NET_LINK_NAME_BYTES];
	char	serial[48];	/* hex, for the log and for revocation */
};

/* Who is at the other end, from the verified certificate: RC_OK, RC_DENIED
 * when there is none or its URI is not of our form. */
enum rc net_tls_link_peer(SSL *, struct net_link_peer *) must_check;

/* The same of a certificate for which nobody vouches here: RC_OK, RC_SYNTAX. */
enum rc net_tls_cert_peer(const X509 *, struct net_link_peer *) must_check;

/* The oldest entry of OpenSSL's error queue as short text without data;
 * the queue is empty after.  Returns why. */
const char *net_tls_error(char *why, size_t why_size);

#endif
