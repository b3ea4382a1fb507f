/*
 * master/restart.h - another e3d in place of the one that runs, at an
 * administrator's word: it opens key files as they lie there now.
 * Context:   the loop's thread.  One restart at a time.
 */
#ifndef RELAY_MASTER_RESTART_H
#define RELAY_MASTER_RESTART_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/result.h"

struct master;
struct restart;

struct restart *restart_new(struct master *);
void restart_free(struct restart **);

/*
 * Drain e3d and start a new one; control_restart_done follows once the helper
 * has filled it and says that it is ready, or when that takes too long.
 * RC_OK; RC_NOTFOUND: relayd runs no engine; RC_AGAIN: a restart runs.
 */
enum rc restart_engine(struct master *) must_check;

/* A reload replaces e3d (old_pid), or the helper alone (0): the same waiting, and
 * the same word at its end. */
void restart_follow(struct master *, pid_t old_pid);
bool restart_is_running(const struct master *);

#endif
