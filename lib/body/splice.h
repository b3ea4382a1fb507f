/*
 * body/splice.h - a new body from an old one: only the bytes of chosen values
 * change.
 * Context:   pure.
 */
#ifndef RELAY_BODY_SPLICE_H
#define RELAY_BODY_SPLICE_H

#include "lib/base/buffer.h"
#include "lib/base/string.h"

struct body_edit {
	size_t		start;		/* bytes into the old body */
	size_t		end;		/* start <= end; in rising order */
	struct span	text;		/* view: what stands there now */
};

/* Append the edited body to out.  ensure()s that edits rise and do not
 * overlap.  RC_OK, RC_LIMIT, RC_NOMEM. */
enum rc body_splice(const char *body, size_t len, const struct body_edit *,
    size_t n, struct buffer *out) must_check;

/* Length of the edited body in bytes. */
size_t body_splice_len(size_t len, const struct body_edit *, size_t n);

#endif
