/*
 * body/multipart.c - text up to the next boundary line, a head, text again.
 *
 * What may be the beginning of a boundary is held back, nothing else: data is
 * given out as it comes.  A line that only begins as a boundary does is data.
 */
#include "lib/body/multipart.h"

#include <string.h>

#include "lib/base/object.h"

enum state {
	STATE_PREAMBLE,
	STATE_LINE,		/* at a boundary line */
	STATE_HEAD,
	STATE_DATA,
	STATE_EPILOGUE,
	STATE_END
};

enum match {
	MATCH_NO,
	MATCH_CUT,		/* the window's end cuts it */
	MATCH_PART,		/* a boundary: a part follows */
	MATCH_CLOSE		/* the last one */
};

/* ---- boundary lines ------------------------------------------------------- */

enum rc
body_multipart_init(struct body_multipart *m, struct span boundary)
{
	memset(m, 0, sizeof(*m));
	if (boundary.len == 0 || boundary.len > BODY_MULTIPART_BOUNDARY_MAX ||
	    boundary.p[boundary.len - 1] == ' ')
		return (RC_SYNTAX);
	for (size_t i = 0; i < boundary.len; i++)
		if (boundary.p[i] < ' ' || boundary.p[i] > '~')
			return (RC_SYNTAX);
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary.p, boundary.len);
	m->len = 4 + boundary.len;
	m->state = STATE_PREAMBLE;
	m->first = true;
	return (RC_OK);
}

struct span
body_multipart_delimiter(const struct body_multipart *m)
{
	if (m->len == 0)
		return ((struct span){ "", 0 });
	return ((struct span){ m->delimiter + 2, m->len - 2 });
}

/* What follows the boundary's text at p: white space, then the line's end. */
static enum match
match_rest(const char *p, const char *end, bool whole, const char **line_end)
{
	enum match match = MATCH_PART;
	const char *from;

	if (end - p >= 2 && memcmp(p, "--", 2) == 0) {
		match = MATCH_CLOSE;
		p += 2;
	} else if (p == end || (end - p == 1 && *p == '-'))
		return (whole ? MATCH_NO : MATCH_CUT);
	for (from = p; p < end && (*p == ' ' || *p == '\t'); p++)
		if (p - from == BODY_MULTIPART_PADDING_MAX)
			return (MATCH_NO);
	if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
		*line_end = p + 2;
		return (match);
	}
	if (p != end && !(end - p == 1 && *p == '\r'))
		return (MATCH_NO);
	if (!whole)
		return (MATCH_CUT);
	*line_end = end;		/* the document may end with it */
	return (match == MATCH_CLOSE && p == end ? match : MATCH_NO);
}

/* A boundary at p, its text from the skip-th byte on. */
static enum match
match_at(const struct body_multipart *m, const char *p, const char *end,
    size_t skip, bool whole, const char **line_end)
{
	size_t want = m->len - skip, have = (size_t)(end - p);

	if (memcmp(p, m->delimiter + skip, have < want ? have : want) != 0)
		return (MATCH_NO);
	if (have < want)
		return (whole ? MATCH_NO : MATCH_CUT);
	return (match_rest(p + want, end, whole, line_end));
}

