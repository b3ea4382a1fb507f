/*
 * body/jsonpath.c - compiled paths and what they select.
 *
 * jsonpath_parse.c and jsonpath_filter.c read the text; here the result is
 * kept and evaluated as RFC 9535 says, with its order and its duplicates, for
 * tools that show a nodelist.  The data path wants neither: jsonpath_mark.c
 * evaluates the same steps on sets.  Both ask jsonpath_eval.c what a selector
 * chooses among a node's children, which asks jsonpath_function.c and
 * jsonpath_compare.c.  The index lists nodes in document order, so a node's
 * descendants are the range up to its `next`.
 */
#include "lib/body/jsonpath.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/iregexp.h"
#include "lib/body/jsonpath_eval.h"
#include "lib/body/jsonpath_private.h"

/* ---- compile ------------------------------------------------------------- */

static enum rc
parse(struct jsonpath_parser *p)
{
	struct body_jsonpath *path = p->path;
	struct jsonpath_query query;
	bool singular;
	enum rc rc;

	if (p->text.len > BODY_JSONPATH_BYTES_MAX)
		return (jsonpath_fail(p, RC_LIMIT, "the path is too long"));
	if (!utf8_valid(p->text.p, p->text.len))
		return (jsonpath_fail(p, RC_SYNTAX, "not UTF-8"));
	if (!jsonpath_take(p, '$'))
		return (jsonpath_fail(p, RC_SYNTAX, "it does not begin with $"));
	if ((rc = jsonpath_segments(p, &query, &singular)) != RC_OK)
		return (rc);
	if (p->pos != p->text.len)
		return (jsonpath_fail(p, RC_SYNTAX, "unexpected character"));
	path->steps = path->pool + query.first;
	path->n_steps = query.n;
	return (RC_OK);
}

/* Room is for the longest lists; a path lives long. */
static void
shrink(struct body_jsonpath *path)
{
	size_t first = (size_t)(path->steps - path->pool);

	path->selectors = xrealloc(path->selectors,
	    (path->n_selectors + 1) * sizeof(*path->selectors));
	path->pool = xrealloc(path->pool,
	    (path->n_pool + 1) * sizeof(*path->pool));
	path->exprs = xrealloc(path->exprs,
	    (path->n_exprs + 1) * sizeof(*path->exprs));
	path->steps = path->pool + first;
}

enum rc
body_jsonpath_compile(struct span text, struct body_jsonpath **out,
    struct body_jsonpath_fault *fault)
{
	struct jsonpath_parser p = { .text = text };
	struct body_jsonpath *path = xcalloc(1, sizeof(*path));
	size_t room = text.len < BODY_JSONPATH_BYTES_MAX ? text.len + 1 :
	    BODY_JSONPATH_BYTES_MAX;
	enum rc rc;

	*out = NULL;
	path->magic = BODY_JSONPATH_MAGIC;
	path->selectors = xcalloc(room, sizeof(*path->selectors));
	path->pool = xcalloc(room, sizeof(*path->pool));
	path->exprs = xcalloc(room, sizeof(*path->exprs));
	path->names = xcalloc(room, 1);
	p.path = path;
	p.selectors = xcalloc(room, sizeof(*p.selectors));
	p.steps = xcalloc(room, sizeof(*p.steps));
	rc = parse(&p);
	if (rc == RC_OK) {
		shrink(path);
		*out = path;
		path = NULL;
	} else if (fault != NULL) {
		*fault = p.fault;
	}
	free(p.selectors);
	free(p.steps);
	body_jsonpath_free(&path);
	return (rc);
}

const struct body_jsonpath_fault *
body_jsonpath_doubt(const struct body_jsonpath *path)
{
	obj_check(path, BODY_JSONPATH_MAGIC);
	return (path->doubt.reason == NULL ? NULL : &path->doubt);
}

void
body_jsonpath_free(struct body_jsonpath **path)
{
	if (*path == NULL)
		return;
	obj_check(*path, BODY_JSONPATH_MAGIC);
	for (size_t i = 0; i < (*path)->n_exprs; i++)
		iregexp_free(&(*path)->exprs[i].pattern);
	free((*path)->selectors);
	free((*path)->pool);
	free((*path)->exprs);
	free((*path)->names);
	free(*path);
	*path = NULL;
}

/* ---- lists of nodes ------------------------------------------------------ */

void
body_nodelist_fini(struct body_nodelist *list)
{
	free(list->nodes);
	memset(list, 0, sizeof(*list));
}

static enum rc
append(struct body_nodelist *list, uint32_t node, size_t max)
{
	uint32_t *nodes;
	size_t cap;

	if (list->n >= max)
		return (RC_LIMIT);
	if (list->n == list->cap) {
		cap = list->cap == 0 ? 16 : list->cap * 2;
		nodes = realloc(list->nodes, cap * sizeof(*nodes));
		if (nodes == NULL)
			return (RC_NOMEM);
		list->nodes = nodes;
		list->cap = cap;
	}
	list->nodes[list->n++] = node;
	return (RC_OK);
}

