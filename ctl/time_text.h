/* ctl/time_text.h - a moment for people: 2024-05-01T12:00:00Z.
 * Context:   pure. */
#ifndef RELAY_CTL_TIME_TEXT_H
#define RELAY_CTL_TIME_TEXT_H

#include <stdint.h>

#include "lib/base/result.h"

#define TIME_TEXT_BYTES	32

/* ms since 1970; 0 is written as "-". */
void time_text(uint64_t ms, char out[TIME_TEXT_BYTES]);

/*
 * A moment that is to come, in ms since 1970: "30s", "15m", "12h", "90d", "8w"
 * from now_ms on, or in the form above (RFC 3339; a fraction of a second and
 * lower case are taken, another offset than Z is not).
 * RC_OK; RC_SYNTAX; RC_LIMIT: not after now_ms, or more than 100 years later.
 */
enum rc time_parse(const char *text, uint64_t now_ms, uint64_t *out_ms)
    must_check;

#endif
