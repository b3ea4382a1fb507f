/*
 * base/meter.h - what each of many may take of something: amounts a second,
 * uses at once.
 * Context:   pure; one thread.
 *
 * A use is let in while its owner is not in debt; its amount may then take the
 * owner into debt, which time pays.  So a use of any size passes some time,
 * and the rate holds over any longer span.
 */
#ifndef RELAY_BASE_METER_H
#define RELAY_BASE_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/tree.h"

struct meters {
	unsigned	per_s;		/* 0: no limit */
	unsigned	at_once;	/* of one owner; 0: no limit */
	bool		saved;		/* who comes first has a second's saving */
	struct tree	all;		/* owned: by owner; private to meter.c */
};
/* Zeroed, with its limits, is ready for use. */
void meters_fini(struct meters *);

/* RC_OK: counted until meter_done; RC_AGAIN: in debt; RC_LIMIT: too many at
 * once. */
enum rc meter_admit(struct meters *, const char *owner, size_t amount,
    uint64_t now_ms) must_check;
void meter_done(struct meters *, const char *owner);

#endif
