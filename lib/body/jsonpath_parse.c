/*
 * body/jsonpath_parse.c - the grammar of RFC 9535: segments, selectors, names
 * and integers.  Filters are in jsonpath_filter.c.
 *
 * Recursive descent; each function reads one rule of the ABNF and is named
 * after it.
 */
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/jsonpath_private.h"

#define INT_MAX_IJSON	9007199254740991	/* RFC 7493 2.2: 2^53 - 1 */

enum rc
jsonpath_fail(struct jsonpath_parser *p, enum rc rc, const char *reason)
{
	p->fault.offset = p->pos;
	p->fault.reason = reason;
	return (rc);
}

enum rc
jsonpath_invalid(struct jsonpath_parser *p, const char *reason)
{
	p->fault.well_formed = true;
	return (jsonpath_fail(p, RC_SYNTAX, reason));
}

bool
jsonpath_take(struct jsonpath_parser *p, char c)
{
	if (p->pos == p->text.len || p->text.p[p->pos] != c)
		return (false);
	p->pos++;
	return (true);
}

static bool
is_blank(char c)
{
	return (c == ' ' || c == '\t' || c == '\n' || c == '\r');
}

void
jsonpath_skip_blank(struct jsonpath_parser *p)
{
	while (is_blank(jsonpath_peek(p)))
		p->pos++;
}

/* ---- what is kept -------------------------------------------------------- */

/* There is room for a selector and a segment per byte of text. */
static void
keep_selector(struct jsonpath_parser *p, const struct jsonpath_selector *s)
{
	ensure(p->n_selectors < p->text.len);
	p->selectors[p->n_selectors++] = *s;
}

/* The segment of the selectors that wait behind the first `before`. */
static void
keep_step(struct jsonpath_parser *p, bool descendant, size_t before)
{
	struct body_jsonpath *path = p->path;
	size_t n = p->n_selectors - before;

	ensure(p->n_steps < p->text.len &&
	    n <= p->text.len - path->n_selectors);
	p->steps[p->n_steps++] = (struct jsonpath_step){
		.descendant = descendant,
		.first = path->n_selectors,
		.n = n,
	};
	memcpy(path->selectors + path->n_selectors, p->selectors + before,
	    n * sizeof(*p->selectors));
	path->n_selectors += n;
	p->n_selectors = before;
}

/* The query of the segments that wait behind the first `before`. */
static void
keep_query(struct jsonpath_parser *p, size_t before, struct jsonpath_query *out)
{
	struct body_jsonpath *path = p->path;

	out->first = path->n_pool;
	out->n = p->n_steps - before;
	ensure(out->n <= p->text.len - path->n_pool);
	memcpy(path->pool + path->n_pool, p->steps + before,
	    out->n * sizeof(*p->steps));
	path->n_pool += out->n;
	p->n_steps = before;
}

/* Names are never longer decoded than in the text, so there is room. */
struct span
jsonpath_keep(struct jsonpath_parser *p, const char *bytes, size_t len)
{
	struct body_jsonpath *path = p->path;
	char *to = path->names + path->names_len;

	ensure(len <= p->text.len - path->names_len);
	memcpy(to, bytes, len);
	path->names_len += len;
	return ((struct span){ to, len });
}

/* ---- literals ------------------------------------------------------------ */

/* \x of a string in these quotes: the other quote may not be escaped. */
static enum rc
string_escape(struct jsonpath_parser *p, char quote)
{
	const char *at = p->text.p + p->pos, *end = p->text.p + p->text.len;
	char bytes[BODY_JSON_ESCAPE_BYTES];
	size_t len, used;

	if (quote == '\'' && end - at >= 2 && at[1] == '\'') {
		(void)jsonpath_keep(p, "'", 1);
		p->pos += 2;
		return (RC_OK);
	}
	if (quote == '\'' && end - at >= 2 && at[1] == '"')
		return (jsonpath_fail(p, RC_SYNTAX, "bad escape"));
	used = body_json_escape_read(at, end, bytes, &len);
	if (used == 0)
		return (jsonpath_fail(p, RC_SYNTAX, "bad escape"));
	(void)jsonpath_keep(p, bytes, len);
	p->pos += used;
	return (RC_OK);
}

