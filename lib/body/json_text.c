/*
 * body/json_text.c - JSON strings and numbers as text.
 *
 * Everything is measured first and written second, so a buffer's limit or a
 * bad byte leaves nothing half added.
 */
#include "lib/body/json_text.h"

#include <string.h>

#include "lib/base/object.h"

/* ---- unescape ------------------------------------------------------------ */

/* \uXXXX at p -> the code unit, or -1. */
static int32_t
read_unit(const char *p, const char *end)
{
	int32_t unit = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return (-1);
	for (int i = 2; i < 6; i++) {
		int digit = hex_value(p[i]);

		if (digit < 0)
			return (-1);
		unit = unit * 16 + digit;
	}
	return (unit);
}

static size_t
write_utf8(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return (1);
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return (2);
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return (3);
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return (4);
}

static size_t
read_unicode(const char *p, const char *end, char *out, size_t *outlen)
{
	int32_t high = read_unit(p, end), low;

	if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
		return (0);
	if (high < 0xd800 || high > 0xdfff) {
		*outlen = write_utf8((uint32_t)high, out);
		return (6);
	}
	low = read_unit(p + 6, end);
	if (low < 0xdc00 || low > 0xdfff)
		return (0);
	*outlen = write_utf8(0x10000u + ((uint32_t)(high - 0xd800) << 10) +
	    (uint32_t)(low - 0xdc00), out);
	return (12);
}

size_t
body_json_escape_read(const char *p, const char *end,
    char out[BODY_JSON_ESCAPE_BYTES], size_t *outlen)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *at;

	*outlen = 0;
	if (end - p < 2 || p[0] != '\\')
		return (0);
	if (p[1] == 'u')
		return (read_unicode(p, end, out, outlen));
	if (p[1] == '\0' || (at = strchr(names, p[1])) == NULL)
		return (0);
	out[0] = bytes[at - names];
	*outlen = 1;
	return (2);
}

/* Without the quotes; false when they are not there. */
static bool
strip_quotes(struct span *raw)
{
	if (raw->len < 2 || raw->p[0] != '"' || raw->p[raw->len - 1] != '"')
		return (false);
	raw->p++;
	raw->len -= 2;
	return (true);
}

/* Bytes up to the next backslash, or to the end. */
static size_t
plain_run(const char *p, const char *end)
{
	const char *at = memchr(p, '\\', (size_t)(end - p));

	return ((size_t)((at == NULL ? end : at) - p));
}

/* out NULL: measure only.  false: an escape is broken. */
static bool
unescape(struct span text, char *out, size_t *len)
{
	const char *p = text.p, *end = text.p + text.len;
	char small[BODY_JSON_ESCAPE_BYTES];
	size_t run, used;

	*len = 0;
	while (p < end) {
		run = plain_run(p, end);
		if (out != NULL)
			memcpy(out + *len, p, run);
		*len += run;
		if ((p += run) == end)
			break;
		used = body_json_escape_read(p, end, small, &run);
		if (used == 0)
			return (false);
		if (out != NULL)
			memcpy(out + *len, small, run);
		*len += run;
		p += used;
	}
	return (true);
}

enum rc
body_json_unescape(struct span raw, struct buffer *out)
{
	size_t len;
	char *to;
	enum rc rc;

	if (!strip_quotes(&raw) || !unescape(raw, NULL, &len))
		return (RC_SYNTAX);
	if (len == raw.len)
		return (buffer_append(out, raw.p, raw.len));
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	ensure(unescape(raw, to, &len));
	buffer_commit(out, len);
	return (RC_OK);
}

bool
body_json_text_is(struct span raw, struct span text)
{
	const char *p, *end;
	char small[BODY_JSON_ESCAPE_BYTES];
	size_t run, used, at = 0;

	if (!strip_quotes(&raw))
		return (false);
	for (p = raw.p, end = raw.p + raw.len; p < end; at += run) {
		const char *piece = p;

		run = used = plain_run(p, end);
		if (run == 0) {
			used = body_json_escape_read(p, end, small, &run);
			piece = small;
		}
		if (used == 0 || run > text.len - at ||
		    memcmp(text.p + at, piece, run) != 0)
			return (false);
		p += used;
	}
	return (at == text.len);
}

/* ---- escape -------------------------------------------------------------- */

/* The letter of a two-byte escape; 'u' for six bytes; 0 when none is needed. */
static char
escape_letter(unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return ((char)c);
	case '\b':
		return ('b');
	case '\f':
		return ('f');
	case '\n':
		return ('n');
	case '\r':
		return ('r');
	case '\t':
		return ('t');
	default:
		return (c < 0x20 ? 'u' : 0);
	}
}

static size_t
escaped_len(struct span text)
{
	size_t len = text.len;

	for (size_t i = 0; i < text.len; i++) {
		char letter = escape_letter((unsigned char)text.p[i]);

		len += letter == 0 ? 0u : letter == 'u' ? 5u : 1u;
	}
	return (len);
}

