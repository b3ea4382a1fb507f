/*
 * base/string.c - spans, numbers, base64, hex, UTF-8 and ids.
 *
 * The decoders are strict: one text for each value, so that what we compare
 * or sign has a single spelling.
 */
#include "lib/base/string.h"

#include <string.h>

#include "lib/base/object.h"
#include "lib/base/random.h"

#define ID_RANDOM_BYTES	6	/* 12 hex digits: 2^48 ids, checked on create */

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct span
span_of(const char *s)
{
	return ((struct span){ s, strlen(s) });
}

bool
span_eq(struct span a, struct span b)
{
	return (a.len == b.len &&
	    (a.len == 0 || memcmp(a.p, b.p, a.len) == 0));
}

bool
span_eq_str(struct span a, const char *s)
{
	return (span_eq(a, span_of(s)));
}

static char
fold(char c)
{
	return (c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c);
}

bool
span_eq_case(struct span a, const char *s)
{
	size_t i;

	for (i = 0; i < a.len && s[i] != '\0'; i++)
		if (fold(a.p[i]) != fold(s[i]))
			return (false);
	return (i == a.len && s[i] == '\0');
}

static bool
is_blank(char c)
{
	return (c == ' ' || c == '\t');
}

struct span
span_trim(struct span s)
{
	while (s.len != 0 && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len != 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	return (s);
}

bool
span_copy(struct span s, char *out, size_t size)
{
	ensure(size != 0);
	out[0] = '\0';
	if (s.len >= size)
		return (false);
	if (s.len == 0)
		return (true);
	if (memchr(s.p, '\0', s.len) != NULL)
		return (false);
	memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return (true);
}

enum rc
string_u64(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	*out = 0;
	if (s.len == 0)
		return (RC_SYNTAX);
	for (size_t i = 0; i < s.len; i++) {
		unsigned d = (unsigned char)s.p[i] - (unsigned)'0';

		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return (RC_SYNTAX);
		v = v * 10 + d;
	}
	*out = v;
	return (RC_OK);
}

size_t
base64_encoded_len(size_t len, bool pad)
{
	size_t rest = len % 3;

	if (pad)
		return (len / 3 * 4 + (rest != 0 ? 4 : 0));
	return (len / 3 * 4 + (rest != 0 ? rest + 1 : 0));
}

size_t
base64_encode(const void *data, size_t len, bool pad, char *out)
{
	const unsigned char *in = data;
	char *o = out;
	uint32_t v;

	for (; len >= 3; len -= 3, in += 3) {
		v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		*o++ = base64_alphabet[v >> 18];
		*o++ = base64_alphabet[v >> 12 & 63];
		*o++ = base64_alphabet[v >> 6 & 63];
		*o++ = base64_alphabet[v & 63];
	}
	if (len != 0) {
		v = (uint32_t)in[0] << 16;
		if (len == 2)
			v |= (uint32_t)in[1] << 8;
		*o++ = base64_alphabet[v >> 18];
		*o++ = base64_alphabet[v >> 12 & 63];
		if (len == 2)
			*o++ = base64_alphabet[v >> 6 & 63];
		if (pad) {
			*o++ = '=';
			if (len == 1)
				*o++ = '=';
		}
	}
	return ((size_t)(o - out));
}

void
base64url_encode(const void *data, size_t len, char *out)
{
	char *end = out + base64_encode(data, len, false, out);

	*end = '\0';
	for (; out != end; out++)
		*out = *out == '+' ? '-' : *out == '/' ? '_' : *out;
}

/* Value of each alphabet byte plus one; 0 for a foreign byte. */
static const unsigned char base64_value[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6,
	['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17,
	['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22,
	['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27,
	['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
	['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37,
	['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47,
	['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52,
	['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57,
	['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62,
	['+'] = 63, ['/'] = 64,
};

/* Take the padding off s.  RC_SYNTAX when it is missing or misplaced. */
static enum rc
base64_unpad(struct span *s, bool pad)
{
	size_t n = 0;

	while (n < 2 && n < s->len && s->p[s->len - 1 - n] == '=')
		n++;
	if ((pad || n != 0) && s->len % 4 != 0)
		return (RC_SYNTAX);
	s->len -= n;
	return (s->len % 4 == 1 ? RC_SYNTAX : RC_OK);
}

/* The last two or three characters: one or two bytes, spare bits zero. */
static enum rc
base64_tail(const unsigned char *in, size_t n, unsigned char *o)
{
	unsigned a = base64_value[in[0]], b = base64_value[in[1]], c = 1;

	if (n == 3)
		c = base64_value[in[2]];
	if (a == 0 || b == 0 || c == 0)
		return (RC_SYNTAX);
	a--;
	b--;
	c--;
	if (n == 2 ? (b & 15) != 0 : (c & 3) != 0)
		return (RC_SYNTAX);
	o[0] = (unsigned char)(a << 2 | b >> 4);
	if (n == 3)
		o[1] = (unsigned char)(b << 4 | c >> 2);
	return (RC_OK);
}

enum rc
base64_decode(struct span s, bool pad, void *out, size_t size, size_t *outlen)
{
	const unsigned char *in;
	unsigned char *o = out;
	size_t need, groups;
	enum rc rc;

	*outlen = 0;
	if ((rc = base64_unpad(&s, pad)) != RC_OK)
		return (rc);
	groups = s.len / 4;
	need = groups * 3 + (s.len % 4 != 0 ? s.len % 4 - 1 : 0);
	if (need > size)
		return (RC_LIMIT);
	in = (const unsigned char *)s.p;
	for (; groups != 0; groups--, in += 4, o += 3) {
		unsigned a = base64_value[in[0]] - 1u;
		unsigned b = base64_value[in[1]] - 1u;
		unsigned c = base64_value[in[2]] - 1u;
		unsigned d = base64_value[in[3]] - 1u;
		uint32_t v;

		if ((a | b | c | d) > 63)	/* a foreign one: all bits */
			return (RC_SYNTAX);
		v = a << 18 | b << 12 | c << 6 | d;
		o[0] = (unsigned char)(v >> 16);
		o[1] = (unsigned char)(v >> 8);
		o[2] = (unsigned char)v;
	}
	if (s.len % 4 != 0 && (rc = base64_tail(in, s.len % 4, o)) != RC_OK)
		return (rc);
	*outlen = need;
	return (RC_OK);
}

void
hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	c = fold(c);
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	return (-1);
}

enum rc
hex_decode(struct span s, void *out, size_t len)
{
	unsigned char *o = out;

	if (s.len % 2 != 0 || s.len / 2 != len)
		return (RC_SYNTAX);
	for (size_t i = 0; i < len; i++) {
		int hi = hex_value(s.p[2 * i]), lo = hex_value(s.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return (RC_SYNTAX);
		o[i] = (unsigned char)(hi << 4 | lo);
	}
	return (RC_OK);
}

/*
 * Bytes of the sequence at s (n > 0 left), 0 when it is not valid.  RFC 3629
 * table 3-7: the bounds of the second byte rule out overlong forms,
 * surrogates and what lies beyond U+10FFFF.
 */
static size_t
utf8_step(const unsigned char *s, size_t n)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t want;

	if (s[0] < 0x80)
		return (1);
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		want = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		want = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		want = 4;
	else
		return (0);
	if (want > n)
		return (0);
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return (0);
	for (size_t i = 2; i < want; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return (0);
	return (want);
}

bool
utf8_valid(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		uint64_t word;
		size_t n;

		/* Text is mostly ASCII: eight bytes at a time. */
		if (len - i >= sizeof(word)) {
			memcpy(&word, s + i, sizeof(word));
			if ((word & 0x8080808080808080u) == 0) {
				i += sizeof(word);
				continue;
			}
		}
		if ((n = utf8_step(s + i, len - i)) == 0)
			return (false);
		i += n;
	}
	return (true);
}

void
id_make(const char *prefix, char *out)
{
	unsigned char r[ID_RANDOM_BYTES];
	size_t at = strlen(prefix);

	random_bytes(r, sizeof(r));
	memcpy(out, prefix, at);
	hex_encode(r, sizeof(r), out + at);
}
