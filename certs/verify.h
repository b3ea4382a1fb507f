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

/* extra_ca: PEM trusted for every destination; may be empty.  Loads the
 * system store once, so call it before the sandbox is entered. */
enum rc certs_verify_new(struct span extra_ca, struct certs_verify **,
    char *why, size_t why_size) must_check;
void certs_verify_free(struct certs_verify **);

/* A client context with this further trust (PEM, may be empty) and minimum;
 * borrowed, or NULL with a reason when ca is no PEM.  Session caching is left
 * to the caller (SSL_CTX_sess_set_new_cb). */
SSL_CTX *certs_verify_ctx(struct certs_verify *, struct span ca,
    bool min_tls_13, char *why, size_t why_size);

#endif
