/*
 * A body cut anywhere has the same tokens and files as in one window; each is
 * one, stands behind the one before, and what is written for it ends it: no
 * text that opens can reach out of its place.
 * First byte: the form; second: how it is cut.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/scan.h"
#include "lib/body/token_scan.h"

#define TOKEN_MAX	600
#define FILE_MAX	200

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char *const types[] = {
	"text/csv", "application/json", "application/x-www-form-urlencoded",
	"text/xml", "multipart/form-data; boundary=b", "text/plain",
};
#define TYPES	(sizeof(types) / sizeof(types[0]))

static bool
is_file(struct span s)
{
	return (s.len >= 6 && s.len <= FILE_MAX &&
	    memcmp(s.p, "%EVENC", 6) == 0);
}

static void
check_found(struct span text, const struct body_found *f)
{
	struct buffer out;
	struct span token;

	buffer_init(&out, 0, false);
	ensure(body_found_token(text, 0, f, &out) == RC_OK);
	token = (struct span){ buffer_data(&out), buffer_len(&out) };
	if (f->place == BODY_FOUND_FILE)
		ensure(is_file(token));
	else
		ensure(body_token_whole(token) && f->end - f->start <=
		    TOKEN_MAX + (f->place == BODY_FOUND_JSON_VALUE ? 2 : 0));
	ensure(f->place == BODY_FOUND_JSON_VALUE ?
	    text.p[f->start] == '"' && text.p[f->end - 1] == '"' : true);
	buffer_fini(&out);
}

/* The document in windows of at most step bytes more, 0: in one. */
static void
scan(struct span text, const char *type, size_t step, size_t max_found,
    struct body_founds *all)
{
	const struct body_scan_limits limits = { TOKEN_MAX, FILE_MAX };
	struct body_scan *s = body_scan_new_for(span_of(type), &limits);
	size_t end = step == 0 ? text.len : 0, base = 0, settled = 0, most;
	enum rc rc;

	ensure(s != NULL);
	for (;;) {
		/* A block of its own: what is read outside of it is seen. */
		char *window = malloc(end - base + 1);

		ensure(window != NULL);
		memcpy(window, text.p + base, end - base);
		most = all->n + max_found;
		rc = body_scan_feed(s, (struct span){ window, end - base },
		    base, end == text.len, most, all, &settled);
		free(window);
		ensure(rc == RC_OK && all->n <= most);
		ensure(settled >= base && settled <= end);
		ensure(all->n == 0 || all->v[all->n - 1].end <= settled);
		base = settled;
		if (all->n == most)
			continue;
		if (end == text.len)
			break;
		end = text.len - end < step ? text.len : end + step;
	}
	ensure(settled == text.len);
	body_scan_free(&s);
}

static void
check_write(struct span text)
{
	struct buffer out;

	buffer_init(&out, 0, true);
	if (body_found_write(BODY_FOUND_JSON_TEXT, 0, BODY_VALUE_NUMBER, text,
	    &out) == RC_OK)
		for (size_t i = 0; i < buffer_len(&out); i++) {
			ensure(buffer_data(&out)[i] != '"');
			i += buffer_data(&out)[i] == '\\' ? 1 : 0;
			ensure(i < buffer_len(&out));
		}
	buffer_clear(&out);
	if (body_found_write(BODY_FOUND_XML, 0, BODY_VALUE_STRING, text, &out) ==
	    RC_OK)
		for (size_t i = 0; i < buffer_len(&out); i++)
			ensure(buffer_data(&out)[i] != '\0' &&
			    strchr("<>\"'\r\n\t", buffer_data(&out)[i]) == NULL);
	buffer_clear(&out);
	/* A section ends by ours alone, and begins again. */
	if (body_found_write(BODY_FOUND_CDATA, 0, BODY_VALUE_STRING, text, &out) ==
	    RC_OK && buffer_len(&out) != 0) {
		const char *p = buffer_cstr(&out), *at;

		for (; (at = strstr(p, "]]>")) != NULL; p = at + 3)
			ensure(at[3] == '&' && strchr("gl#", at[4]) != NULL);
		ensure(buffer_data(&out)[buffer_len(&out) - 1] != ']');
	}
	buffer_clear(&out);
	ensure(body_found_write(BODY_FOUND_PERCENT, 0, BODY_VALUE_STRING, text,
	    &out) == RC_OK);
	for (size_t i = 0; i < buffer_len(&out); i++)
		ensure(strchr("&=+;#/?\"\\ ", buffer_data(&out)[i]) == NULL);
	buffer_fini(&out);
}

/* Readers of strings in strings have the text again. */
static void
check_depth(struct span text, unsigned depth)
{
	struct buffer written, read;

	buffer_init(&written, 0, true);
	buffer_init(&read, 0, true);
	if (body_found_write(BODY_FOUND_JSON_TEXT, depth, BODY_VALUE_STRING,
	    text, &read) != RC_OK)
		ensure(!utf8_valid(text.p, text.len));
	else for (unsigned i = 0; i <= depth; i++) {
		buffer_clear(&written);
		buffer_puts(&written, "\"");
		buffer_put(&written, buffer_data(&read), buffer_len(&read));
		buffer_puts(&written, "\"");
		buffer_clear(&read);
		ensure(body_json_unescape((struct span){ buffer_data(&written),
		    buffer_len(&written) }, &read) == RC_OK);
		if (i == depth)
			ensure(buffer_len(&read) == text.len && (text.len == 0 ||
			    memcmp(buffer_data(&read), text.p, text.len) == 0));
	}
	buffer_fini(&written);
	buffer_fini(&read);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct body_founds once = { NULL, 0, 0 }, often = { NULL, 0, 0 };
	struct span text;
	const char *type;
	size_t at = 0;

	if (len < 2)
		return (0);
	text = (struct span){ (const char *)data + 2, len - 2 };
	type = types[data[0] % TYPES];
	scan(text, type, 0, SIZE_MAX / 2, &once);
	scan(text, type, 1 + data[1] % 64, 1 + data[1] / 64, &often);
	ensure(once.n == often.n);
	for (size_t i = 0; i < once.n; i++) {
		const struct body_found *f = &once.v[i], *g = &often.v[i];

		ensure(f->start == g->start && f->end == g->end &&
		    f->place == g->place && f->encoded == g->encoded &&
		    f->depth == g->depth);
		ensure(f->start >= at && f->end > f->start &&
		    f->end <= text.len);
		check_found(text, f);
		at = f->end;
	}
	check_write(text);
	check_depth(text, data[1] % (BODY_FOUND_DEPTH_MAX + 1));
	body_founds_fini(&once);
	body_founds_fini(&often);
	return (0);
}
