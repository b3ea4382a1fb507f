/*
 * base/secret.h - memory that must not outlive its use.
 * Context:   any process, any thread.
 *
 * Long-lived keys (root key, app private keys, derived raw keys) live in the
 * secure heap: one locked, guarded, undumped arena of OpenSSL.  Values live in
 * sensitive buffers (buffer.h), which are wiped; a process that has any leaves
 * no core at all.
 */
#ifndef RELAY_BASE_SECRET_H
#define RELAY_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/result.h"

/* Overwrite; never optimised away. */
void secret_wipe(void *, size_t len);

/* Keep whole pages inside [p, p+len) out of core dumps (MADV_DONTDUMP). */
void secret_nodump(void *, size_t len);

/* This process leaves no core and cannot be ptraced by its own uid: the first
 * call of every program that touches values. */
void secret_no_core(void);

/* Compare in time that depends on len alone. */
bool secret_equal(const void *, const void *, size_t len);

#endif
