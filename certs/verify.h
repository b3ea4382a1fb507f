/*
 * certs/verify.h - contexts that verify a destination: always the name and
 * the chain, against the system store plus what the relay adds.
 * Context:   worker; the loop's thread.  Contexts are made once per distinct
 *            trust and shared.
 */
#ifndef RELAY_CERTS_VERIFY_H
#define RELAY_CERTS_VERIFY_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

struct certs_verify;		/* the cache of contexts */

/* extra_ca: PEM trusted for every destination; may be empty.  Reads the
 * system's CAs once (blocking), so call it before the sandbox is entered.
 * RC_OK: why is "", or says for a warning that there is no CA at all;
 * RC_SYNTAX: extra_ca is no PEM. */
enum rc certs_verify_new(struct span extra_ca, struct certs_verify **,
    char *why, size_t why_size) must_check;
void certs_verify_free(struct certs_verify **);

/*
 * A client context with this further trust (PEM, may be empty) and minimum;
 * NULL with a reason when ca is no PEM.  The name is the caller's to set on
 * each SSL (SSL_set1_host).  Session caching is left to the caller
 * (SSL_CTX_sess_set_new_cb).
 * Borrowed until the next call: at most 256 contexts with a CA of their own
 * are kept, the one unused for longest goes first.  SSL_new takes its own
 * reference; who keeps the context longer takes one too (SSL_CTX_up_ref).
 */
SSL_CTX *certs_verify_ctx(struct certs_verify *, struct span ca,
    bool min_tls_13, char *why, size_t why_size);

#endif
