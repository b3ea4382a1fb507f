/* ctl/time_text.h - a moment for people: 2024-05-01T12:00:00Z. */
#ifndef RELAY_CTL_TIME_TEXT_H
#define RELAY_CTL_TIME_TEXT_H

#include <stdint.h>

#define TIME_TEXT_BYTES	32

/* ms since 1970; 0 is written as "-". */
void time_text(uint64_t ms, char out[TIME_TEXT_BYTES]);

#endif
