/*
 * base/buffer.c - growth by doubling, wiping on every way out.
 *
 * At any time data lies in one range of the memory, [start, dirty): what was
 * consumed or cut off was wiped then, and what is behind was never written.
 */
#include "lib/base/buffer.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define FIRST_BYTES	512	/* a small head fits without a second growth */

/* A body of 1 MiB with all that becomes of it, twice. */
#define HEAP_KEEP_BYTES	(8 * 1024 * 1024)
/* Larger ones are rare, and would leave the heap full of holes. */
#define HEAP_BUFFER_BYTES (4 * 1024 * 1024)

void
buffer_init(struct buffer *b, size_t max, bool sensitive)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
	b->sensitive = sensitive;
}

static void
wipe(const struct buffer *b, size_t from, size_t to)
{
	if (b->sensitive && from < to)
		secret_wipe(b->mem + from, to - from);
}

/* Room was given out and nobody said what became of it. */
static void
settle(struct buffer *b)
{
	wipe(b, b->end, b->dirty);
	b->dirty = b->end;
}

static void
release(struct buffer *b)
{
	wipe(b, b->start, b->dirty);
	free(b->mem);
	b->mem = NULL;
	b->start = b->end = b->cap = b->dirty = 0;
}

void
buffer_fini(struct buffer *b)
{
	release(b);
}

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
	/* Moving down is paid for by what was eaten or is about to come. */
	if (need <= b->cap && used <= b->start + len) {
		memmove(b->mem, b->mem + b->start, used);
		wipe(b, used > b->start ? used : b->start, b->end);
		b->start = 0;
		b->end = b->dirty = used;
		return (RC_OK);
	}
	for (cap = b->cap != 0 ? b->cap * 2 : FIRST_BYTES; cap < need; cap *= 2)
		continue;
	if ((mem = malloc(cap)) == NULL)
		return (RC_NOMEM);
	if (used != 0)
		memcpy(mem, b->mem + b->start, used);
	release(b);
	b->mem = mem;
	b->cap = cap;
	b->end = b->dirty = used;
	return (RC_OK);
}

/* Make room for `len` more bytes behind `end`. */
static inline enum rc
make_room(struct buffer *b, size_t len)
{
	if (b->dirty != b->end)
		settle(b);
	if (len <= b->cap - b->end &&
	    (b->max == 0 || buffer_len(b) + len <= b->max))
		return (RC_OK);		/* as nearly always */
	return (grow(b, len));
}

enum rc
buffer_reserve(struct buffer *b, size_t len, char **out)
{
	enum rc rc;

	if (out != NULL)
		*out = NULL;
	if ((rc = make_room(b, len)) != RC_OK || out == NULL)
		return (rc);
	*out = b->mem + b->end;
	b->dirty = b->end + len;
	return (RC_OK);
}

void
buffer_commit(struct buffer *b, size_t len)
{
	ensure(len <= b->cap - b->end);
	b->end += len;
	b->dirty = b->end;
}

enum rc
buffer_append(struct buffer *b, const void *data, size_t len)
{
	enum rc rc;

	if (len == 0)
		return (RC_OK);
	if ((rc = make_room(b, len)) != RC_OK)
		return (rc);
	memcpy(b->mem + b->end, data, len);
	buffer_commit(b, len);
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
	wipe(b, b->start, b->start + len);
	b->start += len;
	if (b->start == b->end) {
		settle(b);
		b->start = b->end = b->dirty = 0;
	}
}

void
buffer_truncate(struct buffer *b, size_t len)
{
	ensure(len <= buffer_len(b));
	wipe(b, b->start + len, b->dirty);
	b->end = b->dirty = b->start + len;
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
	if (!sensitive || to->sensitive)
		return;
	/* Once marked, always wiped; until now nothing was. */
	to->sensitive = true;
	wipe(to, 0, to->start);
	to->dirty = to->cap;
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

void
buffer_keep_heap(void)
{
	(void)mallopt(M_TRIM_THRESHOLD, HEAP_KEEP_BYTES);
	(void)mallopt(M_MMAP_THRESHOLD, HEAP_BUFFER_BYTES);
}
