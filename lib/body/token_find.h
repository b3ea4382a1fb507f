/*
 * body/token_find.h - where in a text encrypted strings stand, also in a text
 * that comes in pieces.
 * Context:   pure.  Linear: no byte is looked at more than a few times,
 *            whatever the text and however it is cut.
 * Ownership: the caller embeds the finder; it owns no heap and holds no view.
 */
#ifndef RELAY_BODY_TOKEN_FIND_H
#define RELAY_BODY_TOKEN_FIND_H

#include "lib/body/token_scan.h"

/* Bytes before a place that say whether it lies inside of an escape: the
 * longest is a backslash, 'u' and four digits. */
#define BODY_TOKEN_BEFORE	6

struct body_token_finder {
	unsigned			escapes;	/* that tokens may use */
	size_t				max;		/* bytes of a token */
	size_t				at;		/* all before is decided */
	bool				quoted;		/* a quote that no backslash
							 * escapes is before `at` */
	bool				open;		/* a candidate begins at `at` */
	size_t				read;		/* so much of it was read */
	struct body_token_reader	reader;
	unsigned			n;		/* bytes in before */
	char				before[BODY_TOKEN_BEFORE];
	bool				odd;		/* backslashes before those */
};

/* at: offset in the document at which the text begins.  Tokens of more than
 * max bytes, escapes included, are left alone. */
void body_token_finder_init(struct body_token_finder *, unsigned escapes,
    size_t max, size_t at);

/*
 * The next token.  window: the document from offset base, base <= at; it ends
 * behind the window before or at its end.  whole: nothing follows it.  False:
 * there is none yet; `at` is where a candidate begins that the end cuts, or
 * the end.
 */
bool body_token_find(struct body_token_finder *, struct span window,
    size_t base, bool whole, struct body_token *out);

/* Go on behind offset `to`, which the window reaches. */
void body_token_finder_pass(struct body_token_finder *, struct span window,
    size_t base, size_t to);

/*
 * The first token of a whole text that begins at `from` or behind it; tokens
 * do not overlap.  from must not lie inside of an escape (0 and the end of a
 * token never do).  Bytes that are no escape stand for themselves.
 */
bool body_token_next(struct span text, unsigned escapes, size_t from,
    struct body_token *out);

#endif
