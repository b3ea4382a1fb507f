/*
 * master/root_key.h - the file that all data hangs on: exactly so, or not at
 * all; and beside it, while it is being replaced, the next one.
 * Context:   the master, which alone may open it; blocking file reads.
 */
#ifndef RELAY_MASTER_ROOT_KEY_H
#define RELAY_MASTER_ROOT_KEY_H

#include <sys/stat.h>

#include "conf/conf_file.h"
#include "lib/base/result.h"

/* Of `relayctl root rotate`: beside the root key, a file or a credential. */
#define ROOT_KEY_NEXT	".next"

/*
 * Open the file of option root_key, its name followed by suffix ("" or
 * ROOT_KEY_NEXT), read only.  RC_OK: *fd is the caller's.  RC_NOTFOUND,
 * RC_SYNTAX (not 32 bytes), RC_DENIED (others may read it), RC_IO: *fd is -1
 * and the reason in fault.
 */
enum rc root_key_open(const struct conf_e3 *, const char *suffix, int *fd,
    struct stat *, struct conf_fault *) must_check;

#endif
