/*
 * body/token_scan.h - does this text look like an encrypted string?
 * (spec/ciphertext.md sections 1, 2 and 8)
 * Context:   pure.  Looks only; opening is the engine's work.
 */
#ifndef RELAY_BODY_TOKEN_SCAN_H
#define RELAY_BODY_TOKEN_SCAN_H

#include <stdbool.h>

#include "lib/base/string.h"

/* Shortest token there is: no version, no type, empty data. */
#define BODY_TOKEN_BYTES_MIN	67

/* The whole span has the form of one token (any version, debug too). */
bool body_token_whole(struct span);

#endif