/* len: of the escaped text. */
static void
put_escaped(struct span text, size_t len, char *to)
{
	static const char digits[] = "0123456789abcdef";

	if (len == text.len) {
		if (len != 0)
			memcpy(to, text.p, len);
		return;
	}
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];
		char letter = escape_letter(c);

		if (letter == 0) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '\\';
		*to++ = letter;
		if (letter == 'u') {
			*to++ = '0';
			*to++ = '0';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		}
	}
}

/* With so many quotes at each end. */
static enum rc
append_escaped(struct span text, size_t quotes, struct buffer *out)
{
	size_t len;
	char *to;
	enum rc rc;

	if (!utf8_valid(text.p, text.len))
		return (RC_SYNTAX);
	len = escaped_len(text);
	if (len + 2 * quotes == 0)
		return (RC_OK);
	if ((rc = buffer_reserve(out, len + 2 * quotes, &to)) != RC_OK)
		return (rc);
	memset(to, '"', quotes);
	put_escaped(text, len, to + quotes);
	memset(to + quotes + len, '"', quotes);
	buffer_commit(out, len + 2 * quotes);
	return (RC_OK);
}

enum rc
body_json_escape(struct span text, struct buffer *out)
{
	return (append_escaped(text, 1, out));
}

enum rc
body_json_escape_text(struct span text, struct buffer *out)
{
	return (append_escaped(text, 0, out));
}

/* ---- numbers ------------------------------------------------------------- */

static struct span
digits_at(const char *p, const char *end)
{
	const char *from = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return ((struct span){ from, (size_t)(p - from) });
}

/* A decimal in the widest form an SDK writes; each part a view. */
struct decimal {
	bool		plus;		/* an explicit leading plus */
	bool		minus;
	bool		point;
	struct span	whole;
	struct span	fraction;
	struct span	exponent;	/* with e and sign; empty when absent */
};

static bool
decimal_split(struct span text, struct decimal *d)
{
	const char *p = text.p, *end = text.p + text.len, *from;
	struct span digits;

	memset(d, 0, sizeof(*d));
	if (p < end && (*p == '-' || *p == '+')) {
		d->minus = *p == '-';
		d->plus = *p++ == '+';
	}
	d->whole = digits_at(p, end);
	p += d->whole.len;
	if (p < end && *p == '.') {
		d->point = true;
		d->fraction = digits_at(++p, end);
		p += d->fraction.len;
	}
	if (d->whole.len + d->fraction.len == 0)
		return (false);
	if (p < end && (*p == 'e' || *p == 'E')) {
		from = p++;
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		digits = digits_at(p, end);
		if (digits.len == 0)
			return (false);
		p += digits.len;
		d->exponent = (struct span){ from, (size_t)(p - from) };
	}
	return (p == end);
}

bool
body_json_number_valid(struct span text)
{
	struct decimal d;

	if (text.len == 0 || !decimal_split(text, &d))
		return (false);
	return (!d.plus && d.whole.len != 0 &&
	    (d.whole.len == 1 || d.whole.p[0] != '0') &&
	    d.point == (d.fraction.len != 0));
}

/* PHP calls a string numeric with any of these around it. */
static struct span
trim(struct span s)
{
	while (s.len != 0 && memchr(" \t\n\r\v\f", s.p[0], 6) != NULL) {
		s.p++;
		s.len--;
	}
	while (s.len != 0 && memchr(" \t\n\r\v\f", s.p[s.len - 1], 6) != NULL)
		s.len--;
	return (s);
}

static char *
put(char *to, const char *p, size_t len)
{
	if (len != 0)
		memcpy(to, p, len);
	return (to + len);
}

static enum rc
append_decimal(struct decimal d, struct buffer *out)
{
	size_t len;
	char *to;
	enum rc rc;

	while (d.whole.len > 1 && d.whole.p[0] == '0') {
		d.whole.p++;
		d.whole.len--;
	}
	if (d.whole.len == 0)
		d.whole = SPAN_LIT("0");
	len = (d.minus ? 1u : 0u) + d.whole.len +
	    (d.fraction.len != 0 ? 1 + d.fraction.len : 0) + d.exponent.len;
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	if (d.minus)
		*to++ = '-';
	to = put(to, d.whole.p, d.whole.len);
	if (d.fraction.len != 0) {
		*to++ = '.';
		to = put(to, d.fraction.p, d.fraction.len);
	}
	(void)put(to, d.exponent.p, d.exponent.len);
	buffer_commit(out, len);
	return (RC_OK);
}

enum rc
body_json_insert(enum body_value_type type, struct span text,
    struct buffer *out)
{
	struct decimal d;

	switch (type) {
	case BODY_VALUE_NUMBER:
		if (body_json_number_valid(text))
			return (buffer_append(out, text.p, text.len));
		if (decimal_split(trim(text), &d))
			return (append_decimal(d, out));
		break;		/* nan, inf, anything: a string, never bare */
	case BODY_VALUE_BOOLEAN:
		if (span_eq_str(text, "true") || span_eq_str(text, "false"))
			return (buffer_append(out, text.p, text.len));
		break;
	case BODY_VALUE_STRING:
		break;
	}
	return (body_json_escape(text, out));
}
