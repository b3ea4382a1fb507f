/*
 * master/spawn.c - what a child is born with.
 *
 * Between fork and exec only system calls are made.  In the child descriptors
 * are moved to 3, 4, ... in the order of the list and everything above is
 * closed, so `ls -l /proc/PID/fd` shows exactly this file's list.
 */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crash_point.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/ipc/inherit.h"
#include "master/master.h"
#include "master/root_key.h"
#include "master/tickets.h"

#define FIRST_FD	3
#define ARGV_MAX	24
#define ENV_MAX		12
#define OUTPUT_BYTES	4096	/* of a check: its last line is enough */

/* What is passed on: sanitizers of a test build are told by environment. */
static const char *const env_kept[] = {
	CRASH_POINT_VARIABLE
	"TZ", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"
};

struct birth {
	const struct privs	*privs;	/* borrowed; NULL: stay as we are */
	enum role		role;
	struct ipc_inherited	fds;	/* borrowed descriptors */
	int			keys[2];	/* owned: of e3d alone; -1 */
	int			output;	/* for 1 and 2; -1: as ours */
	char			*panic;	/* borrowed: mapped page, or NULL */
	char			*path;	/* owned */
	char			*argv[ARGV_MAX];	/* owned */
	unsigned		argc;
	char			*env[ENV_MAX];		/* owned */
	unsigned		n_env;
};

/* ---- making the list ---------------------------------------------------------- */

static void
add_fd(struct birth *b, const char *name, int fd)
{
	if (fd < 0)
		return;
	ensure(b->fds.n < IPC_FDS_MAX);
	(void)snprintf(b->fds.v[b->fds.n].name, IPC_FD_NAME_BYTES, "%s", name);
	b->fds.v[b->fds.n++].fd = fd;
}

static void
add_files(struct birth *b, const struct settings *s, enum role role)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].role == role &&
		    (role != ROLE_E3D || strcmp(s->files[i].name, "root") != 0))
			add_fd(b, s->files[i].name, s->files[i].fd);
}

static void
add_worker(struct birth *b, const struct master *m, const struct settings *s)
{
	char name[IPC_FD_NAME_BYTES];

	add_fd(b, "conf", s->relay_fd);
	for (size_t i = 0; i < s->relay->n_listens; i++) {
		(void)snprintf(name, sizeof(name), "listen.%zu", i);
		add_fd(b, name, listen_fd(&m->listeners,
		    s->relay->listens[i].address));
	}
	add_fd(b, "tickets", tickets_fd(m->tickets));
}

static int
control_socket(const struct master *m, const char *path)
{
	char *address = xasprintf("control:%s", path);
	int fd = listen_fd(&m->listeners, address);

	free(address);
	return (fd);
}

static void
add_feed(struct birth *b, const struct master *m, const struct settings *s)
{
	char *path = xasprintf("%s/feed.sock", s->relay->run_dir);

	add_fd(b, "conf", s->relay_fd);
	add_fd(b, "admin", control_socket(m, path));
	free(path);
	path = xasprintf("%s/" CONF_FEED_WORKER_SOCKET, s->relay->run_dir);
	add_fd(b, "worker", control_socket(m, path));
	free(path);
}

static int
settings_fd(const struct settings *s, enum role role, const char *name)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].role == role &&
		    strcmp(s->files[i].name, name) == 0)
			return (s->files[i].fd);
	return (-1);
}

/* The root key as it lies there now: a rotation may have replaced it since the
 * configuration was read, and what was open then opens no record any more.
 * The next one too, while there is one. */
static void
add_root_keys(struct birth *b, const struct settings *s)
{
	struct conf_fault fault = { .text = "" };
	struct stat st;
	enum rc rc;

	if (root_key_open(s->e3, "", &b->keys[0], &st, &fault) != RC_OK)
		log_error("root-key not-read why=\"%s\" used=the one of the "
		    "last reload", fault.text);
	add_fd(b, "root", b->keys[0] >= 0 ? b->keys[0] :
	    settings_fd(s, ROLE_E3D, "root"));
	rc = root_key_open(s->e3, ROOT_KEY_NEXT, &b->keys[1], &st, &fault);
	if (rc == RC_OK)
		log_info("root-key-next passed to=e3d");
	else if (rc != RC_NOTFOUND)
		log_error("root-key-next not-passed why=\"%s\"", fault.text);
	add_fd(b, "root.next", b->keys[1]);
}

