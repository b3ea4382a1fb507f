/*
 * ctl/ca_x509.h - certificates of egress CAs, as an operator handles them:
 * what is in a file, and the signature of the operator's own root.
 * Context:   pure; the root's key is in memory for one signature.
 */
#ifndef RELAY_CTL_CA_X509_H
#define RELAY_CTL_CA_X509_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

#define CA_ID_BYTES	16	/* "ca_" + 12 hex + NUL */

/* The engine's id for the CA whose certificate is the first in pem.  RC_OK;
 * RC_SYNTAX with *why: no certificate, or none that an engine would take. */
enum rc ca_x509_id(struct span pem, char id[CA_ID_BYTES], const char **why)
    must_check;

/* The domains that a certificate, or a request, permits, commas between them;
 * empty: any. */
void ca_x509_permitted(struct span pem, struct buffer *out);

bool ca_x509_self_signed(struct span pem);

/*
 * Answer a request: path length 0, its name, key and name constraints kept.
 * Appends the certificate and the root's, as `ca install` takes them.
 * RC_OK; RC_SYNTAX with *why; RC_IO: OpenSSL failed.
 */
enum rc ca_x509_sign(struct span request, struct span root_cert,
    struct span root_key, unsigned days, struct buffer *out, const char **why)
    must_check;

#endif
