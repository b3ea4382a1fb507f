/*
 * body/scan_text.c - the beginning of a text says whether it is a file; else
 * its tokens are found, and the place of each is told.
 *
 * In JSON only the place of a token between quotes needs what follows: a
 * colon makes it a member's name, and nothing can stand there but a string.
 * A quote right before it that no backslash escapes opens the string, or the
 * document is no JSON; so whether a text is inside of a string is never asked,
 * and what is outside is written as if it were inside, which is safe.
 */
#include "lib/body/scan_private.h"

#include <string.h>

#include "lib/base/object.h"

#define FILE_MAGIC	"%EVENC"	/* spec/ciphertext.md 6 */
#define FILE_MAGIC_LEN	(sizeof(FILE_MAGIC) - 1)

/* Nobody writes so much between a name and its colon; more is not waited for. */
#define BLANKS_MAX	(64u << 10)

enum state {
	STATE_BEGIN,		/* a file? */
	STATE_GUESS,		/* JSON? */
	STATE_FILE,
	STATE_LEFT,		/* a file that is too long */
	STATE_TOKENS,
	STATE_BEHIND		/* a token: what follows it? */
};

/* The window, by offsets of the document. */
struct view {
	struct span	window;
	size_t		base;
	size_t		end;
	bool		whole;
};

static const char *
at(const struct view *v, size_t offset)
{
	return (v->window.p + (offset - v->base));
}

static bool
is_blank(char c)
{
	return (c == ' ' || c == '\t' || c == '\n' || c == '\r');
}

/* ---- the beginning ----------------------------------------------------------- */

static unsigned
escapes_of(enum body_scan_form form)
{
	switch (form) {
	case BODY_SCAN_FORM:
		return (BODY_TOKEN_PERCENT);
	case BODY_SCAN_XML:
	case BODY_SCAN_HTML:
		return (BODY_TOKEN_PERCENT | BODY_TOKEN_REFERENCE);
	case BODY_SCAN_PLAIN:
	case BODY_SCAN_JSON:
	case BODY_SCAN_MULTIPART:
	case BODY_SCAN_GUESS:
		break;
	}
	return (BODY_TOKEN_PERCENT | BODY_TOKEN_BACKSLASH);
}

/* Plain text has escapes of JSON where it has any. */
static enum body_quoting_kind
quoting_of(enum body_scan_form form)
{
	return (form == BODY_SCAN_FORM ? BODY_QUOTING_FORM :
	    form == BODY_SCAN_XML ? BODY_QUOTING_XML :
	    form == BODY_SCAN_HTML ? BODY_QUOTING_HTML : BODY_QUOTING_JSON);
}

static void
begin_tokens(struct scan_text *t, enum body_scan_form form)
{
	t->form = form;
	t->state = STATE_TOKENS;
	body_token_finder_init(&t->finder, escapes_of(form),
	    t->limits.token_bytes, t->start);
	body_quoting_init(&t->quoting, quoting_of(form), t->start);
	body_quoting_init(&t->url, BODY_QUOTING_URL, t->start);
}

void
scan_text_init(struct scan_text *t, enum body_scan_form form,
    const struct body_scan_limits *limits, size_t start)
{
	ensure(form != BODY_SCAN_MULTIPART);
	*t = (struct scan_text){ .form = form, .limits = *limits,
	    .state = STATE_BEGIN, .start = start, .last_end = start };
}

/* RC_MORE: the end cuts what would tell. */
static enum rc
begin(struct scan_text *t, const struct view *v)
{
	size_t have = v->end - t->start;
	size_t n = have < FILE_MAGIC_LEN ? have : FILE_MAGIC_LEN;

	if (t->limits.file_bytes != 0 &&
	    (n == 0 || memcmp(at(v, t->start), FILE_MAGIC, n) == 0)) {
		if (n < FILE_MAGIC_LEN && !v->whole)
			return (RC_MORE);
		if (n == FILE_MAGIC_LEN) {
			t->state = STATE_FILE;
			return (RC_OK);
		}
	}
	if (t->form == BODY_SCAN_GUESS)
		t->state = STATE_GUESS;
	else
		begin_tokens(t, t->form);
	return (RC_OK);
}

