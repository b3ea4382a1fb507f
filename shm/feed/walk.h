/*
 * shm/feed/walk.h - a child that reads a map which may be damaged: a file that
 * was cut short ends its reader by SIGBUS.
 * Context:   relay-feed, also inside its sandbox: it may fork there, not exec.
 *            Nothing of this process is used in the child but memory to read;
 *            the child opens the map anew and exits.
 * Ownership: the caller embeds the struct.
 */
#ifndef RELAY_SHM_FEED_WALK_H
#define RELAY_SHM_FEED_WALK_H

#include <sys/types.h>

#include "lib/base/result.h"

struct walk {
	pid_t	pid;
	int	fd;	/* owned: what the child writes to out, then EOF */
};

/* In the child.  RC_OK: the map is sound; RC_CORRUPT: it is not; else nothing
 * is known.  It may die trying. */
typedef enum rc walk_cb(void *arg, int out);

/* RC_OK, RC_IO. */
enum rc walk_begin(struct walk *, walk_cb *, void *arg) must_check;

/* The callback's result; RC_CORRUPT also when the child died of what it read,
 * RC_IO when it was ended from outside.  Waits for its end: after EOF that is
 * now. */
enum rc walk_end(struct walk *) must_check;

#endif
