/*
 * helper/applied.h - what relay:applied:<app> says of one engine: the version of
 * the record that it uses, and the beginning of the record's SHA-256.
 * Context:   pure.
 *
 * The number alone does not tell: two machines that changed one app while they
 * could not see each other made one version with two contents.
 */
#ifndef RELAY_E3_HELPER_APPLIED_H
#define RELAY_E3_HELPER_APPLIED_H

#include <stdbool.h>
#include <stdint.h>

#include "e3/helper/record_store.h"

#define APPLIED_TEXT_BYTES	40	/* 20 digits, a space, the hash */

struct applied {
	uint64_t	version;
	bool		has_sha256;	/* an older helper says none */
	uint8_t		sha256[APPLIED_SHA256_BYTES];
};

void applied_of(const struct record_entry *, struct applied *);
void applied_write(const struct applied *, char text[APPLIED_TEXT_BYTES]);

/* "VERSION SHA256" or "VERSION".  RC_OK or RC_SYNTAX. */
enum rc applied_read(struct span text, struct applied *) must_check;

/* Who says `theirs` has `ours`: a higher version, or these very bytes. */
bool applied_has(const struct applied *theirs, const struct applied *ours);

#endif
