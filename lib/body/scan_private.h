/*
 * body/scan_private.h - one text of one form: a document, or what one part of
 * a multipart holds.
 * Context:   scan.c, scan_text.c.
 */
#ifndef RELAY_BODY_SCAN_PRIVATE_H
#define RELAY_BODY_SCAN_PRIVATE_H

#include "lib/body/quoting.h"
#include "lib/body/scan.h"
#include "lib/body/token_find.h"

struct scan_text {
	enum body_scan_form		form;
	struct body_scan_limits		limits;
	int				state;		/* private to scan_text.c */
	size_t				start;		/* offset in the document */
	size_t				seen;		/* blanks before a guess */
	size_t				last_end;	/* of the last token */
	struct body_token_finder	finder;
	struct body_quoting		quoting;	/* as the form writes */
	struct body_quoting		url;		/* percent-encoded */
	struct body_token		token;		/* found; place not known */
	size_t				looked;		/* so far behind it */
};

void scan_text_init(struct scan_text *, enum body_scan_form,
    const struct body_scan_limits *, size_t start);

/* As body_scan_feed, of this text alone: the window ends with it at most. */
enum rc scan_text_feed(struct scan_text *, struct span window, size_t base,
    bool whole, size_t max_found, struct body_founds *out, size_t *settled)
    must_check;

#endif
