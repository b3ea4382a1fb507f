/*
 * A byte of path choice, a plan of cuts (its length, then the length of each
 * piece), a document.  The walk in pieces must say what the index says of the
 * whole, seeing no byte that it may not ask for.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define PATHS_MAX	3

static const char *const choices[][PATHS_MAX] = {
	{ "$", NULL, NULL },
	{ "$.a", "$.b", "$['']" },
	{ "$..a", "$[*]", NULL },
	{ "$[0]", "$[1:]", "$..[::2]" },
	{ "$..*..*", "$..a.b", "$" },
	{ "$.a[1:3]['a','b',0]", "$..[0].a", "$.*" },
	{ "$..a..a", "$..b[*]", "$['\\u00e9']" },
	{ NULL, NULL, NULL },
};

#define CHOICES	(sizeof(choices) / sizeof(choices[0]))

struct paths {
	const struct body_jsonpath	*v[PATHS_MAX];	/* live as we do */
	size_t				n;
	bool				ready;
};

static const struct paths *
paths_of(uint8_t choice)
{
	static struct paths all[CHOICES];
	struct paths *paths = &all[choice % CHOICES];
	struct body_jsonpath *path;

	for (size_t i = 0; !paths->ready && i < PATHS_MAX; i++) {
		const char *text = choices[choice % CHOICES][i];

		if (text == NULL)
			continue;
		ensure(body_jsonpath_compile(span_of(text), &path, NULL) ==
		    RC_OK);
		paths->v[paths->n++] = path;
	}
	paths->ready = true;
	return (paths);
}

static void
compare(const struct body_slots *a, const struct body_slots *b)
{
	ensure(a->n == b->n);
	for (size_t i = 0; i < a->n; i++) {
		ensure(a->v[i].start == b->v[i].start);
		ensure(a->v[i].end == b->v[i].end);
		ensure(a->v[i].type == b->v[i].type);
		ensure(a->v[i].escaped == b->v[i].escaped);
		ensure(a->v[i].empty == b->v[i].empty);
		ensure(a->v[i].selection == b->v[i].selection);
	}
}

/* One piece, in memory of its own. */
static enum rc
feed(struct body_json_walk *walk, struct span doc, size_t end, bool final,
    struct body_slots *slots, size_t *settled)
{
	size_t base = *settled, n = slots->n;
	char *copy = malloc(end == base ? 1 : end - base);
	enum rc rc;

	ensure(copy != NULL);
	memcpy(copy, doc.p + base, end - base);
	rc = body_json_walk_feed(walk, (struct span){ copy, end - base }, base,
	    final, slots, settled, NULL);
	free(copy);
	ensure(*settled >= base && *settled <= end);
	for (; n < slots->n; n++)
		ensure(slots->v[n].start >= base &&
		    slots->v[n].end <= *settled);
	return (rc);
}

static enum rc
walk_in_pieces(const struct paths *paths, struct span cuts, struct span doc,
    struct body_slots *slots)
{
	struct body_json_walk *walk = body_json_walk_new(paths->v, paths->n,
	    SIZE_MAX);
	size_t settled = 0, end = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < cuts.len && rc == RC_OK; i++) {
		size_t piece = (unsigned char)cuts.p[i];

		end = piece < doc.len - end ? end + piece : doc.len;
		rc = feed(walk, doc, end, false, slots, &settled);
	}
	if (rc == RC_OK)
		rc = feed(walk, doc, doc.len, true, slots, &settled);
	body_json_walk_free(&walk);
	return (rc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct body_slots whole = { 0 }, pieces = { 0 };
	const struct paths *paths;
	struct span cuts, text;
	struct body_json doc;
	enum rc rc;

	if (len < 2)
		return (0);
	paths = paths_of(data[0]);
	cuts = (struct span){ (const char *)data + 2, data[1] };
	if (cuts.len > len - 2)
		cuts.len = len - 2;
	text = (struct span){ cuts.p + cuts.len, len - 2 - cuts.len };
	rc = body_json_read(&doc, text.p, text.len, 0, NULL);
	if (rc == RC_OK)
		ensure(body_slots_select(&doc, paths->v, paths->n, SIZE_MAX,
		    &whole) == RC_OK);
	ensure((walk_in_pieces(paths, cuts, text, &pieces) == RC_OK) ==
	    (rc == RC_OK));
	if (rc == RC_OK)
		compare(&pieces, &whole);
	body_slots_fini(&whole);
	body_slots_fini(&pieces);
	body_json_fini(&doc);
	return (0);
}
