/*
 * http/coding_private.h - what a backend of content_decoder.c and
 * content_encoder.c is: one library behind two small tables.
 * Context:   private to lib/http.
 */
#ifndef RELAY_HTTP_CODING_PRIVATE_H
#define RELAY_HTTP_CODING_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/http/content_coding.h"

/* ---- memory that is wiped, see coding_memory.c ---- */

struct coding_memory {
	size_t	held;		/* bytes given out */
};

/* Not zeroed; NULL when there is none. */
void *coding_alloc(struct coding_memory *, size_t len);
void coding_release(struct coding_memory *, void *);

/* ---- one step of a library ---- */

/* Advanced by what was taken and what was made. */
struct coding_io {
	const uint8_t	*in;
	size_t		in_len;
	uint8_t		*out;
	size_t		out_len;
};

enum coding_step {
	CODING_INPUT,	/* all input taken, all output made */
	CODING_OUTPUT,	/* the room is full: there may be more */
	CODING_END,	/* a member, or the whole, is complete */
	CODING_BROKEN,
	CODING_LIMIT,	/* a limit of the library's */
	CODING_NOMEM
};

struct coding_decode_ops {
	void		*(*new)(enum http_coding, struct coding_memory *);
	void		(*free)(void *);
	enum coding_step (*step)(void *, struct coding_io *);
	/* After an end: another member begins.  NULL: none may follow. */
	void		(*again)(void *);
};

struct coding_encode_ops {
	void		*(*new)(enum http_coding, struct coding_memory *);
	void		(*free)(void *);
	/* last: to the end, CODING_END; else CODING_INPUT when all is out. */
	enum coding_step (*step)(void *, struct coding_io *, bool last);
};

/* gzip or deflate */
const struct coding_decode_ops *coding_zlib_decode(enum http_coding);
const struct coding_encode_ops *coding_zlib_encode(void);
const struct coding_decode_ops *coding_brotli_decode(void);
const struct coding_encode_ops *coding_brotli_encode(void);
const struct coding_decode_ops *coding_zstd_decode(void);
const struct coding_encode_ops *coding_zstd_encode(void);

/* Room offered to a library at a time: what one step may make before limits
 * are looked at. */
#define CODING_ROOM_BYTES	((size_t)16 << 10)

/* What is left of the room: libraries copy in long words, past the end. */
void coding_wipe_rest(const struct buffer *out, const struct coding_io *);

#endif
