/*
 * body/token_scan.c - the grammar of an encrypted string
 * (spec/ciphertext.md section 8):
 *   ev:(debug:)?(version:)?(type:)?<16>:<44>:<any>:$
 *
 * Every part is of base64's alphabet and ends with a colon, and no two that
 * may stand in one place have the same length.  So a part is known at its
 * colon, nothing is read twice, and a reader may stop behind any character.
 */
#include "lib/body/token_scan.h"

#include <string.h>

#define CHAR_NONE	(-1)	/* no character of one byte */
#define CHAR_CUT	(-2)	/* the end cuts an escape */
#define REFERENCE_DIGITS	8	/* of an XML reference, zeros included */
#define BACKSLASHES_MAX	31	/* of an escape: four strings around it */

enum part {
	PART_EV,
	PART_DEBUG,
	PART_VERSION,
	PART_TYPE,
	PART_IV,
	PART_KEY,
	PART_DATA,
	PART_END
};

/* Characters that a part may have where this one is the next. */
static const size_t part_chars[] = {
	[PART_EV] = 2,
	[PART_DEBUG] = 16,
	[PART_VERSION] = 16,
	[PART_TYPE] = 16,
	[PART_IV] = 16,
	[PART_KEY] = 44,
	[PART_DATA] = SIZE_MAX,
};

static const struct {
	uint8_t	part;
	uint8_t	len;
	char	name[8];
} names[] = {
	{ PART_DEBUG, 5, "debug" },
	{ PART_VERSION, 4, "RFVC" },
	{ PART_VERSION, 4, "T1JL" },
	{ PART_VERSION, 4, "Tk9D" },
	{ PART_VERSION, 4, "TENZ" },
	{ PART_VERSION, 4, "QlJV" },
	{ PART_VERSION, 4, "QkTC" },
	{ PART_VERSION, 4, "S0lS" },
	{ PART_TYPE, 6, "string" },
	{ PART_TYPE, 6, "number" },
	{ PART_TYPE, 7, "boolean" },
};

/* The standard alphabet; old tokens keep their padding. */
static const bool is_base64[256] = {
	['A' ... 'Z'] = true,
	['a' ... 'z'] = true,
	['0' ... '9'] = true,
	['+'] = true,
	['/'] = true,
	['='] = true,
};

/* ---- characters and their escapes ---------------------------------------- */

static unsigned
escape_of(char c)
{
	switch (c) {
	case '\\':
		return (BODY_TOKEN_BACKSLASH);
	case '%':
		return (BODY_TOKEN_PERCENT);
	case '&':
		return (BODY_TOKEN_REFERENCE);
	default:
		return (BODY_TOKEN_RAW);
	}
}

/* n hexadecimal digits at p. */
static int
hex_digits(const char *p, const char *end, size_t n)
{
	int value = 0, digit;

	for (size_t i = 0; i < n; i++) {
		if (p + i == end)
			return (CHAR_CUT);
		if ((digit = hex_value(p[i])) < 0)
			return (CHAR_NONE);
		value = value * 16 + digit;
	}
	return (value < 0x80 ? value : CHAR_NONE);
}

/* One backslash, or up to `most` where strings stand in strings. */
static int
decode_backslash(const char *p, const char *end, size_t most, size_t *len)
{
	size_t run = 1;

	while (p + run != end && run < most && p[run] == '\\')
		run++;
	p += run;
	if (p == end)
		return (CHAR_CUT);
	*len = run + (*p == '/' ? 1 : 5);
	if (*p == '/')
		return ('/');
	return (*p == 'u' ? hex_digits(p + 1, end, 4) : CHAR_NONE);
}

/* Behind the '#': digits up to the ';'. */
static int
decode_reference(const char *p, const char *end, size_t *len)
{
	const char *from = p, *digits;
	int base = 10, value = 0, digit;

	if (end - p >= 2 && p[1] != '#')
		return (CHAR_NONE);
	if (end - p < 3)
		return (CHAR_CUT);
	p += 2;
	if (*p == 'x' || *p == 'X') {
		base = 16;
		p++;
	}
	for (digits = p; p < end && p - digits < REFERENCE_DIGITS; p++) {
		if ((digit = hex_value(*p)) < 0 || digit >= base)
			break;
		if ((value = value * base + digit) >= 0x80)
			return (CHAR_NONE);
	}
	if (p == end)
		return (CHAR_CUT);
	*len = (size_t)(p - from) + 1;
	return (*p == ';' && p != digits ? value : CHAR_NONE);
}

/* The character at p, which is before end; *len bytes are its text.  first: of
 * a token, which no backslash before may escape. */
