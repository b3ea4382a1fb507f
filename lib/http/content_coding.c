/*
 * http/content_coding.c - the names of codings.
 *
 * Object map of what undoes and does them: content_decoder.c and
 * content_encoder.c drive one of the backends, coding_zlib.c, coding_brotli.c
 * and coding_zstd.c, a file for each library; coding_memory.c gives those
 * memory that is wiped.
 */
#include "lib/http/content_coding.h"

#include "lib/base/object.h"
#include "lib/http/coding_private.h"
#include "lib/http/field.h"

static const char *const names[HTTP_CODINGS] = {
	[HTTP_CODING_IDENTITY] = "identity",
	[HTTP_CODING_GZIP] = "gzip",
	[HTTP_CODING_DEFLATE] = "deflate",
	[HTTP_CODING_BR] = "br",
	[HTTP_CODING_ZSTD] = "zstd",
};

const char *
http_coding_name(enum http_coding coding)
{
	ensure((unsigned)coding < HTTP_CODINGS);
	return (names[coding]);
}

static enum rc
lookup(struct span name, enum http_coding *out)
{
	for (unsigned i = 0; i < HTTP_CODINGS; i++) {
		if (span_eq_case(name, names[i])) {
			*out = (enum http_coding)i;
			return (RC_OK);
		}
	}
	if (!span_eq_case(name, "x-gzip"))	/* RFC 9110 8.4.1.3 */
		return (RC_UNSUPPORTED);
	*out = HTTP_CODING_GZIP;
	return (RC_OK);
}

enum rc
http_coding_parse(struct span value, enum http_coding *out)
{
	struct span first, other;

	*out = HTTP_CODING_IDENTITY;
	if (!http_list_next(&value, &first) || http_list_next(&value, &other))
		return (RC_UNSUPPORTED);
	return (lookup(first, out));
}
