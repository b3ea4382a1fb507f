/*
 * conf/relay_path.c - path patterns: one spelling, then segment by segment.
 *
 * A pattern that no normalized path can equal would be a rule that silently
 * never holds, and its fields would pass unsealed; so it is refused here.
 */
#include "conf/relay_path.h"

#include <string.h>

#define PCHAR_OTHERS	"-._~!$&'()*+,;=:@"	/* RFC 3986 3.3, beside letters
						   and digits */
#define UNRESERVED	"-._~"

static bool
is_alnum(unsigned char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9'));
}

static bool
is_one_of(unsigned char c, const char *set)
{
	return (is_alnum(c) || (c != '\0' && strchr(set, c) != NULL));
}

/* The byte at s, raw or escaped; *used bytes long.  NULL or why not. */
static const char *
read_byte(struct span s, unsigned char *c, size_t *used)
{
	*c = (unsigned char)s.p[0];
	*used = 1;
	if (*c == '%') {
		*used = 3;
		if (s.len < 3 || hex_decode((struct span){ s.p + 1, 2 }, c,
		    1) != RC_OK)
			return ("holds a broken percent escape");
	} else if (*c == '?' || *c == '#' || *c == ' ') {
		return ("must be a path alone: no query, fragment or space");
	}
	if (*c < 0x20 || *c == 0x7f || *c == '\\')
		return ("holds a control or a backslash");
	return (NULL);
}

/* "." and "..", escaped or not, with parameters or not. */
static bool
is_dot_segment(struct span s)
{
	size_t dots = 0;
	unsigned char c;
	size_t used;

	while (s.len != 0 && read_byte(s, &c, &used) == NULL && c == '.') {
		dots++;
		s.p += used;
		s.len -= used;
	}
	if (s.len != 0 && (read_byte(s, &c, &used) != NULL ||
	    (c != ';' && c != '/')))
		return (false);
	return (dots == 1 || dots == 2);
}

static enum rc
append_byte(struct buffer *out, unsigned char c, bool escaped)
{
	static const char digits[] = "0123456789ABCDEF";
	char text[3] = { '%', digits[c >> 4], digits[c & 15] };

	if (is_one_of(c, UNRESERVED) || (!escaped && is_one_of(c, PCHAR_OTHERS)))
		return (buffer_append(out, &c, 1));
	return (buffer_append(out, text, sizeof(text)));
}

static enum rc
append_segment(struct span s, bool last, struct buffer *out,
    const char **reason)
{
	unsigned char c;
	size_t used;
	enum rc rc;

	if (s.len == 0 && !last)
		*reason = "holds an empty segment";
	else if (is_dot_segment(s))
		*reason = "holds a dot segment";
	else if (span_eq_str(s, "**") && !last)
		*reason = "`**` must be the last segment";
	else if (memchr(s.p, '*', s.len) != NULL && !span_eq_str(s, "*") &&
	    !span_eq_str(s, "**"))
		*reason = "`*` must be a whole segment; write %2A for the "
		    "character";
	if (*reason != NULL)
		return (RC_SYNTAX);
	for (; s.len != 0; s.p += used, s.len -= used) {
		if ((*reason = read_byte(s, &c, &used)) != NULL)
			return (RC_SYNTAX);
		if ((rc = append_byte(out, c, used == 3)) != RC_OK)
			return (rc);
	}
	return (RC_OK);
}

enum rc
relay_path_normalize(struct span pattern, struct buffer *out,
    const char **reason)
{
	struct span s = pattern, segment;
	const char *slash;
	enum rc rc;

	*reason = NULL;
	if (s.len == 0 || s.p[0] != '/') {
		*reason = "must begin with a slash";
		return (RC_SYNTAX);
	}
	do {
		s.p++;			/* the slash */
		s.len--;
		slash = memchr(s.p, '/', s.len);
		segment = (struct span){ s.p,
		    slash == NULL ? s.len : (size_t)(slash - s.p) };
		if ((rc = buffer_append(out, "/", 1)) != RC_OK)
			return (rc);
		rc = append_segment(segment, slash == NULL, out, reason);
		if (rc != RC_OK)
			return (rc);
		s.p += segment.len;
		s.len -= segment.len;
	} while (slash != NULL);
	return (RC_OK);
}

/* Up to the next slash or the end. */
static struct span
first_segment(struct span s)
{
	const char *slash = s.len == 0 ? NULL : memchr(s.p, '/', s.len);

	return ((struct span){ s.p, slash == NULL ? s.len :
	    (size_t)(slash - s.p) });
}

bool
relay_path_match(const char *pattern, struct span path)
{
	struct span rest = span_of(pattern), want, have;

	while (rest.len != 0 && path.len != 0) {
		if (*rest.p != '/' || *path.p != '/')
			return (false);
		rest.p++;
		rest.len--;
		path.p++;
		path.len--;
		want = first_segment(rest);
		have = first_segment(path);
		if (span_eq_str(want, "**"))
			return (true);
		if (!span_eq_str(want, "*") && !span_eq(want, have))
			return (false);
		rest.p += want.len;
		rest.len -= want.len;
		path.p += have.len;
		path.len -= have.len;
	}
	return (path.len == 0 && (rest.len == 0 || span_eq_str(rest, "/**")));
}
