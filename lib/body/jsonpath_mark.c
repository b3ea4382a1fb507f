/*
 * body/jsonpath_mark.c - a path evaluated on sets of nodes, for the data path.
 *
 * A nodelist with RFC 9535's duplicates can grow with the power of the number
 * of descendant segments, and the document is foreign.  What gets encrypted
 * is a set, so each segment maps one set of nodes to the next: every node is
 * looked at once per segment.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/jsonpath_private.h"

static size_t
words_of(uint32_t n)
{
	return ((size_t)n / 64 + 1);
}

enum rc
jsonpath_set_init(struct jsonpath_set *set, uint32_t n)
{
	set->n = n;
	set->words = calloc(words_of(n), sizeof(*set->words));
	return (set->words == NULL ? RC_NOMEM : RC_OK);
}

void
jsonpath_set_fini(struct jsonpath_set *set)
{
	free(set->words);
	memset(set, 0, sizeof(*set));
}

uint32_t
jsonpath_set_next(const struct jsonpath_set *set, uint32_t from)
{
	size_t word = from / 64;
	uint64_t bits;

	if (from >= set->n)
		return (set->n);
	bits = set->words[word] & UINT64_MAX << (from % 64);
	while (bits == 0) {
		if (++word == words_of(set->n))
			return (set->n);
		bits = set->words[word];
	}
	return ((uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits));
}

/* Each member of the set brings its whole subtree. */
static void
spread(const struct body_json *doc, struct jsonpath_set *set)
{
	uint32_t i, end;

	for (i = jsonpath_set_next(set, 0); i < doc->n;
	    i = jsonpath_set_next(set, end))
		for (end = doc->nodes[i].next; i < end; i++)
			jsonpath_set_add(set, i);
}

static void
mark_children(const struct jsonpath_selector *s, const struct body_json *doc,
    uint32_t node, struct jsonpath_set *out)
{
	uint32_t i;

	if (s->kind == JSONPATH_INDEX) {
		if ((i = jsonpath_element(doc, node, s->index)) != 0)
			jsonpath_set_add(out, i);
		return;
	}
	for (i = body_json_child(doc, node); i != 0;
	    i = body_json_sibling(doc, i))
		if (s->kind == JSONPATH_WILDCARD ||
		    body_json_key_is(doc, i, s->name))
			jsonpath_set_add(out, i);
}

enum rc
jsonpath_mark(const struct body_jsonpath *path, const struct body_json *doc,
    struct jsonpath_set *out)
{
	struct jsonpath_set next = { 0 };
	uint64_t *words;
	enum rc rc;

	obj_check(path, BODY_JSONPATH_MAGIC);
	ensure(out->n == doc->n && doc->n != 0);
	if ((rc = jsonpath_set_init(&next, doc->n)) != RC_OK)
		return (rc);
	memset(out->words, 0, words_of(out->n) * sizeof(*out->words));
	jsonpath_set_add(out, 0);
	for (size_t s = 0; s < path->n_steps; s++) {
		const struct jsonpath_step *step = &path->steps[s];

		if (step->descendant)
			spread(doc, out);
		for (uint32_t i = jsonpath_set_next(out, 0); i < doc->n;
		    i = jsonpath_set_next(out, i + 1))
			for (size_t k = 0; k < step->n; k++)
				mark_children(&path->selectors[step->first + k],
				    doc, i, &next);
		words = out->words;
		out->words = next.words;
		next.words = words;
		memset(words, 0, words_of(out->n) * sizeof(*words));
	}
	jsonpath_set_fini(&next);
	return (RC_OK);
}
