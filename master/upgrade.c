/*
 * master/upgrade.c - the list that one relayd leaves to the next: text lines,
 *
 *   relay-upgrade 1 GENERATION
 *   lock FD
 *   listen FD ADDRESS
 *   child ROLE INDEX GENERATION PID STATE CONTROL_FD PANIC_FD RESTARTS AGE_MS
 */
#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "master/master.h"
#include "master/reload.h"
#include "master/spawn.h"

#define HEAD		"relay-upgrade 1 "
#define LIST_BYTES_MAX	(1u << 16)

extern char **environ;

static struct spawned_check running;	/* pid 0: none */

/* ---- the list, written ------------------------------------------------------------ */

static void
put_children(struct buffer *b, const struct master *m)
{
	uint64_t now = clock_mono_ms();
	const struct child *c;

	TAILQ_FOREACH(c, &m->children.list, link) {
		if (c->pid <= 0)
			continue;
		buffer_printf(b, "child %s %u %u %ld %s %d %d %u %llu\n",
		    role_name(c->role), c->index, c->generation,
		    (long)c->pid, child_state_name(c->state), c->control_fd,
		    c->panic_fd, c->restarts,
		    (unsigned long long)(now - c->t_born_ms));
	}
}

static int
make_list(const struct master *m)
{
	const struct listener *l;
	struct buffer b;
	int fd;

	buffer_init(&b, 0, false);
	buffer_printf(&b, HEAD "%u\n", m->generation);
	buffer_printf(&b, "lock %d\n", m->lock_fd);
	TAILQ_FOREACH(l, &m->listeners.all, link)
		buffer_printf(&b, "listen %d %s\n", l->fd, l->address);
	put_children(&b, m);
	fd = fd_memory("upgrade", buffer_data(&b), buffer_len(&b));
	buffer_fini(&b);
	return (fd);
}

/* Let everything on the list, and the list, live through exec; or no more. */
static enum rc
set_cloexec(const struct master *m, int list_fd, bool on)
{
	const struct listener *l;
	const struct child *c;
	enum rc rc;

	if ((rc = fd_cloexec(list_fd, on)) != RC_OK ||
	    (rc = fd_cloexec(m->lock_fd, on)) != RC_OK)
		return (rc);
	TAILQ_FOREACH(l, &m->listeners.all, link)
		if ((rc = fd_cloexec(l->fd, on)) != RC_OK)
			return (rc);
	TAILQ_FOREACH(c, &m->children.list, link) {
		if (c->pid <= 0)
			continue;
		if ((c->control_fd >= 0 &&
		    (rc = fd_cloexec(c->control_fd, on)) != RC_OK) ||
		    (c->panic_fd >= 0 &&
		    (rc = fd_cloexec(c->panic_fd, on)) != RC_OK))
			return (rc);
	}
	return (RC_OK);
}

/* ---- the old image -------------------------------------------------------------------- */

/* As we were started, but with the absolute path: a daemon has left the
 * folder it was started in. */
static void
exec_self(const struct master *m)
{
	char c[] = "-c", f[] = "-f", r[] = "-r", e3[] = "e3";
	char *argv[8] = { m->program, c, m->conf_path };
	unsigned n = 3;

	if (m->options.foreground)
		argv[n++] = f;
	if (m->options.engine_only) {
		argv[n++] = r;
		argv[n++] = e3;
	}
	(void)execve(m->program, argv, environ);
}

