/*
 * ctl/doctor_cause.h - from what a layer answered to what to change.
 * Context:   pure.
 */
#ifndef RELAY_CTL_DOCTOR_CAUSE_H
#define RELAY_CTL_DOCTOR_CAUSE_H

#include "lib/base/string.h"

/* What to change for a refusal of Relay's, by its x-evervault-error-code and,
 * where one code has several causes, words of its detail.  NULL: no advice.
 * <APP> and <HOST> stand in it for names: cause_text. */
const char *cause_of_code(struct span code, struct span detail);

/* The advice with <APP> and <HOST> in it replaced, into out[size]. */
void cause_text(const char *advice, const char *app, const char *host,
    char *out, size_t size);

/* What to change for a certificate that was not verified (X509_V_ERR_*).
 * inside: it is the tunnel's. */
const char *cause_of_certificate(long error, bool inside);

#endif
