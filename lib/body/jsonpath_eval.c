/*
 * body/jsonpath_eval.c - what a selector chooses among the children of a node,
 * and what the expression of a filter says about one.
 *
 * Queries inside filters are walked depth first and keep no list: whether
 * there is a node, how many, which one is the first.  Their cost has no good
 * bound (filters nest, `..` nests), therefore everything that is looked at is
 * charged to one budget.
 */
#include "lib/body/jsonpath_eval.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

static enum rc holds(struct jsonpath_eval *, uint16_t expr, uint32_t current,
    bool *out);

void
jsonpath_eval_init(struct jsonpath_eval *eval, const struct body_jsonpath *path,
    const struct body_json *doc, uint64_t work)
{
	uint64_t selectors = 0;

	for (size_t i = 0; i < path->n_steps; i++)
		selectors += path->steps[i].n;
	*eval = (struct jsonpath_eval){
		.path = path,
		.doc = doc,
		/* A selector looks at each child once, or counts them first. */
		.work = work + 2 * selectors * doc->n,
		.memo = path->n_exprs == 0 ? NULL :
		    xcalloc(path->n_exprs, sizeof(*eval->memo)),
	};
}

void
jsonpath_eval_fini(struct jsonpath_eval *eval)
{
	if (eval->memo != NULL)
		for (size_t i = 0; i < eval->path->n_exprs; i++)
			iregexp_free(&eval->memo[i].compiled);
	free(eval->memo);
	iregexp_scratch_free(&eval->scratch);
	jsonpath_set_fini(&eval->paired);
}

/* ---- arrays --------------------------------------------------------------- */

static enum rc
array_length(struct jsonpath_eval *eval, uint32_t array, int64_t *out)
{
	uint32_t i;

	*out = 0;
	for (i = body_json_child(eval->doc, array); i != 0;
	    i = body_json_sibling(eval->doc, i))
		(*out)++;
	return (jsonpath_charge(eval, (uint64_t)*out));
}

static enum rc
select_index(struct jsonpath_eval *eval, int64_t index, uint32_t array,
    jsonpath_visit_cb *visit, void *arg)
{
	int64_t length;
	uint32_t i;
	enum rc rc;

	if (index < 0) {
		if ((rc = array_length(eval, array, &length)) != RC_OK)
			return (rc);
		if ((index += length) < 0)
			return (RC_OK);
	}
	i = body_json_child(eval->doc, array);
	for (; i != 0 && index > 0; index--) {
		if ((rc = jsonpath_charge(eval, 1)) != RC_OK)
			return (rc);
		i = body_json_sibling(eval->doc, i);
	}
	return (i == 0 ? RC_OK : visit(arg, i));
}

static int64_t
clamp(int64_t value, int64_t low, int64_t high)
{
	return (value < low ? low : value > high ? high : value);
}

/* RFC 9535 2.3.4.2.2.  The elements are those from first on in strides, before
 * (above, for a negative step) stop. */
static void
slice_bounds(const struct jsonpath_slice *s, int64_t length, int64_t *first,
    int64_t *stop)
{
	int64_t from = s->start, to = s->stop;

	if (s->has_start && from < 0)
		from += length;
	if (s->has_stop && to < 0)
		to += length;
	if (s->step >= 0) {
		*first = s->has_start ? clamp(from, 0, length) : 0;
		*stop = s->has_stop ? clamp(to, 0, length) : length;
	} else {
		*first = s->has_start ? clamp(from, -1, length - 1) :
		    length - 1;
		*stop = s->has_stop ? clamp(to, -1, length - 1) : -1;
	}
}

static enum rc
select_forward(struct jsonpath_eval *eval, uint32_t array, int64_t first,
    int64_t stop, int64_t step, jsonpath_visit_cb *visit, void *arg)
{
	uint32_t i = body_json_child(eval->doc, array);
	enum rc rc;

	for (int64_t k = 0; i != 0 && k < stop; k++,
	    i = body_json_sibling(eval->doc, i)) {
		if ((rc = jsonpath_charge(eval, 1)) != RC_OK)
			return (rc);
		if (k >= first && (k - first) % step == 0 &&
		    (rc = visit(arg, i)) != RC_OK)
			return (rc);
	}
	return (RC_OK);
}

