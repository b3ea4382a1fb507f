/*
 * worker/body_reader.h - decoded body bytes out of a stream's input, whatever
 * the framing; requests and responses alike.
 * Context:   pure.
 * Ownership: the caller embeds it; pieces are views into the input buffer.
 *
 * Trailer sections are read strictly; who passes them on finds them in
 * `trailers` when the last call returned RC_OK, until the input changes.
 */
#ifndef RELAY_WORKER_BODY_READER_H
#define RELAY_WORKER_BODY_READER_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/http/chunked.h"
#include "lib/http/framing.h"

struct body_reader {
	enum http_body_kind	kind;
	uint64_t		left;		/* HTTP_BODY_LENGTH */
	struct http_chunked	chunked;
	struct http_head	trailers;	/* owned */
	struct http_limits	limits;
	bool			in_trailers;
	bool			done;
	uint64_t		total;		/* decoded bytes given out */
};

void body_reader_init(struct body_reader *, const struct http_framing *,
    const struct http_limits *);
void body_reader_fini(struct body_reader *);

/*
 * The next piece of the body in `in`.
 * RC_MORE    *piece (may be empty: wait for input) stands at the front of
 *            *used bytes; consume *used when it has been dealt with, then call
 *            again while *used was not 0
 * RC_OK      the body is complete; *piece is empty, *used bytes (the end of
 *            chunked framing) are to be consumed
 * RC_SYNTAX  framing broken
 * RC_LIMIT   trailers over their limit
 */
enum rc body_reader_next(struct body_reader *, const struct buffer *in,
    struct span *piece, size_t *used) must_check;

/* n bytes of a body of known length were taken without it. */
void body_reader_took(struct body_reader *, size_t n);

/* The stream ended.  RC_OK when that completes the body (until-close),
 * RC_SYNTAX when it was cut short. */
enum rc body_reader_eof(struct body_reader *) must_check;

#endif
