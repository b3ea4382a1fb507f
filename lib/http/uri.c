/*
 * http/uri.c - targets, hosts and the one spelling of a path.
 *
 * A rule that matches a path protects nothing if the origin reads the same
 * bytes as another path.  So a path is either brought to one spelling, or,
 * where servers are known to differ, refused.
 */
#include "lib/http/uri.h"

#include <string.h>

#include "lib/http/class_private.h"

static bool
all_target(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!HTTP_CLASS(s.p[i], CLASS_TARGET))
			return (false);
	return (true);
}

/* "/path?query" */
static void
split_path(struct span s, struct http_target *out)
{
	const char *mark = memchr(s.p, '?', s.len);

	out->path = s;
	if (mark == NULL)
		return;
	out->path.len = (size_t)(mark - s.p);
	out->query = (struct span){ mark + 1, s.len - out->path.len - 1 };
	out->has_query = true;
}

static enum rc
parse_authority_form(struct span s, struct http_target *out)
{
	char host[HOST_BYTES];
	uint16_t port;

	out->form = HTTP_TARGET_AUTHORITY;
	out->authority = s;
	if (http_host_parse(s, host, &port) != RC_OK || port == 0)
		return (RC_SYNTAX);
	return (RC_OK);
}

/* Length of "http" or "https" when `s` begins with it and "://", else 0. */
static size_t
scheme_length(struct span s)
{
	static const char *const schemes[] = { "http", "https" };

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(schemes[i]);

		if (s.len > n + 3 && memcmp(s.p + n, "://", 3) == 0 &&
		    span_eq_case((struct span){ s.p, n }, schemes[i]))
			return (n);
	}
	return (0);
}

static enum rc
parse_absolute_form(enum http_method method, struct span s,
    struct http_target *out)
{
	size_t n = scheme_length(s), end;
	char host[HOST_BYTES];
	uint16_t port;

	if (n == 0)
		return (RC_SYNTAX);
	out->form = HTTP_TARGET_ABSOLUTE;
	out->scheme = (struct span){ s.p, n };
	for (end = n + 3; end < s.len; end++)
		if (s.p[end] == '/' || s.p[end] == '?')
			break;
	out->authority = (struct span){ s.p + n + 3, end - n - 3 };
	if (http_host_parse(out->authority, host, &port) != RC_OK)
		return (RC_SYNTAX);
	split_path((struct span){ s.p + end, s.len - end }, out);
	if (out->path.len != 0)
		return (RC_OK);
	/* RFC 9112 3.2.4: this is how a proxy is asked OPTIONS *. */
	if (method == HTTP_OPTIONS && !out->has_query) {
		out->form = HTTP_TARGET_ASTERISK;
		out->path = SPAN_LIT("*");
	} else
		out->path = SPAN_LIT("/");
	return (RC_OK);
}

enum rc
http_target_parse(enum http_method method, struct span target,
    struct http_target *out)
{
	memset(out, 0, sizeof(*out));
	if (target.len == 0 || !all_target(target))
		return (RC_SYNTAX);
	if (method == HTTP_CONNECT)
		return (parse_authority_form(target, out));
	if (target.p[0] == '/') {
		out->form = HTTP_TARGET_ORIGIN;
		split_path(target, out);
		return (RC_OK);
	}
	if (target.len == 1 && target.p[0] == '*') {
		out->form = HTTP_TARGET_ASTERISK;
		out->path = target;
		return (method == HTTP_OPTIONS ? RC_OK : RC_SYNTAX);
	}
	return (parse_absolute_form(method, target, out));
}

/* 1 to 65535, without a leading zero: "0443" is another text for 443. */
static enum rc
parse_port(struct span s, uint16_t *port)
{
	uint64_t n;

	if (s.len == 0 || s.len > 5 || s.p[0] == '0' ||
	    string_u64(s, &n) != RC_OK || n > UINT16_MAX)
		return (RC_SYNTAX);
	*port = (uint16_t)n;
	return (RC_OK);
}

/* Bytes of the host part: up to the port's colon, or up to and with ']'. */
static size_t
host_length(struct span s)
{
	const char *end = memchr(s.p, s.p[0] == '[' ? ']' : ':', s.len);

	if (end == NULL)
		return (s.len);
	return ((size_t)(end - s.p) + (s.p[0] == '[' ? 1 : 0));
}

enum rc
http_host_parse(struct span authority, char host[HOST_BYTES], uint16_t *port)
{
	struct span name, rest;

	host[0] = '\0';
	*port = 0;
	if (authority.len == 0)
		return (RC_SYNTAX);
	name = (struct span){ authority.p, host_length(authority) };
	rest = (struct span){ authority.p + name.len, authority.len - name.len };
	if (rest.len != 0 && (rest.p[0] != ':' || parse_port(
	    (struct span){ rest.p + 1, rest.len - 1 }, port) != RC_OK))
		goto bad;
	/* host_canonical takes brackets off and refuses all that is no host:
	 * '@', '%', '/', white space. */
	if (host_canonical(name, host) == RC_OK)
		return (RC_OK);
bad:
	host[0] = '\0';
	*port = 0;
	return (RC_SYNTAX);
}

/* One character of a segment as the origin may see it. */
struct path_char {
	unsigned char	c;	/* decoded */
	bool		encoded;
	size_t		used;	/* bytes of input: 1 or 3 */
};

