/*
 * body/json_scan.c - yajl's events get spans, and what RFC 8259 forbids but
 * yajl lets pass is refused.
 *
 * The text yajl reports is a view of the window, which gives its span.  Only a
 * string with an escape, or a token that the end of a piece cut, is text of
 * yajl's own: it ends where yajl stands, and begins at the first byte behind
 * the previous token that is not white space, a comma or a colon.  Form feed
 * and vertical tab are white space for yajl and stand nowhere in JSON, not in
 * strings either, so they are looked for by themselves.
 *
 * A token cut by the end of a piece is copied by yajl and scanned again from
 * its start with the next one, which is quadratic for a long string in small
 * pieces.  So the next pieces are held back until the end of that token is
 * among them: yajl reads the part before the cut twice and all else once.
 */
#include "lib/body/json_scan.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

/* ---- memory of yajl ------------------------------------------------------ */

/*
 * yajl decodes strings into a buffer of its own: plaintext.  Its memory is
 * wiped on the way out, so its size stands in front of it.  The arena takes
 * the handle, the lexer and the state stack; yajl's text buffers begin with
 * 2 KiB and never fit.  yajl checks no allocation; running out of memory ends
 * the process cleanly instead.
 */
union block {
	size_t		bytes;
	max_align_t	align;
};

_Static_assert(JSON_SCAN_ARENA < 2048, "the arena takes no text");

static bool
in_arena(const struct json_scan *scan, const void *p)
{
	return ((uintptr_t)p >= (uintptr_t)scan->arena &&
	    (uintptr_t)p < (uintptr_t)scan->arena + sizeof(scan->arena));
}

static void
block_free(void *ctx, void *p)
{
	union block *b = p;

	if (b == NULL || in_arena(ctx, p))
		return;
	b--;
	secret_wipe(b + 1, b->bytes);
	free(b);
}

static void *
block_alloc(void *ctx, size_t bytes)
{
	struct json_scan *scan = ctx;
	union block *b;
	size_t whole;

	ensure(bytes <= SIZE_MAX / 2);
	whole = sizeof(*b) + (bytes + sizeof(*b) - 1) / sizeof(*b) * sizeof(*b);
	if (whole <= sizeof(scan->arena) - scan->arena_used) {
		b = (union block *)(void *)(scan->arena + scan->arena_used);
		scan->arena_used += whole;
	} else {
		b = malloc(whole);
		ensure(b != NULL);
	}
	b->bytes = bytes;
	return (b + 1);
}

static void *
block_realloc(void *ctx, void *p, size_t bytes)
{
	void *new = block_alloc(ctx, bytes);

	if (p != NULL) {
		size_t old = ((union block *)p - 1)->bytes;

		memcpy(new, p, old < bytes ? old : bytes);
		block_free(ctx, p);
	}
	return (new);
}

/* ---- events -------------------------------------------------------------- */