static void
add_engine(struct birth *b, const struct master *m, const struct settings *s)
{
	add_root_keys(b, s);
	for (size_t i = 0; i < s->e3->n_listens; i++)
		add_fd(b, strncmp(s->e3->listens[i], "unix:", 5) == 0 ?
		    "engine.unix" : "engine.tcp",
		    listen_fd(&m->listeners, s->e3->listens[i]));
}

static void
add_helper(struct birth *b, const struct master *m, const struct settings *s)
{
	add_fd(b, "conf", s->e3_fd);
	add_fd(b, "admin", control_socket(m, s->e3->helper_socket));
}

/* ---- arguments and environment ---------------------------------------------------- */

static void
add_arg(struct birth *b, const char *text)
{
	ensure(b->argc + 1 < ARGV_MAX);
	b->argv[b->argc++] = xstrdup(text);
}

static void
add_number(struct birth *b, const char *option, unsigned n)
{
	ensure(b->argc + 2 < ARGV_MAX);
	b->argv[b->argc++] = xstrdup(option);
	b->argv[b->argc++] = xasprintf("%u", n);
}

static void
add_log_level(struct birth *b, enum log_level level)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error", [LOG_WARN] = "warn",
		[LOG_INFO] = "info", [LOG_DEBUG] = "debug"
	};

	add_arg(b, "--log-level");
	add_arg(b, names[level]);
}

/* e3d parses no file: it gets checked options. */
static void
add_engine_args(struct birth *b, const struct settings *s)
{
	const struct conf_e3 *e3 = s->e3;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = e3->threads;

	if (threads == 0)	/* one core is left to the network thread */
		threads = cores > 2 ? (unsigned)cores - 1 : 1;
	add_number(b, "--threads", threads);
	add_number(b, "--secure-heap-kib", e3->secure_heap_kib);
	add_number(b, "--max-links", e3->max_links);
	add_number(b, "--max-queue", e3->max_queue);
	add_number(b, "--auth-cache-s", e3->auth_cache_s);
	add_number(b, "--app-fields-per-s", e3->app_fields_per_s);
	add_number(b, "--app-calls", e3->app_calls);
	add_number(b, "--leaf-per-minute", e3->leaf_per_minute);
	if (strcmp(e3->rpc_signatures, "all") == 0)
		add_arg(b, "--sign-all");
	add_log_level(b, s->relay->log_level);
	if (!s->relay->seccomp)
		add_arg(b, "--no-seccomp");
}

static void
add_args(struct birth *b, const struct settings *s, const char *name,
    unsigned generation)
{
	add_arg(b, role_program(b->role));
	add_arg(b, "--name");
	add_arg(b, b->role == ROLE_E3D ? s->e3->name : name);
	switch (b->role) {
	case ROLE_E3D:
		add_engine_args(b, s);
		break;
	case ROLE_HELPER:
		add_arg(b, "--conf-path");
		add_arg(b, s->e3->path);
		add_log_level(b, s->relay->log_level);
		break;
	case ROLE_WORKER:
		add_number(b, "--generation", generation);
		add_arg(b, "--conf-path");
		add_arg(b, s->relay->path);
		break;
	case ROLE_FEED:
		add_arg(b, "--conf-path");
		add_arg(b, s->relay->path);
		break;
	case ROLE_COUNT:
		break;
	}
}

static void
add_env(struct birth *b)
{
	char text[IPC_FDS_MAX * (IPC_FD_NAME_BYTES + 12)];
	struct ipc_inherited moved = b->fds;
	const char *value;

	for (unsigned i = 0; i < moved.n; i++)
		moved.v[i].fd = FIRST_FD + (int)i;
	ensure(ipc_inherit_format(&moved, text, sizeof(text)) == RC_OK);
	b->env[b->n_env++] = xasprintf("%s=%s", IPC_FDS_VARIABLE, text);
	b->env[b->n_env++] = xstrdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	/* Where root_key = "credential:..." is: for us, never for a role. */
	value = getenv("CREDENTIALS_DIRECTORY");
	if (b->role == ROLE_COUNT && value != NULL)
		b->env[b->n_env++] = xasprintf("CREDENTIALS_DIRECTORY=%s",
		    value);
	for (size_t i = 0; i < sizeof(env_kept) / sizeof(env_kept[0]); i++) {
		if ((value = getenv(env_kept[i])) == NULL)
			continue;
		ensure(b->n_env + 1 < ENV_MAX);
		b->env[b->n_env++] = xasprintf("%s=%s", env_kept[i], value);
	}
}

