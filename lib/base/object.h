/*
 * base/object.h - checks of our own code that stay in release builds, and
 * the small allocations that cannot fail.
 * Context:   pure; any process, any thread.
 *
 * ensure() is for our bugs only, never for what a peer sent.  It ends the
 * process through panic(); the master reads the text and starts us again.
 */
#ifndef RELAY_BASE_OBJECT_H
#define RELAY_BASE_OBJECT_H

#include <stddef.h>

#include "lib/base/panic.h"

#define ensure(cond)							\
	do {								\
		if (__builtin_expect(!(cond), 0))			\
			panic_at(__FILE__, __LINE__, __func__, #cond);	\
	} while (0)

#define obj_check(p, want)						\
	do {								\
		ensure((p) != NULL);					\
		ensure((p)->magic == (want));				\
	} while (0)

/*
 * Zeroed memory of n * size bytes, never NULL: for sizes we chose ourselves.
 * Sizes that a peer influences are capped first and use calloc or buffer.h.
 */
void *xcalloc(size_t n, size_t size)
    __attribute__((__malloc__, __returns_nonnull__));
void *xrealloc(void *, size_t size) __attribute__((__returns_nonnull__));
char *xstrdup(const char *)
    __attribute__((__malloc__, __returns_nonnull__));
char *xstrndup(const char *, size_t len)
    __attribute__((__malloc__, __returns_nonnull__));
char *xasprintf(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2), __returns_nonnull__));

#endif
