/*
 * worker/transform_slots.h - which values of a message an action is about.
 * Context:   the loop's thread; no I/O.
 */
#ifndef RELAY_WORKER_TRANSFORM_SLOTS_H
#define RELAY_WORKER_TRANSFORM_SLOTS_H

#include "conf/relay_json.h"
#include "lib/body/json_walk.h"
#include "lib/body/scan.h"
#include "worker/rewrite.h"

struct slot_rules {
	const struct relay		*relay;
	const struct relay_action	*action;
	size_t				max_fields;	/* of the whole message */
	size_t				n_fields;	/* chosen so far, rounds before */
	uint64_t			n_kept_tokens;	/* passed as existingTokens
							   says, without a call */
};

/*
 * Fill r->slots with the work in r->text, which is complete.
 * RC_OK; RC_SYNTAX: it cannot be read as its selectors need; RC_LIMIT: more
 * fields or more work than a limit allows; RC_NOMEM.
 */
enum rc transform_slots_head(struct slot_rules *, struct rewrite *) must_check;
enum rc transform_slots_whole(struct slot_rules *, struct rewrite *) must_check;

/*
 * The same for a scan, whose call has room for so many.  When that is full,
 * *settled is short of the end.  The head is whole: query and field values as they are asked for.
 */
enum rc transform_slots_scan(struct rewrite *, struct body_scan *, bool whole,
    size_t room, size_t *settled) must_check;
enum rc transform_slots_scan_head(struct slot_rules *, struct rewrite *,
    bool headers, bool query) must_check;

/* The same for a JSON text that still comes: the work in what is complete,
 * *settled is how far that goes. */
enum rc transform_slots_walk(struct slot_rules *, struct rewrite *,
    struct body_json_walk *, bool whole, size_t *settled) must_check;

#endif
