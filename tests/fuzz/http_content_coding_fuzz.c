/*
 * Decoders of content codings.  First byte: the coding; second: the length of
 * the pieces.  Whole and in pieces must give the same text and the same end
 * (but for the ratio, which is asked after each step); what was decoded comes
 * back from the coding's own encoder.
 */
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/http/content_coding.h"

#define MAX_BYTES	(256u << 10)

static enum rc
decode(enum http_coding coding, struct span in, size_t piece, struct buffer *out)
{
	struct http_decoder *d = http_decoder_new(coding, MAX_BYTES,
	    HTTP_DECODER_RATIO);
	enum rc rc = RC_MORE;
	size_t n;

	ensure(d != NULL);
	buffer_init(out, 0, true);
	while (rc == RC_MORE) {
		n = in.len < piece ? in.len : piece;
		rc = http_decoder_feed(d, (struct span){ in.p, n }, n == in.len, out);
		if ((in.len -= n) != 0)
			in.p += n;
	}
	ensure(buffer_len(out) <= MAX_BYTES);
	ensure(rc == RC_OK || rc == RC_SYNTAX || rc == RC_LIMIT);
	http_decoder_free(&d);
	return (rc);
}

static bool
is_equal(const struct buffer *a, const struct buffer *b)
{
	return (buffer_len(a) == buffer_len(b) && (buffer_len(a) == 0 ||
	    memcmp(buffer_data(a), buffer_data(b), buffer_len(a)) == 0));
}

static void
check_again(enum http_coding coding, const struct buffer *text)
{
	struct http_encoder *e = http_encoder_new(coding);
	struct buffer coded, again;
	enum rc rc;

	ensure(e != NULL);
	buffer_init(&coded, 0, true);
	ensure(http_encoder_feed(e, (struct span){ buffer_data(text), buffer_len(text) },
	    true, &coded) == RC_OK);
	http_encoder_free(&e);
	rc = decode(coding, (struct span){ buffer_data(&coded), buffer_len(&coded) },
	    buffer_len(&coded) + 1, &again);
	/* A long text of one letter swells too much. */
	ensure(rc == RC_LIMIT || (rc == RC_OK && is_equal(text, &again)));
	buffer_fini(&coded);
	buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum http_coding coding;
	struct buffer whole, parts;
	struct span in;
	enum rc rc, rc_parts;

	if (size < 2)
		return (0);
	coding = (enum http_coding)(data[0] % HTTP_CODINGS);
	in = (struct span){ (const char *)data + 2, size - 2 };
	rc = decode(coding, in, size, &whole);
	rc_parts = decode(coding, in, data[1] + 1u, &parts);
	if (rc != RC_LIMIT && rc_parts != RC_LIMIT) {
		ensure(rc == rc_parts);
		ensure(rc != RC_OK || is_equal(&whole, &parts));
	}
	if (rc == RC_OK)
		check_again(coding, &whole);
	buffer_fini(&whole);
	buffer_fini(&parts);
	return (0);
}
