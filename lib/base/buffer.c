/* base/buffer.c - growth by doubling, wiping on every way out. */
#include "lib/base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define FIRST_BYTES	512	/* a small head fits without a second growth */

/* From this size on malloc maps pages of their own, so that madvise neither
 * splits the heap's mapping nor costs a system call for each small buffer. */
#define OWN_PAGES_BYTES	((size_t)128 * 1024)

void
buffer_init(struct buffer *b, size_t max, bool sensitive)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
	b->sensitive = sensitive;
}

static void
release(struct buffer *b)
{
	if (b->mem != NULL && b->sensitive)
		secret_wipe(b->mem, b->cap);
	free(b->mem);
	b->mem = NULL;
	b->start = b->end = b->cap = 0;
}

void
buffer_fini(struct buffer *b)
{
	release(b);
}

/* Make room for `len` more bytes behind `end`. */
static enum rc
grow(struct buffer *b, size_t len)
{
	size_t used = buffer_len(b), need, cap;
	char *mem;

	if (len > SIZE_MAX / 2 - used)
		return (RC_LIMIT);
	need = used + len;
	if (b->max != 0 && need > b->max)
		return (RC_LIMIT);
	if (b->end + len <= b->cap)
		return (RC_OK);
	/* Moving down is paid for by what was eaten or is about to come. */
	if (need <= b->cap && used <= b->start + len) {
		memmove(b->mem, b->mem + b->start, used);
		if (b->sensitive)
			secret_wipe(b->mem + used, b->end - used);
		b->start = 0;
		b->end = used;
		return (RC_OK);
	}
	for (cap = b->cap != 0 ? b->cap * 2 : FIRST_BYTES; cap < need; cap *= 2)
		continue;
	if ((mem = malloc(cap)) == NULL)
		return (RC_NOMEM);
	if (b->sensitive && cap >= OWN_PAGES_BYTES)
		secret_nodump(mem, cap);
	if (used != 0)
		memcpy(mem, b->mem + b->start, used);
	release(b);
	b->mem = mem;
	b->cap = cap;
	b->end = used;
	return (RC_OK);
}

enum rc
buffer_reserve(struct buffer *b, size_t len, char **out)
{
	enum rc rc;

	*out = NULL;
	if ((rc = grow(b, len)) != RC_OK)
		return (rc);
	*out = b->mem + b->end;
	return (RC_OK);
}

void
buffer_commit(struct buffer *b, size_t len)
{
	ensure(len <= b->cap - b->end);
	b->end += len;
}

enum rc
buffer_append(struct buffer *b, const void *data, size_t len)
{
	enum rc rc;

	if (len == 0)
		return (RC_OK);
	if ((rc = grow(b, len)) != RC_OK)
		return (rc);
	memcpy(b->mem + b->end, data, len);
	b->end += len;
	return (RC_OK);
}

void
buffer_put(struct buffer *b, const void *data, size_t len)
{
	ensure(buffer_append(b, data, len) == RC_OK);
}

void
buffer_puts(struct buffer *b, const char *s)
{
	buffer_put(b, s, strlen(s));
}

void
buffer_printf(struct buffer *b, const char *fmt, ...)
{
	char small[256], *big = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	ensure(n >= 0);
	if ((size_t)n < sizeof(small)) {
		buffer_put(b, small, (size_t)n);
		return;
	}
	va_start(ap, fmt);
	n = vasprintf(&big, fmt, ap);
	va_end(ap);
	ensure(n >= 0);
	buffer_put(b, big, (size_t)n);
	if (b->sensitive)
		secret_wipe(big, (size_t)n);
	free(big);
}

void
buffer_consume(struct buffer *b, size_t len)
{
	ensure(len <= buffer_len(b));
	if (b->sensitive && len != 0)
		secret_wipe(b->mem + b->start, len);
	b->start += len;
	if (b->start == b->end)
		b->start = b->end = 0;
}

void
buffer_clear(struct buffer *b)
{
	buffer_consume(b, buffer_len(b));
}

void
buffer_move(struct buffer *to, struct buffer *from)
{
	bool sensitive = to->sensitive;

	release(to);
	*to = *from;
	buffer_init(from, to->max, to->sensitive);
	to->sensitive |= sensitive;	/* once marked, always wiped */
}

const char *
buffer_cstr(struct buffer *b)
{
	char *end;
	size_t max = b->max;

	b->max = 0;		/* the NUL is not part of the content */
	ensure(buffer_reserve(b, 1, &end) == RC_OK);
	b->max = max;
	*end = '\0';
	return (b->mem + b->start);
}