/* A byte order mark counts as blank. */
static enum rc
guess(struct scan_text *t, const struct view *v)
{
	enum body_scan_form form = BODY_SCAN_PLAIN;
	char c = 0;

	for (; t->start + t->seen < v->end && t->seen < BLANKS_MAX; t->seen++) {
		c = *at(v, t->start + t->seen);
		if (!is_blank(c) && !(t->seen < 3 &&
		    c == "\xef\xbb\xbf"[t->seen]))
			break;
	}
	if (t->start + t->seen == v->end && !v->whole && t->seen < BLANKS_MAX)
		return (RC_MORE);
	if (t->start + t->seen < v->end && t->seen < BLANKS_MAX &&
	    (c == '{' || c == '['))
		form = BODY_SCAN_JSON;
	begin_tokens(t, form);
	return (RC_OK);
}

/* ---- founds -------------------------------------------------------------------- */

static void
put(struct body_founds *out, size_t start, size_t end,
    enum body_found_place place, bool encoded, unsigned depth)
{
	ensure(out->n < out->cap);
	out->v[out->n++] = (struct body_found){ start, end, place, encoded,
	    (uint8_t)depth };
}

static enum rc
file(struct scan_text *t, const struct view *v, struct body_founds *out)
{
	if (v->end - t->start > t->limits.file_bytes) {
		t->state = STATE_LEFT;
		return (RC_OK);
	}
	if (!v->whole)
		return (RC_MORE);
	put(out, t->start, v->end, BODY_FOUND_FILE, false, 0);
	t->state = STATE_LEFT;
	return (RC_OK);
}

static enum body_found_place
place_of(const struct scan_text *t, const struct body_token *token)
{
	/* Between percent-encoded quotes it stands in a URL, itself encoded or not. */
	if (t->form == BODY_SCAN_FORM || token->escape == BODY_TOKEN_PERCENT ||
	    (token->escape == BODY_TOKEN_RAW && body_quoting_depth(&t->url) != 0))
		return (BODY_FOUND_PERCENT);
	if (t->form == BODY_SCAN_XML || t->form == BODY_SCAN_HTML)
		return (t->quoting.cdata ? BODY_FOUND_CDATA : BODY_FOUND_XML);
	if (t->form == BODY_SCAN_JSON || token->escape == BODY_TOKEN_BACKSLASH)
		return (BODY_FOUND_JSON_TEXT);
	return (BODY_FOUND_PLAIN);
}

/* Of a token in its place, up to which all is counted. */
static unsigned
depth_of(const struct scan_text *t, enum body_found_place place)
{
	bool url = place == BODY_FOUND_PLAIN ||
	    (place == BODY_FOUND_PERCENT && t->form != BODY_SCAN_FORM);

	return (body_quoting_depth(url ? &t->url : &t->quoting));
}

/* What is before `to`.  A form has its own percent-encoding. */
static void
count(struct scan_text *t, const struct view *v, size_t to, bool whole)
{
	body_quoting_pass(&t->quoting, v->window, v->base, to, whole);
	if (t->form != BODY_SCAN_FORM)
		body_quoting_pass(&t->url, v->window, v->base, to, whole);
}

static void
put_token(struct scan_text *t, const struct view *v,
    const struct body_token *token, struct body_founds *out)
{
	enum body_found_place place;

	count(t, v, token->start, true);
	place = place_of(t, token);
	put(out, token->start, token->end, place,
	    token->escape != BODY_TOKEN_RAW, depth_of(t, place));
	t->last_end = token->end;
}

/* A quote before the token, which is not that of the string before. */
static bool
may_be_value(const struct scan_text *t, const struct body_token *token)
{
	return (t->form == BODY_SCAN_JSON && token->quoted &&
	    token->escape != BODY_TOKEN_PERCENT && token->start > t->last_end);
}

