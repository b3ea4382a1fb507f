/*
 * http/content_coding.h - content codings (RFC 9110 8.4): gzip, deflate, br,
 * zstd, undone and done as the bytes come.
 * Context:   pure; no I/O, no globals.  Any process, one owner per object.
 * Ownership: the caller owns decoders and encoders; what comes out goes to the
 *            caller's buffer.
 *
 * A decoder keeps a window of what it decoded: its memory is wiped before it
 * is given back.  Whether the text that comes out is wiped is for the caller's
 * buffer (lib/base/buffer.h, sensitive).
 */
#ifndef RELAY_HTTP_CONTENT_CODING_H
#define RELAY_HTTP_CONTENT_CODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

enum http_coding {
	HTTP_CODING_IDENTITY,
	HTTP_CODING_GZIP,	/* RFC 1952 */
	HTTP_CODING_DEFLATE,	/* RFC 1950; RFC 1951 alone is read too */
	HTTP_CODING_BR,		/* RFC 7932 */
	HTTP_CODING_ZSTD	/* RFC 8878, window as RFC 9659 */
};
#define HTTP_CODINGS	(HTTP_CODING_ZSTD + 1)

/* Its name in a field, lower case. */
const char *http_coding_name(enum http_coding);

/* A field value that names one coding; RC_UNSUPPORTED for one that is not
 * known here, and for several. */
enum rc http_coding_parse(struct span field_value, enum http_coding *) must_check;

/* ---- decoding ---- */

/* Text shrinks to a fifth, what repeats itself to a fiftieth.  What swells to
 * more than this is made to fill memory. */
#define HTTP_DECODER_RATIO	100u
/* Decoded bytes that no ratio is asked of: a short text of one letter. */
#define HTTP_DECODER_FREE_BYTES	(64u << 10)

struct http_decoder;

/* max_bytes: of decoded text, in all.  max_ratio (not 0): decoded bytes for
 * each byte that was read, beyond the first HTTP_DECODER_FREE_BYTES.  NULL: no
 * memory. */
struct http_decoder *http_decoder_new(enum http_coding, uint64_t max_bytes,
    unsigned max_ratio);
void http_decoder_free(struct http_decoder **);

/*
 * Append what `in` decodes to, all of it: at most max_ratio times what was fed
 * so far and HTTP_DECODER_FREE_BYTES.  last: nothing follows.  `out` has no
 * limit of its own, or one with 16 KiB to spare.
 * RC_OK      last, and complete
 * RC_MORE    not last, and fine so far
 * RC_SYNTAX  broken, cut, or followed by what does not belong to it
 * RC_LIMIT   over max_bytes or max_ratio, or a window over 8 MiB (RFC 9659)
 * RC_NOMEM
 * Anything but RC_MORE stands: the same answer comes from then on.  Text that
 * was appended before an error has not been checked to its end.
 */
enum rc http_decoder_feed(struct http_decoder *, struct span in, bool last,
    struct buffer *out) must_check;

/* Bytes of memory it holds, for who counts them: at most about 20 MiB (br with
 * its largest window; zstd 9 MiB, the others 50 KiB). */
size_t http_decoder_held(const struct http_decoder *);

/* ---- encoding ---- */

struct http_encoder;

/* NULL: no memory. */
struct http_encoder *http_encoder_new(enum http_coding);
void http_encoder_free(struct http_encoder **);

/*
 * Append `in`, encoded.  Nothing is held back: a reader can decode all that
 * was fed, so feed large pieces.  last: nothing follows.
 * RC_OK (last), RC_MORE, RC_LIMIT (out's max), RC_NOMEM.
 */
enum rc http_encoder_feed(struct http_encoder *, struct span in, bool last,
    struct buffer *out) must_check;
size_t http_encoder_held(const struct http_encoder *);

#endif
