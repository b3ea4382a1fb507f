/*
 * master/supervise.h - the child table: who runs, since when, and what happens
 * when one ends.
 * Context:   the loop's thread.
 * Ownership: the table owns its children.
 *
 *   STARTING --ready--> READY --drain--> DRAINING --end--> (gone)
 *      |                  |
 *      +------ end -------+--> BACKOFF --timer--> STARTING
 *
 * The end of one child never touches another.
 */
#ifndef RELAY_MASTER_SUPERVISE_H
#define RELAY_MASTER_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "master/priv.h"

struct master;
struct settings;

enum child_state {
	CHILD_STARTING,		/* forked; "ready" has not come */
	CHILD_READY,
	CHILD_DRAINING,		/* told to leave; then TERM, then KILL */
	CHILD_BACKOFF		/* no process: waits to be started again */
};

/* While draining: what the timer does next. */
enum child_force { FORCE_TERM, FORCE_KILL, FORCE_WAIT };

#define CHILD_NAME_BYTES	24

struct child {
	TAILQ_ENTRY(child)	link;
	unsigned		magic;
#define CHILD_MAGIC		0x2d90b7e6
	struct master		*master;	/* borrowed: owns the table */
	enum role		role;
	unsigned		index;		/* of a worker, from 1 */
	char			name[CHILD_NAME_BYTES];
	unsigned		generation;
	enum child_state	state;
	enum child_force	force;
	bool			again;	/* after its end start a new one */
	pid_t			pid;		/* 0 in BACKOFF */
	unsigned		restarts;
	uint64_t		t_born_ms;
	uint64_t		t_state_ms;
	unsigned		backoff_ms;	/* the last one; 0: none */
	struct settings		*settings;	/* a reference */
	struct ipc_channel	*control;	/* owned; NULL after EOF */
	int			control_fd;	/* of that channel, for upgrade */
	int			panic_fd;	/* owned */
	char			*panic;		/* owned mapping */
	char			*status;	/* owned: its last JSON, or NULL */
	unsigned		asked;		/* for its status, this process */
	unsigned		answered;	/* of those; they come in order */
	char			failed[256];	/* its last "failed TEXT" */
	struct timer		timer;
};
TAILQ_HEAD(child_list, child);

struct children {
	struct child_list	list;
};

void supervise_init(struct children *);
void supervise_fini(struct children *);

/* Start a role.  A fork that fails counts as a first crash: it is tried again
 * after a wait.  index: of a worker, else 0. */
struct child *supervise_start(struct master *, enum role, unsigned index,
    struct settings *, unsigned generation);

/* Ask a child to leave; it is ended by force drain_timeout_ms later.  In
 * BACKOFF it is forgotten at once. */
void supervise_drain(struct child *);
/* The same, then start the role with the settings of that moment. */
void supervise_replace(struct child *);
/* End it now: TERM, after a while KILL. */
void supervise_stop(struct child *);

/* Take over a running child, after an upgrade of relayd. */
void supervise_adopt(struct master *, const struct child *like, int control_fd,
    struct settings *);

/* After SIGCHLD: collect every child that ended. */
void supervise_reap(struct master *);

/* Send verb (with a descriptor, or -1) to all of a role; ROLE_COUNT: to all. */
void supervise_tell(struct children *, enum role, const char *verb, int fd);

/* Ask a child that is ready for its status; control_child_told follows.  The
 * number of the question: answered once child->answered reaches it.  0: it
 * could not be asked. */
unsigned supervise_ask(struct child *);

/* The one child of a role that serves or will, not one that leaves; NULL. */
struct child *supervise_find(struct children *, enum role);

const char *child_state_name(enum child_state);
enum rc child_state_parse(const char *, enum child_state *) must_check;

#endif
