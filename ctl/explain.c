/*
 * ctl/explain.c - `explain RELAY REQUEST`: the proxy's own program judges the
 * request, offline; this one finds the relay and the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/control_client.h"
#include "ctl/ctl.h"
#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

#define PROGRAM		"relay-worker"
#define ARGS_MAX	16

/* The live record of a host, by the feed's socket: a path to read it at. */
static enum ctl_exit
live_relay(struct ctl *ctl, const char *host, char **path)
{
	struct control_answer answer;
	char socket_path[PATH_MAX];
	enum ctl_exit status;
	int fd;

	status = control_path(ctl, "feed.sock", socket_path, sizeof(socket_path));
	if (status != CTL_DONE)
		return (status);
	status = control_want("relay-feed", socket_path, "relay-get", span_of(host),
	    -1, CONTROL_TIMEOUT_MS, "ok", &answer);
	if (status != CTL_DONE)
		return (status);
	/* Without close-on-exec, for the program. */
	if (answer.fd < 0 || (fd = dup(answer.fd)) < 0) {
		ctl_error("%s: the record did not come", host);
		status = CTL_FAILED;
	} else {
		*path = xasprintf("/proc/self/fd/%d", fd);
	}
	control_answer_fini(&answer);
	return (status);
}

static enum ctl_exit
run(struct ctl *ctl, const char *path, const char *host)
{
	const char *name = ctl->args.operands[0];
	char *program = ctl_program_path(PROGRAM);
	const char *argv[ARGS_MAX] = { PROGRAM, "--explain",
	    ctl->args.operands[1], "--relay", path, "--relay-name", name };
	size_t n = 7;

	if (host != NULL) {
		argv[n++] = "--host";
		argv[n++] = host;
	}
	if (ctl->json)
		argv[n++] = "--json";
	if (ctl->conf_path != NULL && access(ctl->conf_path, R_OK) == 0) {
		argv[n++] = "--conf-path";
		argv[n++] = ctl->conf_path;
	}
	argv[n] = NULL;
	(void)execv(program, (char *const *)(uintptr_t)argv);
	ctl_error("%s: %s", program, strerror(errno));
	free(program);
	return (CTL_FAILED);
}

enum ctl_exit
ctl_explain(struct ctl *ctl)
{
	const char *relay = ctl->args.operands[0];
	char host[HOST_BYTES], *path = NULL;
	enum ctl_exit status;

	if (access(relay, F_OK) == 0 || strchr(relay, '/') != NULL)
		return (run(ctl, relay, NULL));
	if (host_canonical(span_of(relay), host) != RC_OK) {
		ctl_error("%s: neither a file nor a host name", relay);
		return (CTL_USAGE);
	}
	if ((status = live_relay(ctl, host, &path)) == CTL_DONE)
		status = run(ctl, path, host);
	free(path);
	return (status);
}