static int
decode(struct body_token_reader *r, bool first, const char *p, const char *end,
    size_t *len)
{
	unsigned escape = escape_of(*p) & r->escapes;
	int c;

	*len = 1;
	if (escape == BODY_TOKEN_RAW)
		return ((unsigned char)*p);
	if (r->escape != BODY_TOKEN_RAW && r->escape != escape)
		return (CHAR_NONE);
	if (escape == BODY_TOKEN_BACKSLASH) {
		c = decode_backslash(p, end, first ? 1 : BACKSLASHES_MAX, len);
	} else if (escape == BODY_TOKEN_PERCENT) {
		*len = 3;
		c = hex_digits(p + 1, end, 2);
	} else {
		c = decode_reference(p, end, len);
	}
	if (c >= 0)
		r->escape = (uint8_t)escape;
	return (c);
}

/* ---- parts ---------------------------------------------------------------- */

void
body_token_reader_init(struct body_token_reader *r, unsigned escapes)
{
	*r = (struct body_token_reader){ .escapes = (uint8_t)escapes };
}

/* A colon was read.  The part that comes next; PART_EV: it is no token. */
static enum part
next_part(const struct body_token_reader *r)
{
	switch ((enum part)r->part) {
	case PART_EV:
		return (r->n == 2 && memcmp(r->name, "ev", 2) == 0 ?
		    PART_DEBUG : PART_EV);
	case PART_KEY:
		return (r->n == part_chars[PART_KEY] ? PART_DATA : PART_EV);
	case PART_DATA:
		return (PART_END);
	case PART_DEBUG:
	case PART_VERSION:
	case PART_TYPE:
	case PART_IV:
	case PART_END:
		break;
	}
	if (r->n == part_chars[PART_IV])
		return (PART_KEY);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (r->part <= names[i].part && r->n == names[i].len &&
		    memcmp(r->name, names[i].name, r->n) == 0)
			return ((enum part)(names[i].part + 1));
	return (PART_EV);
}

static enum body_token_step
take(struct body_token_reader *r, int c)
{
	if (r->part == PART_END)
		return (c == '$' ? BODY_TOKEN_DONE : BODY_TOKEN_NO);
	if (c == ':') {
		r->part = (uint8_t)next_part(r);
		r->n = 0;
		return (r->part != PART_EV ? BODY_TOKEN_MORE : BODY_TOKEN_NO);
	}
	if (c < 0 || !is_base64[c] || r->n == part_chars[r->part])
		return (BODY_TOKEN_NO);
	if (r->n < sizeof(r->name))
		r->name[r->n] = (char)c;
	r->n++;
	return (BODY_TOKEN_MORE);
}

/* Characters of a part that stand for themselves, as many as it may have. */
static const char *
take_run(struct body_token_reader *r, const char *p, const char *end)
{
	const char *from = p, *last = end;

	if (r->part == PART_END)
		return (p);
	if ((size_t)(end - p) > part_chars[r->part] - r->n)
		last = p + (part_chars[r->part] - r->n);
	while (p != last && is_base64[(unsigned char)*p])
		p++;
	for (; from != p && r->n < sizeof(r->name); from++)
		r->name[r->n++] = *from;
	r->n += (size_t)(p - from);
	return (p);
}

enum body_token_step
body_token_read(struct body_token_reader *r, const char *p, const char *end,
    size_t *used)
{
	enum body_token_step step = BODY_TOKEN_MORE;
	const char *from = p;
	size_t len;
	int c;

	while (step == BODY_TOKEN_MORE && (p = take_run(r, p, end)) != end) {
		if ((c = decode(r, r->part == PART_EV && r->n == 0, p, end,
		    &len)) == CHAR_CUT)
			break;
		step = take(r, c);
		p += step == BODY_TOKEN_NO ? 0 : len;
	}
	*used = (size_t)(p - from);
	return (step);
}

/* ---- what was read -------------------------------------------------------- */

bool
body_token_whole(struct span text)
{
	struct body_token_reader r;
	size_t used;

	if (text.len < BODY_TOKEN_BYTES_MIN)
		return (false);
	body_token_reader_init(&r, BODY_TOKEN_RAW);
	return (body_token_read(&r, text.p, text.p + text.len, &used) ==
	    BODY_TOKEN_DONE && used == text.len);
}

enum rc
body_token_append(struct span text, const struct body_token *token,
    struct buffer *out)
{
	const char *p = text.p + token->start, *end = text.p + token->end;
	struct body_token_reader r;
	size_t len, n = 0;
	enum rc rc;
	char *to;

	if (token->escape == BODY_TOKEN_RAW)
		return (buffer_append(out, p, token->end - token->start));
	if ((rc = buffer_reserve(out, token->end - token->start, &to)) != RC_OK)
		return (rc);
	body_token_reader_init(&r, token->escape);
	for (; p != end; p += len, n++)
		to[n] = (char)decode(&r, n == 0, p, end, &len);
	buffer_commit(out, n);
	return (RC_OK);
}
