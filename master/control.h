/*
 * master/control.h - <run_dir>/relayd.sock: status, reload, reload-wait,
 * restart-engine.
 * Context:   the loop's thread.  Who may connect is decided by the socket's
 *            mode and group; each peer that changes something is logged.
 */
#ifndef RELAY_MASTER_CONTROL_H
#define RELAY_MASTER_CONTROL_H

struct master;
struct control;

/* Accept on the listener of the settings. */
struct control *control_new(struct master *);
void control_free(struct control **);

/* From reload.c: run `run` will start this generation, has ended well (it is
 * the generation that serves), or was refused (generation NULL). */
void control_reload_accepted(struct master *, unsigned run,
    unsigned generation);
void control_reload_done(struct master *, unsigned run,
    const unsigned *generation, const char *why);

/* From restart.c: the new engine serves (why NULL), or it does not. */
void control_restart_done(struct master *, const char *why);

/* From supervise.c: a child answered to `status`, or its channel ended. */
void control_child_told(struct master *);

#endif
