/*
 * scheme_file_fuzz - lib/scheme/file.c: what parses is made of the input's own
 * bytes, all of them; and what we would write prints back to the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/scheme/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static bool
inside(struct span part, struct span whole)
{
	return (part.p >= whole.p && part.len <= whole.len &&
	    part.p + part.len <= whole.p + whole.len);
}

static void
check_print(struct span in, const struct scheme_file *f)
{
	uint8_t *out;
	size_t len = scheme_file_len(f->data.len - SCHEME_TAG_BYTES);

	if (f->debug || (f->version != 2 && f->version != 3))
		return;
	ensure(len == in.len);
	out = xcalloc(1, len);
	scheme_file_print_head(f, out);
	memcpy(out + SCHEME_FILE_HEAD_BYTES, f->data.p, f->data.len);
	scheme_file_print_end(out, len);
	ensure(memcmp(out, in.p, len) == 0);
	free(out);
}

static void
check(struct span in)
{
	const struct scheme_file_format *format;
	struct scheme_file f;
	size_t parts;

	if (scheme_file_parse(in, &f) != RC_OK)
		return;
	ensure(scheme_file_begins(in));
	format = scheme_file_format(f.version);
	ensure(f.data.len >= SCHEME_TAG_BYTES && inside(f.data, in));
	ensure((f.metadata.len != 0) == format->metadata);
	parts = SCHEME_FILE_HEAD_BYTES + f.data.len;
	if (format->metadata) {
		ensure(f.metadata.len >= SCHEME_TAG_BYTES &&
		    inside(f.metadata, in));
		parts += 2 + f.metadata.len;
	}
	ensure(parts + (format->checksum ? 4 : 0) == in.len);
	check_print(in, &f);
}

/* As it is, and with a checksum that fits: no mutation finds that. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy = xcalloc(1, len + 1);

	if (len != 0)
		memcpy(copy, data, len);
	check((struct span){ (const char *)copy, len });
	if (len > SCHEME_FILE_HEAD_BYTES + 4) {
		scheme_file_print_end(copy, len);
		check((struct span){ (const char *)copy, len });
	}
	free(copy);
	return (0);
}
