/*
 * worker/transform_slots.c - lib/body chooses; here what is no work is left
 * out: null and empty strings as the relay says, tokens it keeps, and on
 * decrypt everything that has not the form of a token.
 */
#include "worker/transform_slots.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/form.h"
#include "lib/body/token_scan.h"

/* Values in one document: 28 bytes of index each while slots are looked for.
 * Far more than max_fields, since most values of a document are not chosen.  A
 * form's values are as many at most. */
#define NODES_MAX	(1u << 20)

/* The walk reports slots for at most this much text before those that are no
 * work are left out: `$..*` on a decrypted answer chooses every value. */
#define WALK_BYTES	((size_t)256 << 10)

static bool
encrypting(const struct slot_rules *rules)
{
	return (rules->action->kind == RELAY_ENCRYPT);
}

/* RC_OK with *work, or RC_SYNTAX: a value to be sealed cannot be read. */
static enum rc
is_work(struct slot_rules *rules, struct rewrite *r, const struct body_slot *s,
    bool *work)
{
	bool keep = rules->relay->existing == RELAY_EXISTING_KEEP;
	struct span value;
	enum rc rc;

	*work = true;
	if (!encrypting(rules)) {
		*work = s->type == BODY_VALUE_STRING &&
		    rewrite_value(r, s, &value) == RC_OK && body_token_whole(value);
		return (RC_OK);
	}
	if (s->empty && !rules->relay->encrypt_empty_strings)
		*work = false;
	if (s->type != BODY_VALUE_STRING || !*work || (!s->escaped && !keep))
		return (RC_OK);
	if ((rc = rewrite_value(r, s, &value)) != RC_OK)
		return (rc);
	if (keep && body_token_whole(value)) {
		rules->n_kept_tokens++;
		*work = false;
	}
	return (RC_OK);
}

/* Leave out of slots[from..] what is no work. */
static enum rc
keep_work(struct slot_rules *rules, struct rewrite *r, size_t from)
{
	size_t n = from;
	bool work;
	enum rc rc;

	for (size_t i = from; i < r->slots.n; i++) {
		if ((rc = is_work(rules, r, &r->slots.v[i], &work)) != RC_OK)
			return (rc);
		if (work)
			r->slots.v[n++] = r->slots.v[i];
	}
	rules->n_fields += n - from;
	r->slots.n = n;
	return (rules->n_fields > rules->max_fields ? RC_LIMIT : RC_OK);
}

/* ---- heads ---- */

static bool
add_field_slot(struct rewrite *r, const char *value, size_t len, size_t which)
{
	struct body_slots *slots = &r->slots;
	struct body_slot *v;

	if (slots->n == slots->cap) {
		v = reallocarray(slots->v, slots->cap * 2 + 8, sizeof(*v));
		if (v == NULL)
			return (false);
		slots->v = v;
		slots->cap = slots->cap * 2 + 8;
	}
	slots->v[slots->n++] = (struct body_slot){
		.start = (size_t)(value - buffer_data(r->text)),
		.end = (size_t)(value - buffer_data(r->text)) + len,
		.type = BODY_VALUE_STRING,
		.empty = len == 0,
		.selection = (uint16_t)which,
	};
	return (true);
}

/* The first selection of this field name; n when there is none. */
static size_t
selection_of(const struct relay_selections *of, struct span name)
{
	size_t i;

	for (i = 0; i < of->n; i++)
		if (relay_field_is(name, of->v[i]->selector))
			break;
	return (i);
}

/* We wrote this text: a start line, then "Name: value" lines, each with CRLF. */
enum rc
transform_slots_head(struct slot_rules *rules, struct rewrite *r)
{
	const struct relay_selections *of = &rules->action->of[RELAY_SELECT_HEADER];
	const char *p = buffer_data(r->text), *end = p + buffer_len(r->text);
	const char *line, *colon;
	size_t which;

	while (p < end && (line = memmem(p, (size_t)(end - p), "\r\n", 2)) != NULL) {
		colon = memchr(p, ':', (size_t)(line - p));
		if (p != buffer_data(r->text) && colon != NULL && colon + 2 <= line) {
			which = selection_of(of, (struct span){ p, (size_t)(colon - p) });
			if (which < of->n && !add_field_slot(r, colon + 2,
			    (size_t)(line - colon) - 2, which))
				return (RC_NOMEM);
		}
		p = line + 2;
	}
	return (keep_work(rules, r, 0));
}

/* ---- bodies ---- */

static size_t
choice_limit(const struct slot_rules *rules)
{
	/* Decrypt picks tokens out of perhaps many more strings. */
	return (encrypting(rules) ? rules->max_fields : NODES_MAX);
}

/* Room for what was no work is not held while a call is out. */
static void
trim(struct body_slots *slots)
{
	struct body_slot *v;

	if (slots->n == 0) {
		body_slots_fini(slots);
	} else if (slots->cap / 2 > slots->n &&
	    (v = reallocarray(slots->v, slots->n, sizeof(*v))) != NULL) {
		slots->v = v;
		slots->cap = slots->n;
	}
}

enum rc
transform_slots_walk(struct slot_rules *rules, struct rewrite *r,
    struct body_json_walk *walk, bool whole, size_t *settled)
{
	struct body_json_fault fault = { .reason = NULL };
	size_t len = buffer_len(r->text), from, shown = 0;
	enum rc rc;