/* RC_SYNTAX: broken escape, control or backslash, raw or encoded. */
static enum rc
next_char(struct span s, struct path_char *out)
{
	int hi, lo;

	out->c = (unsigned char)s.p[0];
	out->encoded = out->c == '%';
	out->used = 1;
	if (out->encoded) {
		if (s.len < 3 || (hi = hex_value(s.p[1])) < 0 ||
		    (lo = hex_value(s.p[2])) < 0)
			return (RC_SYNTAX);
		out->c = (unsigned char)(hi << 4 | lo);
		out->used = 3;
	} else if (!HTTP_CLASS(out->c, CLASS_TARGET))
		return (RC_SYNTAX);
	if (out->c < 0x20 || out->c == 0x7f || out->c == '\\')
		return (RC_SYNTAX);
	return (RC_OK);
}

/* Unreserved characters plain; what may stand in a path as it came; all else
 * escaped, with upper-case digits.  Returns behind what it wrote. */
static char *
put_char(char *o, const struct path_char *ch)
{
	static const char digits[] = "0123456789ABCDEF";

	if (HTTP_CLASS(ch->c, CLASS_UNRESERVED) ||
	    (!ch->encoded && HTTP_CLASS(ch->c, CLASS_PCHAR))) {
		*o++ = (char)ch->c;
		return (o);
	}
	*o++ = '%';
	*o++ = digits[ch->c >> 4];
	*o++ = digits[ch->c & 15];
	return (o);
}

/*
 * What a piece of a segment says, read as the most lenient server would: it
 * ends at '/', at its escape, and at a ';' (servlet parameters).
 */
struct piece {
	size_t	dots;
	bool	other;		/* a character that is no dot */
	bool	encoded;	/* a dot came escaped */
};

static bool
is_dots(const struct piece *p)
{
	return (!p->other && (p->dots == 1 || p->dots == 2));
}

/*
 * Write one segment at *o.  *dots: 1 or 2 for a plain dot segment, of which
 * nothing is written, else 0.  RC_SYNTAX for every other way to spell one:
 * escaped dots, parameters behind them, %2F beside them.
 */
static enum rc
put_segment(struct span s, char **o, size_t *dots)
{
	struct piece p = { 0, false, false };
	struct path_char ch;
	char *at = *o;
	bool plain = true;

	*dots = 0;
	for (; s.len != 0; s.p += ch.used, s.len -= ch.used) {
		if (next_char(s, &ch) != RC_OK)
			return (RC_SYNTAX);
		at = put_char(at, &ch);
		if (ch.c == '/' || ch.c == ';') {
			if (is_dots(&p))
				return (RC_SYNTAX);
			plain = false;
			if (ch.c == '/')
				p = (struct piece){ 0, false, false };
		} else if (ch.c == '.') {
			p.dots++;
			p.encoded = p.encoded || ch.encoded;
		} else
			p.other = true;
	}
	if (is_dots(&p)) {
		if (!plain || p.encoded)
			return (RC_SYNTAX);
		*dots = p.dots;
	} else
		*o = at;
	return (RC_OK);
}

/* Back to behind the '/' before the last one; RC_SYNTAX above the root. */
static enum rc
drop_segment(const char *root, char **o)
{
	char *at = *o;

	if (at == root + 1)
		return (RC_SYNTAX);
	for (at--; at[-1] != '/'; at--)
		continue;
	*o = at;
	return (RC_OK);
}

/* Room that the normal form of this path needs at most. */
static size_t
room_for(struct span path)
{
	size_t n = path.len;

	for (size_t i = 0; i < path.len; i++)
		if (!HTTP_CLASS(path.p[i], CLASS_PCHAR) && path.p[i] != '%')
			n += 2;
	return (n);
}

enum rc
http_path_normalize(struct span path, struct buffer *out)
{
	struct span s = path, segment;
	char *root, *o;
	size_t dots;
	enum rc rc;

	if (s.len == 0 || s.p[0] != '/')
		return (RC_SYNTAX);
	if ((rc = buffer_reserve(out, room_for(path), &root)) != RC_OK)
		return (rc);
	o = root;
	*o++ = '/';
	while (s.len != 0) {
		const char *slash = memchr(s.p + 1, '/', s.len - 1);

		segment = (struct span){ s.p + 1,
		    slash == NULL ? s.len - 1 : (size_t)(slash - s.p) - 1 };
		s.p += segment.len + 1;
		s.len -= segment.len + 1;
		if (slash != NULL && segment.len == 0)
			return (RC_SYNTAX);	/* "//" */
		if ((rc = put_segment(segment, &o, &dots)) != RC_OK)
			return (rc);
		if (dots == 2)
			rc = drop_segment(root, &o);
		else if (dots == 0 && slash != NULL)
			*o++ = '/';
		if (rc != RC_OK)
			return (rc);
	}
	buffer_commit(out, (size_t)(o - root));
	return (RC_OK);
}

bool
http_path_has_dots(struct span path)
{
	struct span segment;
	const char *slash;

	/* Those that are spelled in another way have no normal form. */
	do {
		slash = path.len == 0 ? NULL : memchr(path.p, '/', path.len);
		segment = (struct span){ path.p, slash == NULL ? path.len :
		    (size_t)(slash - path.p) };
		if (span_eq_str(segment, ".") || span_eq_str(segment, ".."))
			return (true);
		if (slash != NULL) {
			path.p = slash + 1;
			path.len -= segment.len + 1;
		}
	} while (slash != NULL);
	return (false);
}
