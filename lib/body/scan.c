/*
 * body/scan.c - a body is one text, or the parts of a multipart, which are
 * texts one after the other.
 *
 * What no part holds is looked at as plain text: a body whose boundaries are
 * not written as RFC 2046 says has its tokens found all the same.  So goes on
 * what follows a head that is none.
 */
#include "lib/body/scan.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/multipart.h"
#include "lib/body/part_head.h"
#include "lib/body/scan_private.h"

struct body_scan {
	unsigned		magic;
#define BODY_SCAN_MAGIC		0x5ca17e11
	struct body_scan_limits	limits;
	struct scan_text	text;		/* the one that is read */
	bool			open;		/* there is one */
	bool			last;		/* it ends at `end` */
	size_t			end;		/* of what is known to be its own */
	bool			parts;		/* boundaries are looked for */
	struct body_multipart	multipart;
};

/* ---- forms ------------------------------------------------------------------- */

/* The suffix of RFC 7303. */
static bool
ends_with(struct span type, const char *suffix)
{
	size_t len = strlen(suffix);

	return (type.len > len && span_eq_case((struct span){
	    type.p + type.len - len, len }, suffix));
}

static bool
is_alnum(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9'));
}

/* "+json" (RFC 6839), and x-amz-json-1.1, vnd.a.json: what opens between quotes
 * must not end them. */
static bool
names_json(struct span type)
{
	const char *slash = memchr(type.p, '/', type.len), *p;
	const size_t len = 4;

	if (slash == NULL)
		return (false);
	for (p = slash + 1; (size_t)(type.p + type.len - p) >= len; p++)
		if (span_eq_case((struct span){ p, len }, "json") &&
		    !is_alnum(p[-1]) &&
		    (p + len == type.p + type.len || !is_alnum(p[len])))
			return (true);
	return (false);
}

enum body_scan_form
body_scan_form_of(struct span content_type)
{
	static const struct {
		const char		*type;
		enum body_scan_form	form;
	} types[] = {
		{ "", BODY_SCAN_GUESS },
		{ "text/plain", BODY_SCAN_GUESS },
		{ "application/octet-stream", BODY_SCAN_GUESS },
		{ "application/x-ndjson", BODY_SCAN_JSON },
		{ "application/ndjson", BODY_SCAN_JSON },
		{ "application/jsonl", BODY_SCAN_JSON },
		{ "application/x-www-form-urlencoded", BODY_SCAN_FORM },
		{ "text/xml", BODY_SCAN_XML },
		{ "application/xml", BODY_SCAN_XML },
		{ "text/html", BODY_SCAN_HTML },
	};
	struct span type = body_media_type(content_type);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_eq_case(type, types[i].type))
			return (types[i].form);
	if (ends_with(type, "+xml"))
		return (BODY_SCAN_XML);
	if (type.len > 10 &&
	    span_eq_case((struct span){ type.p, 10 }, "multipart/"))
		return (BODY_SCAN_MULTIPART);
	return (names_json(type) ? BODY_SCAN_JSON : BODY_SCAN_PLAIN);
}

/* ---- life -------------------------------------------------------------------- */

static struct body_scan *
new_scan(const struct body_scan_limits *limits)
{
	struct body_scan *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return (NULL);
	s->magic = BODY_SCAN_MAGIC;
	s->limits = *limits;
	return (s);
}

struct body_scan *
body_scan_new(enum body_scan_form form, const struct body_scan_limits *limits)
{
	struct body_scan *s = new_scan(limits);

	if (s == NULL)
		return (NULL);
	scan_text_init(&s->text, form, &s->limits, 0);
	s->open = true;
	return (s);
}

struct body_scan *
body_scan_new_multipart(struct span boundary,
    const struct body_scan_limits *limits)
{
	struct body_scan *s = new_scan(limits);

	if (s == NULL)
		return (NULL);
	s->parts = true;
	if (body_multipart_init(&s->multipart, boundary) != RC_OK)
		body_scan_free(&s);
	return (s);
}

