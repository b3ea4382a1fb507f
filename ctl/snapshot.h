/*
 * ctl/snapshot.h - the sealed records on disk and, for each app and curve, a
 * check value sealed by the running engine, of one and the same moment.
 * Context:   relayctl only; blocks.
 */
#ifndef RELAY_CTL_SNAPSHOT_H
#define RELAY_CTL_SNAPSHOT_H

#include "ctl/archive.h"
#include "ctl/ctl.h"

struct snapshot {
	struct archive	archive;	/* owned; of it only the records and
					   the checks are set */
	struct buffer	records;	/* what the archive's views show */
	struct buffer	tokens;
	struct buffer	left_out;	/* a line for each app that is not in it:
					   "app_x: why" */
	size_t		n_left_out;
};

/* CTL_DONE; CTL_FAILED: told.  snapshot_fini it in any case. */
enum ctl_exit snapshot_take(struct ctl *, struct snapshot *) must_check;
void snapshot_fini(struct snapshot *);

#endif
