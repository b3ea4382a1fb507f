/*
 * body/slot.h - where the chosen values of a body are.
 * Context:   pure.
 *
 * Selected objects and arrays stand for each of their scalar leaves; null
 * stays; a value chosen twice is one slot; slots come in document order.
 */
#ifndef RELAY_BODY_SLOT_H
#define RELAY_BODY_SLOT_H

#include "lib/body/found.h"
#include "lib/body/jsonpath.h"

struct body_slot {
	size_t			start;	/* bytes into the body */
	size_t			end;
	enum body_value_type	type;	/* what stands there */
	bool			escaped; /* a string that must be unescaped */
	bool			empty;	/* the empty string */
	bool			bare;	/* a form's name without '=' */
	enum body_found_place	place;	/* of what was found by a scan */
	uint8_t			depth;	/* and the strings around it there */
	uint16_t		selection; /* which selector chose it first */
};

struct body_slots {
	struct body_slot	*v;	/* owned */
	size_t			n;
	size_t			cap;
};
void body_slots_fini(struct body_slots *);

/* Append the slot of a JSON scalar that is not null.  RC_OK, RC_NOMEM. */
enum rc body_slots_add_json(struct body_slots *, enum body_json_type,
    size_t start, size_t end, bool escaped, uint16_t selection) must_check;

/*
 * Apply paths[0..n_paths) to the document.  max_fields: RC_LIMIT beyond, as
 * when the filters of a path need more work than JSONPATH_MARK_WORK.
 * RC_OK (also with no slot at all), RC_LIMIT, RC_NOMEM; RC_SYNTAX: a filter had
 * to read a text with a lone surrogate.
 */
enum rc body_slots_select(const struct body_json *,
    const struct body_jsonpath *const *paths, size_t n_paths,
    size_t max_fields, struct body_slots *out) must_check;

#endif
