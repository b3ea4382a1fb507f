/* base/object.c - small allocations that end the process when they fail. */
#include "lib/base/object.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n != 0 ? n : 1, size != 0 ? size : 1);

	ensure(p != NULL);
	return (p);
}

void *
xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size != 0 ? size : 1);

	ensure(p != NULL);
	return (p);
}

char *
xstrndup(const char *s, size_t len)
{
	char *p = xcalloc(len + 1, 1);

	memcpy(p, s, len);
	return (p);
}

char *
xstrdup(const char *s)
{
	return (xstrndup(s, strlen(s)));
}

char *
xasprintf(const char *fmt, ...)
{
	char *out = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&out, fmt, ap);
	va_end(ap);
	ensure(n >= 0 && out != NULL);
	return (out);
}
