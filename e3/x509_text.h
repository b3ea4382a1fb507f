/*
 * e3/x509_text.h - certificates as PEM, their dates as milliseconds, their
 * extensions by the words of x509v3_config(5).
 * Context:   any thread; the OpenSSL error queue is the caller's to clear.
 */
#ifndef RELAY_E3_X509_TEXT_H
#define RELAY_E3_X509_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509v3.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/* The next certificate, the caller's; NULL: none.  Nobody is asked for a
 * password. */
X509 *e3_x509_read(BIO *);
X509_REQ *e3_x509_read_request(struct span pem);

/* Append PEM; false: no memory, or over the buffer's limit. */
bool e3_x509_put(X509 *, struct buffer *out);
bool e3_x509_put_request(X509_REQ *, struct buffer *out);

bool e3_x509_time_ms(const ASN1_TIME *, uint64_t *ms);
/* What every certificate that we sign has: version 3, a random serial, its
 * dates (whole seconds). */
bool e3_x509_begin(X509 *, uint64_t not_before_ms, uint64_t not_after_ms);

/* subject, issuer: as the extension needs them; issuer may be subject. */
bool e3_x509_add(X509 *subject, X509 *issuer, int nid, const char *value);

#endif
