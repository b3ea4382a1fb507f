/*
 * body/quoting.h - how many strings of JSON a place in a text is inside of,
 * beyond those of the text's own syntax: JSON in a string of JSON, in a field
 * of a form, in a URL, in XML.
 * Context:   pure.  Linear, however the text is cut.
 * Ownership: the caller embeds it; it owns no heap and holds no view.
 *
 * Documents in strings are not parsed.  Quotes are counted: in a document that
 * is well-formed, a place is inside of a string when an odd number of quotes
 * is between it and where the string around begins, and the backslashes before
 * a quote say whose quote it is.  Who wrote what stands in the innermost string
 * cannot change the count of those around it, since that text was escaped.  So
 * the answer may be too high, where prose has quotes, and never too low.
 */
#ifndef RELAY_BODY_QUOTING_H
#define RELAY_BODY_QUOTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/string.h"

enum body_quoting_kind {
	BODY_QUOTING_JSON,	/* strings in the strings of JSON */
	BODY_QUOTING_FORM,	/* in fields of a form */
	BODY_QUOTING_URL,	/* in percent-encoded parts of any text */
	BODY_QUOTING_XML,	/* in text of XML that begins with { or [ */
	BODY_QUOTING_HTML	/* the same, which has no CDATA */
};

/* Deeper ones are not told apart. */
#define BODY_QUOTING_LEVELS	8

struct body_quoting {
	enum body_quoting_kind	kind;
	size_t			at;	/* offset: all before is counted */
	size_t			run;	/* backslashes right before it */
	uint8_t			odd;	/* bit l: an odd number of quotes of
					 * level l, behind the last one below */
	uint8_t			begun;	/* XML: private to quoting.c */
	bool			tag;	/* XML: inside of a tag */
	bool			cdata;	/* XML: inside of <![CDATA[ */
};

/* at: offset in the document at which the text begins. */
void body_quoting_init(struct body_quoting *, enum body_quoting_kind, size_t at);

/*
 * Count up to the offset `to`; window: the document from offset base on, which
 * holds what is from q->at to `to`.  whole: `to` cuts no escape.  Else q->at may
 * stay a few bytes before it, which must come again.
 */
void body_quoting_pass(struct body_quoting *q, struct span window, size_t base,
    size_t to, bool whole);

/* At q->at.  0: in no string but the text's own. */
unsigned body_quoting_depth(const struct body_quoting *);

#endif