/* Returns only when it failed; then nothing has changed. */
static void
exec_new(struct master *m)
{
	int list_fd = make_list(m);
	sigset_t all, old;
	char number[16];

	if (list_fd < 0 || set_cloexec(m, list_fd, false) != RC_OK)
		goto failed;
	(void)snprintf(number, sizeof(number), "%d", list_fd);
	if (setenv(UPGRADE_VARIABLE, number, 1) != 0)
		goto failed;
	log_info("upgrade exec=%s generation=%u", m->program, m->generation);
	/* A signal between the two images would end us: it waits until the new
	 * one has its handlers. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	exec_self(m);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
failed:
	log_error("upgrade failed exec=%s errno=%d this version goes on",
	    m->program, errno);
	(void)unsetenv(UPGRADE_VARIABLE);
	if (list_fd >= 0 && set_cloexec(m, list_fd, true) != RC_OK)
		log_error("upgrade left descriptors inheritable");
	fd_close(&list_fd);
}

void
upgrade_start(struct master *m)
{
	if (m->leaving != LEAVING_NOT || !m->ready || reload_running(m) ||
	    running.pid > 0) {
		log_warn("upgrade refused why=busy");
		return;
	}
	if (spawn_check_self(m, &running) != RC_OK) {
		log_error("upgrade failed why=fork errno=%d", errno);
		return;
	}
	log_info("upgrade checks=%s child=%ld", m->program,
	    (long)running.pid);
}

void
upgrade_check_ended(struct master *m, pid_t pid, int status)
{
	char why[384];

	if (pid <= 0 || running.pid != pid)
		return;
	running.pid = 0;
	spawn_check_reason(running.output_fd, why, sizeof(why));
	fd_close(&running.output_fd);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		log_error("upgrade refused why=\"%s\"", why);
	else if (m->leaving != LEAVING_NOT || reload_running(m))
		log_warn("upgrade refused why=busy");
	else
		exec_new(m);
}

/* ---- the new image -------------------------------------------------------------------- */

bool
upgrade_inherited(int *fd)
{
	const char *text = getenv(UPGRADE_VARIABLE);
	uint64_t n;

	*fd = -1;
	if (text == NULL)
		return (false);
	if (string_u64(span_of(text), &n) != RC_OK || n < 3 || n > 1 << 20)
		fatal(EXIT_CONF, "%s: not a descriptor", UPGRADE_VARIABLE);
	(void)unsetenv(UPGRADE_VARIABLE);
	*fd = (int)n;
	if (fd_cloexec(*fd, true) != RC_OK)
		fatal(EXIT_CONF, "%s: not open", UPGRADE_VARIABLE);
	return (true);
}

typedef enum rc line_cb(struct master *, const char *line);

/* Each line to cb. */
static enum rc
each_line(struct master *m, int fd, line_cb *cb)
{
	char *text = xcalloc(1, LIST_BYTES_MAX), *line, *save = NULL;
	enum rc rc = RC_OK;
	ssize_t n;

	n = pread(fd, text, LIST_BYTES_MAX - 1, 0);
	if (n <= 0 || strncmp(text, HEAD, strlen(HEAD)) != 0)
		rc = RC_SYNTAX;
	for (line = strtok_r(text, "\n", &save); line != NULL && rc == RC_OK;
	    line = strtok_r(NULL, "\n", &save))
		rc = cb(m, line);
	free(text);
	return (rc);
}

static enum rc
on_socket_line(struct master *m, const char *line)
{
	int fd, at = 0;

	if (sscanf(line, HEAD "%u", &m->generation) == 1)
		return (RC_OK);
	if (sscanf(line, "lock %d", &fd) == 1) {
		m->lock_fd = fd;
		return (fd_cloexec(fd, true));
	}
	if (sscanf(line, "listen %d %n", &fd, &at) == 1 && at > 0) {
		listen_adopt(&m->listeners, line + at, fd);
		return (fd_cloexec(fd, true));
	}
	return (RC_OK);
}

static enum rc
on_child_line(struct master *m, const char *line)
{
	struct child like = { .magic = 0 };
	char role[16], state[16];
	unsigned long long age;
	int control_fd;
	long pid;

	if (strncmp(line, "child ", 6) != 0)
		return (RC_OK);
	if (sscanf(line, "child %15s %u %u %ld %15s %d %d %u %llu", role,
	    &like.index, &like.generation, &pid, state, &control_fd,
	    &like.panic_fd, &like.restarts, &age) != 9 ||
	    role_parse(role, &like.role) != RC_OK ||
	    child_state_parse(state, &like.state) != RC_OK || pid <= 0)
		return (RC_SYNTAX);
	like.pid = (pid_t)pid;
	like.t_born_ms = clock_mono_ms() - age;
	if ((control_fd >= 0 && fd_cloexec(control_fd, true) != RC_OK) ||
	    (like.panic_fd >= 0 && fd_cloexec(like.panic_fd, true) != RC_OK))
		return (RC_SYNTAX);
	supervise_adopt(m, &like, control_fd, m->settings);
	return (RC_OK);
}

enum rc
upgrade_adopt_sockets(struct master *m, int fd)
{
	return (each_line(m, fd, on_socket_line));
}

enum rc
upgrade_adopt_children(struct master *m, int fd)
{
	enum rc rc = each_line(m, fd, on_child_line);

	fd_close(&fd);
	return (rc);
}
