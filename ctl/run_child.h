/*
 * ctl/run_child.h - a command as a child, as if it ran in our place.
 * Context:   blocks until the child has ended.
 */
#ifndef RELAY_CTL_RUN_CHILD_H
#define RELAY_CTL_RUN_CHILD_H

/* No command could be started; as a shell says it. */
#define RUN_CHILD_NOT_FOUND	127
#define RUN_CHILD_NOT_STARTED	126

/*
 * Start argv[0] (searched in PATH), pass signals on, return its exit status,
 * 128 + N when signal N ended it.  An error of ours is told.
 */
int run_child(char *const *argv);

#endif
