/*
 * master/reload.h - a new generation of workers: at start, on SIGHUP, when the
 * feed replaced the map, after an upgrade of relayd.
 * Context:   the loop's thread.
 *
 *   IDLE -> CHECKING (relay-worker -t) -> STARTING (the new workers) -> IDLE
 *
 * Until all new workers are ready nothing of the running generation is
 * touched; whatever fails before leaves it as it is.  One runs at a time;
 * requests that come meanwhile are served together by one more after it.
 */
#ifndef RELAY_MASTER_RELOAD_H
#define RELAY_MASTER_RELOAD_H

#include <sys/types.h>

#include "master/supervise.h"

struct master;
struct reload;

enum reload_kind {
	RELOAD_START,		/* the first generation */
	RELOAD_REPLACE,		/* same configuration, new workers */
	RELOAD_CONF,		/* relay.conf read again */
	RELOAD_UPGRADE		/* every role replaced, by a new relayd */
};

struct reload *reload_new(struct master *);
void reload_free(struct reload **);

/* Returns the number of the run that will serve this request; its outcome goes
 * to control_reload_accepted and control_reload_done.  It may already be
 * refused when this returns. */
unsigned reload_request(struct master *, enum reload_kind);
bool reload_running(const struct master *);

/* Leaving: no generation comes any more. */
void reload_cancel(struct master *);

/* From supervise.c. */
void reload_child_ready(struct master *, struct child *);
void reload_child_lost(struct master *, struct child *, const char *why);
void reload_check_ended(struct master *, pid_t, int status);

#endif
