/*
 * body/jsonpath_mark.c - a path evaluated on sets of nodes, for the data path.
 *
 * A nodelist with RFC 9535's duplicates can grow with the power of the number
 * of descendant segments, and the document is foreign.  What gets encrypted
 * is a set, so each segment maps one set of nodes to the next: every node is
 * looked at once per selector.  What filters read beyond that has a budget.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/jsonpath_eval.h"
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

static enum rc
on_marked(void *arg, uint32_t node)
{
	jsonpath_set_add(arg, node);
	return (RC_OK);
}

/* Each member of `from` with each selector of one segment. */
static enum rc
mark_step(struct jsonpath_eval *eval, const struct jsonpath_step *step,
    const struct jsonpath_set *from, struct jsonpath_set *to)
{
	enum rc rc;

	for (uint32_t i = jsonpath_set_next(from, 0); i < from->n;
	    i = jsonpath_set_next(from, i + 1))
		for (size_t k = 0; k < step->n; k++) {
			rc = jsonpath_children(eval,
			    &eval->path->selectors[step->first + k], i,
			    on_marked, to);
			if (rc != RC_OK)
				return (rc);
		}
	return (RC_OK);
}

enum rc
jsonpath_mark(const struct body_jsonpath *path, const struct body_json *doc,
    struct jsonpath_set *out)
{
	struct jsonpath_set next = { 0 };
	struct jsonpath_eval eval;
	uint64_t *words;
	enum rc rc;

	obj_check(path, BODY_JSONPATH_MAGIC);
	ensure(out->n == doc->n && doc->n != 0);
	if ((rc = jsonpath_set_init(&next, doc->n)) != RC_OK)
		return (rc);
	jsonpath_eval_init(&eval, path, doc, JSONPATH_MARK_WORK);
	memset(out->words, 0, words_of(out->n) * sizeof(*out->words));
	jsonpath_set_add(out, 0);
	for (size_t s = 0; rc == RC_OK && s < path->n_steps; s++) {
		if (path->steps[s].descendant)
			spread(doc, out);
		rc = mark_step(&eval, &path->steps[s], out, &next);
		words = out->words;
		out->words = next.words;
		next.words = words;
		memset(words, 0, words_of(out->n) * sizeof(*words));
	}
	jsonpath_eval_fini(&eval);
	jsonpath_set_fini(&next);
	return (rc);
}
