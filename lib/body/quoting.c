/*
 * body/quoting.c - a quote behind k backslashes belongs to the string around as
 * many strings as k has ones at its end: each string that holds another doubles
 * its backslashes and puts one before its quotes.  Writers that escape a quote
 * as \u0022 and a backslash as \u005c are read the same.
 *
 * What is outside of strings, and most of what is inside, is skipped by memchr
 * and memrchr.
 */
#include "lib/body/quoting.h"

#include <string.h>
#include <strings.h>

#include "lib/base/object.h"

#define REFERENCE_DIGITS	8	/* of an XML reference, zeros included */

enum unit {
	UNIT_OTHER,
	UNIT_QUOTE,
	UNIT_UNICODE_QUOTE,	/* u0022 behind a backslash */
	UNIT_UNICODE_BACKSLASH,	/* u005c */
	UNIT_BACKSLASH,
	UNIT_RESET,		/* another field, another text */
	UNIT_CDATA,		/* <![CDATA[ */
	UNIT_CUT		/* the end cuts what may be one */
};

/* What the text of XML begins with. */
enum begun {
	BEGUN_BLANK,
	BEGUN_JSON,
	BEGUN_OTHER		/* or it is a tag */
};

/* The bytes from which units are read. */
struct view {
	const char	*p;
	const char	*end;
	bool		whole;
};

void
body_quoting_init(struct body_quoting *q, enum body_quoting_kind kind, size_t at)
{
	*q = (struct body_quoting){ .kind = kind, .at = at,
	    .begun = BEGUN_BLANK };
}

unsigned
body_quoting_depth(const struct body_quoting *q)
{
	/* The strings of JSON itself are level 0. */
	unsigned first = q->kind == BODY_QUOTING_JSON ? 1 : 0, n = 0;

	if ((q->kind == BODY_QUOTING_XML || q->kind == BODY_QUOTING_HTML) &&
	    q->begun != BEGUN_JSON)
		return (0);
	while ((q->odd >> (first + n) & 1) != 0)
		n++;
	return (n);
}

/* ---- units ------------------------------------------------------------------ */

/* The text is here: *len bytes.  Cut: it may be. */
static enum unit
word(const struct view *v, const char *text, enum unit unit, size_t *len)
{
	size_t n = strlen(text), left = (size_t)(v->end - v->p);

	/* Most differ here. */
	if (left > 1 && (v->p[1] | 0x20) != (text[1] | 0x20))
		return (UNIT_OTHER);
	if (strncasecmp(v->p, text, left < n ? left : n) != 0)
		return (UNIT_OTHER);
	if (left < n)
		return (v->whole ? UNIT_OTHER : UNIT_CUT);
	*len = n;
	return (unit);
}

struct spelling {
	const char	*text;
	enum unit	unit;
};

/* Spellings of one first byte, none the beginning of another; NULL ends. */
static enum unit
any_word(const struct view *v, const struct spelling *of, size_t *len)
{
	enum unit unit, best = UNIT_OTHER;

	for (; of->text != NULL; of++)
		if ((unit = word(v, of->text, of->unit, len)) != UNIT_OTHER)
			best = unit;
	return (best);
}

static const struct spelling percent[] = {
	{ "%22", UNIT_QUOTE }, { "%5C", UNIT_BACKSLASH }, { NULL, UNIT_OTHER }
};

static const struct spelling unicode[] = {
	{ "u0022", UNIT_UNICODE_QUOTE }, { "u005C", UNIT_UNICODE_BACKSLASH },
	{ NULL, UNIT_OTHER }
};

/* &#34; &#x0022; and all others: the character into *c, 0 when it is none. */
static enum unit
reference(const struct view *v, size_t *len, char *c)
{
	const char *p = v->p + 2, *digits;
	unsigned base = 10, value = 0;
	int digit;

	*c = 0;
	if (p >= v->end)
		return (v->whole ? UNIT_OTHER : UNIT_CUT);
	if (*p == 'x' || *p == 'X') {
		base = 16;
		p++;
	}
	for (digits = p; p < v->end && p - digits < REFERENCE_DIGITS; p++) {
		if ((digit = hex_value(*p)) < 0 || (unsigned)digit >= base)
			break;
		value = value * base + (unsigned)digit;
	}
	if (p >= v->end && !v->whole)
		return (UNIT_CUT);
	if (p >= v->end || *p != ';' || p == digits || value >= 0x80)
		return (UNIT_OTHER);
	*len = (size_t)(p - v->p) + 1;
	*c = (char)value;
	return (value == '"' ? UNIT_QUOTE : value == '\\' ? UNIT_BACKSLASH :
	    UNIT_OTHER);
}