static bool
is_space(char c)
{
	return (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

static bool
is_gap(char c)
{
	return (is_space(c) || c == ',' || c == ':');
}

/* What a yajl callback returns: 0 cancels the parse. */
static int
go_on(struct json_scan *scan, enum rc rc)
{
	scan->rc = rc;
	return (rc == RC_OK);
}

/* The counter starts anew in each call of yajl_parse. */
static size_t
token_end(const struct json_scan *scan)
{
	return (scan->fed + yajl_get_bytes_consumed(scan->yajl));
}

/* Of the token that ends at `end`, by the bytes before it. */
static size_t
token_start(const struct json_scan *scan, size_t end)
{
	const char *p = json_scan_at(scan, scan->pos);
	const char *stop = json_scan_at(scan, end);

	while (p < stop && is_gap(*p))
		p++;
	return (end - (size_t)(stop - p));
}

/* Where yajl's text begins, if it is a view of the window. */
static inline bool
in_window(const struct json_scan *scan, const void *text, size_t *start)
{
	size_t at = (size_t)((uintptr_t)text - (uintptr_t)scan->window);

	*start = scan->base + at;
	return (at < scan->end - scan->base);
}

static int
scalar(struct json_scan *scan, enum body_json_type type, size_t start,
    size_t end, bool escaped)
{
	scan->pos = end;
	scan->done = scan->depth == 0;
	return (go_on(scan, scan->events->on_scalar(scan->reader, type, start,
	    end, escaped)));
}

static int
on_null(void *ctx)
{
	size_t end = token_end(ctx);

	return (scalar(ctx, BODY_JSON_NULL, end - 4, end, false));
}

static int
on_boolean(void *ctx, int value)
{
	size_t end = token_end(ctx);

	return (value ? scalar(ctx, BODY_JSON_TRUE, end - 4, end, false) :
	    scalar(ctx, BODY_JSON_FALSE, end - 5, end, false));
}

static int
on_number(void *ctx, const char *text, size_t len)
{
	size_t start;

	if (!in_window(ctx, text, &start))
		start = token_end(ctx) - len;
	return (scalar(ctx, BODY_JSON_NUMBER, start, start + len, false));
}

/* Every escape is longer than what it stands for. */
static inline bool
string_span(const struct json_scan *scan, const unsigned char *text,
    size_t len, size_t *start, size_t *end)
{
	if (in_window(scan, text, start)) {
		*start -= 1;
		*end = *start + len + 2;
		return (false);
	}
	*end = token_end(scan);
	*start = token_start(scan, *end);
	return (*end - *start - 2 != len);
}

static int
on_string(void *ctx, const unsigned char *text, size_t len)
{
	size_t start, end;
	bool escaped = string_span(ctx, text, len, &start, &end);

	return (scalar(ctx, BODY_JSON_STRING, start, end, escaped));
}

static int
on_key(void *ctx, const unsigned char *text, size_t len)
{
	struct json_scan *scan = ctx;
	size_t start, end;
	bool escaped = string_span(scan, text, len, &start, &end);

	scan->pos = end;
	return (go_on(scan, scan->events->on_key(scan->reader, start, end,
	    escaped)));
}

static int
open_container(struct json_scan *scan, enum body_json_type type)
{
	if (scan->depth == BODY_JSON_DEPTH_MAX)
		return (go_on(scan, json_scan_fail(scan, RC_LIMIT,
		    "nested too deep")));
	scan->depth++;
	scan->pos = token_end(scan);
	return (go_on(scan, scan->events->on_open(scan->reader, type,
	    scan->pos - 1)));
}

static int
on_open_object(void *ctx)
{
	return (open_container(ctx, BODY_JSON_OBJECT));
}

static int
on_open_array(void *ctx)
{
	return (open_container(ctx, BODY_JSON_ARRAY));
}

static int
on_close(void *ctx)
{
	struct json_scan *scan = ctx;

	scan->done = --scan->depth == 0;
	scan->pos = token_end(scan);
	return (go_on(scan, scan->events->on_close(scan->reader, scan->pos)));
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_map_key = on_key,
	.yajl_start_map = on_open_object,
	.yajl_end_map = on_close,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close,
};

/* ---- pieces -------------------------------------------------------------- */

/* How many bytes at the end may be the beginning of a longer sequence. */
static size_t
cut_sequence(const char *text, size_t len)
{
	for (size_t n = 1; n <= 3 && n <= len; n++) {
		unsigned char c = (unsigned char)text[len - n];

		if ((c & 0xc0) != 0x80)
			return (c >= 0xc0 ? n : 0);
	}
	return (0);
}

/*
 * Our own check of what is new: yajl lets overlong forms pass.  It comes first,
 * so that a complete token is always valid text: a sequence that is cut stands
 * in an unfinished string, or nowhere.
 */
static enum rc
check_bytes(struct json_scan *scan, bool final)
{
	const char *text = json_scan_at(scan, scan->checked);
	size_t len = scan->end - scan->checked;

	if (len != 0 && !final)
		len -= cut_sequence(text, len);
	if (len == 0)
		return (RC_OK);
	if (!utf8_valid(text, len))
		return (json_scan_fail(scan, RC_SYNTAX, "not UTF-8"));
	if (memchr(text, '\f', len) != NULL || memchr(text, '\v', len) != NULL)
		return (json_scan_fail(scan, RC_SYNTAX, "control byte"));
	scan->checked += len;
	return (RC_OK);
}

static bool
string_ends(struct json_scan *scan)
{
	const char *p = json_scan_at(scan, scan->seen);
	const char *stop = json_scan_at(scan, scan->end);
	bool backslash = scan->backslash;

	for (; p < stop && (backslash || *p != '"'); p++)
		backslash = !backslash && *p == '\\';
	scan->backslash = backslash;
	scan->seen = scan->end - (size_t)(stop - p);
	return (p < stop);
}

static bool
number_ends(struct json_scan *scan)
{
	const char *p = json_scan_at(scan, scan->seen);
	const char *stop = json_scan_at(scan, scan->end);

	while (p < stop && ((*p >= '0' && *p <= '9') || *p == '-' ||
	    *p == '+' || *p == '.' || *p == 'e' || *p == 'E'))
		p++;
	scan->seen = scan->end - (size_t)(stop - p);
	return (p < stop);
}

/* What is new may complete the token that the last piece left unfinished. */
static bool
token_ends(struct json_scan *scan)
{
	char c;

	if (scan->pos == scan->fed)
		return (true);
	if (scan->seen <= scan->pos)
		scan->seen = scan->pos + 1;
	c = *json_scan_at(scan, scan->pos);
	if (c == '"')
		return (string_ends(scan));
	if (c == '-' || (c >= '0' && c <= '9'))
		return (number_ends(scan));
	return (true);		/* true, false, null: never long */
}

static enum rc
parse(struct json_scan *scan)
{
	yajl_status status;

	status = yajl_parse(scan->yajl, (const unsigned char *)
	    json_scan_at(scan, scan->fed), scan->end - scan->fed);
	if (status == yajl_status_client_canceled)
		return (scan->rc);
	if (status != yajl_status_ok) {
		scan->pos = scan->fed + yajl_get_bytes_consumed(scan->yajl);
		return (json_scan_fail(scan, RC_SYNTAX, "not well-formed"));
	}
	scan->fed = scan->end;
	return (RC_OK);
}

/* Only a number can still become the root value. */
static enum rc
parse_end(struct json_scan *scan)
{
	yajl_status status = yajl_complete_parse(scan->yajl);

	if (status == yajl_status_client_canceled)
		return (scan->rc);
	if (status != yajl_status_ok || !scan->done)
		return (json_scan_fail(scan, RC_SYNTAX,
		    "the document ends too early"));
	return (RC_OK);
}

/* Behind the last token: nothing of it has to be shown again. */
static enum rc
skip_gap(struct json_scan *scan)
{
	const char *p = json_scan_at(scan, scan->pos);
	const char *stop = json_scan_at(scan, scan->fed);

	while (p < stop && (scan->done ? is_space(*p) : is_gap(*p)))
		p++;
	scan->pos = scan->fed - (size_t)(stop - p);
	if (p < stop && scan->done)
		return (json_scan_fail(scan, RC_SYNTAX,
		    "foreign byte behind the document"));
	return (RC_OK);
}

enum rc
json_scan_feed(struct json_scan *scan, struct span window, size_t base,
    bool final)
{
	size_t end = base + window.len;
	enum rc rc;

	ensure(base <= scan->pos && end >= base);
	if (end < scan->end) {
		ensure(!final);
		return (RC_OK);
	}
	scan->window = window.len == 0 ? "" : window.p;
	scan->base = base;
	scan->end = end;
	if ((rc = check_bytes(scan, final)) != RC_OK)
		return (rc);
	if (!final && !token_ends(scan))
		return (RC_OK);
	if (scan->done)
		scan->fed = end;
	else if (scan->fed < end)
		rc = parse(scan);
	if (rc == RC_OK)
		rc = skip_gap(scan);
	if (rc == RC_OK && final && !scan->done)
		rc = parse_end(scan);
	return (rc);
}

/* ---- life ---------------------------------------------------------------- */

void
json_scan_init(struct json_scan *scan, const struct json_scan_events *events,
    void *reader)
{
	yajl_alloc_funcs memory = { block_alloc, block_realloc, block_free, scan };

	scan->events = events;
	scan->reader = reader;
	scan->yajl = yajl_alloc(&callbacks, &memory, scan);
	(void)yajl_config(scan->yajl, yajl_dont_validate_strings, 1);
}

void
json_scan_fini(struct json_scan *scan)
{
	if (scan->yajl != NULL)
		yajl_free(scan->yajl);
	scan->yajl = NULL;
}