/* Elements are linked forward only: collect, then visit from behind. */
static enum rc
select_backward(struct jsonpath_eval *eval, uint32_t array, int64_t first,
    int64_t stop, int64_t step, jsonpath_visit_cb *visit, void *arg)
{
	uint32_t i = body_json_child(eval->doc, array), *found;
	size_t n = 0;
	enum rc rc;

	if (first <= stop)
		return (RC_OK);
	found = calloc((size_t)((first - stop - 1) / -step) + 1,
	    sizeof(*found));
	if (found == NULL)
		return (RC_NOMEM);
	rc = jsonpath_charge(eval, (uint64_t)first + 1);
	for (int64_t k = 0; rc == RC_OK && k <= first; k++,
	    i = body_json_sibling(eval->doc, i))
		if (k > stop && (first - k) % -step == 0)
			found[n++] = i;
	while (rc == RC_OK && n > 0)
		rc = visit(arg, found[--n]);
	free(found);
	return (rc);
}

static enum rc
select_slice(struct jsonpath_eval *eval, const struct jsonpath_slice *s,
    uint32_t array, jsonpath_visit_cb *visit, void *arg)
{
	int64_t length = INT64_MAX, first, stop;
	enum rc rc;

	if (s->step == 0)
		return (RC_OK);
	/* Counting from the start needs no length. */
	if ((s->step < 0 || (s->has_start && s->start < 0) ||
	    (s->has_stop && s->stop < 0)) &&
	    (rc = array_length(eval, array, &length)) != RC_OK)
		return (rc);
	slice_bounds(s, length, &first, &stop);
	return ((s->step > 0 ? select_forward : select_backward)(eval, array,
	    first, stop, s->step, visit, arg));
}

/* ---- selectors ------------------------------------------------------------ */

/* Names, wildcards and filters look at one child after the other. */
static enum rc
chosen(struct jsonpath_eval *eval, const struct jsonpath_selector *s,
    uint32_t child, bool *out)
{
	*out = true;
	if (s->kind == JSONPATH_FILTER)
		return (holds(eval, s->filter, child, out));
	if (s->kind == JSONPATH_NAME)
		*out = body_json_key_is(eval->doc, child, s->name);
	return (RC_OK);
}

static enum rc
select_each(struct jsonpath_eval *eval, const struct jsonpath_selector *s,
    uint32_t node, jsonpath_visit_cb *visit, void *arg)
{
	bool yes;
	uint32_t i;
	enum rc rc;

	for (i = body_json_child(eval->doc, node); i != 0;
	    i = body_json_sibling(eval->doc, i)) {
		if ((rc = jsonpath_charge(eval, 1)) != RC_OK ||
		    (rc = chosen(eval, s, i, &yes)) != RC_OK)
			return (rc);
		if (yes && (rc = visit(arg, i)) != RC_OK)
			return (rc);
	}
	return (RC_OK);
}

enum rc
jsonpath_children(struct jsonpath_eval *eval, const struct jsonpath_selector *s,
    uint32_t node, jsonpath_visit_cb *visit, void *arg)
{
	bool array = eval->doc->nodes[node].type == BODY_JSON_ARRAY;

	switch (s->kind) {
	case JSONPATH_NAME:
		return (array ? RC_OK : select_each(eval, s, node, visit, arg));
	case JSONPATH_WILDCARD:
	case JSONPATH_FILTER:
		return (select_each(eval, s, node, visit, arg));
	case JSONPATH_INDEX:
		return (array ? select_index(eval, s->index, node, visit, arg) :
		    RC_OK);
	case JSONPATH_SLICE:
		return (array ? select_slice(eval, &s->slice, node, visit,
		    arg) : RC_OK);
	}
	return (RC_OK);
}

/* ---- queries of filters --------------------------------------------------- */

struct query_walk {
	struct jsonpath_eval		*eval;
	const struct jsonpath_step	*steps;
	size_t				n_steps;
	uint64_t			most;
	uint64_t			n;	/* nodes found */
	uint32_t			first;
};

struct query_level {
	struct query_walk	*walk;
	size_t			step;	/* the next one */
};

/* A node that `step` segments have led to.  RC_EOF: enough was found. */
static enum rc
on_query_node(void *arg, uint32_t node)
{
	const struct query_level *level = arg;
	struct query_walk *walk = level->walk;
	struct jsonpath_eval *eval = walk->eval;
	struct query_level next = { walk, level->step + 1 };
	const struct jsonpath_step *step;
	uint32_t end;
	enum rc rc;

	if (level->step == walk->n_steps) {
		if (walk->n++ == 0)
			walk->first = node;
		return (walk->n == walk->most ? RC_EOF : RC_OK);
	}
	step = &walk->steps[level->step];
	end = step->descendant ? eval->doc->nodes[node].next : node + 1;
	for (; node < end; node++) {
		if ((rc = jsonpath_charge(eval, step->n)) != RC_OK)
			return (rc);
		for (size_t i = 0; i < step->n; i++) {
			rc = jsonpath_children(eval,
			    &eval->path->selectors[step->first + i], node,
			    on_query_node, &next);
			if (rc != RC_OK)
				return (rc);
		}
	}
	return (RC_OK);
}