static enum unit
unit_json(const struct view *v)
{
	return (*v->p == '"' ? UNIT_QUOTE :
	    *v->p == '\\' ? UNIT_BACKSLASH : UNIT_OTHER);
}

static enum unit
unit_form(const struct view *v, size_t *len)
{
	if (*v->p == '%')
		return (any_word(v, percent, len));
	return (*v->p == '&' ? UNIT_RESET : unit_json(v));
}

static bool
ends_url(char c)
{
	return (c == '&' || c == '?' || c == '#' || c == '"' || c == '<' ||
	    c == '>' || (unsigned char)c <= ' ');
}

static enum unit
unit_url(const struct view *v, size_t *len)
{
	if (*v->p == '%')
		return (any_word(v, percent, len));
	/* JSON may write an ampersand so. */
	if (*v->p == '\\')
		return (word(v, "\\u0026", UNIT_RESET, len));
	return (ends_url(*v->p) ? UNIT_RESET : UNIT_OTHER);
}

static enum unit
unit_xml(const struct body_quoting *q, const struct view *v, size_t *len,
    char *c)
{
	enum unit unit;

	if (q->cdata)
		return (*v->p == ']' ? word(v, "]]>", UNIT_RESET, len) :
		    unit_json(v));
	switch (*v->p) {
	case '&':
		if (v->end - v->p > 1 && v->p[1] == '#')
			return (reference(v, len, c));
		return (word(v, "&quot;", UNIT_QUOTE, len));
	case '<':
		/* In a tag or a comment it is none. */
		if (q->kind == BODY_QUOTING_HTML || q->tag)
			return (UNIT_RESET);
		unit = word(v, "<![CDATA[", UNIT_CDATA, len);
		return (unit == UNIT_OTHER ? UNIT_RESET : unit);
	case '>':
		return (q->tag ? UNIT_RESET : UNIT_OTHER);
	default:
		return (unit_json(v));
	}
}

/* *len bytes, which stand for *c. */
static enum unit
unit_of(const struct body_quoting *q, const struct view *v, size_t *len, char *c)
{
	*len = 1;
	*c = *v->p;
	if (*v->p == 'u' && q->run != 0)
		return (any_word(v, unicode, len));
	switch (q->kind) {
	case BODY_QUOTING_JSON:
		return (unit_json(v));
	case BODY_QUOTING_FORM:
		return (unit_form(v, len));
	case BODY_QUOTING_URL:
		return (unit_url(v, len));
	case BODY_QUOTING_XML:
	case BODY_QUOTING_HTML:
		return (unit_xml(q, v, len, c));
	}
	return (UNIT_OTHER);
}

/* ---- levels ----------------------------------------------------------------- */

static unsigned
level_of(size_t backslashes)
{
	unsigned level = 0;

	for (; backslashes % 2 != 0; backslashes /= 2)
		level++;
	return (level);
}

/* Each string around takes one round of escapes away; the one that reads an odd
 * number of them before the u has the quote. */
static unsigned
unicode_level_of(size_t backslashes)
{
	unsigned level = 1;

	for (; backslashes % 2 == 0; backslashes /= 2)
		level++;
	return (level + level_of(backslashes / 2));
}

/* As many as a writer that doubles them would have, for k of them and u005c. */
static size_t
unicode_run_of(size_t backslashes)
{
	size_t factor = 1;

	for (; backslashes % 2 == 0; backslashes /= 2)
		factor *= 2;
	return (factor * (backslashes + 1));
}

static void
quote(struct body_quoting *q, unsigned level)
{
	if (level >= BODY_QUOTING_LEVELS)
		level = BODY_QUOTING_LEVELS - 1;
	q->odd ^= (uint8_t)(1u << level);
	q->odd &= (uint8_t)((2u << level) - 1);
}

static void
reset(struct body_quoting *q, char c)
{
	q->odd = 0;
	q->cdata = false;
	q->tag = c == '<';
	q->begun = q->tag ? BEGUN_OTHER : BEGUN_BLANK;
}

static void
begin(struct body_quoting *q, char c)
{
	if (q->begun == BEGUN_BLANK && (unsigned char)c > ' ')
		q->begun = c == '{' || c == '[' ? BEGUN_JSON : BEGUN_OTHER;
}

