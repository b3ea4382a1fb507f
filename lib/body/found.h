/*
 * body/found.h - a token or file that was found in a body: its own text, and
 * how what opens is written in its place.
 * Context:   pure; appends to the caller's buffer, all or nothing.
 * Ownership: the caller embeds the list and finis it.
 *
 * Opened text is foreign input (design.md section 6): it is escaped for where
 * it stands, and what cannot stand there is refused.
 */
#ifndef RELAY_BODY_FOUND_H
#define RELAY_BODY_FOUND_H

#include "lib/body/json_text.h"

/* How what opens is written back. */
enum body_found_place {
	BODY_FOUND_PLAIN,	/* as it is */
	BODY_FOUND_JSON_VALUE,	/* a whole string: a number, true and false
				 * stand without its quotes */
	BODY_FOUND_JSON_TEXT,	/* in a longer string, or a member's name */
	BODY_FOUND_PERCENT,	/* percent-encoded: form, query, a URL in any text */
	BODY_FOUND_XML,		/* text or attribute */
	BODY_FOUND_CDATA,	/* XML: in <![CDATA[ */
	BODY_FOUND_FILE		/* the whole body or part is a file: as it is */
};

struct body_found {
	size_t			start;	/* offset in the document */
	size_t			end;	/* one past; a JSON_VALUE has its quotes */
	enum body_found_place	place;
	bool			encoded;	/* as its place allows */
	uint8_t			depth;	/* strings of JSON around it, within
					 * its place; of a PLAIN one, those
					 * that a URL around it would have */
};

/* Of these strings around a token; what stands deeper stays as it is.  Each
 * doubles the backslashes of what opens. */
#define BODY_FOUND_DEPTH_MAX	4

struct body_founds {
	struct body_found	*v;	/* owned; in document order */
	size_t			n;
	size_t			cap;
};

void body_founds_fini(struct body_founds *);

/* Room for one more.  RC_OK, RC_NOMEM. */
enum rc body_founds_reserve(struct body_founds *) must_check;

/* Append the token's or file's own bytes, decoded.  window: the document from
 * offset base; it holds the found one.  RC_OK; RC_LIMIT, RC_NOMEM. */
enum rc body_found_token(struct span window, size_t base,
    const struct body_found *, struct buffer *out) must_check;

/*
 * Append what opened so that it stands for itself in its place, `depth` strings
 * of JSON deep (no matter in BODY_FOUND_PLAIN).  RC_OK; RC_SYNTAX: it cannot
 * stand there, the token stays (not UTF-8 in JSON or XML, characters that XML
 * does not have, too deep); RC_LIMIT, RC_NOMEM.
 * BODY_FOUND_PLAIN takes everything: see body_found_fits_line.
 */
enum rc body_found_write(enum body_found_place, unsigned depth,
    enum body_value_type, struct span opened, struct buffer *out) must_check;

/* The text may stand in a header field's value (RFC 9110 5.5): no control but
 * HTAB.  White space at the ends of a value is lost, which the caller knows. */
bool body_found_fits_line(struct span);

#endif