static enum rc
tokens(struct scan_text *t, const struct view *v, struct body_founds *out)
{
	struct body_token token;

	if (!body_token_find(&t->finder, v->window, v->base, v->whole, &token))
		return (RC_MORE);
	if (!may_be_value(t, &token)) {
		put_token(t, v, &token, out);
		return (RC_OK);
	}
	t->token = token;
	t->looked = token.end;
	t->state = STATE_BEHIND;
	return (RC_OK);
}

static void
put_value(struct scan_text *t, const struct view *v, struct body_founds *out)
{
	put(out, t->token.start - 1, t->token.end + 1, BODY_FOUND_JSON_VALUE,
	    t->token.escape != BODY_TOKEN_RAW, 0);
	t->last_end = t->token.end + 1;
	body_token_finder_pass(&t->finder, v->window, v->base, t->last_end);
}

/* The token was `quoted`, and so it is a string's beginning. */
static enum rc
behind(struct scan_text *t, const struct view *v, struct body_founds *out)
{
	const size_t quote = t->token.end, last = quote + 1 + BLANKS_MAX;

	if (t->looked == v->end && !v->whole)
		return (RC_MORE);
	if (quote == v->end || *at(v, quote) != '"') {
		t->state = STATE_TOKENS;
		put_token(t, v, &t->token, out);
		return (RC_OK);
	}
	if (t->looked == quote)
		t->looked++;
	while (t->looked < v->end && t->looked < last &&
	    is_blank(*at(v, t->looked)))
		t->looked++;
	if (t->looked == v->end && t->looked < last && !v->whole)
		return (RC_MORE);
	t->state = STATE_TOKENS;
	if (t->looked < v->end && t->looked < last && *at(v, t->looked) == ':')
		put_token(t, v, &t->token, out);
	else
		put_value(t, v, out);
	return (RC_OK);
}

/* ---- the text --------------------------------------------------------------------- */

static enum rc
step(struct scan_text *t, const struct view *v, struct body_founds *out)
{
	switch ((enum state)t->state) {
	case STATE_BEGIN:
		return (begin(t, v));
	case STATE_GUESS:
		return (guess(t, v));
	case STATE_FILE:
		return (file(t, v, out));
	case STATE_TOKENS:
		return (tokens(t, v, out));
	case STATE_BEHIND:
		return (behind(t, v, out));
	case STATE_LEFT:
		break;
	}
	return (RC_MORE);
}

static size_t
settled_of(const struct scan_text *t, const struct view *v)
{
	size_t offset = t->finder.at;

	switch ((enum state)t->state) {
	case STATE_BEGIN:
	case STATE_GUESS:
	case STATE_FILE:
		return (t->start);
	case STATE_LEFT:
		return (v->end);
	case STATE_BEHIND:
		return (t->token.start - 1);
	case STATE_TOKENS:
		break;
	}
	/* A quote may be that of the next token. */
	if (t->form == BODY_SCAN_JSON && t->finder.quoted &&
	    offset > t->last_end && !(v->whole && offset == v->end))
		offset--;
	return (offset);
}

/* What is decided must be counted before it goes. */
static size_t
counted(struct scan_text *t, const struct view *v, size_t settled)
{
	if (v->whole && settled == v->end)
		return (settled);
	count(t, v, settled, false);
	if (t->quoting.at < settled)
		settled = t->quoting.at;
	return (t->form != BODY_SCAN_FORM && t->url.at < settled ?
	    t->url.at : settled);
}

enum rc
scan_text_feed(struct scan_text *t, struct span window, size_t base, bool whole,
    size_t max_found, struct body_founds *out, size_t *settled)
{
	const struct view v = { window, base, base + window.len, whole };
	enum rc rc = RC_OK;

	while (rc == RC_OK && out->n < max_found) {
		if ((rc = body_founds_reserve(out)) == RC_OK)
			rc = step(t, &v, out);
	}
	*settled = settled_of(t, &v);
	if (t->state == STATE_TOKENS || t->state == STATE_BEHIND)
		*settled = counted(t, &v, *settled);
	return (rc == RC_MORE ? RC_OK : rc);
}