enum rc
jsonpath_string(struct jsonpath_parser *p, struct span *out)
{
	const char *from = p->path->names + p->path->names_len;
	char quote = jsonpath_peek(p);
	enum rc rc;

	p->pos++;
	while (!jsonpath_take(p, quote)) {
		char c = jsonpath_peek(p);

		if ((unsigned char)c < 0x20)
			return (jsonpath_fail(p, RC_SYNTAX,
			    "a string is not closed or holds a control"));
		if (c == '\\') {
			if ((rc = string_escape(p, quote)) != RC_OK)
				return (rc);
			continue;
		}
		(void)jsonpath_keep(p, &c, 1);
		p->pos++;
	}
	out->p = from;
	out->len = (size_t)(p->path->names + p->path->names_len - from);
	return (RC_OK);
}

enum rc
jsonpath_int(struct jsonpath_parser *p, int64_t *out)
{
	bool minus = jsonpath_take(p, '-');
	size_t from = p->pos;
	int64_t value = 0;

	while (jsonpath_peek(p) >= '0' && jsonpath_peek(p) <= '9') {
		if (value <= INT_MAX_IJSON)
			value = value * 10 + (jsonpath_peek(p) - '0');
		p->pos++;
	}
	if (p->pos == from)
		return (jsonpath_fail(p, RC_SYNTAX, "an integer is missing"));
	if (p->text.p[from] == '0' && (p->pos - from > 1 || minus))
		return (jsonpath_fail(p, RC_SYNTAX, "an integer begins with 0"));
	if (value > INT_MAX_IJSON)
		return (jsonpath_invalid(p, "an integer is too large"));
	*out = minus ? -value : value;
	return (RC_OK);
}

/* ---- selectors ----------------------------------------------------------- */

static bool
starts_int(char c)
{
	return (c == '-' || (c >= '0' && c <= '9'));
}

static enum rc
slice_part(struct jsonpath_parser *p, bool *has, int64_t *out)
{
	enum rc rc;

	jsonpath_skip_blank(p);
	if (!starts_int(jsonpath_peek(p)))
		return (RC_OK);
	if ((rc = jsonpath_int(p, out)) != RC_OK)
		return (rc);
	*has = true;
	jsonpath_skip_blank(p);
	return (RC_OK);
}

/* index-selector or slice-selector: [start S] ":" S [end S] [":" [S step]] */
static enum rc
index_or_slice(struct jsonpath_parser *p, struct jsonpath_selector *s,
    bool *singular)
{
	struct jsonpath_slice *slice = &s->slice;
	size_t after;
	bool has_step;
	enum rc rc;

	s->kind = JSONPATH_INDEX;
	if (starts_int(jsonpath_peek(p))) {
		if ((rc = jsonpath_int(p, &s->index)) != RC_OK)
			return (rc);
		slice->has_start = true;
		slice->start = s->index;
	}
	after = p->pos;
	jsonpath_skip_blank(p);
	if (!jsonpath_take(p, ':')) {
		p->pos = after;		/* the blank is the bracket's */
		return (RC_OK);
	}
	*singular = false;
	s->kind = JSONPATH_SLICE;
	slice->step = 1;
	if ((rc = slice_part(p, &slice->has_stop, &slice->stop)) != RC_OK)
		return (rc);
	if (!jsonpath_take(p, ':'))
		return (RC_OK);
	return (slice_part(p, &has_step, &slice->step));
}

