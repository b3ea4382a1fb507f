/*
 * body/form.h - application/x-www-form-urlencoded as pairs of byte spans
 * (WHATWG URL 5.1): exact names, everything else stays as it came.
 * Context:   pure; no I/O.
 */
#ifndef RELAY_BODY_FORM_H
#define RELAY_BODY_FORM_H

#include "lib/body/slot.h"

struct body_form_pair {
	struct span	name;		/* raw view */
	struct span	value;		/* raw view; empty behind the name when bare */
	bool		bare;		/* no '=': the value is empty */
};

/* Take the next pair off *rest (empty ones between && are skipped as the
 * standard says).  False: none is left. */
bool body_form_next(struct span *rest, struct body_form_pair *);

/* Percent and plus decoded and appended.  A '%' that begins no escape stands
 * for itself (the standard's rule).  RC_OK, RC_NOMEM/RC_LIMIT of the buffer. */
enum rc body_form_decode(struct span raw, struct buffer *out) must_check;

/* The raw text stands for exactly this name or value. */
bool body_form_is(struct span raw, struct span decoded);

/*
 * The values of every pair whose decoded name is one of names[0..n): slots of
 * type string in document order; `selection` is the first name that matched,
 * `escaped` when it must be decoded, `bare` when a '=' has to be written first.
 * RC_OK, RC_LIMIT (more than max_fields), RC_NOMEM.
 */
enum rc body_form_select(struct span body, const struct span *names, size_t n,
    size_t max_fields, struct body_slots *out) must_check;

/* Append text so that it stands for itself as a value (the standard's
 * urlencoded serializer; space is '+').  RC_OK, RC_NOMEM, RC_LIMIT. */
enum rc body_form_insert(struct span text, struct buffer *out) must_check;

#endif
