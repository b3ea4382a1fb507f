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
	JSONPATH_WILDCARD,
	JSONPATH_SLICE,
	JSONPATH_FILTER
};

struct jsonpath_slice {
	bool		has_start;
	bool		has_stop;
	int64_t		start;		/* negative: from the end */
	int64_t		stop;
	int64_t		step;		/* 1 when absent; 0 selects nothing */
};

struct jsonpath_selector {
	enum jsonpath_selector_kind	kind;
	struct span			name;	/* decoded; view of path->names */
	int64_t				index;	/* negative: from the end */
	struct jsonpath_slice		slice;
	uint16_t			filter;	/* its expression: path->exprs */
};

struct jsonpath_step {			/* a segment */
	bool		descendant;
	size_t		first;		/* of its selectors: path->selectors */
	size_t		n;
};

struct jsonpath_query {			/* of a filter */
	bool		absolute;	/* from $, not from @ */
	size_t		first;		/* of its steps: path->pool */
	size_t		n;
};

enum jsonpath_expr_kind {
	/* logical */
	JSONPATH_OR,			/* left, right */
	JSONPATH_AND,
	JSONPATH_NOT,			/* left */
	JSONPATH_EQ,			/* left, right: values */
	JSONPATH_NE,
	JSONPATH_LT,
	JSONPATH_LE,
	JSONPATH_GT,
	JSONPATH_GE,
	JSONPATH_MATCH,			/* left: subject, right: pattern */
	JSONPATH_SEARCH,
	/* as a value: of its one node; as a logical: it has nodes */
	JSONPATH_QUERY,
	/* values */
	JSONPATH_LITERAL,
	JSONPATH_LENGTH,		/* left: a value */
	JSONPATH_COUNT,			/* left: a query */
	JSONPATH_VALUE
};

struct iregexp;

struct jsonpath_expr {
	enum jsonpath_expr_kind	kind;
	uint16_t		left;	/* of path->exprs */
	uint16_t		right;
	struct jsonpath_query	query;
	enum body_json_type	type;	/* of a literal: never a container */
	struct span		text;	/* of a literal: decoded string or digits;
					   view of path->names */
	struct iregexp		*pattern; /* owned; NULL: not a literal, or one
					   that is no I-Regexp */
};

struct body_jsonpath {
	unsigned		magic;
#define BODY_JSONPATH_MAGIC	0x2b9d41f6
	const struct jsonpath_step *steps; /* of the path itself; view of pool */
	size_t			n_steps;
	struct jsonpath_selector *selectors;	/* owned; those of a segment lie
						   side by side */
	size_t			n_selectors;
	struct jsonpath_step	*pool;		/* owned; of all queries */
	size_t			n_pool;
	struct jsonpath_expr	*exprs;		/* owned */
	size_t			n_exprs;
	char			*names;		/* owned: decoded names, literals */
	size_t			names_len;
	struct body_jsonpath_fault doubt;	/* body_jsonpath_doubt() */
};

/* ---- parser (jsonpath_parse.c, jsonpath_filter.c) ------------------------- */

#define JSONPATH_NESTING_MAX	32	/* parentheses, calls and filters in
					   filters: bounds our stack */

struct jsonpath_parser {
	struct span			text;
	size_t				pos;
	struct body_jsonpath		*path;	/* borrowed: being built */
	unsigned			nesting;
	struct body_jsonpath_fault	fault;
	/* Segments and selectors around a filter wait here while those of the
	 * queries inside it are read, so that each list ends up in one piece. */
	struct jsonpath_selector	*selectors;	/* owned */
	size_t				n_selectors;
	struct jsonpath_step		*steps;		/* owned */
	size_t				n_steps;
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
/* The same for what is well-formed but not valid: RC_SYNTAX. */
enum rc jsonpath_invalid(struct jsonpath_parser *, const char *reason)
    must_check;
/* Step over c if it is next. */
bool jsonpath_take(struct jsonpath_parser *, char c);
void jsonpath_skip_blank(struct jsonpath_parser *);

/* segments of RFC 9535 2.1.1.  *singular: at most one node (2.3.5.1). */
enum rc jsonpath_segments(struct jsonpath_parser *, struct jsonpath_query *out,
    bool *singular) must_check;
/* A string literal, decoded into the path's names. */
enum rc jsonpath_string(struct jsonpath_parser *, struct span *out) must_check;
/* int of RFC 9535 2.3.3, in the I-JSON range. */
enum rc jsonpath_int(struct jsonpath_parser *, int64_t *out) must_check;
/* Copy bytes of the text, each at most once, into the path's names. */
struct span jsonpath_keep(struct jsonpath_parser *, const char *bytes,
    size_t len);
/* filter-selector; *out: its expression. */
enum rc jsonpath_filter(struct jsonpath_parser *, uint16_t *out) must_check;

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

static inline void
jsonpath_set_remove(struct jsonpath_set *set, uint32_t i)
{
	set->words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/*
 * The selected nodes as a set, which the caller inits and finis: what
 * body_jsonpath_select lists, without order and duplicates.  Work is bounded
 * whatever the document: 2 x selectors x nodes, and JSONPATH_MARK_WORK for all
 * filters.  RC_OK, RC_NOMEM; RC_LIMIT: filters cost more; RC_SYNTAX: one had
 * to read a text with a lone surrogate.
 */
enum rc jsonpath_mark(const struct body_jsonpath *, const struct body_json *,
    struct jsonpath_set *out) must_check;

#endif
