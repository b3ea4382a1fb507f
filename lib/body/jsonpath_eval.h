/*
 * body/jsonpath_eval.h - one evaluation of a path on a document: its budget,
 * what it remembers, values of expressions; for the jsonpath files.
 * Context:   pure.
 * Ownership: the caller embeds the evaluation and inits and finis it; path and
 *            document are borrowed for that time.
 *
 * RC_LIMIT of any function: the budget is used up, and the evaluation has no
 * answer.  RC_SYNTAX: a text with a lone surrogate had to be read.
 */
#ifndef RELAY_BODY_JSONPATH_EVAL_H
#define RELAY_BODY_JSONPATH_EVAL_H

#include "lib/body/iregexp.h"
#include "lib/body/jsonpath_private.h"

/*
 * A unit is about 10 ns: a node looked at, 16 bytes compared, a small part of
 * a pattern's work.  A filter that reads a few members of each element stays
 * far below on the largest body; `$..[?$..[?$..*]]` costs the cube of the
 * nodes, and a pattern can be written to cost the exponential of a text.
 */
#define JSONPATH_MARK_WORK	(UINT64_C(1) << 25) /* under half a second of a
						       worker's loop */
#define JSONPATH_SELECT_WORK	(UINT64_C(1) << 30) /* a tool: some seconds */

#define JSONPATH_BYTES_PER_UNIT	16

/* What was found out about an expression. */
struct jsonpath_memo {
	/* a query: how many nodes, the first of them */
	bool		known;
	bool		whole;		/* n is the number, not a part of it */
	uint32_t	first;
	uint64_t	n;
	/* a call of match() or search(): the last pattern of the document */
	struct span	pattern;	/* view; p NULL: none yet */
	struct iregexp	*compiled;	/* owned; NULL: not an I-Regexp */
};

struct jsonpath_eval {
	const struct body_jsonpath	*path;	/* borrowed */
	const struct body_json		*doc;	/* borrowed */
	uint64_t			work;	/* units left */
	struct jsonpath_memo		*memo;	/* owned: one per expression */
	struct iregexp_scratch		*scratch; /* owned; NULL until used */
	struct jsonpath_set		paired;	/* owned; of comparisons */
};

void jsonpath_eval_init(struct jsonpath_eval *, const struct body_jsonpath *,
    const struct body_json *, uint64_t work);
void jsonpath_eval_fini(struct jsonpath_eval *);

static inline enum rc
jsonpath_charge(struct jsonpath_eval *eval, uint64_t units)
{
	if (eval->work < units) {
		eval->work = 0;
		return (RC_LIMIT);
	}
	eval->work -= units;
	return (RC_OK);
}

/* Call visit for each child of a node that a selector chooses, in the order of
 * RFC 9535; another result than RC_OK ends it and is returned. */
typedef enum rc jsonpath_visit_cb(void *arg, uint32_t node);
enum rc jsonpath_children(struct jsonpath_eval *,
    const struct jsonpath_selector *, uint32_t node, jsonpath_visit_cb *visit,
    void *arg) must_check;

/* How many nodes the query of an expression has, counted up to `most`, and
 * the first of them. */
enum rc jsonpath_query_nodes(struct jsonpath_eval *, uint16_t expr,
    uint32_t current, uint64_t most, uint64_t *n, uint32_t *first) must_check;

/* ---- values (jsonpath_function.c) ----------------------------------------- */

struct jsonpath_value {
	bool			nothing;
	bool			counted; /* a number: of length() or count() */
	bool			escaped; /* text holds escapes of JSON */
	enum body_json_type	type;
	uint32_t		node;	/* of an array or object */
	uint64_t		count;	/* if counted */
	struct span		text;	/* view: the digits of a number, what is
					   between the quotes of a string */
};

enum rc jsonpath_value(struct jsonpath_eval *, uint16_t expr, uint32_t current,
    struct jsonpath_value *out) must_check;
void jsonpath_node_value(const struct body_json *, uint32_t node,
    struct jsonpath_value *out);
/* match() or search() */
enum rc jsonpath_matches(struct jsonpath_eval *, uint16_t expr,
    uint32_t current, bool *out) must_check;

/* ---- comparisons (jsonpath_compare.c) ------------------------------------- */

enum jsonpath_relation {
	JSONPATH_UNRELATED,	/* neither equal nor in an order */
	JSONPATH_LESS,
	JSONPATH_EQUAL,
	JSONPATH_GREATER
};

enum rc jsonpath_compare(struct jsonpath_eval *, const struct jsonpath_value *,
    const struct jsonpath_value *, enum jsonpath_relation *out) must_check;

#endif