/* Beside us (a build tree, a prefix), else where we were to be installed. */
static char *
program_path(const struct master *m, const char *name)
{
	const char *slash = strrchr(m->program, '/');
	char *path;

	if (slash != NULL) {
		path = xasprintf("%.*s/%s", (int)(slash - m->program),
		    m->program, name);
		if (access(path, X_OK) == 0)
			return (path);
		free(path);
	}
	return (xasprintf("%s/%s", SBINDIR, name));
}

static void
birth_fini(struct birth *b)
{
	fd_close(&b->keys[0]);
	fd_close(&b->keys[1]);
	for (unsigned i = 0; i < b->argc; i++)
		free(b->argv[i]);
	for (unsigned i = 0; i < b->n_env; i++)
		free(b->env[i]);
	free(b->path);
}

/* ---- the child ------------------------------------------------------------------------ */

/* There is no log yet and maybe no standard error: the panic page it is. */
static void
die(const struct birth *b, const char *step)
{
	const char *why = strerrordesc_np(errno);

	if (b->panic != NULL)
		(void)snprintf(b->panic, PANIC_PAGE_BYTES, "%s: %s: %s",
		    b->path, step, why == NULL ? "?" : why);
	else
		dprintf(STDERR_FILENO, "%s: %s: %s\n", b->path, step,
		    why == NULL ? "?" : why);
	_exit(126);
}

static void
move_fds(const struct birth *b)
{
	int high[IPC_FDS_MAX], null;

	null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		die(b, "/dev/null");
	if (b->output >= 0 && dup2(b->output, STDERR_FILENO) < 0)
		die(b, "dup2");
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		die(b, "dup2");
	/* Out of the way first: a number may be both source and target. */
	for (unsigned i = 0; i < b->fds.n; i++) {
		high[i] = fcntl(b->fds.v[i].fd, F_DUPFD,
		    FIRST_FD + IPC_FDS_MAX);
		if (high[i] < 0)
			die(b, "dup");
	}
	for (unsigned i = 0; i < b->fds.n; i++)
		if (dup2(high[i], FIRST_FD + (int)i) < 0)
			die(b, "dup2");
	if (close_range(FIRST_FD + b->fds.n, ~0u, 0) != 0)
		die(b, "close_range");
}

static void __attribute__((__noreturn__))
child_main(const struct birth *b)
{
	const char *failed;
	sigset_t none;

	/* A Ctrl-C at our terminal is for the master, which then ends its
	 * children in order. */
	(void)setpgid(0, 0);
	(void)umask(007);	/* modes are chosen with the group in mind */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	move_fds(b);
	if (b->privs != NULL &&
	    (failed = priv_enter(b->privs, b->role)) != NULL)
		die(b, failed);
	(void)execve(b->path, b->argv, b->env);
	die(b, "exec");
	_exit(126);
}

/* ---- births ------------------------------------------------------------------------------ */

char *
spawn_panic_map(int panic_fd)
{
	void *p = mmap(NULL, PANIC_PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_SHARED, panic_fd, 0);

	return (p == MAP_FAILED ? NULL : p);
}