/* Where the beginning of a boundary stands that the end cuts; else the end. */
static const char *
cut_delimiter(const struct body_multipart *m, const char *p, const char *end)
{
	if ((size_t)(end - p) > m->len - 1)
		p = end - (m->len - 1);
	while (p != end && (p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
		if (memcmp(p, m->delimiter, (size_t)(end - p)) == 0)
			return (p);
		p++;
	}
	return (end);
}

/* The first boundary in [p, end), whole or cut; *at: where it begins, the end
 * when there is none. */
static enum match
find_boundary(const struct body_multipart *m, const char *p, const char *end,
    bool whole, const char **at, const char **line_end)
{
	enum match match;

	*at = p;
	if (m->first) {
		match = match_at(m, p, end, 2, whole, line_end);
		if (match != MATCH_NO)
			return (match);
	}
	while ((*at = memmem(p, (size_t)(end - p), m->delimiter, m->len)) != NULL) {
		match = match_at(m, *at, end, 0, whole, line_end);
		if (match != MATCH_NO)
			return (match);
		p = *at + 2;
	}
	*at = whole ? end : cut_delimiter(m, p, end);
	return (*at == end ? MATCH_NO : MATCH_CUT);
}

/* ---- pieces ----------------------------------------------------------------- */

static void
give(struct body_multipart *m, enum body_multipart_kind kind, size_t len,
    bool last, struct body_multipart_piece *out)
{
	*out = (struct body_multipart_piece){ .kind = kind, .start = m->at,
	    .end = m->at + len, .last = last };
	m->at += len;
}

/* Text up to the next boundary, or to where one may begin. */
static enum rc
next_text(struct body_multipart *m, const char *p, const char *end, bool whole,
    struct body_multipart_piece *out)
{
	enum body_multipart_kind kind = m->state == STATE_DATA ?
	    BODY_MULTIPART_DATA : BODY_MULTIPART_OUTSIDE;
	const char *at = end, *line_end;
	enum match match = MATCH_NO;
	bool last;

	if (m->state != STATE_EPILOGUE)
		match = find_boundary(m, p, end, whole, &at, &line_end);
	last = match == MATCH_PART || match == MATCH_CLOSE || whole;
	if (at == p && !last)
		return (RC_MORE);
	m->first = false;
	if (last)
		m->state = at == end ? STATE_END : STATE_LINE;
	give(m, kind, (size_t)(at - p), last, out);
	return (RC_OK);
}

/* The line that ended the text; it is found a second time. */
static enum rc
next_line(struct body_multipart *m, const char *p, const char *end, bool whole,
    struct body_multipart_piece *out)
{
	const char *line_end = p;
	enum match match;

	match = match_at(m, p, end, *p == '\r' ? 0 : 2, whole, &line_end);
	ensure(match == MATCH_PART || match == MATCH_CLOSE);
	m->closed = match == MATCH_CLOSE;
	m->state = m->closed ? STATE_EPILOGUE : STATE_HEAD;
	m->seen = 0;
	give(m, BODY_MULTIPART_BOUNDARY, (size_t)(line_end - p), true, out);
	return (RC_OK);
}

/* Lines up to an empty one.  What was looked at is not looked at again. */
static enum rc
next_head(struct body_multipart *m, const char *p, const char *end, bool whole,
    struct body_multipart_piece *out)
{
	size_t len = (size_t)(end - p);

	for (size_t i = m->seen; i < len; i++) {
		if (i == BODY_MULTIPART_HEAD_MAX)
			return (RC_LIMIT);
		if ((p[i] == '\n') != (i > 0 && p[i - 1] == '\r'))
			return (RC_SYNTAX);
		if (p[i] != '\n' || !(i == 1 || p[i - 2] == '\n'))
			continue;
		m->state = STATE_DATA;
		m->first = true;
		give(m, BODY_MULTIPART_HEAD, i + 1, true, out);
		return (RC_OK);
	}
	m->seen = len;
	return (whole ? RC_SYNTAX : RC_MORE);
}

enum rc
body_multipart_next(struct body_multipart *m, struct span window, size_t base,
    bool whole, struct body_multipart_piece *out)
{
	const char *p, *end;

	ensure(base <= m->at && m->at - base <= window.len);
	/* An empty window may have no bytes to point to. */
	if (window.len == 0)
		window.p = "";
	p = window.p + (m->at - base);
	end = window.p + window.len;
	switch ((enum state)m->state) {
	case STATE_PREAMBLE:
	case STATE_DATA:
	case STATE_EPILOGUE:
		return (next_text(m, p, end, whole, out));
	case STATE_LINE:
		return (next_line(m, p, end, whole, out));
	case STATE_HEAD:
		return (next_head(m, p, end, whole, out));
	case STATE_END:
		break;
	}
	return (RC_EOF);
}
