/*
 * base/buffer.h - bytes that grow at the end and are eaten from the front.
 * Context:   pure; one owner per buffer.
 * Ownership: the caller embeds the struct; buffer_fini gives the bytes back.
 *
 * Each byte of a sensitive buffer (plaintext, keys) is wiped before its memory
 * is freed, moved, consumed or reused.  What was never written is not: the
 * buffer knows how far its memory may hold something.  Core dumps are refused
 * for the whole process (secret_no_core).
 */
#ifndef RELAY_BASE_BUFFER_H
#define RELAY_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/result.h"

struct buffer {
	char	*mem;		/* owned; NULL while empty */
	size_t	start;		/* first byte in use */
	size_t	end;		/* one past the last byte in use */
	size_t	cap;		/* bytes at mem */
	size_t	dirty;		/* >= end: room given out, not committed */
	size_t	max;		/* hard limit of end - start; 0 = none */
	bool	sensitive;
};

/* max: bytes the buffer may hold, 0 = no limit (only for sizes we choose). */
void buffer_init(struct buffer *, size_t max, bool sensitive);
void buffer_fini(struct buffer *);

static inline size_t
buffer_len(const struct buffer *b)
{
	return (b->end - b->start);
}

/* View of the bytes; valid until the buffer is changed.  May be NULL when
 * the buffer is empty. */
static inline char *
buffer_data(const struct buffer *b)
{
	return (b->mem == NULL ? NULL : b->mem + b->start);
}

/* RC_OK, RC_LIMIT (would pass max), RC_NOMEM.  Nothing is added on failure. */
enum rc buffer_append(struct buffer *, const void *, size_t len) must_check;

/*
 * Room for len more bytes at *out; add what was used by buffer_commit, which
 * says that nothing else of the room was written.  Without it the whole room
 * counts as written and is wiped before its next use, as all the rest.
 * out NULL: room for what will be appended.
 */
enum rc buffer_reserve(struct buffer *, size_t len, char **out) must_check;
void buffer_commit(struct buffer *, size_t len);

/* For text we write ourselves: aborts instead of failing. */
void buffer_puts(struct buffer *, const char *);
void buffer_put(struct buffer *, const void *, size_t len);
void buffer_printf(struct buffer *, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* Drop len bytes from the front (wiped when sensitive). */
void buffer_consume(struct buffer *, size_t len);

/* Drop all but the first len bytes (wiped when sensitive). */
void buffer_truncate(struct buffer *, size_t len);

/* Drop everything; keeps the memory. */
void buffer_clear(struct buffer *);

/* The whole buffer changes hands with its limit; *from is empty (and
 * initialised) after.  *to is sensitive if either was. */
void buffer_move(struct buffer *to, struct buffer *from);

/* A NUL behind the last byte, not counted; returns the text. */
const char *buffer_cstr(struct buffer *);

/*
 * Once, in main: the heap keeps what large buffers gave back, up to some MiB,
 * and takes no pages of their own for most of them.  For a process that gets
 * and frees some hundred KiB for each request; else each of them costs system
 * calls, and the kernel's wiping of every page.
 */
void buffer_keep_heap(void);

#endif
