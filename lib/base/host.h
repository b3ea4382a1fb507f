/*
 * base/host.h - host names in the one form that maps are keyed by.
 * Context:   pure.
 *
 * Canonical: lower case, no trailing dot, no port, A-labels (letters, digits,
 * hyphens inside, underscore allowed, labels of 1..63, 253 in all), or an IP
 * literal (IPv6 without brackets, as inet_ntop prints it).
 */
#ifndef RELAY_BASE_HOST_H
#define RELAY_BASE_HOST_H

#include <stdbool.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

#define HOST_BYTES	256	/* 253 + NUL, rounded */

/* Fold case, drop one trailing dot, canonicalise an IP literal (brackets are
 * taken off).  RC_OK or RC_SYNTAX. */
enum rc host_canonical(struct span, char out[HOST_BYTES]) must_check;
bool host_is_canonical(const char *);
bool host_is_ip(const char *);

/* "shop.test" against "shop.test" or "*.test" (one label), both canonical. */
bool host_match(const char *pattern, const char *host);

#endif
