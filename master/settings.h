/*
 * master/settings.h - one configuration as it is handed to children: the
 * checked text, what it says, and every key and certificate file, open.
 * Context:   start and reload; blocking file reads by the master, which alone
 *            may open root's files.
 * Ownership: counted; a child keeps the settings it was born with, so that a
 *            restart after a crash never mixes two configurations.
 */
#ifndef RELAY_MASTER_SETTINGS_H
#define RELAY_MASTER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "conf/conf_file.h"
#include "lib/ipc/inherit.h"
#include "master/listen.h"
#include "master/priv.h"

struct settings_file {
	enum role	role;
	char		name[IPC_FD_NAME_BYTES];	/* for ipc/inherit.h */
	int		fd;				/* owned, read only */
	struct stat	st;				/* when it was opened */
};

/* Per role three link files and revoked; certificates; the root key. */
#define SETTINGS_FILES_MAX	(2 * CONF_LIST_MAX + 4 * ROLE_COUNT + 1)

struct settings {
	unsigned		refs;
	bool			engine_only;
	struct conf		*relay;		/* owned */
	struct conf_e3		*e3;		/* owned; NULL: no engine here */
	struct buffer		e3_text;
	int			relay_fd;	/* owned: memfd of the text */
	int			e3_fd;		/* owned; -1 */
	struct settings_file	files[SETTINGS_FILES_MAX];
	size_t			n_files;
};

/*
 * Read path (and e3.conf), check, open every file.  missing_ok: a file that is
 * not there gives the defaults.  RC_OK: one reference; else the reason in
 * fault.
 */
enum rc settings_read(const char *path, bool missing_ok, bool engine_only,
    struct settings **, struct conf_fault *) must_check;
struct settings *settings_ref(struct settings *);
void settings_unref(struct settings **);

/* Does a role that was born with `a` have nothing new to learn from `b`? */
bool settings_same_for(enum role, const struct settings *a,
    const struct settings *b);

/* RC_OK, or RC_UNSUPPORTED naming an option that a running relayd cannot
 * change. */
enum rc settings_may_follow(const struct settings *now,
    const struct settings *next, struct conf_fault *) must_check;

/* Every socket these settings ask for. */
void settings_wants(const struct settings *, const struct privs *,
    struct listen_wants *);

unsigned settings_workers(const struct settings *);

#endif
