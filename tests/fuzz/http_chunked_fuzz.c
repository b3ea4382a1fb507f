/*
 * Chunk decoder.  First byte: the length of the pieces.  Whole and in pieces
 * must give the same body and the same end; what was decoded, sent again as
 * chunks, decodes to itself.
 */
#include <stdint.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/object.h"
#include "lib/http/chunked.h"

#define MAX_BODY	4096

static enum rc
decode(const char *in, size_t len, size_t piece, struct buffer *body,
    size_t *used)
{
	struct http_chunked c;
	enum rc rc = RC_MORE;
	size_t end, n, outlen;
	const char *out;

	http_chunked_init(&c, MAX_BODY);
	*used = 0;
	for (end = 0; rc == RC_MORE && end < len;) {
		end = len - end < piece ? len : end + piece;
		do {
			rc = http_chunked_feed(&c, in + *used, end - *used, &n,
			    &out, &outlen);
			ensure(n <= end - *used && outlen <= n);
			buffer_put(body, out, outlen);
			*used += n;
		} while (rc == RC_MORE && n != 0);
		ensure(rc != RC_MORE || *used == end);
	}
	ensure(buffer_len(body) <= MAX_BODY);
	return (rc);
}

static void
check_again(const struct buffer *body)
{
	char head[HTTP_CHUNK_HEAD_BYTES];
	struct buffer text, again;
	size_t used, n;

	buffer_init(&text, 0, false);
	buffer_init(&again, 0, false);
	if (buffer_len(body) != 0) {
		n = http_chunk_head(buffer_len(body), head);
		buffer_put(&text, head, n);
		buffer_put(&text, buffer_data(body), buffer_len(body));
		buffer_puts(&text, "\r\n");
	}
	buffer_puts(&text, "0\r\n");
	ensure(decode(buffer_data(&text), buffer_len(&text), 7, &again, &used) ==
	    RC_OK);
	ensure(buffer_len(&again) == buffer_len(body) &&
	    (buffer_len(body) == 0 || memcmp(buffer_data(&again),
	    buffer_data(body), buffer_len(body)) == 0));
	buffer_fini(&text);
	buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *in = (const char *)data + 1;
	struct buffer whole, parts;
	size_t used_whole, used_parts;
	enum rc rc;

	if (size < 2)
		return (0);
	buffer_init(&whole, 0, false);
	buffer_init(&parts, 0, false);
	rc = decode(in, size - 1, size, &whole, &used_whole);
	ensure(decode(in, size - 1, data[0] % 16u + 1, &parts, &used_parts) == rc);
	ensure(buffer_len(&whole) == buffer_len(&parts));
	ensure(buffer_len(&whole) == 0 || memcmp(buffer_data(&whole),
	    buffer_data(&parts), buffer_len(&whole)) == 0);
	if (rc == RC_OK) {
		ensure(used_whole == used_parts);
		check_again(&whole);
	}
	buffer_fini(&whole);
	buffer_fini(&parts);
	return (0);
}
