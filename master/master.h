/*
 * master/master.h - what all parts of relayd share.
 * Context:   one process, one loop, one thread.  It touches no client byte.
 *
 * Object map:  master -> settings (the configuration that serves, counted)
 *                     -> listeners (one per address, for ever)
 *                     -> children (the table of supervise.c; each holds the
 *                        settings it was born with)
 *                     -> reload (at most one running, others wait in line)
 *                     -> restart (of e3d alone; at most one)
 *                     -> control (relayd.sock and who is connected there)
 */
#ifndef RELAY_MASTER_MASTER_H
#define RELAY_MASTER_MASTER_H

#include <stdbool.h>

#include "conf/conf_file.h"
#include "lib/base/loop.h"
#include "lib/base/timer.h"
#include "master/listen.h"
#include "master/priv.h"
#include "master/settings.h"
#include "master/supervise.h"

/* Exit codes of relayd(8). */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_CONF = 2,		/* usage, or relay.conf is not usable */
	EXIT_RUNNING = 3,	/* another relayd has this run_dir */
	EXIT_ADDRESS = 4,	/* an address cannot be listened on */
	EXIT_NOT_READY = 5	/* children did not become ready in time */
};

/* Why we are leaving. */
enum leaving {
	LEAVING_NOT,
	LEAVING_QUIT,		/* drain, then exit */
	LEAVING_TERM		/* now */
};

struct master_options {
	const char	*conf_path;	/* borrowed: argv */
	bool		conf_given;
	bool		test;		/* -t */
	bool		foreground;	/* -f */
	bool		engine_only;	/* -r e3 */
};

struct control;
struct reload;
struct restart;
struct tickets;

struct master {
	struct master_options	options;
	char			*program;	/* owned: our path at start */
	char			*conf_path;	/* owned: options.conf_path is
						   this, absolute */
	struct loop		*loop;		/* owned */
	struct settings		*settings;	/* a reference */
	struct privs		privs;
	struct listeners	listeners;
	struct children		children;
	struct control		*control;	/* owned */
	struct reload		*reload;	/* owned */
	struct restart		*restart;	/* owned */
	struct tickets		*tickets;	/* owned */
	int			lock_fd;	/* owned */
	int			log_fd;		/* owned copy for children; -1:
						   they use stderr */
	int			daemon_fd;	/* owned: tells the starter that
						   we are ready; -1 */
	unsigned		generation;
	uint64_t		t_start_ms;
	bool			ready;		/* the first generation serves */
	enum leaving		leaving;
	int			exit_code;
	struct timer		start_deadline;
	struct event		*signals[8];	/* owned */
};

/* main.c, for reload.c: the first generation is up. */
void master_serves(struct master *);

/* leave.c: begin to end, in this way. */
void master_leave(struct master *, enum leaving, int exit_code);
/* leave.c, for supervise.c: one that was to go has gone. */
void master_child_gone(struct master *);

/* main.c: open (or open again) the log file and hand it to every child. */
enum rc master_open_log(struct master *, const struct conf *) must_check;

#endif
