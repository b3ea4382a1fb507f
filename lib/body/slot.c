/*
 * body/slot.c - selected nodes become places in the body.
 *
 * Per path: the set of selected nodes, walked in document order; a container
 * stands for the scalars below it.  A second set remembers what was taken, so
 * that a value belongs to the first selector that chose it.
 */
#include "lib/body/slot.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/jsonpath_private.h"

struct selection {
	const struct body_json	*doc;
	struct jsonpath_set	taken;
	struct jsonpath_set	chosen;		/* by the current path */
	size_t			max_fields;
	struct body_slots	*out;
	uint16_t		index;		/* of the current path */
};

void
body_slots_fini(struct body_slots *slots)
{
	free(slots->v);
	memset(slots, 0, sizeof(*slots));
}

static enum rc
grow(struct body_slots *slots)
{
	size_t cap = slots->cap == 0 ? 16 : slots->cap * 2;
	struct body_slot *v = realloc(slots->v, cap * sizeof(*v));

	if (v == NULL)
		return (RC_NOMEM);
	slots->v = v;
	slots->cap = cap;
	return (RC_OK);
}

/* null stays; containers stand for what is in them. */
static bool
is_slot(enum body_json_type type)
{
	return (type != BODY_JSON_NULL && type < BODY_JSON_ARRAY);
}

static enum body_value_type
value_type(enum body_json_type type)
{
	ensure(is_slot(type));
	if (type == BODY_JSON_STRING)
		return (BODY_VALUE_STRING);
	return (type == BODY_JSON_NUMBER ? BODY_VALUE_NUMBER :
	    BODY_VALUE_BOOLEAN);
}

enum rc
body_slots_add_json(struct body_slots *slots, enum body_json_type type,
    size_t start, size_t end, bool escaped, uint16_t selection)
{
	enum rc rc;

	if (slots->n == slots->cap && (rc = grow(slots)) != RC_OK)
		return (rc);
	slots->v[slots->n++] = (struct body_slot){
		.start = start,
		.end = end,
		.type = value_type(type),
		.escaped = escaped,
		.empty = type == BODY_JSON_STRING && end - start == 2,
		.selection = selection,
	};
	return (RC_OK);
}

static enum rc
take(struct selection *sel, uint32_t i)
{
	const struct body_json_node *node = &sel->doc->nodes[i];

	if (!is_slot(node->type) || jsonpath_set_has(&sel->taken, i))
		return (RC_OK);
	if (sel->out->n >= sel->max_fields)
		return (RC_LIMIT);
	jsonpath_set_add(&sel->taken, i);
	return (body_slots_add_json(sel->out, node->type, node->start,
	    node->end, node->escaped, sel->index));
}

static enum rc
apply(struct selection *sel, const struct body_jsonpath *path)
{
	uint32_t i, end;
	enum rc rc;

	if ((rc = jsonpath_mark(path, sel->doc, &sel->chosen)) != RC_OK)
		return (rc);
	/* What else is chosen inside a chosen container is taken with it. */
	for (i = jsonpath_set_next(&sel->chosen, 0); i < sel->doc->n;
	    i = jsonpath_set_next(&sel->chosen, end))
		for (end = sel->doc->nodes[i].next; i < end; i++)
			if ((rc = take(sel, i)) != RC_OK)
				return (rc);
	return (RC_OK);
}

static int
by_start(const void *a, const void *b)
{
	const struct body_slot *x = a, *y = b;

	return ((x->start > y->start) - (x->start < y->start));
}

enum rc
body_slots_select(const struct body_json *doc,
    const struct body_jsonpath *const *paths, size_t n_paths,
    size_t max_fields, struct body_slots *out)
{
	struct selection sel = {
		.doc = doc,
		.max_fields = max_fields,
		.out = out,
	};
	enum rc rc;

	memset(out, 0, sizeof(*out));
	ensure(n_paths <= UINT16_MAX);
	if ((rc = jsonpath_set_init(&sel.taken, doc->n)) != RC_OK ||
	    (rc = jsonpath_set_init(&sel.chosen, doc->n)) != RC_OK)
		goto out;
	for (size_t i = 0; i < n_paths; i++) {
		sel.index = (uint16_t)i;
		if ((rc = apply(&sel, paths[i])) != RC_OK)
			goto out;
	}
	if (n_paths > 1 && out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), by_start);
out:
	jsonpath_set_fini(&sel.taken);
	jsonpath_set_fini(&sel.chosen);
	if (rc != RC_OK)
		body_slots_fini(out);
	return (rc);
}