static enum rc
selector(struct jsonpath_parser *p, bool *singular)
{
	struct jsonpath_selector s = { .kind = JSONPATH_WILDCARD };
	char c = jsonpath_peek(p);
	enum rc rc = RC_OK;

	if (c == '\'' || c == '"') {
		s.kind = JSONPATH_NAME;
		rc = jsonpath_string(p, &s.name);
	} else if (c == '*') {
		*singular = false;
		p->pos++;
	} else if (starts_int(c) || c == ':') {
		rc = index_or_slice(p, &s, singular);
	} else if (c == '?') {
		*singular = false;
		s.kind = JSONPATH_FILTER;
		rc = jsonpath_filter(p, &s.filter);
	} else {
		rc = jsonpath_fail(p, RC_SYNTAX, "a selector is missing");
	}
	if (rc == RC_OK)
		keep_selector(p, &s);
	return (rc);
}

/*
 * "[" S selector *(S "," S selector) S "]"
 * The rule of singular queries has no blank inside its brackets, therefore
 * one makes the query not singular.
 */
static enum rc
bracketed_selection(struct jsonpath_parser *p, bool *singular)
{
	size_t inside, n;
	enum rc rc;

	p->pos++;
	for (n = 1;; n++) {
		inside = p->pos;
		jsonpath_skip_blank(p);
		if (p->pos != inside)
			*singular = false;
		if ((rc = selector(p, singular)) != RC_OK)
			return (rc);
		inside = p->pos;
		jsonpath_skip_blank(p);
		if (p->pos != inside || n > 1)
			*singular = false;
		if (jsonpath_take(p, ']'))
			return (RC_OK);
		if (!jsonpath_take(p, ','))
			return (jsonpath_fail(p, RC_SYNTAX,
			    "a bracket is not closed"));
	}
}

static bool
is_name_first(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	    (unsigned char)c >= 0x80);
}

/* .name: everything beyond ASCII belongs to it (the text is UTF-8). */
static enum rc
member_name_shorthand(struct jsonpath_parser *p)
{
	struct jsonpath_selector s = { .kind = JSONPATH_NAME };
	size_t from = p->pos;
	char c;

	if (!is_name_first(jsonpath_peek(p)))
		return (jsonpath_fail(p, RC_SYNTAX, "a name is missing"));
	while (is_name_first(c = jsonpath_peek(p)) || (c >= '0' && c <= '9'))
		p->pos++;
	s.name = jsonpath_keep(p, p->text.p + from, p->pos - from);
	keep_selector(p, &s);
	return (RC_OK);
}

/* child-segment or descendant-segment; the caller saw '.' or '['. */
static enum rc
segment(struct jsonpath_parser *p, bool *singular)
{
	bool dot = jsonpath_take(p, '.');
	bool descendant = dot && jsonpath_take(p, '.');
	size_t before = p->n_selectors;
	enum rc rc;

	if (descendant)
		*singular = false;
	if (jsonpath_peek(p) == '[' && (!dot || descendant))
		rc = bracketed_selection(p, singular);
	else if (jsonpath_peek(p) == '*')
		rc = selector(p, singular);
	else
		rc = member_name_shorthand(p);
	if (rc == RC_OK)
		keep_step(p, descendant, before);
	return (rc);
}

enum rc
jsonpath_segments(struct jsonpath_parser *p, struct jsonpath_query *out,
    bool *singular)
{
	size_t before = p->n_steps;
	enum rc rc;

	*singular = true;
	for (;;) {
		size_t at = p->pos;

		jsonpath_skip_blank(p);
		if (jsonpath_peek(p) != '.' && jsonpath_peek(p) != '[') {
			p->pos = at;		/* the blank is not ours */
			keep_query(p, before, out);
			return (RC_OK);
		}
		if (p->n_steps - before == BODY_JSONPATH_STEPS_MAX)
			return (jsonpath_fail(p, RC_LIMIT, "too many segments"));
		if ((rc = segment(p, singular)) != RC_OK)
			return (rc);
	}
}
