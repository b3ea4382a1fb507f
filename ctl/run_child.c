/*
 * ctl/run_child.c - fork, exec, wait.  Signals are taken one by one with
 * sigwaitinfo, so that none of them interrupts anything.
 */
#include "ctl/run_child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"

/* What somebody sends to us and means for the command.  Stopping (SIGTSTP) and
 * going on reach the child through the terminal, and stop us as well. */
static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
	SIGUSR2, SIGWINCH };
#define N_PASSED_ON	(sizeof(passed_on) / sizeof(passed_on[0]))

static void
child(char *const *argv, const sigset_t *mask, pid_t parent)
{
	(void)signal(SIGPIPE, SIG_DFL);		/* main ignores it */
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	/* Its CA files go with us, however we end. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(RUN_CHILD_NOT_STARTED);
	(void)execvp(argv[0], argv);
	ctl_error("%s: %s", argv[0], strerror(errno));
	_exit(errno == ENOENT ? RUN_CHILD_NOT_FOUND : RUN_CHILD_NOT_STARTED);
}

static int
wait_for(pid_t pid, const sigset_t *wanted)
{
	siginfo_t info;
	int status;
	pid_t r;

	for (;;) {
		if ((r = waitpid(pid, &status, WNOHANG)) == pid)
			return (WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
			    WEXITSTATUS(status));
		if (r < 0)
			return (RUN_CHILD_NOT_STARTED);
		/* What the terminal sends, it sends to the child, too. */
		if (sigwaitinfo(wanted, &info) > 0 && info.si_signo != SIGCHLD &&
		    info.si_code != SI_KERNEL)
			(void)kill(pid, info.si_signo);
	}
}

int
run_child(char *const *argv)
{
	sigset_t wanted, before;
	pid_t pid, self = getpid();
	int status;

	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGCHLD);
	for (size_t i = 0; i < N_PASSED_ON; i++)
		(void)sigaddset(&wanted, passed_on[i]);
	(void)signal(SIGCHLD, SIG_DFL);		/* ignored, it could not be had */
	(void)sigprocmask(SIG_BLOCK, &wanted, &before);
	if ((pid = fork()) == 0)
		child(argv, &before, self);
	if (pid < 0) {
		ctl_error("fork: %s", strerror(errno));
		status = RUN_CHILD_NOT_STARTED;
	} else
		status = wait_for(pid, &wanted);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return (status);
}
