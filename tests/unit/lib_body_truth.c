/* lib_body_truth.c - what the whole document says, and what the walk says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib_body_truth.h"

void
paths_add(struct paths *paths, const char *text)
{
	assert_true(paths->n < PATHS_MAX);
	if (body_jsonpath_compile(span_of(text), &paths->v[paths->n],
	    NULL) != RC_OK)
		fail_msg("no path: %s", text);
	assert_true(body_jsonpath_streams(paths->v[paths->n]));
	paths->n++;
}

void
paths_fini(struct paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		body_jsonpath_free(&paths->v[i]);
	paths->n = 0;
}

const struct body_jsonpath *const *
paths_borrow(const struct paths *paths)
{
	return ((const struct body_jsonpath *const *)paths->v);
}

void
truth_init(struct truth *t, struct span text, const struct paths *paths)
{
	struct body_json doc;

	memset(t, 0, sizeof(*t));
	t->text = text;
	t->paths = paths;
	t->rc = body_json_read(&doc, text.p, text.len, 0, NULL);
	if (t->rc == RC_OK)
		assert_int_equal(body_slots_select(&doc, paths_borrow(paths),
		    paths->n, SIZE_MAX, &t->slots), RC_OK);
	body_json_fini(&doc);
}

void
truth_fini(struct truth *t)
{
	body_slots_fini(&t->slots);
}

static void
assert_same_slots(const struct truth *t, const struct body_slots *got)
{
	if (got->n != t->slots.n)
		fail_msg("%zu slots, not %zu: %.*s", got->n, t->slots.n,
		    (int)(t->text.len < 200 ? t->text.len : 200), t->text.p);
	for (size_t i = 0; i < got->n; i++) {
		const struct body_slot *a = &got->v[i], *b = &t->slots.v[i];

		assert_int_equal(a->start, b->start);
		assert_int_equal(a->end, b->end);
		assert_int_equal(a->type, b->type);
		assert_int_equal(a->escaped, b->escaped);
		assert_int_equal(a->empty, b->empty);
		assert_int_equal(a->bare, b->bare);
		assert_int_equal(a->selection, b->selection);
	}
}

void
shown_init(struct shown *s, const struct truth *t)
{
	memset(s, 0, sizeof(*s));
	s->truth = t;
	s->walk = body_json_walk_new(paths_borrow(t->paths), t->paths->n,
	    SIZE_MAX);
}

enum rc
shown_feed(struct shown *s, size_t end, bool final)
{
	size_t len = end - s->settled, base = s->settled, n = s->slots.n;
	char *copy = malloc(len == 0 ? 1 : len);
	struct body_json_fault fault;
	enum rc rc;

	assert_non_null(copy);
	memcpy(copy, s->truth->text.p + base, len);
	rc = body_json_walk_feed(s->walk, (struct span){ copy, len }, base,
	    final, &s->slots, &s->settled, &fault);
	free(copy);
	assert_true(s->settled >= base && s->settled <= end);
	for (; n < s->slots.n; n++) {
		assert_true(s->slots.v[n].start >= base);
		assert_true(s->slots.v[n].end <= s->settled);
	}
	assert_int_equal(rc == RC_OK, fault.reason[0] == '\0');
	assert_true(fault.offset <= end && !fault.too_many);
	return (rc);
}

void
shown_end(struct shown *s, enum rc rc)
{
	const struct truth *t = s->truth;

	if (rc == RC_OK)
		rc = shown_feed(s, t->text.len, true);
	if ((rc == RC_OK) != (t->rc == RC_OK))
		fail_msg("%s, not %s: %.*s", rc_name(rc), rc_name(t->rc),
		    (int)(t->text.len < 200 ? t->text.len : 200), t->text.p);
	if (rc == RC_OK) {
		assert_int_equal(s->settled, t->text.len);
		assert_same_slots(t, &s->slots);
	}
	body_json_walk_free(&s->walk);
	assert_null(s->walk);
	body_slots_fini(&s->slots);
}

void
check_cuts(const struct truth *t, const size_t *cuts, size_t n)
{
	enum rc rc = RC_OK;
	struct shown s;

	shown_init(&s, t);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = shown_feed(&s, cuts[i], false);
	shown_end(&s, rc);
}

void
check_steps(const struct truth *t, size_t step)
{
	enum rc rc = RC_OK;
	struct shown s;

	shown_init(&s, t);
	for (size_t end = step; end <= t->text.len && rc == RC_OK; end += step)
		rc = shown_feed(&s, end, false);
	shown_end(&s, rc);
}

void
check_whole(const struct truth *t)
{
	struct shown s;
	enum rc rc;

	shown_init(&s, t);
	rc = shown_feed(&s, t->text.len, true);
	assert_int_equal(rc, t->rc);
	if (rc == RC_OK)
		assert_same_slots(t, &s.slots);
	body_json_walk_free(&s.walk);
	body_slots_fini(&s.slots);
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 24);
}

size_t
chance_below(uint64_t *state, size_t n)
{
	return ((size_t)(next_random(state) % n));
}

#define CUTS_MAX	64

void
check_random_cuts(const struct truth *t, uint64_t *random, size_t longest)
{
	size_t cuts[CUTS_MAX], n = 0, at = 0;

	while (n < CUTS_MAX && at < t->text.len) {
		at += chance_below(random, longest + 1);
		if (at <= t->text.len)
			cuts[n++] = at;
	}
	check_cuts(t, cuts, n);
}

void
check_document(struct span text, const struct paths *paths)
{
	uint64_t random = 0x9e3779b97f4a7c15u;
	struct truth t;

	truth_init(&t, text, paths);
	check_whole(&t);
	if (text.len <= 2000) {
		check_steps(&t, 1);
		check_steps(&t, 3);
	}
	if (text.len <= 300)
		for (size_t cut = 0; cut <= text.len; cut++)
			check_cuts(&t, &cut, 1);
	else
		for (size_t i = 0; i < 8; i++)
			check_random_cuts(&t, &random, text.len >> (i % 4 * 2));
	truth_fini(&t);
}
