/*
 * body/jsonpath_private.h - a compiled path, its parser's state, and sets of
 * nodes; for the jsonpath files, slot.c and their tests.
 * Context:   pure.
 */
#ifndef RELAY_BODY_JSONPATH_PRIVATE_H
#define RELAY_BODY_JSONPATH_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/body/jsonpath.h"

enum jsonpath_selector_kind {
	JSONPATH_NAME,
	JSONPATH_INDEX,
	JSONPATH_WILDCARD
};

struct jsonpath_selector {
	enum jsonpath_selector_kind	kind;
	struct span			name;	/* decoded; view of path->names */
	int64_t				index;	/* negative: from the end */
};

struct jsonpath_step {			/* a segment */
	bool		descendant;
	size_t		first;		/* of its selectors */
	size_t		n;
};

struct body_jsonpath {
	unsigned		magic;
#define BODY_JSONPATH_MAGIC	0x2b9d41f6
	struct jsonpath_step	steps[BODY_JSONPATH_STEPS_MAX];
	size_t			n_steps;
	struct jsonpath_selector *selectors;	/* owned */
	size_t			n_selectors;
	char			*names;		/* owned: decoded names */
	size_t			names_len;
};

/* ---- parser (jsonpath_parse.c, jsonpath_filter.c) ------------------------- */

#define JSONPATH_NESTING_MAX	32	/* parentheses, calls and filters in
					   filters: bounds our stack */

struct jsonpath_parser {
	struct span			text;
	size_t				pos;
	struct body_jsonpath		*path;	/* borrowed: being built */
	unsigned			nesting;
	struct body_jsonpath_fault	fault;	/* of RC_SYNTAX and RC_LIMIT */
	struct body_jsonpath_fault	missing; /* first feature that is not
						    available; reason or NULL */
};

/* '\0' at the end: no rule accepts a NUL. */
static inline char
jsonpath_peek(const struct jsonpath_parser *p)
{
	return (p->pos < p->text.len ? p->text.p[p->pos] : '\0');
}

/* Set the fault at the current position and return rc. */
enum rc jsonpath_fail(struct jsonpath_parser *, enum rc rc, const char *reason)
    must_check;
/* Step over c if it is next. */
bool jsonpath_take(struct jsonpath_parser *, char c);
void jsonpath_skip_blank(struct jsonpath_parser *);

/* segments of RFC 9535 2.1.1.  keep: they are the path itself, not a query
 * inside a filter.  *singular: at most one node (RFC 9535 2.3.5.1). */
enum rc jsonpath_segments(struct jsonpath_parser *, bool keep, bool *singular)
    must_check;
/* A string literal, decoded into the path's names. */
enum rc jsonpath_string(struct jsonpath_parser *, struct span *out) must_check;
/* int of RFC 9535 2.3.3, in the I-JSON range. */
enum rc jsonpath_int(struct jsonpath_parser *, int64_t *out) must_check;
/* filter-selector: reads and judges it; nothing is kept. */
enum rc jsonpath_filter(struct jsonpath_parser *) must_check;

/* ---- sets of nodes (jsonpath_mark.c) -------------------------------------- */

/* One bit for each node of a document. */
struct jsonpath_set {
	uint64_t	*words;		/* owned */
	uint32_t	n;		/* nodes */
};

enum rc jsonpath_set_init(struct jsonpath_set *, uint32_t n) must_check;
void jsonpath_set_fini(struct jsonpath_set *);

static inline bool
jsonpath_set_has(const struct jsonpath_set *set, uint32_t i)
{
	return ((set->words[i / 64] >> (i % 64) & 1) != 0);
}

static inline void
jsonpath_set_add(struct jsonpath_set *set, uint32_t i)
{
	set->words[i / 64] |= UINT64_C(1) << (i % 64);
}

/* The first member at `from` or behind it; n when there is none. */
uint32_t jsonpath_set_next(const struct jsonpath_set *, uint32_t from);

/*
 * The selected nodes as a set, which the caller inits and finis: what
 * body_jsonpath_select lists, without order and duplicates.  Work is bounded
 * by selectors x nodes, whatever the document.  RC_OK, RC_NOMEM.
 */
enum rc jsonpath_mark(const struct body_jsonpath *, const struct body_json *,
    struct jsonpath_set *out) must_check;

/* The element an index selector means in this array; 0 = none. */
uint32_t jsonpath_element(const struct body_json *, uint32_t array,
    int64_t index);

#endif
