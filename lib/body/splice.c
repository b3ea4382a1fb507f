/* body/splice.c - copy what stays, put in what changes. */
#include "lib/body/splice.h"

#include <string.h>

#include "lib/base/object.h"

size_t
body_splice_len(size_t len, const struct body_edit *edits, size_t n)
{
	size_t total = len, at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct body_edit *e = &edits[i];

		ensure(at <= e->start && e->start <= e->end && e->end <= len);
		at = e->end;
		total -= e->end - e->start;
		ensure(e->text.len <= SIZE_MAX - total);
		total += e->text.len;
	}
	return (total);
}

static char *
put(char *to, const char *p, size_t len)
{
	if (len != 0)
		memcpy(to, p, len);
	return (to + len);
}

enum rc
body_splice(const char *body, size_t len, const struct body_edit *edits,
    size_t n, struct buffer *out)
{
	size_t total = body_splice_len(len, edits, n), at = 0;
	char *to;
	enum rc rc;

	if ((rc = buffer_reserve(out, total, &to)) != RC_OK)
		return (rc);
	for (size_t i = 0; i < n; i++) {
		to = put(to, body + at, edits[i].start - at);
		to = put(to, edits[i].text.p, edits[i].text.len);
		at = edits[i].end;
	}
	(void)put(to, body + at, len - at);
	buffer_commit(out, total);
	return (RC_OK);
}
