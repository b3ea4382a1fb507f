/*
 * master/upgrade.h - SIGUSR2: the binary that is on disk now takes the place
 * of this one, in the same process.
 * Context:   the loop's thread.
 *
 * The new file is asked to check itself and the configuration first.  Then we
 * exec it with one more descriptor: a memfd that lists the lock, the listening
 * sockets and the running children.  It goes on as their parent, starts a
 * generation of its own and lets the old one drain.  Until the exec everything
 * can still fail without any effect.
 */
#ifndef RELAY_MASTER_UPGRADE_H
#define RELAY_MASTER_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/result.h"

struct master;

/* Names the descriptor of the list in the environment of the new image. */
#define UPGRADE_VARIABLE	"RELAY_UPGRADE"

/* SIGUSR2 came. */
void upgrade_start(struct master *);
void upgrade_check_ended(struct master *, pid_t, int status);

/* Are we the new image?  *fd gets the list. */
bool upgrade_inherited(int *fd);

/* Lock and listening sockets, before anything is opened.  fd stays open. */
enum rc upgrade_adopt_sockets(struct master *, int fd) must_check;
/* Children, once the loop and the settings are there.  Closes fd. */
enum rc upgrade_adopt_children(struct master *, int fd) must_check;

#endif
