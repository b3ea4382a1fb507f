/* ctl/rewrap_state.c - a line of words and numbers. */
#include "ctl/rewrap_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/string.h"

#define HEAD		"relayctl-rewrap-1"
#define BYTES_MAX	1024
#define NUMBERS		(3 + REWRAP_STATUSES)

static struct span
next_word(struct span *text)
{
	const char *end = memchr(text->p, ' ', text->len);
	struct span word = { text->p,
	    end == NULL ? text->len : (size_t)(end - text->p) };
	size_t used = word.len + (end == NULL ? 0 : 1);

	text->p += used;
	text->len -= used;
	return (word);
}

static enum rc
parse(struct span text, struct rewrap_state *s)
{
	uint64_t *const numbers[] = { &s->in, &s->out, &s->lines };

	if (text.len == 0 || text.p[text.len - 1] != '\n')
		return (RC_SYNTAX);
	text.len--;
	if (!span_eq_str(next_word(&text), HEAD) ||
	    !span_copy(next_word(&text), s->app, sizeof(s->app)) ||
	    !span_copy(next_word(&text), s->curve, sizeof(s->curve)) ||
	    !span_copy(next_word(&text), s->format, sizeof(s->format)))
		return (RC_SYNTAX);
	for (size_t i = 0; i < NUMBERS; i++)
		if (string_u64(next_word(&text), i < 3 ? numbers[i] :
		    &s->counts[i - 3]) != RC_OK)
			return (RC_SYNTAX);
	return (text.len == 0 ? RC_OK : RC_SYNTAX);
}

enum rc
rewrap_state_read(const char *path, struct rewrap_state *s)
{
	struct buffer text;
	enum rc rc;

	memset(s, 0, sizeof(*s));
	buffer_init(&text, BYTES_MAX, false);
	if ((rc = file_read(path, &text)) == RC_OK)
		rc = parse((struct span){ buffer_data(&text),
		    buffer_len(&text) }, s);
	else if (rc == RC_LIMIT)
		rc = RC_SYNTAX;
	buffer_fini(&text);
	return (rc);
}

enum rc
rewrap_state_write(const char *path, const struct rewrap_state *s)
{
	struct buffer text;
	enum rc rc;

	buffer_init(&text, BYTES_MAX, false);
	buffer_printf(&text, HEAD " %s %s %s %" PRIu64 " %" PRIu64 " %" PRIu64,
	    s->app, s->curve, s->format, s->in, s->out, s->lines);
	for (size_t i = 0; i < REWRAP_STATUSES; i++)
		buffer_printf(&text, " %" PRIu64, s->counts[i]);
	buffer_puts(&text, "\n");
	rc = file_write_atomic(path, buffer_data(&text), buffer_len(&text),
	    0600);
	buffer_fini(&text);
	return (rc);
}