	do {
		shown = len - shown > WALK_BYTES ? shown + WALK_BYTES : len;
		from = r->slots.n;
		rc = body_json_walk_feed(walk, (struct span){
		    buffer_data(r->text), shown }, r->base,
		    whole && shown == len, &r->slots, settled, &fault);
		if (rc == RC_LIMIT && !fault.too_many)
			rc = RC_SYNTAX;
		if (rc == RC_OK)
			rc = keep_work(rules, r, from);
	} while (rc == RC_OK && shown < len);
	trim(&r->slots);
	return (rc);
}

/* Selectors that need the whole document: by an index of it. */
static enum rc
slots_json(struct slot_rules *rules, struct rewrite *r)
{
	const struct relay_selections *of = &rules->action->of[RELAY_SELECT_JSON];
	struct body_json_fault fault;
	struct body_json doc;
	enum rc rc;

	rc = body_json_read(&doc, buffer_data(r->text), buffer_len(r->text),
	    NODES_MAX, &fault);
	if (rc != RC_OK)
		return (rc == RC_LIMIT && !fault.too_many ? RC_SYNTAX : rc);
	rc = body_slots_select(&doc, of->paths, of->n, choice_limit(rules),
	    &r->slots);
	body_json_fini(&doc);
	return (rc);
}

static enum rc
slots_form(struct slot_rules *rules, struct rewrite *r)
{
	const struct relay_selections *of = &rules->action->of[RELAY_SELECT_FORM];

	return (body_form_select((struct span){ buffer_data(r->text),
	    buffer_len(r->text) }, of->names, of->n, choice_limit(rules),
	    &r->slots));
}

/* ---- scans ---- */

static enum rc
take_founds(struct rewrite *r, const struct body_founds *founds)
{
	struct body_slots *slots = &r->slots;
	struct body_slot *v = reallocarray(slots->v, founds->n, sizeof(*v));

	if (v == NULL)
		return (RC_NOMEM);
	slots->v = v;
	slots->n = slots->cap = founds->n;
	for (size_t i = 0; i < founds->n; i++)
		v[i] = (struct body_slot){
			.start = founds->v[i].start,
			.end = founds->v[i].end,
			.type = BODY_VALUE_STRING,
			.escaped = founds->v[i].encoded,
			.place = founds->v[i].place,
			.depth = founds->v[i].depth,
		};
	return (RC_OK);
}

enum rc
transform_slots_scan(struct rewrite *r, struct body_scan *scan, bool whole,
    size_t room, size_t *settled)
{
	struct span window = { buffer_data(r->text), buffer_len(r->text) };
	struct body_founds founds = { .v = NULL };
	enum rc rc;

	if (room == 0)
		return (RC_LIMIT);
	rc = body_scan_feed(scan, window, r->base, whole, room, &founds, settled);
	if (rc == RC_OK && founds.n != 0)
		rc = take_founds(r, &founds);
	body_founds_fini(&founds);
	return (rc);
}

/* Keep what stands in a part that is asked for.  What opens in the target is
 * percent-encoded, however the token stood there. */
static void
keep_asked(const struct rewrite *r, struct body_founds *founds, bool headers,
    bool query)
{
	const char *text = buffer_data(r->text);
	const char *line = memmem(text, buffer_len(r->text), "\r\n", 2);
	size_t line_len = line != NULL ? (size_t)(line - text) : 0, n = 0;
	const char *mark = memchr(text, '?', line_len);

	for (size_t i = 0; i < founds->n; i++) {
		struct body_found *f = &founds->v[i];
		bool in_target = f->start < line_len;

		if (in_target ? !query || mark == NULL || text + f->start < mark :
		    !headers)
			continue;
		/* Backslashes are no spelling of a query: it stays. */
		if (in_target && f->encoded && f->place != BODY_FOUND_PERCENT)
			continue;
		if (in_target)
			f->place = BODY_FOUND_PERCENT;
		founds->v[n++] = *f;
	}
	founds->n = n;
}

enum rc
transform_slots_scan_head(struct slot_rules *rules, struct rewrite *r,
    bool headers, bool query)
{
	const struct body_scan_limits limits = { .token_bytes = buffer_len(r->text) };
	struct body_scan *scan = body_scan_new(BODY_SCAN_PLAIN, &limits);
	struct span text = { buffer_data(r->text), buffer_len(r->text) };
	struct body_founds founds = { .v = NULL };
	enum rc rc = RC_NOMEM;
	size_t settled;

	if (scan != NULL)
		rc = body_scan_feed(scan, text, 0, true, rules->max_fields, &founds,
		    &settled);
	if (rc == RC_OK)
		keep_asked(r, &founds, headers, query);
	if (rc == RC_OK && founds.n != 0)
		rc = take_founds(r, &founds);
	body_founds_fini(&founds);
	body_scan_free(&scan);
	return (rc);
}

enum rc
transform_slots_whole(struct slot_rules *rules, struct rewrite *r)
{
	enum rc rc = RC_OK;

	switch (r->syntax) {
	case REWRITE_JSON:
		rc = slots_json(rules, r);
		break;
	case REWRITE_FORM:
		rc = slots_form(rules, r);
		break;
	case REWRITE_HEAD:
	case REWRITE_TOKENS:
	case REWRITE_HEAD_TOKENS:
	case REWRITE_NONE:
		return (RC_OK);
	}
	if (rc == RC_OK)
		rc = keep_work(rules, r, 0);
	trim(&r->slots);
	return (rc);
}