enum rc
jsonpath_query_nodes(struct jsonpath_eval *eval, uint16_t expr,
    uint32_t current, uint64_t most, uint64_t *n, uint32_t *first)
{
	const struct jsonpath_query *query = &eval->path->exprs[expr].query;
	struct jsonpath_memo *memo = &eval->memo[expr];
	struct query_walk walk = {
		.eval = eval,
		.steps = eval->path->pool + query->first,
		.n_steps = query->n,
		.most = most,
	};
	struct query_level root = { &walk, 0 };
	enum rc rc;

	/* What begins at $ is the same for every node that is tested. */
	if (!query->absolute || !memo->known ||
	    (!memo->whole && memo->n < most)) {
		rc = on_query_node(&root, query->absolute ? 0 : current);
		if (rc != RC_OK && rc != RC_EOF)
			return (rc);
		memo->known = true;
		memo->whole = rc == RC_OK;
		memo->first = walk.first;
		memo->n = walk.n;
	}
	*n = memo->n < most ? memo->n : most;
	*first = memo->first;
	return (RC_OK);
}

/* ---- logical expressions -------------------------------------------------- */

static bool
relation_is(enum jsonpath_relation relation, enum jsonpath_expr_kind wanted)
{
	switch (wanted) {
	case JSONPATH_EQ:
		return (relation == JSONPATH_EQUAL);
	case JSONPATH_NE:
		return (relation != JSONPATH_EQUAL);
	case JSONPATH_LT:
		return (relation == JSONPATH_LESS);
	case JSONPATH_LE:
		return (relation == JSONPATH_LESS ||
		    relation == JSONPATH_EQUAL);
	case JSONPATH_GT:
		return (relation == JSONPATH_GREATER);
	case JSONPATH_GE:
		return (relation == JSONPATH_GREATER ||
		    relation == JSONPATH_EQUAL);
	default:
		ensure(false);		/* not a comparison */
		return (false);
	}
}

static enum rc
compare(struct jsonpath_eval *eval, const struct jsonpath_expr *expr,
    uint32_t current, bool *out)
{
	struct jsonpath_value left, right;
	enum jsonpath_relation relation;
	enum rc rc;

	if ((rc = jsonpath_value(eval, expr->left, current, &left)) != RC_OK ||
	    (rc = jsonpath_value(eval, expr->right, current, &right)) != RC_OK ||
	    (rc = jsonpath_compare(eval, &left, &right, &relation)) != RC_OK)
		return (rc);
	*out = relation_is(relation, expr->kind);
	return (RC_OK);
}

static enum rc
exists(struct jsonpath_eval *eval, uint16_t expr, uint32_t current, bool *out)
{
	uint32_t first;
	uint64_t n;
	enum rc rc;

	rc = jsonpath_query_nodes(eval, expr, current, 1, &n, &first);
	if (rc == RC_OK)
		*out = n != 0;
	return (rc);
}

/* Does the expression hold for the current node?  It nests no deeper than the
 * path has bytes. */
static enum rc
holds(struct jsonpath_eval *eval, uint16_t expr, uint32_t current, bool *out)
{
	const struct jsonpath_expr *e = &eval->path->exprs[expr];
	enum rc rc;

	if ((rc = jsonpath_charge(eval, 1)) != RC_OK)
		return (rc);
	switch (e->kind) {
	case JSONPATH_OR:
	case JSONPATH_AND:
		rc = holds(eval, e->left, current, out);
		if (rc != RC_OK || *out == (e->kind == JSONPATH_OR))
			return (rc);
		return (holds(eval, e->right, current, out));
	case JSONPATH_NOT:
		rc = holds(eval, e->left, current, out);
		*out = !*out;
		return (rc);
	case JSONPATH_EQ:
	case JSONPATH_NE:
	case JSONPATH_LT:
	case JSONPATH_LE:
	case JSONPATH_GT:
	case JSONPATH_GE:
		return (compare(eval, e, current, out));
	case JSONPATH_MATCH:
	case JSONPATH_SEARCH:
		return (jsonpath_matches(eval, expr, current, out));
	case JSONPATH_QUERY:
		return (exists(eval, expr, current, out));
	case JSONPATH_LITERAL:
	case JSONPATH_LENGTH:
	case JSONPATH_COUNT:
	case JSONPATH_VALUE:
		break;
	}
	ensure(false);			/* not a logical expression */
	return (RC_OK);
}
