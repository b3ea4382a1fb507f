/* ipc/role.c - what relayd passes to all alike. */
#include "lib/ipc/role.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/panic.h"

#define EXIT_USAGE	2

int
ipc_role_start(struct ipc_inherited *fds, const char *usage)
{
	int control, log;

	if (ipc_inherit_read(fds) != RC_OK)
		fatal(EXIT_USAGE, "%s is broken", IPC_FDS_VARIABLE);
	if ((control = ipc_inherit_take(fds, "control")) < 0 && usage != NULL) {
		(void)fputs(usage, stderr);
		exit(EXIT_USAGE);
	}
	panic_init(ipc_inherit_take(fds, "panic"));
	if ((log = ipc_inherit_take(fds, "log")) >= 0)
		log_to_fd(log);
	return (control);
}
