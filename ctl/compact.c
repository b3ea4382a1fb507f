/* ctl/compact.c - copies the runs between white space. */
#include "ctl/compact.h"

#include <stdbool.h>

static bool
is_space(char c)
{
	return (c == ' ' || c == '\t' || c == '\n' || c == '\r');
}

void
json_compact(struct span raw, struct buffer *out)
{
	bool in_string = false;
	size_t from = 0;

	for (size_t i = 0; i < raw.len; i++) {
		if (in_string && raw.p[i] == '\\') {
			i++;		/* whatever it escapes, a quote too */
			continue;
		}
		if (raw.p[i] == '"')
			in_string = !in_string;
		if (in_string || !is_space(raw.p[i]))
			continue;
		buffer_put(out, raw.p + from, i - from);
		from = i + 1;
	}
	if (from < raw.len)
		buffer_put(out, raw.p + from, raw.len - from);
}
