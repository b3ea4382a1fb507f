/*
 * http/chunked.h - incremental decoder for chunked bodies (RFC 9112 7.1).
 * Context:   pure; no I/O, no globals.  Any process, one owner per object.
 * Ownership: the caller embeds the decoder; it owns no heap.
 *
 * Strict: hexadecimal size of at most 16 digits, CRLF only, chunk extensions
 * are read and dropped (at most 4 KiB in a body), the last chunk is followed
 * by the trailer section, which is left to http_head_trailers.
 */
#ifndef RELAY_HTTP_CHUNKED_H
#define RELAY_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"

struct http_chunked {
	unsigned	magic;
#define HTTP_CHUNKED_MAGIC	0x6c7d1a53
	uint8_t		state;		/* private to chunked.c */
	uint8_t		digits;
	uint32_t	extension;	/* bytes of extensions seen */
	uint64_t	left;		/* bytes left in this chunk */
	uint64_t	total;		/* bytes decoded */
	uint64_t	max_body;	/* bytes, decoded total */
};

void http_chunked_init(struct http_chunked *, uint64_t max_body);

/*
 * Decode from in[0..len).  *used input bytes are consumed; *out is a view
 * of *outlen bytes into `in`, valid until the caller changes `in`.  One call
 * yields at most one piece: call again while RC_MORE and *used > 0.
 * RC_OK      the last chunk's line is consumed: trailers come next
 * RC_MORE    feed more; *used may be less than len
 * RC_SYNTAX  framing broken: answer 400 and close, never resynchronise;
 *            the same answer comes from then on
 * RC_LIMIT   max_body exceeded: answer 413 and close
 */
enum rc http_chunked_feed(struct http_chunked *, const char *in, size_t len,
    size_t *used, const char **out, size_t *outlen) must_check;

/* The head of a chunk of len bytes, e.g. "1a2b\r\n"; returns its length.  The
 * chunk's data is followed by CRLF; the body ends in "0\r\n\r\n". */
#define HTTP_CHUNK_HEAD_BYTES	20
size_t http_chunk_head(uint64_t len, char out[HTTP_CHUNK_HEAD_BYTES]);

#endif
