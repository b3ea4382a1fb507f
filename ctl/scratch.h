/*
 * ctl/scratch.h - a folder of mode 0700 that does not outlive its owner for
 * long: it is locked while we live, and one whose lock nobody holds is removed
 * when the next of its kind is made.
 * Context:   relayctl only; blocks for the disk.
 * Ownership: the caller embeds the struct.
 */
#ifndef RELAY_CTL_SCRATCH_H
#define RELAY_CTL_SCRATCH_H

#include "lib/base/result.h"

struct scratch {
	char	*path;		/* owned; NULL: none */
	int	lock;		/* owned: the folder; -1 */
};

#define SCRATCH_NONE	((struct scratch){ NULL, -1 })

/* Below folder, named `prefix` and six random characters; leftovers with that
 * prefix that are ours are removed.  RC_OK, RC_IO (errno). */
enum rc scratch_make(struct scratch *, const char *folder, const char *prefix)
    must_check;

/* With everything in it. */
void scratch_remove(struct scratch *);

/* It stays, under a name that does not exist yet: RC_OK (on disk, and no longer
 * ours), RC_EXISTS, RC_IO (errno; it may be there, but not for sure after a
 * power cut).  scratch_remove it in any case. */
enum rc scratch_keep(struct scratch *, const char *path) must_check;

#endif