struct body_scan *
body_scan_new_for(struct span content_type, const struct body_scan_limits *limits)
{
	enum body_scan_form form = body_scan_form_of(content_type);
	struct body_multipart probe;
	struct span boundary;

	if (form != BODY_SCAN_MULTIPART)
		return (body_scan_new(form, limits));
	if (body_media_boundary(content_type, &boundary) != RC_OK ||
	    body_multipart_init(&probe, boundary) != RC_OK)
		return (body_scan_new(BODY_SCAN_PLAIN, limits));
	return (body_scan_new_multipart(boundary, limits));
}

void
body_scan_free(struct body_scan **s)
{
	if (*s == NULL)
		return;
	obj_check(*s, BODY_SCAN_MAGIC);
	(*s)->magic = 0;
	free(*s);
	*s = NULL;
}

/* Also behind a head that was none: the next reader may think otherwise. */
struct span
body_scan_delimiter(const struct body_scan *s)
{
	obj_check(s, BODY_SCAN_MAGIC);
	return (body_multipart_delimiter(&s->multipart));
}

/* ---- parts ------------------------------------------------------------------- */

static void
open_text(struct body_scan *s, enum body_scan_form form, size_t start)
{
	scan_text_init(&s->text, form, &s->limits, start);
	s->open = true;
	s->last = false;
	s->end = start;
}

/* Not a part: no file, and nothing says what it is. */
static void
open_outside(struct body_scan *s, size_t start)
{
	const struct body_scan_limits limits = {
	    .token_bytes = s->limits.token_bytes };

	open_text(s, BODY_SCAN_PLAIN, start);
	scan_text_init(&s->text, BODY_SCAN_PLAIN, &limits, start);
}

static void
open_part(struct body_scan *s, struct span head, size_t start)
{
	enum body_scan_form form;
	struct body_part_head h;

	body_part_head_read(head, &h);
	form = body_scan_form_of(h.type);
	/* One inside of a part has a boundary of its own, in plain text. */
	open_text(s, form == BODY_SCAN_MULTIPART ? BODY_SCAN_PLAIN : form,
	    start);
}

/* The open text gets longer, or the next one is opened.  RC_MORE, RC_EOF: the
 * window has no more of it. */
static enum rc
next_piece(struct body_scan *s, struct span window, size_t base, bool whole)
{
	struct body_multipart_piece piece;
	enum rc rc;

	rc = body_multipart_next(&s->multipart, window, base, whole, &piece);
	if (rc == RC_MORE || rc == RC_EOF)
		return (rc);
	if (rc != RC_OK) {
		s->parts = false;
		open_outside(s, s->multipart.at);
		s->end = base + window.len;
		s->last = whole;
		return (RC_OK);
	}
	switch (piece.kind) {
	case BODY_MULTIPART_BOUNDARY:
		return (RC_OK);
	case BODY_MULTIPART_HEAD:
		open_part(s, (struct span){ window.p + (piece.start - base),
		    piece.end - piece.start }, piece.end);
		return (RC_OK);
	case BODY_MULTIPART_OUTSIDE:
		if (!s->open)
			open_outside(s, piece.start);
		break;
	case BODY_MULTIPART_DATA:
		break;
	}
	s->end = piece.end;
	s->last = piece.last;
	return (RC_OK);
}

enum rc
body_scan_feed(struct body_scan *s, struct span window, size_t base, bool whole,
    size_t max_found, struct body_founds *out, size_t *settled)
{
	enum rc rc = RC_OK;

	obj_check(s, BODY_SCAN_MAGIC);
	ensure(max_found != 0);
	if (!s->parts) {
		s->end = base + window.len;
		s->last = whole;
	}
	*settled = base;
	while (rc == RC_OK) {
		if (s->open) {
			rc = scan_text_feed(&s->text, (struct span){ window.p,
			    s->end - base }, base, s->last, max_found, out,
			    settled);
			if (rc != RC_OK || out->n >= max_found || !s->parts)
				return (rc);
			s->open = !s->last;
		}
		rc = next_piece(s, window, base, whole);
	}
	if (!s->open)
		*settled = s->multipart.at;
	return (RC_OK);
}
