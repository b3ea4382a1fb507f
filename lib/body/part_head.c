/*
 * body/part_head.c - values with parameters: text; name=token; name="quoted"
 * (RFC 9110 5.6.6).  Read as leniently as senders write them: what is broken
 * is passed over, up to the next semicolon outside of quotes.
 */
#include "lib/body/part_head.h"

#include <string.h>

/* Up to the first c outside of quotes, which is eaten; the rest stays. */
static struct span
take_until(struct span *rest, char c)
{
	struct span item = { rest->p, 0 };
	bool quoted = false;
	size_t i;

	for (i = 0; i < rest->len && (quoted || rest->p[i] != c); i++) {
		if (rest->p[i] == '"')
			quoted = !quoted;
		else if (rest->p[i] == '\\' && quoted && i + 1 < rest->len)
			i++;
	}
	item.len = i;
	i += i < rest->len ? 1 : 0;
	rest->p += i;
	rest->len -= i;
	return (span_trim(item));
}

static struct span
unquoted(struct span s)
{
	if (s.len < 2 || s.p[0] != '"' || s.p[s.len - 1] != '"')
		return (s);
	return ((struct span){ s.p + 1, s.len - 2 });
}

/* The first parameter of this name. */
static bool
find_parameter(struct span value, const char *want, struct span *out)
{
	struct span item, name;

	for ((void)take_until(&value, ';'); value.len != 0;) {
		item = take_until(&value, ';');
		name = take_until(&item, '=');
		if (!span_eq_case(name, want))
			continue;
		*out = unquoted(span_trim(item));
		return (true);
	}
	return (false);
}

struct span
body_media_type(struct span content_type)
{
	return (take_until(&content_type, ';'));
}

enum rc
body_media_boundary(struct span content_type, struct span *out)
{
	*out = (struct span){ NULL, 0 };
	return (find_parameter(content_type, "boundary", out) ? RC_OK :
	    RC_SYNTAX);
}

static void
read_disposition(struct span value, struct body_part_head *out)
{
	(void)find_parameter(value, "name", &out->name);
	out->extended = find_parameter(value, "filename*", &out->filename);
	if (!out->extended)
		(void)find_parameter(value, "filename", &out->filename);
}

/* A line of the head without its CRLF; false at the end. */
static bool
next_line(struct span *rest, struct span *line)
{
	const char *end = rest->len == 0 ? NULL :
	    memmem(rest->p, rest->len, "\r\n", 2);

	if (end == NULL)
		return (false);
	*line = (struct span){ rest->p, (size_t)(end - rest->p) };
	rest->p += line->len + 2;
	rest->len -= line->len + 2;
	return (true);
}

void
body_part_head_read(struct span head, struct body_part_head *out)
{
	struct span line, name, none = SPAN_LIT("");
	bool disposed = false;
	const char *colon;

	*out = (struct body_part_head){ none, none, none, false };
	while (next_line(&head, &line)) {
		if ((colon = memchr(line.p, ':', line.len)) == NULL)
			continue;
		name = (struct span){ line.p, (size_t)(colon - line.p) };
		line.p += name.len + 1;
		line.len -= name.len + 1;
		if (out->type.len == 0 && span_eq_case(name, "content-type"))
			out->type = span_trim(line);
		if (!disposed && span_eq_case(name, "content-disposition")) {
			read_disposition(line, out);
			disposed = true;
		}
	}
}
