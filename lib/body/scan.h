/*
 * body/scan.h - the tokens and files in a body of any content type, as it
 * comes (design.md section 6, spec/ciphertext.md 6 and 8).
 * Context:   pure; no I/O.  Any process, one owner per object.
 * Ownership: the owner keeps the window of the document, the scanner some
 *            bytes of state; it holds no view.
 *
 * What is found does not depend on how the document is cut.  Linear, whatever
 * the document.
 */
#ifndef RELAY_BODY_SCAN_H
#define RELAY_BODY_SCAN_H

#include "lib/body/found.h"

enum body_scan_form {
	BODY_SCAN_PLAIN,	/* raw, percent-encoded or escaped by backslashes */
	BODY_SCAN_JSON,
	BODY_SCAN_FORM,		/* all that opens is percent-encoded */
	BODY_SCAN_XML,
	BODY_SCAN_HTML,
	BODY_SCAN_MULTIPART,	/* each part by its own type */
	BODY_SCAN_GUESS		/* JSON when it begins with { or [, else plain */
};

struct body_scan_limits {
	size_t	token_bytes;	/* a longer token is left as it is */
	size_t	file_bytes;	/* a longer file, too; 0: files are not looked for */
};

struct body_scan;

/* What a Content-Type asks for ("" when there is none): no type, text/plain
 * and application/octet-stream say nothing, so the first byte does. */
enum body_scan_form body_scan_form_of(struct span content_type);

/*
 * A scanner for the form of this Content-Type; a multipart without a boundary
 * that could be one is plain text.  NULL: no memory.
 */
struct body_scan *body_scan_new_for(struct span content_type,
    const struct body_scan_limits *);

/* A scanner of one form, any but BODY_SCAN_MULTIPART; and for multipart, NULL
 * also when boundary cannot be one. */
struct body_scan *body_scan_new(enum body_scan_form,
    const struct body_scan_limits *);
struct body_scan *body_scan_new_multipart(struct span boundary,
    const struct body_scan_limits *);
void body_scan_free(struct body_scan **);

/* What no text that takes a token's place may hold: "--" and the boundary of a
 * multipart, or a value could end its part and begin another.  Empty for all
 * other forms.  A view, valid as long as the scanner. */
struct span body_scan_delimiter(const struct body_scan *);

/*
 * window: the document from offset base, which is *settled of the call before
 * (0 at first) or less; it ends where the window before ended, or behind that.
 * whole: nothing follows the window.
 *
 * Appends what is found, in order, until out holds max_found (at least 1).
 * *settled: all before this offset is decided and need not come again; a token
 * or file that is cut stays behind it.  How far it stays behind the window's
 * end: token_bytes or file_bytes, and in JSON 64 KiB of white space behind a
 * string; in multipart also a part's head of 16 KiB.
 * When out is full, call again with the same window before more comes; with
 * whole, until *settled is the end.
 * RC_OK; RC_NOMEM: what was appended is good, the scanner of no more use.
 */
enum rc body_scan_feed(struct body_scan *, struct span window, size_t base,
    bool whole, size_t max_found, struct body_founds *out, size_t *settled)
    must_check;

#endif
