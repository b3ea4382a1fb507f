/* helper/applied.c - see applied.h. */
#include "e3/helper/applied.h"

#include <stdio.h>
#include <string.h>

#define HEX	(2 * APPLIED_SHA256_BYTES)

_Static_assert(20 + 1 + HEX + 1 <= APPLIED_TEXT_BYTES, "fits");

void
applied_of(const struct record_entry *e, struct applied *a)
{
	a->version = e->version;
	a->has_sha256 = true;
	memcpy(a->sha256, e->sha256, sizeof(a->sha256));
}

void
applied_write(const struct applied *a, char text[APPLIED_TEXT_BYTES])
{
	char hex[HEX + 1] = "";

	if (a->has_sha256)
		hex_encode(a->sha256, sizeof(a->sha256), hex);
	(void)snprintf(text, APPLIED_TEXT_BYTES, "%llu%s%s",
	    (unsigned long long)a->version, a->has_sha256 ? " " : "", hex);
}

enum rc
applied_read(struct span text, struct applied *a)
{
	const char *space = text.len == 0 ? NULL :
	    memchr(text.p, ' ', text.len);
	struct span hash;

	memset(a, 0, sizeof(*a));
	if (space != NULL) {
		hash = (struct span){ space + 1,
		    text.len - (size_t)(space - text.p) - 1 };
		if (hash.len != HEX || hex_decode(hash, a->sha256,
		    sizeof(a->sha256)) != RC_OK)
			return (RC_SYNTAX);
		a->has_sha256 = true;
		text.len = (size_t)(space - text.p);
	}
	return (string_u64(text, &a->version) == RC_OK ? RC_OK : RC_SYNTAX);
}

bool
applied_has(const struct applied *theirs, const struct applied *ours)
{
	if (theirs->version != ours->version)
		return (theirs->version > ours->version);
	/* One that tells no hash is an older helper: its word as it was. */
	return (!theirs->has_sha256 || (ours->has_sha256 &&
	    memcmp(theirs->sha256, ours->sha256, sizeof(ours->sha256)) == 0));
}
