/*
 * certs/store.h - the server certificates of a role: PEM in, one SSL_CTX per
 * certificate out.
 * Context:   worker, at start and on change; the loop's thread.
 * Ownership: the store owns its contexts.
 */
#ifndef RELAY_CERTS_STORE_H
#define RELAY_CERTS_STORE_H

#include <openssl/ssl.h>

#include "certs/ticket.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

struct certs_store;

/* keys: borrowed, outlives the store; NULL: no session tickets. */
struct certs_store *certs_store_new(const struct certs_ticket_keys *);
void certs_store_free(struct certs_store **);

/*
 * Add a certificate.  names: patterns ("shop.test", "*.shop.test"); n_names 0:
 * the DNS names of the certificate's SAN.  The first one added is the default.
 * RC_OK
 * RC_SYNTAX  with a reason: no PEM, key does not match, a bad name, no name
 * RC_EXISTS  with a reason: a name given here is another certificate's.  (Of
 *            names that come from SANs the first certificate keeps them.)
 * Nothing is added on failure.
 */
enum rc certs_store_add(struct certs_store *, const char *label,
    struct span chain, struct span key, const char *const *names,
    size_t n_names, char *why, size_t why_size) must_check;

/* The context new connections are accepted with: the default certificate,
 * with the name callback of certs/sni.c, ALPN ("http/1.1"; a list that misses
 * is ignored) and shared tickets.  NULL while the store is empty. */
SSL_CTX *certs_store_default(struct certs_store *);

/* Exact name first, then the wildcard of its parent, else NULL; the name is
 * canonical (base/host.h).  Borrowed. */
SSL_CTX *certs_store_find(struct certs_store *, const char *server_name);

#endif
