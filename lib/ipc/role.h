/*
 * ipc/role.h - how the main() of every role begins.
 * Context:   main(), after options.
 */
#ifndef RELAY_IPC_ROLE_H
#define RELAY_IPC_ROLE_H

#include "lib/ipc/inherit.h"

/*
 * Take over what the master passed: the list of descriptors, the log, the page
 * for last words.  Returns the control descriptor, the caller's.  Without one
 * it prints the usage text and exits with 2: the master starts this program,
 * nobody else.  usage NULL: nobody need have; then -1 without a descriptor.
 */
int ipc_role_start(struct ipc_inherited *, const char *usage);

#endif
