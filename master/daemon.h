/*
 * master/daemon.h - leaving the terminal we were started from.
 * Context:   start.
 */
#ifndef RELAY_MASTER_DAEMON_H
#define RELAY_MASTER_DAEMON_H

struct master;

/* First of all: 0, 1 and 2 are open, whatever we were started from. */
void daemon_stdio(void);

/* Returns in the daemon.  Its starter stays until the daemon serves (exit 0)
 * or ends (its exit code). */
void daemon_begin(struct master *);

/* The first generation serves: the starter may go. */
void daemon_serves(struct master *);

#endif
