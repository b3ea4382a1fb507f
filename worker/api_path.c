/* worker/api_path.c - segment by segment. */
#include "worker/api_path.h"

#include <string.h>

static bool
is_argument_byte(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.');
}

static bool
add_argument(struct api_arguments *a, struct span text)
{
	if (text.len == 0 || a->n == API_ARGUMENTS_MAX)
		return (false);
	for (size_t i = 0; i < text.len; i++)
		if (!is_argument_byte(text.p[i]))
			return (false);
	return (span_copy(text, a->v[a->n++], API_ARGUMENT_BYTES));
}

/* The bytes up to the next '/', or all. */
static struct span
segment(const char *p, size_t len)
{
	const char *end = memchr(p, '/', len);

	return ((struct span){ p, end == NULL ? len : (size_t)(end - p) });
}

bool
api_path_match(const char *pattern, struct span path, struct api_arguments *out)
{
	struct span left = span_of(pattern), want, have;

	memset(out, 0, sizeof(*out));
	while (left.len > 0 && path.len > 0) {
		if (left.p[0] != '/' || path.p[0] != '/')
			return (false);
		want = segment(left.p + 1, left.len - 1);
		have = segment(path.p + 1, path.len - 1);
		if (span_eq_str(want, "*") ? !add_argument(out, have) :
		    !span_eq(want, have))
			return (false);
		left = (struct span){ want.p + want.len, left.len - 1 - want.len };
		path = (struct span){ have.p + have.len, path.len - 1 - have.len };
	}
	return (left.len == 0 && path.len == 0);
}
