/*
 * master/daemon.c - fork, a session of its own, and a pipe by which the
 * starter learns how the start went.
 */
#include "master/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "master/master.h"

/* So that no socket of ours ever gets such a number. */
void
daemon_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* The starter stays until the daemon serves or has said why not. */
static void __attribute__((__noreturn__))
wait_for_daemon(const struct master *m, pid_t daemon, int fd)
{
	const char *log_file = m->settings->relay->log_file;
	char ok = 0;
	int status;
	ssize_t n;

	do {
		n = read(fd, &ok, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_DONE);
	if (*log_file != '\0')
		log_error("relayd did not start: see also %s", log_file);
	if (waitpid(daemon, &status, 0) == daemon && WIFEXITED(status) &&
	    WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
	_exit(EXIT_FAILED);
}

void
daemon_begin(struct master *m)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		fatal(EXIT_FAILED, "daemon: %s", strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		wait_for_daemon(m, pid, fds[0]);
	}
	close(fds[0]);
	m->daemon_fd = fds[1];
	(void)setsid();
	if (chdir("/") != 0)
		fatal(EXIT_FAILED, "/: %s", strerror(errno));
}

/* From here on nobody's terminal: what is worth reading is in the log file;
 * without one standard error stays what it was. */
void
daemon_serves(struct master *m)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		if (m->log_fd >= 0)
			(void)dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(m->daemon_fd, "1", 1) != 1)
		log_debug("nobody waits for the start");
	fd_close(&m->daemon_fd);
}
