/*
 * http/chunked.c - chunk decoder: a state for each place in the grammar, so
 * that input may end at any byte.
 *
 *   SIZE -> (EXTENSION) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                                  \-> DONE after the last chunk's line
 *
 * What other readers forgive is refused: bare LF, white space after the size,
 * a chunk longer or shorter than it says.  Each has been used to make two
 * readers see two messages.
 */
#include "lib/http/chunked.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/base/string.h"
#include "lib/http/class_private.h"

#define SIZE_DIGITS_MAX		16	/* what 64 bits can hold */
#define EXTENSION_BYTES_MAX	4096	/* nobody sends any; bounds a drip of them */

enum state {
	ST_SIZE,	/* hexadecimal digits */
	ST_EXTENSION,	/* after ';', dropped */
	ST_SIZE_LF,	/* CR of the size line seen */
	ST_DATA,
	ST_DATA_CR,
	ST_DATA_LF,
	ST_DONE,
	ST_BROKEN,
	ST_TOO_LARGE
};

void
http_chunked_init(struct http_chunked *c, uint64_t max_body)
{
	memset(c, 0, sizeof(*c));
	c->magic = HTTP_CHUNKED_MAGIC;
	c->state = ST_SIZE;
	c->max_body = max_body;
}

static enum state
on_size(struct http_chunked *c, char b)
{
	int d = hex_value(b);

	if (d >= 0) {
		if (c->digits == SIZE_DIGITS_MAX)
			return (ST_BROKEN);
		c->digits++;
		c->left = c->left << 4 | (unsigned)d;
		return (ST_SIZE);
	}
	if (c->digits == 0)
		return (ST_BROKEN);
	if (b == ';')
		return (ST_EXTENSION);
	return (b == '\r' ? ST_SIZE_LF : ST_BROKEN);
}

static enum state
on_extension(struct http_chunked *c, char b)
{
	if (b == '\r')
		return (ST_SIZE_LF);
	if (!HTTP_CLASS(b, CLASS_VALUE) ||
	    ++c->extension > EXTENSION_BYTES_MAX)
		return (ST_BROKEN);
	return (ST_EXTENSION);
}

static enum state
on_size_lf(struct http_chunked *c, char b)
{
	if (b != '\n')
		return (ST_BROKEN);
	if (c->left == 0)
		return (ST_DONE);
	if (c->left > c->max_body - c->total)
		return (ST_TOO_LARGE);
	return (ST_DATA);
}

/* One byte of framing; never called in ST_DATA or an end state. */
static enum state
on_byte(struct http_chunked *c, char b)
{
	switch ((enum state)c->state) {
	case ST_SIZE:
		return (on_size(c, b));
	case ST_EXTENSION:
		return (on_extension(c, b));
	case ST_SIZE_LF:
		return (on_size_lf(c, b));
	case ST_DATA_CR:
		return (b == '\r' ? ST_DATA_LF : ST_BROKEN);
	case ST_DATA_LF:
		c->digits = 0;
		return (b == '\n' ? ST_SIZE : ST_BROKEN);
	case ST_DATA:
	case ST_DONE:
	case ST_BROKEN:
	case ST_TOO_LARGE:
		break;
	}
	return (ST_BROKEN);
}

static bool
is_end(unsigned state)
{
	return (state == ST_DONE || state == ST_BROKEN || state == ST_TOO_LARGE);
}

static enum rc
result(const struct http_chunked *c)
{
	if (c->state == ST_DONE)
		return (RC_OK);
	if (c->state == ST_TOO_LARGE)
		return (RC_LIMIT);
	return (c->state == ST_BROKEN ? RC_SYNTAX : RC_MORE);
}

enum rc
http_chunked_feed(struct http_chunked *c, const char *in, size_t len,
    size_t *used, const char **out, size_t *outlen)
{
	size_t i = 0, n;

	obj_check(c, HTTP_CHUNKED_MAGIC);
	*out = NULL;
	*outlen = 0;
	while (i < len && c->state != ST_DATA && !is_end(c->state))
		c->state = (uint8_t)on_byte(c, in[i++]);
	if (i < len && c->state == ST_DATA) {
		n = len - i;
		if (n > c->left)
			n = (size_t)c->left;
		*out = in + i;
		*outlen = n;
		i += n;
		c->left -= n;
		c->total += n;
		if (c->left == 0)
			c->state = ST_DATA_CR;
	}
	*used = i;
	return (result(c));
}

size_t
http_chunk_head(uint64_t len, char out[HTTP_CHUNK_HEAD_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	unsigned shift = 60;
	size_t n = 0;

	while (shift != 0 && len >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		out[n++] = digits[len >> shift & 15];
		if (shift == 0)
			break;
	}
	out[n++] = '\r';
	out[n++] = '\n';
	return (n);
}