/* ---- select -------------------------------------------------------------- */

struct listing {
	struct jsonpath_eval	eval;
	struct body_nodelist	*to;
	size_t			max;
};

static enum rc
on_selected(void *arg, uint32_t node)
{
	struct listing *l = arg;

	return (append(l->to, node, l->max));
}

/* One segment on one node: itself or, `..`, also all below it. */
static enum rc
apply_step(struct listing *l, const struct jsonpath_step *step, uint32_t node)
{
	uint32_t end = step->descendant ? l->eval.doc->nodes[node].next :
	    node + 1;
	enum rc rc;

	for (; node < end; node++)
		for (size_t i = 0; i < step->n; i++) {
			rc = jsonpath_children(&l->eval,
			    &l->eval.path->selectors[step->first + i], node,
			    on_selected, l);
			if (rc != RC_OK)
				return (rc);
		}
	return (RC_OK);
}

enum rc
body_jsonpath_select(const struct body_jsonpath *path,
    const struct body_json *doc, size_t max, struct body_nodelist *out)
{
	struct body_nodelist from = { 0 }, to = { 0 };
	struct listing l = { .to = &to, .max = max };
	enum rc rc;

	obj_check(path, BODY_JSONPATH_MAGIC);
	ensure(doc->n != 0);
	jsonpath_eval_init(&l.eval, path, doc, JSONPATH_SELECT_WORK);
	rc = append(&from, 0, max);
	for (size_t s = 0; rc == RC_OK && s < path->n_steps; s++) {
		for (size_t i = 0; rc == RC_OK && i < from.n; i++)
			rc = apply_step(&l, &path->steps[s], from.nodes[i]);
		body_nodelist_fini(&from);
		from = to;
		memset(&to, 0, sizeof(to));
	}
	for (size_t i = 0; rc == RC_OK && i < from.n; i++)
		rc = append(out, from.nodes[i], max);
	body_nodelist_fini(&from);
	jsonpath_eval_fini(&l.eval);
	return (rc);
}

/* ---- normalized paths ---------------------------------------------------- */

/* RFC 9535 2.7: single quotes, the shortest escapes, lower-case hex. */
static enum rc
append_name(struct span name, struct buffer *out)
{
	static const char raw[] = "\b\t\n\f\r'\\", letters[] = "btnfr'\\";
	char escape[8];
	size_t len;
	enum rc rc;

	if ((rc = buffer_append(out, "['", 2)) != RC_OK)
		return (rc);
	for (size_t i = 0; i < name.len; i++) {
		const char *at = name.p[i] == '\0' ? NULL :
		    strchr(raw, name.p[i]);

		len = 1;
		escape[0] = name.p[i];
		if (at != NULL) {
			escape[0] = '\\';
			escape[1] = letters[at - raw];
			len = 2;
		} else if ((unsigned char)name.p[i] < 0x20) {
			(void)snprintf(escape, sizeof(escape), "\\u%04x",
			    (unsigned)name.p[i]);
			len = 6;
		}
		if ((rc = buffer_append(out, escape, len)) != RC_OK)
			return (rc);
	}
	return (buffer_append(out, "']", 2));
}

static enum rc
append_member(const struct body_json *doc, uint32_t node, struct buffer *out)
{
	struct buffer name;
	enum rc rc;

	buffer_init(&name, 0, out->sensitive);
	rc = body_json_unescape(body_json_raw_key(doc, node), &name);
	if (rc == RC_OK)
		rc = append_name((struct span){ buffer_cstr(&name),
		    buffer_len(&name) }, out);
	buffer_fini(&name);
	return (rc);
}

static enum rc
append_element(const struct body_json *doc, uint32_t node, struct buffer *out)
{
	uint32_t i = body_json_child(doc, doc->nodes[node].parent), index = 0;
	char text[16];
	int len;

	for (; i != node; i = body_json_sibling(doc, i))
		index++;
	len = snprintf(text, sizeof(text), "[%" PRIu32 "]", index);
	return (buffer_append(out, text, (size_t)len));
}

enum rc
body_jsonpath_normalized(const struct body_json *doc, uint32_t node,
    struct buffer *out)
{
	uint32_t chain[BODY_JSON_DEPTH_MAX + 1];
	size_t n = 0;
	enum rc rc;

	ensure(node < doc->n);
	for (; node != 0; node = doc->nodes[node].parent) {
		ensure(n < sizeof(chain) / sizeof(chain[0]));
		chain[n++] = node;
	}
	rc = buffer_append(out, "$", 1);
	while (rc == RC_OK && n > 0) {
		node = chain[--n];
		rc = doc->nodes[node].has_key ? append_member(doc, node, out) :
		    append_element(doc, node, out);
	}
	return (rc);
}