static enum rc
make_panic_page(struct spawned *out)
{
	out->panic_fd = memfd_create("panic", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* The child cannot cut it short, which would be our SIGBUS. */
	if (out->panic_fd < 0 ||
	    ftruncate(out->panic_fd, PANIC_PAGE_BYTES) != 0 ||
	    fcntl(out->panic_fd, F_ADD_SEALS,
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return (RC_IO);
	out->panic = spawn_panic_map(out->panic_fd);
	return (out->panic == NULL ? RC_IO : RC_OK);
}

static void
undo(struct spawned *out)
{
	if (out->panic != NULL)
		(void)munmap(out->panic, PANIC_PAGE_BYTES);
	out->panic = NULL;
	fd_close(&out->panic_fd);
	fd_close(&out->control_fd);
}

static void
add_role(struct birth *b, const struct master *m, const struct settings *s)
{
	switch (b->role) {
	case ROLE_E3D:
		add_engine(b, m, s);
		break;
	case ROLE_HELPER:
		add_helper(b, m, s);
		break;
	case ROLE_FEED:
		add_feed(b, m, s);
		break;
	case ROLE_WORKER:
		add_worker(b, m, s);
		break;
	case ROLE_COUNT:
		break;
	}
	add_files(b, s, b->role);
}

enum rc
spawn_role(const struct master *m, const struct settings *s, enum role role,
    const char *name, unsigned generation, struct spawned *out)
{
	struct birth b = { .privs = &m->privs, .role = role,
	    .keys = { -1, -1 }, .output = -1 };
	int pair[2] = { -1, -1 };
	enum rc rc = RC_IO;

	*out = (struct spawned){ .pid = -1, .control_fd = -1, .panic_fd = -1 };
	if (make_panic_page(out) != RC_OK ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0, pair) != 0)
		goto out;
	out->control_fd = pair[0];
	b.panic = out->panic;
	add_fd(&b, "control", pair[1]);
	add_fd(&b, "panic", out->panic_fd);
	add_fd(&b, "log", m->log_fd);
	/* A daemon's starter may wait for the end of its pipe: no child keeps
	 * that open.  Words of libc and sanitizers go to the log file too. */
	if (!m->options.foreground)
		b.output = m->log_fd;
	add_role(&b, m, s);
	add_args(&b, s, name, generation);
	add_env(&b);
	b.path = program_path(m, role_program(role));
	out->pid = fork();
	if (out->pid == 0)
		child_main(&b);
	rc = out->pid > 0 ? RC_OK : RC_IO;
out:
	fd_close(&pair[1]);
	if (rc != RC_OK)
		undo(out);
	birth_fini(&b);
	return (rc);
}

static enum rc
spawn_check(struct birth *b, struct spawned_check *out)
{
	int pipe_fds[2];

	*out = (struct spawned_check){ .pid = -1, .output_fd = -1 };
	add_env(b);
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return (RC_IO);
	b->output = pipe_fds[1];
	out->pid = fork();
	if (out->pid == 0)
		child_main(b);
	fd_close(&pipe_fds[1]);
	if (out->pid < 0) {
		fd_close(&pipe_fds[0]);
		return (RC_IO);
	}
	out->output_fd = pipe_fds[0];
	return (RC_OK);
}

enum rc
spawn_check_worker(const struct master *m, const struct settings *s,
    struct spawned_check *out)
{
	struct birth b = { .privs = &m->privs, .role = ROLE_WORKER,
	    .keys = { -1, -1 } };
	int tickets = tickets_sample();
	enum rc rc;

	add_fd(&b, "conf", s->relay_fd);
	add_fd(&b, "tickets", tickets);
	add_files(&b, s, ROLE_WORKER);
	add_args(&b, s, "worker", m->generation + 1);
	add_arg(&b, "-t");
	b.path = program_path(m, role_program(ROLE_WORKER));
	rc = spawn_check(&b, out);
	fd_close(&tickets);
	birth_fini(&b);
	return (rc);
}

enum rc
spawn_check_self(const struct master *m, struct spawned_check *out)
{
	struct birth b = { .role = ROLE_COUNT, .keys = { -1, -1 } };
	enum rc rc;

	add_arg(&b, "relayd");
	add_arg(&b, "-t");
	add_arg(&b, "-c");
	add_arg(&b, m->options.conf_path);
	if (m->options.engine_only) {
		add_arg(&b, "-r");
		add_arg(&b, "e3");
	}
	b.path = xstrdup(m->program);
	rc = spawn_check(&b, out);
	birth_fini(&b);
	return (rc);
}

/* "2026-01-01T00:00:00.000Z error worker 123 text" -> "text". */
static const char *
without_prefix(const char *line)
{
	const char *p = line;

	if (*p < '0' || *p > '9')
		return (line);
	for (int i = 0; i < 4; i++) {
		if ((p = strchr(p, ' ')) == NULL)
			return (line);
		p++;
	}
	return (p);
}

void
spawn_check_reason(int output_fd, char *out, size_t size)
{
	char text[OUTPUT_BYTES];
	ssize_t n;
	char *nl;

	(void)snprintf(out, size, "it said nothing");
	/* It has ended: all it wrote is in the pipe. */
	n = read(output_fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	nl = strrchr(text, '\n');
	(void)snprintf(out, size, "%s",
	    without_prefix(nl == NULL ? text : nl + 1));
}
