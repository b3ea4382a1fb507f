/*
 * body/token_scan.h - the grammar of an encrypted string
 * (spec/ciphertext.md sections 1, 2 and 8): does this text look like one?
 * Context:   pure.  Looks only; opening is the engine's work.  Where tokens
 *            stand in a text is token_find.h, and in a body scan.h.
 */
#ifndef RELAY_BODY_TOKEN_SCAN_H
#define RELAY_BODY_TOKEN_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/* Shortest token there is: no version, no type, empty data. */
#define BODY_TOKEN_BYTES_MIN	67

/* The whole span has the form of one token (any version, debug too). */
bool body_token_whole(struct span);

/* How characters of a token may be written where it stands, besides as they
 * are; a token uses one of these at most. */
enum body_token_escape {
	BODY_TOKEN_RAW = 0,
	BODY_TOKEN_BACKSLASH = 1,	/* JSON: \/ \u002b, and in strings of
					 * strings \\/ \\\/ \\u002b */
	BODY_TOKEN_PERCENT = 2,		/* RFC 3986: %2B */
	BODY_TOKEN_REFERENCE = 4	/* XML: &#43; &#x2b; */
};

struct body_token {
	size_t			start;	/* first byte in the text */
	size_t			end;	/* one past the last */
	enum body_token_escape	escape;	/* that some of its bytes are */
	bool			quoted;	/* behind a quote no backslash escapes */
};

/* Append a token that was found in text, without its escapes.  RC_OK;
 * RC_LIMIT, RC_NOMEM from the buffer. */
enum rc body_token_append(struct span text, const struct body_token *,
    struct buffer *out) must_check;

/* One candidate, read in pieces of any size from its first byte. */
struct body_token_reader {
	uint8_t	escapes;	/* set of enum body_token_escape: allowed */
	uint8_t	escape;		/* the one that was used */
	uint8_t	part;		/* private to token_scan.c */
	char	name[8];	/* the part's first characters */
	size_t	n;		/* its characters so far */
};

enum body_token_step {
	BODY_TOKEN_MORE,	/* fine so far */
	BODY_TOKEN_DONE,	/* *used is behind the token's last byte */
	BODY_TOKEN_NO		/* none begins where the reader began */
};

void body_token_reader_init(struct body_token_reader *, unsigned escapes);

/* Read [p, end).  *used: what was read; with BODY_TOKEN_MORE all of it, but
 * for an escape that the end cuts: that comes again with what follows. */
enum body_token_step body_token_read(struct body_token_reader *, const char *p,
    const char *end, size_t *used) must_check;

#endif