static void
count(struct body_quoting *q, enum unit unit, char c)
{
	switch (unit) {
	case UNIT_BACKSLASH:
		q->run++;
		begin(q, c);
		return;
	case UNIT_QUOTE:
		quote(q, level_of(q->run));
		begin(q, c);
		break;
	case UNIT_UNICODE_QUOTE:
		quote(q, unicode_level_of(q->run));
		break;
	case UNIT_UNICODE_BACKSLASH:
		q->run = unicode_run_of(q->run);
		return;
	case UNIT_RESET:
		reset(q, c);
		break;
	case UNIT_CDATA:
		reset(q, ' ');
		q->cdata = true;
		break;
	case UNIT_OTHER:
	case UNIT_CUT:
		begin(q, c);
		break;
	}
	q->run = 0;
}

/* ---- what is skipped -------------------------------------------------------- */

/* Behind the last quote of the JSON itself, or p. */
static const char *
behind_string(struct body_quoting *q, const char *p, const char *end)
{
	const char *at = end;
	size_t n;

	while ((at = memrchr(p, '"', (size_t)(at - p))) != NULL) {
		for (n = 0; n < (size_t)(at - p) && at[-1 - (ptrdiff_t)n] == '\\';)
			n++;
		if ((n + (n == (size_t)(at - p) ? q->run : 0)) % 2 == 0)
			break;
	}
	if (at == NULL)
		return (p);
	q->odd = 0;
	q->run = 0;
	return (at + 1);
}

static const char *
behind_field(struct body_quoting *q, const char *p, const char *end)
{
	const char *at = memrchr(p, '&', (size_t)(end - p));

	if (at == NULL)
		return (p);
	reset(q, '&');
	q->run = 0;
	return (at + 1);
}

/* The first of one or two bytes, or the end. */
static const char *
find(const char *p, const char *end, char a, char b)
{
	const char *at = memchr(p, a, (size_t)(end - p)), *also;

	if (at == NULL)
		at = end;
	also = a == b ? NULL : memchr(p, b, (size_t)(at - p));
	return (also != NULL ? also : at);
}

/* The first byte that can change anything. */
static const char *
skip(const struct body_quoting *q, const char *p, const char *end)
{
	switch (q->kind) {
	case BODY_QUOTING_URL:
		if (q->run == 0 && q->odd == 0)
			return (find(p, end, '%', '%'));
		break;
	case BODY_QUOTING_XML:
	case BODY_QUOTING_HTML:
		if (q->begun == BEGUN_OTHER && q->run == 0)
			return (q->cdata ? find(p, end, ']', ']') :
			    q->tag ? find(p, end, '>', '<') :
			    find(p, end, '<', '<'));
		break;
	case BODY_QUOTING_JSON:
	case BODY_QUOTING_FORM:
		break;
	}
	return (p);
}

/* To the end, or to what it cuts.  No quote of the JSON itself is left, so each
 * stands behind a backslash. */
static const char *
count_json(struct body_quoting *q, struct view v)
{
	enum unit unit;
	size_t len;

	for (;;) {
		if (q->run == 0)
			v.p = find(v.p, v.end, '\\', '\\');
		for (; v.p != v.end && *v.p == '\\'; v.p++)
			q->run++;
		if (v.p == v.end)
			return (v.p);
		len = 1;
		unit = UNIT_OTHER;
		if (*v.p == '"')
			quote(q, level_of(q->run));
		else if (*v.p == 'u') {
			unit = any_word(&v, unicode, &len);
			if (unit == UNIT_CUT)
				return (v.p);
			if (unit == UNIT_UNICODE_QUOTE)
				quote(q, unicode_level_of(q->run));
		}
		q->run = unit == UNIT_UNICODE_BACKSLASH ?
		    unicode_run_of(q->run) : 0;
		v.p += len;
	}
}

/* The same of all others. */
static const char *
count_units(struct body_quoting *q, struct view v)
{
	enum unit unit;
	size_t len;
	char c;

	while ((v.p = skip(q, v.p, v.end)) != v.end) {
		if ((unit = unit_of(q, &v, &len, &c)) == UNIT_CUT)
			break;
		count(q, unit, c);
		v.p += len;
	}
	return (v.p);
}

void
body_quoting_pass(struct body_quoting *q, struct span window, size_t base,
    size_t to, bool whole)
{
	struct view v = { NULL, NULL, whole };

	if (to <= q->at)
		return;
	ensure(q->at >= base && to - base <= window.len);
	v.p = window.p + (q->at - base);
	v.end = window.p + (to - base);
	if (q->kind == BODY_QUOTING_JSON) {
		v.p = behind_string(q, v.p, v.end);
		v.p = count_json(q, v);
	} else {
		if (q->kind == BODY_QUOTING_FORM)
			v.p = behind_field(q, v.p, v.end);
		v.p = count_units(q, v);
	}
	q->at = to - (size_t)(v.end - v.p);
}
