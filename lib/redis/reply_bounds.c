/* redis/reply_bounds.c - a walk over RESP2 that keeps sizes only. */
#include "lib/redis/reply_bounds.h"

#include <string.h>

#define LENGTH_DIGITS_MAX	10	/* more is above every limit */

enum bounds_state {
	BOUNDS_TYPE,		/* the byte that names the type */
	BOUNDS_LINE,		/* text of a status, error or number */
	BOUNDS_LENGTH,		/* digits of a bulk or array header */
	BOUNDS_LF,		/* the LF after a CR */
	BOUNDS_BULK		/* skipping the bytes of a bulk string */
};

void
redis_reply_bounds_init(struct redis_reply_bounds *b)
{
	memset(b, 0, sizeof(*b));
}

/* One element is complete: so may be the arrays it was the last of. */
static void
element_done(struct redis_reply_bounds *b)
{
	b->state = BOUNDS_TYPE;
	while (b->depth > 0) {
		if (--b->left[b->depth - 1] > 0)
			return;
		b->depth--;
	}
}

static enum rc
array_begin(struct redis_reply_bounds *b)
{
	if (b->number > REDIS_ELEMENTS_MAX - b->elements ||
	    (b->number > 0 && b->depth == REDIS_DEPTH_MAX))
		return (RC_LIMIT);
	b->elements += (uint32_t)b->number;
	if (b->number == 0) {
		element_done(b);
		return (RC_OK);
	}
	b->left[b->depth++] = b->number;
	b->state = BOUNDS_TYPE;
	return (RC_OK);
}

/* The line is complete. */
static enum rc
line_done(struct redis_reply_bounds *b)
{
	if (b->type != '$' && b->type != '*') {
		element_done(b);
		return (RC_OK);
	}
	if (b->digits == 0 || (b->negative && b->number != 1))
		return (RC_SYNTAX);
	if (b->negative) {		/* nil */
		element_done(b);
		return (RC_OK);
	}
	if (b->type == '*')
		return (array_begin(b));
	if (b->number > REDIS_BULK_BYTES_MAX)
		return (RC_LIMIT);
	b->skip = b->number + 2;
	b->state = BOUNDS_BULK;
	return (RC_OK);
}

static enum rc
take_type(struct redis_reply_bounds *b, char c)
{
	if (b->depth == 0) {		/* a new reply */
		b->elements = 0;
		b->bytes = 0;
	}
	b->type = (uint8_t)c;
	b->digits = 0;
	b->negative = false;
	b->number = 0;
	b->line = 0;
	switch (c) {
	case '+':
	case '-':
	case ':':
		b->state = BOUNDS_LINE;
		return (RC_OK);
	case '$':
	case '*':
		b->state = BOUNDS_LENGTH;
		return (RC_OK);
	default:
		return (RC_SYNTAX);
	}
}

static enum rc
take_length(struct redis_reply_bounds *b, char c)
{
	if (c == '\r') {
		b->state = BOUNDS_LF;
		return (RC_OK);
	}
	if (c == '-' && b->digits == 0 && !b->negative) {
		b->negative = true;
		return (RC_OK);
	}
	if (c < '0' || c > '9')
		return (RC_SYNTAX);
	if (++b->digits > LENGTH_DIGITS_MAX)
		return (RC_LIMIT);
	b->number = b->number * 10 + (uint64_t)(c - '0');
	return (RC_OK);
}

/* Text up to CR; returns how many bytes were taken, 0: line too long. */
static size_t
take_line(struct redis_reply_bounds *b, const char *p, size_t len)
{
	const char *cr = memchr(p, '\r', len);
	size_t n = cr == NULL ? len : (size_t)(cr - p) + 1;

	if (n > REDIS_LINE_BYTES_MAX - b->line)
		return (0);
	b->line += (uint32_t)n;
	if (cr != NULL)
		b->state = BOUNDS_LF;
	return (n);
}

static size_t
take_bulk(struct redis_reply_bounds *b, size_t len)
{
	size_t n = len < b->skip ? len : (size_t)b->skip;

	if ((b->skip -= n) == 0)
		element_done(b);
	return (n);
}

enum rc
redis_reply_bounds_feed(struct redis_reply_bounds *b, const char *p, size_t len)
{
	enum rc rc = RC_OK;
	size_t n;

	for (size_t i = 0; i < len && rc == RC_OK; i += n) {
		n = 1;
		switch ((enum bounds_state)b->state) {
		case BOUNDS_TYPE:
			rc = take_type(b, p[i]);
			break;
		case BOUNDS_LINE:
			if ((n = take_line(b, p + i, len - i)) == 0)
				rc = RC_LIMIT;
			break;
		case BOUNDS_LENGTH:
			rc = take_length(b, p[i]);
			break;
		case BOUNDS_LF:
			rc = p[i] == '\n' ? line_done(b) : RC_SYNTAX;
			break;
		case BOUNDS_BULK:
			n = take_bulk(b, len - i);
			break;
		}
		b->bytes += n;
		if (b->bytes > REDIS_REPLY_BYTES_MAX)
			rc = RC_LIMIT;
	}
	return (rc);
}
