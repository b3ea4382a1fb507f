/*
 * master/spawn.h - fork + exec of a role, and the complete list of what it
 * inherits: descriptors, environment, arguments, nothing else.
 * Context:   the loop's thread; returns at once, a failed exec shows as the
 *            child's end with the reason in its panic page.
 */
#ifndef RELAY_MASTER_SPAWN_H
#define RELAY_MASTER_SPAWN_H

#include <sys/types.h>

#include "lib/base/result.h"
#include "master/priv.h"

struct master;
struct settings;

struct spawned {
	pid_t	pid;
	int	control_fd;	/* owned by the caller: our end */
	int	panic_fd;	/* ditto: memfd of the panic page */
	char	*panic;		/* ditto: that page, mapped */
};

/* name: "worker1", "feed", ...  RC_OK or RC_IO (errno). */
enum rc spawn_role(const struct master *, const struct settings *, enum role,
    const char *name, unsigned generation, struct spawned *) must_check;

/* A process that checks something, says why not on standard error, ends. */
struct spawned_check {
	pid_t	pid;
	int	output_fd;	/* owned by the caller: its output */
};

/* `relay-worker -t` with these settings. */
enum rc spawn_check_worker(const struct master *, const struct settings *,
    struct spawned_check *) must_check;
/* `relayd -t` of the file that is there now, which may be a newer version. */
enum rc spawn_check_self(const struct master *, struct spawned_check *)
    must_check;

/* Map the page behind a panic memfd; NULL when that fails. */
char *spawn_panic_map(int panic_fd);

/* Read what a check printed: its last line, without the log prefix. */
void spawn_check_reason(int output_fd, char *out, size_t size);

#endif
