/*
 * body/json_walk.h - the chosen values of a JSON document while it arrives:
 * no index, memory bounded by depth and by the largest single value.
 * Context:   pure; no I/O.  One owner per walk.
 * Ownership: paths are borrowed and outlive the walk; windows are views the
 *            walk reads during the call only.
 *
 * Only for paths whose verdict on a value follows from the way to it alone
 * (names, wildcards, indexes and slices that count from the start, descendant
 * segments): the bytes still to come cannot change it.  The others need the
 * whole document: body_slots_select.  On every document both say the same.
 */
#ifndef RELAY_BODY_JSON_WALK_H
#define RELAY_BODY_JSON_WALK_H

#include "lib/body/slot.h"

/* The walk can carry this path out. */
bool body_jsonpath_streams(const struct body_jsonpath *);

struct body_json_walk;

/* max_fields: slots in all (RC_LIMIT beyond; SIZE_MAX: no limit). */
struct body_json_walk *body_json_walk_new(
    const struct body_jsonpath *const *paths, size_t n_paths,
    size_t max_fields);
void body_json_walk_free(struct body_json_walk **);

/*
 * Go on with what has come.  The document's bytes from offset `base` on are
 * window.p[0..window.len): at least all from the last *settled on (0 at first),
 * which the caller kept, and perhaps new ones behind (a window that ends before
 * an earlier one brings nothing).  final: it is whole, no call follows.
 *
 * Appends to *slots, with offsets of the document, in document order, each
 * chosen scalar that is complete: exactly the slots of body_slots_select.
 * As there, a chosen text with a lone surrogate is a slot that cannot be
 * unescaped, and a key with one is no name.
 * *settled: no later slot begins before it, and every slot reported so far
 * ends at it or before; bytes before it need not be shown again.  Work is
 * linear in the document however it is cut in pieces (lib/body/json_scan.c
 * says how: yajl scans an unfinished string anew each time).
 *
 * RC_OK; RC_SYNTAX (broken, not UTF-8); RC_LIMIT (depth, max_fields;
 * fault->too_many tells them apart); RC_NOMEM.  After a failure only free is
 * allowed.  fault may be NULL.
 */
enum rc body_json_walk_feed(struct body_json_walk *, struct span window,
    size_t base, bool final, struct body_slots *slots, size_t *settled,
    struct body_json_fault *fault) must_check;

#endif
