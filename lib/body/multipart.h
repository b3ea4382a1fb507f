/*
 * body/multipart.h - the parts of a multipart body (RFC 2046 5.1, RFC 7578),
 * as it comes.
 * Context:   pure; no heap.  Linear: of what was seen, no more than a boundary
 *            line or a part's head is looked at again.
 * Ownership: the caller embeds the reader; it holds no view.
 *
 * Lines end with CRLF.  A boundary behind a bare LF is text of its part; a
 * bare CR or LF in a part's head is RC_SYNTAX.  A multipart inside of a part
 * is that part's data.
 */
#ifndef RELAY_BODY_MULTIPART_H
#define RELAY_BODY_MULTIPART_H

#include <stdbool.h>

#include "lib/base/string.h"

#define BODY_MULTIPART_BOUNDARY_MAX	70	/* RFC 2046 5.1.1 */
#define BODY_MULTIPART_HEAD_MAX		(16u << 10)	/* bytes; as a header block */
#define BODY_MULTIPART_PADDING_MAX	256	/* white space behind a boundary */

struct body_multipart {
	char	delimiter[4 + BODY_MULTIPART_BOUNDARY_MAX];	/* CRLF, --, boundary */
	size_t	len;		/* of it */
	size_t	at;		/* offset of what comes next */
	size_t	seen;		/* bytes of a head that were looked at */
	int	state;		/* private to multipart.c */
	bool	first;		/* at the first byte of its text: a boundary
				 * needs no CRLF before it */
	bool	closed;		/* the last boundary was seen */
};

enum body_multipart_kind {
	BODY_MULTIPART_OUTSIDE,	/* before the first part or behind the last */
	BODY_MULTIPART_BOUNDARY,	/* a boundary line with the CRLF before it */
	BODY_MULTIPART_HEAD,	/* a part's header fields and the empty line */
	BODY_MULTIPART_DATA	/* of a part */
};

/* Pieces cover the document from the front, without a gap. */
struct body_multipart_piece {
	enum body_multipart_kind	kind;
	size_t				start;	/* offset in the document */
	size_t				end;	/* one past; may be start when last */
	bool				last;	/* of this part's data, or outside */
};

/* RC_OK; RC_SYNTAX: not 1 to 70 characters that a boundary may have. */
enum rc body_multipart_init(struct body_multipart *, struct span boundary)
    must_check;

/* "--" and the boundary; empty without one.  A view of the reader. */
struct span body_multipart_delimiter(const struct body_multipart *);

/*
 * The next piece.  window: the document from offset base, base <= at.
 * RC_OK      *out
 * RC_MORE    feed more; bytes from `at` on must come again
 * RC_EOF     the document is whole and has no more; `closed` says whether it
 *            came to the last boundary
 * RC_SYNTAX  a head that is none or has no end; RC_LIMIT: that is too long.
 *            `at` is where that head begins
 */
enum rc body_multipart_next(struct body_multipart *, struct span window,
    size_t base, bool whole, struct body_multipart_piece *out) must_check;

#endif
