/*
 * scheme_token_fuzz - lib/scheme/token.c: what parses and has canonical data prints back to
 * the same text, but for a missing version, the word string and padding.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/scheme/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* text holds `part` exactly once less or more than printed: find it. */
static bool
holds(struct span text, struct span part)
{
	return (part.len == 0 ||
	    memmem(text.p, text.len, part.p, part.len) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	struct span text = { (const char *)in, len };
	struct scheme_token t, u;
	uint8_t *data;
	char *out;
	size_t n;

	if (scheme_token_parse(text, &t) != RC_OK)
		return (0);
	ensure(t.data_bytes >= SCHEME_TAG_BYTES && t.data_bytes < len);
	ensure(t.data.p > text.p && t.data.p + t.data.len < text.p + len);
	data = xcalloc(1, t.data_bytes);
	if (scheme_token_data(&t, data) != RC_OK) {
		free(data);
		return (0);
	}
	n = scheme_token_len(t.type, t.data_bytes);
	out = xcalloc(1, n);
	scheme_token_print(&t, data, t.data_bytes, out);
	ensure(scheme_token_parse((struct span){ out, n }, &u) == RC_OK);
	ensure(u.version == t.version && u.type == t.type && !u.debug);
	ensure(memcmp(u.iv, t.iv, sizeof(t.iv)) == 0);
	ensure(memcmp(u.ephemeral, t.ephemeral, sizeof(t.ephemeral)) == 0);
	ensure(span_eq(u.data, t.data));
	/* iv, key and data stand in the input letter for letter. */
	ensure(holds(text, (struct span){ u.data.p - 62, 62 }));
	free(out);
	free(data);
	return (0);
}
