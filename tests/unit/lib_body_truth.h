/*
 * lib_body_truth.h - a walk in pieces beside body_json_read and
 * body_slots_select on the whole document; for the tests of the walk.
 * Context:   tests; a difference fails the test.
 */
#ifndef LIB_BODY_TRUTH_H
#define LIB_BODY_TRUTH_H

#include "lib/body/json_walk.h"

#define PATHS_MAX	40

struct paths {
	struct body_jsonpath	*v[PATHS_MAX];	/* owned */
	size_t			n;
};
void paths_add(struct paths *, const char *text);
void paths_fini(struct paths *);
/* For body_json_walk_new and body_slots_select. */
const struct body_jsonpath *const *paths_borrow(const struct paths *);

/* What the whole document says. */
struct truth {
	struct span		text;		/* view */
	const struct paths	*paths;		/* borrowed */
	enum rc			rc;
	struct body_slots	slots;		/* owned */
};
void truth_init(struct truth *, struct span text, const struct paths *);
void truth_fini(struct truth *);

/* A walk that is shown nothing but what it may ask for, in memory of its own
 * that is gone afterwards, so that the sanitizer sees every stray read. */
struct shown {
	const struct truth	*truth;		/* borrowed */
	struct body_json_walk	*walk;		/* owned */
	struct body_slots	slots;		/* owned */
	size_t			settled;
};
void shown_init(struct shown *, const struct truth *);
/* The document up to `end`. */
enum rc shown_feed(struct shown *, size_t end, bool final) must_check;
/* The last piece, if rc says that there is one; then both ways must have said
 * the same.  Also the fini. */
void shown_end(struct shown *, enum rc rc);

/* In pieces that end at these offsets, at each `step`, at random ones. */
void check_cuts(const struct truth *, const size_t *cuts, size_t n);
void check_steps(const struct truth *, size_t step);
void check_random_cuts(const struct truth *, uint64_t *random, size_t longest);
/* In one piece, where even the kind of refusal is the same. */
void check_whole(const struct truth *);
/* All of it: short documents at every split, long ones at random ones. */
void check_document(struct span text, const struct paths *);

/* A number below n; *state is not 0. */
size_t chance_below(uint64_t *state, size_t n);

#endif
