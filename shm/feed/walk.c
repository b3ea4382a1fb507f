/* shm/feed/walk.c - fork, read, exit. */
#include "shm/feed/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "shm/map.h"

#define OUT_FD		3	/* behind stderr, where a sanitizer writes */
#define CPU_S		60	/* pages may point in circles; 4 GiB take seconds */
#define EXIT_UNKNOWN	1

/* The parent's handlers write into sockets and a page that the two share. */
static void
reset_signals(void)
{
	static const int signals[] = { SIGTERM, SIGSEGV, SIGBUS, SIGILL,
	    SIGFPE, SIGABRT };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL);
}

/* Dying is an answer: no core.  The master waits for the end of our sockets:
 * the child must not keep them. */
static void __attribute__((__noreturn__))
child_main(walk_cb *cb, void *arg, int out)
{
	const struct rlimit no_core = { 0, 0 }, cpu = { CPU_S, CPU_S };
	enum rc rc;

	reset_signals();
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)setrlimit(RLIMIT_CPU, &cpu);
	if (dup2(out, OUT_FD) != OUT_FD)
		_exit(EXIT_UNKNOWN);
	(void)close_range(OUT_FD + 1, ~0u, 0);
	rc = cb(arg, OUT_FD);
	_exit(rc == RC_OK ? 0 : rc == RC_CORRUPT ? SHM_EXIT_CORRUPT :
	    EXIT_UNKNOWN);
}

enum rc
walk_begin(struct walk *w, walk_cb *cb, void *arg)
{
	int fds[2];

	w->pid = 0;
	w->fd = -1;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return (RC_IO);
	if ((w->pid = fork()) == 0)
		child_main(cb, arg, fds[1]);
	fd_close(&fds[1]);
	if (w->pid < 0) {
		fd_close(&fds[0]);
		return (RC_IO);
	}
	w->fd = fds[0];
	return (RC_OK);
}

static enum rc
result_of(int status)
{
	if (WIFEXITED(status))
		return (WEXITSTATUS(status) == 0 ? RC_OK :
		    WEXITSTATUS(status) == SHM_EXIT_CORRUPT ? RC_CORRUPT :
		    RC_IO);
	switch (WTERMSIG(status)) {
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGABRT:
	case SIGXCPU:
		return (RC_CORRUPT);
	default:
		return (RC_IO);
	}
}

enum rc
walk_end(struct walk *w)
{
	int status;
	pid_t pid;

	fd_close(&w->fd);
	do
		pid = waitpid(w->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	w->pid = 0;
	return (pid < 0 ? RC_IO : result_of(status));
}
