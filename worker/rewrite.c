/*
 * worker/rewrite.c - out grows by copied text and by answers, in the order of
 * the slots; a lost engine takes a round back to its beginning.
 */
#include "worker/rewrite.h"

#include <string.h>

#include "lib/base/object.h"
#include "lib/body/form.h"
#include "lib/body/found.h"
#include "lib/body/json_text.h"
#include "lib/http/field.h"

/* A token is at most 4/3 of its value and this longer, percent-encoding of a
 * form included for the few bytes that need it. */
#define TOKEN_OVERHEAD	256

void
rewrite_init(struct rewrite *r, enum rewrite_syntax syntax,
    struct buffer *text, size_t max)
{
	*r = (struct rewrite){ .syntax = syntax, .text = text };
	buffer_init(&r->out, max, true);
	buffer_init(&r->tmp, 0, true);
}

void
rewrite_fini(struct rewrite *r)
{
	body_slots_fini(&r->slots);
	buffer_fini(&r->out);
	buffer_fini(&r->tmp);
}

static const char *
text_at(const struct rewrite *r, size_t offset)
{
	return (buffer_data(r->text) + (offset - r->base));
}

static struct span
raw(const struct rewrite *r, const struct body_slot *s)
{
	return ((struct span){ text_at(r, s->start), s->end - s->start });
}

static bool
is_scanned(const struct rewrite *r)
{
	return (r->syntax == REWRITE_TOKENS || r->syntax == REWRITE_HEAD_TOKENS);
}

static enum rc
found_value(struct rewrite *r, const struct body_slot *s, struct span *out)
{
	const struct body_found f = {
		.start = s->start,
		.end = s->end,
		.place = s->place,
		.encoded = s->escaped,
	};
	struct span window = { buffer_data(r->text), buffer_len(r->text) };
	enum rc rc;

	*out = raw(r, s);
	if (s->place == BODY_FOUND_FILE)	/* megabytes: not copied */
		return (RC_OK);
	buffer_clear(&r->tmp);
	if ((rc = body_found_token(window, r->base, &f, &r->tmp)) == RC_OK)
		*out = (struct span){ buffer_data(&r->tmp), buffer_len(&r->tmp) };
	return (rc);
}

enum rc
rewrite_value(struct rewrite *r, const struct body_slot *s, struct span *out)
{
	enum rc rc = RC_OK;

	if (is_scanned(r))
		return (found_value(r, s, out));
	*out = raw(r, s);
	if (r->syntax == REWRITE_JSON && s->type == BODY_VALUE_STRING &&
	    !s->escaped) {
		*out = (struct span){ out->p + 1, out->len - 2 };
		return (RC_OK);
	}
	if (!s->escaped)
		return (RC_OK);
	buffer_clear(&r->tmp);
	rc = r->syntax == REWRITE_JSON ? body_json_unescape(*out, &r->tmp) :
	    body_form_decode(*out, &r->tmp);
	*out = (struct span){ buffer_data(&r->tmp), buffer_len(&r->tmp) };
	return (rc);
}

size_t
rewrite_growth(const struct rewrite *r, size_t end)
{
	size_t bytes = end - r->copied, value;

	for (size_t i = 0; i < r->slots.n; i++) {
		const struct body_slot *s = &r->slots.v[i];

		/* The value again in the call, and its token; or what opens,
		 * whose quotes each string around may double. */
		value = (s->end - s->start) * 7 / 3;
		if (s->depth <= BODY_FOUND_DEPTH_MAX)
			value <<= s->depth;
		bytes += value + TOKEN_OVERHEAD;
	}
	return (bytes);
}

void
rewrite_restart(struct rewrite *r)
{
	buffer_truncate(&r->out, r->round_out);
	r->copied = r->round_copied;
	r->at = 0;
}

static enum rc
copy_up_to(struct rewrite *r, size_t end)
{
	enum rc rc;

	if (end == r->copied)
		return (RC_OK);
	rc = buffer_append(&r->out, text_at(r, r->copied), end - r->copied);
	if (rc == RC_OK)
		r->copied = end;
	return (rc);
}

static const struct body_slot *
next(struct rewrite *r)
{
	ensure(r->at < r->slots.n);
	return (&r->slots.v[r->at]);
}

enum rc
rewrite_keep(struct rewrite *r)
{
	enum rc rc = copy_up_to(r, next(r)->end);

	r->at++;
	return (rc);
}

static enum rc
put_form(struct rewrite *r, const struct body_slot *s, struct span text)
{
	enum rc rc = s->bare ? buffer_append(&r->out, "=", 1) : RC_OK;

	return (rc != RC_OK ? rc : body_form_insert(text, &r->out));
}

/* White space at the ends would not survive the next reader. */
static enum rc
put_field_value(struct rewrite *r, struct span text)
{
	if (!http_value_valid(text) || span_trim(text).len != text.len)
		return (RC_SYNTAX);
	return (buffer_append(&r->out, text.p, text.len));
}

/* It began where it is written, or in what is before: a token beside it may
 * have opened to its first half. */
static bool
holds_delimiter(const struct rewrite *r, size_t from)
{
	size_t before = r->delimiter.len - 1;

	from = from > before ? from - before : 0;
	return (memmem(buffer_data(&r->out) + from, buffer_len(&r->out) - from,
	    r->delimiter.p, r->delimiter.len) != NULL);
}

/* As its place needs it; but a part's text may not end the part. */
static enum rc
put_found(struct rewrite *r, const struct body_slot *s,
    enum body_value_type type, struct span text)
{
	size_t from = buffer_len(&r->out);
	enum rc rc = body_found_write(s->place, s->depth, type, text,
	    &r->out);

	if (rc == RC_OK && r->delimiter.len != 0 && text.len != 0 &&
	    holds_delimiter(r, from)) {
		buffer_truncate(&r->out, from);
		rc = RC_SYNTAX;
	}
	return (rc);
}

enum rc
rewrite_replace(struct rewrite *r, enum body_value_type type, struct span text)
{
	const struct body_slot *s = next(r);
	enum rc rc;

	if ((rc = copy_up_to(r, s->start)) != RC_OK)
		return (rc);
	switch (r->syntax) {
	case REWRITE_JSON:
		rc = body_json_insert(type, text, &r->out);
		break;
	case REWRITE_FORM:
		rc = put_form(r, s, text);
		break;
	case REWRITE_HEAD:
		rc = put_field_value(r, text);
		break;
	case REWRITE_HEAD_TOKENS:
		rc = s->place == BODY_FOUND_PLAIN && !body_found_fits_line(text) ?
		    RC_SYNTAX : body_found_write(s->place, s->depth, type, text,
		    &r->out);
		break;
	case REWRITE_TOKENS:
		rc = put_found(r, s, type, text);
		break;
	case REWRITE_NONE:
		rc = RC_SYNTAX;
		break;
	}
	if (rc != RC_OK)
		return (rc);
	r->copied = s->end;
	r->at++;
	return (RC_OK);
}

enum rc
rewrite_settle(struct rewrite *r, size_t end, bool drop)
{
	enum rc rc;

	ensure(r->at == r->slots.n);
	if ((rc = copy_up_to(r, end)) != RC_OK)
		return (rc);
	if (drop) {
		buffer_consume(r->text, r->copied - r->base);
		r->base = r->copied;
	}
	r->slots.n = r->at = 0;
	r->round_copied = r->copied;
	r->round_out = buffer_len(&r->out);
	return (RC_OK);
}

void
rewrite_take(struct rewrite *r, struct buffer *to)
{
	ensure(r->at == r->slots.n);
	buffer_move(to, &r->out);
	r->round_out = 0;
}
