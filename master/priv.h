/*
 * master/priv.h - ONE table: which role runs as whom, with what.
 * Context:   priv_resolve and priv_folders at start; priv_enter in a child
 *            between fork and exec.
 *
 * Each role loads its own system call profile after its start (lib/base/
 * sandbox.h): worker SANDBOX_WORKER, feed SANDBOX_FEED, e3d SANDBOX_ENGINE,
 * helper SANDBOX_HELPER.
 */
#ifndef RELAY_MASTER_PRIV_H
#define RELAY_MASTER_PRIV_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf_file.h"
#include "lib/base/result.h"

enum role { ROLE_E3D, ROLE_HELPER, ROLE_FEED, ROLE_WORKER, ROLE_COUNT };

/* "e3d", "e3-helper", "feed", "worker". */
const char *role_name(enum role);
/* The file to execute: "e3d", "e3-helper", "relay-feed", "relay-worker". */
const char *role_program(enum role);
enum rc role_parse(const char *name, enum role *out) must_check;

struct priv {
	bool	change;		/* to uid and gid below */
	uid_t	uid;
	gid_t	gid;
	bool	has_extra;
	gid_t	extra;		/* supplementary group */
};

struct privs {
	bool		root;
	struct priv	of[ROLE_COUNT];
	gid_t		admin_gid;	/* of control sockets; ours when unset */
	gid_t		map_gid;
};

/* Names to ids.  Logs the one warning when roles share our uid.  RC_NOTFOUND
 * with fault when root named a user or group that does not exist. */
enum rc priv_resolve(const struct conf *, struct privs *, struct conf_fault *)
    must_check;

/* Make and own run_dir and the state folders.  e3 may be NULL. */
enum rc priv_folders(const struct privs *, const struct conf *,
    const struct conf_e3 *, bool engine_only, struct conf_fault *) must_check;

/*
 * Become the role: limits, groups, user, no capabilities, no new privileges.
 * NULL, or the name of the step that failed with errno set.
 */
const char *priv_enter(const struct privs *, enum role);

#endif
