/*
 * body/token_scan.h - does this text look like an encrypted string, and where
 * in it are some?  (spec/ciphertext.md sections 1, 2 and 8)
 * Context:   pure.  Looks only; opening is the engine's work.
 */
#ifndef RELAY_BODY_TOKEN_SCAN_H
#define RELAY_BODY_TOKEN_SCAN_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/* Shortest token there is: no version, no type, empty data. */
#define BODY_TOKEN_BYTES_MIN	67

/* The whole span has the form of one token (any version, debug too). */
bool body_token_whole(struct span);

/* How the characters of a token may be written where it stands. */
enum body_token_form {
	BODY_TOKEN_PLAIN,	/* each as itself */
	BODY_TOKEN_JSON		/* or as an escape of JSON: \/ \u002b */
};

struct body_token {
	size_t	start;		/* first byte in the text */
	size_t	end;		/* one past the last */
	bool	escaped;	/* the bytes between hold a backslash */
};

/*
 * The first token of text that begins at `from` or behind it, wherever it
 * stands; tokens do not overlap.  With BODY_TOKEN_JSON a backslash and what it
 * escapes are read from the left: from must not lie inside of an escape (0 and
 * the end of a token never do).  Bytes that are no JSON stand for themselves.
 * Linear: no byte is looked at more than a few times, whatever the text.
 */
bool body_token_next(struct span text, enum body_token_form, size_t from,
    struct body_token *out);

/* Append a token that was found, without its escapes.  RC_OK; RC_LIMIT,
 * RC_NOMEM from the buffer. */
enum rc body_token_append(struct span text, const struct body_token *,
    struct buffer *out) must_check;

#endif
