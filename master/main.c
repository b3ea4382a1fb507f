/*
 * master/main.c - relayd: binds ports, opens key files, starts the other
 * programs and keeps them running.  It reads no byte of a client.
 *
 * The way through main(): options, configuration, (test and exit), daemon,
 * lock, folders, sockets, children, loop.  Foreground and daemon differ in one
 * thing: a daemon's starter waits until the first generation serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "master/control.h"
#include "master/daemon.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/reload.h"
#include "master/restart.h"
#include "master/spawn.h"
#include "master/tickets.h"
#include "master/upgrade.h"

#define CONF_PATH	SYSCONFDIR "/relay/relay.conf"
#define START_MS	30000	/* until the first generation serves */
#define CHECK_MS	10000	/* of -t, as in reload.c */

static const char usage_text[] =
    "usage: relayd [-fthV] [-c FILE] [-r e3]\n"
    "  -c FILE   configuration (" CONF_PATH ")\n"
    "  -f        stay in the foreground\n"
    "  -r e3     supervise the engine and its helper alone\n"
    "  -t        check the configuration and what it names, then exit\n"
    "  -V        print the version\n"
    "  -h        print this text\n"
    "Signals: HUP reload, USR1 reopen logs, USR2 upgrade, QUIT drain and "
    "exit,\nTERM exit now.  See relayd(8).\n";

/* ---- options --------------------------------------------------------------------- */

static void
parse_options(int argc, char **argv, struct master_options *o)
{
	int c;

	o->conf_path = CONF_PATH;
	while ((c = getopt(argc, argv, "c:fr:thV")) != -1) {
		switch (c) {
		case 'c':
			o->conf_path = optarg;
			o->conf_given = true;
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'r':
			if (strcmp(optarg, "e3") != 0)
				fatal(EXIT_CONF, "-r %s: only e3 is a role to "
				    "run alone", optarg);
			o->engine_only = true;
			break;
		case 't':
			o->test = true;
			break;
		case 'V':
			(void)printf("relayd %s\n", PACKAGE_VERSION);
			exit(EXIT_DONE);
		case 'h':
			(void)fputs(usage_text, stdout);
			exit(EXIT_DONE);
		default:
			(void)fputs(usage_text, stderr);
			exit(EXIT_CONF);
		}
	}
	if (optind != argc) {
		(void)fputs(usage_text, stderr);
		exit(EXIT_CONF);
	}
}

static char *
own_path(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		fatal(EXIT_FAILED, "/proc/self/exe: %s", strerror(errno));
	return (xstrndup(path, (size_t)n));
}

/* ---- -t ----------------------------------------------------------------------------- */

static void
read_settings(struct master *m)
{
	struct conf_fault fault = { .text = "" };

	if (settings_read(m->options.conf_path, !m->options.conf_given,
	    m->options.engine_only, &m->settings, &fault) != RC_OK)
		fatal(EXIT_CONF, "%s", fault.text);
	if (priv_resolve(m->settings->relay, &m->privs, &fault) != RC_OK)
		fatal(EXIT_CONF, "%s", fault.text);
	log_set_level(m->settings->relay->log_level);
	/* All later messages and reloads name it the same way, wherever we
	 * were started. */
	m->conf_path = xstrdup(m->settings->relay->path);
	m->options.conf_path = m->conf_path;
}

static int
wait_for_check(const struct spawned_check *check)
{
	struct pollfd p = { .fd = check->output_fd, .events = 0 };
	int status;

	/* Its end of the pipe closes when it ends: a wait with a deadline. */
	if (poll(&p, 1, CHECK_MS) == 0)
		(void)kill(check->pid, SIGKILL);
	if (waitpid(check->pid, &status, 0) != check->pid)
		return (-1);
	return (status);
}

static void
test_configuration(struct master *m)
{
	struct spawned_check check;
	char why[512];
	int status;

	if (!m->options.engine_only) {
		if (spawn_check_worker(m, m->settings, &check) != RC_OK)
			fatal(EXIT_FAILED, "the check could not be started: "
			    "%s", strerror(errno));
		status = wait_for_check(&check);
		spawn_check_reason(check.output_fd, why, sizeof(why));
		fd_close(&check.output_fd);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fatal(EXIT_CONF, "relay-worker -t: %s", why);
	}
	(void)printf("%s: good\n", m->options.conf_path);
}

/* ---- lock, log, sockets --------------------------------------------------------------- */

static void
take_lock(struct master *m)
{
	const char *folder = m->settings->relay->run_dir;
	char *path = xasprintf("%s/relayd.lock", folder);

	m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	free(path);
	if (m->lock_fd < 0)
		fatal(EXIT_FAILED, "%s/relayd.lock: %s", folder,
		    strerror(errno));
	if (flock(m->lock_fd, LOCK_EX | LOCK_NB) != 0)
		fatal(EXIT_RUNNING, "%s: another relayd is running there",
		    folder);
}

static char *
pid_path(const struct master *m)
{
	return (xasprintf("%s/relayd.pid", m->settings->relay->run_dir));
}

static void
write_pid(struct master *m)
{
	char *path = pid_path(m), text[16];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	enum rc rc = file_write_atomic(path, text, (size_t)n, 0644);

	free(path);
	if (rc != RC_OK)
		fatal(EXIT_FAILED, "%s/relayd.pid: %s",
		    m->settings->relay->run_dir, rc_name(rc));
}

enum rc
master_open_log(struct master *m, const struct conf *conf)
{
	int fd, ours;

	if (*conf->log_file == '\0') {
		log_to_fd(STDERR_FILENO);
		fd_close(&m->log_fd);
		return (RC_OK);
	}
	fd = open(conf->log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOCTTY, 0640);
	ours = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (ours < 0) {
		log_error("log-file failed path=%s errno=%d", conf->log_file,
		    errno);
		fd_close(&fd);
		return (RC_IO);
	}
	if (m->privs.root && fchown(fd, (uid_t)-1, m->privs.admin_gid) != 0)
		log_warn("log-file group errno=%d", errno);
	log_to_fd(ours);
	fd_close(&m->log_fd);
	m->log_fd = fd;
	supervise_tell(&m->children, ROLE_COUNT, "reopen-log", fd);
	return (RC_OK);
}

static void
open_sockets(struct master *m)
{
	struct conf_fault fault = { .text = "" };
	struct listen_wants wants;
	enum rc rc;

	settings_wants(m->settings, &m->privs, &wants);
	rc = listen_open(&m->listeners, &wants, LISTEN_TAKEOVER_MS, &fault);
	if (rc != RC_OK) {
		if (m->log_fd >= 0) {	/* not read by who starts us */
			log_error("%s", fault.text);
			log_to_fd(STDERR_FILENO);
		}
		fatal(EXIT_ADDRESS, "%s", fault.text);
	}
	listen_keep(&m->listeners, &wants);
	listen_wants_fini(&wants);
}

/* ---- events ------------------------------------------------------------------------------ */

void
master_serves(struct master *m)
{
	m->ready = true;
	timer_stop(&m->start_deadline);
	log_info("relayd-ready version=%s generation=%u", PACKAGE_VERSION,
	    m->generation);
	if (m->daemon_fd >= 0)
		daemon_serves(m);
	notify_send("READY=1\nMAINPID=%ld\nSTATUS=generation %u serves",
	    (long)getpid(), m->generation);
}

static void
on_start_deadline(void *arg)
{
	struct master *m = arg;

	log_error("not ready after %d s: see the lines above",
	    START_MS / 1000);
	master_leave(m, LEAVING_TERM, EXIT_NOT_READY);
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct master *m = arg;

	(void)what;
	switch (sig) {
	case SIGCHLD:
		supervise_reap(m);
		return;
	case SIGHUP:
		if (m->ready)
			(void)reload_request(m, RELOAD_CONF);
		else
			log_warn("reload refused why=starting");
		return;
	case SIGUSR1:
		if (master_open_log(m, m->settings->relay) == RC_OK)
			log_info("log-reopened");
		return;
	case SIGUSR2:
		upgrade_start(m);
		return;
	case SIGQUIT:
		master_leave(m, LEAVING_QUIT, EXIT_DONE);
		return;
	case SIGTERM:
	case SIGINT:
		master_leave(m, LEAVING_TERM, EXIT_DONE);
		return;
	}
}

static void
watch_signals(struct master *m)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2,
	    SIGQUIT, SIGTERM, SIGINT };
	sigset_t none;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		m->signals[i] = evsignal_new(loop_base(m->loop), signals[i],
		    on_signal, m);
		ensure(m->signals[i] != NULL);
		ensure(event_add(m->signals[i], NULL) == 0);
	}
	/* An upgrade comes here with all of them blocked. */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- start and end -------------------------------------------------------------------------- */

static void
start_single(struct master *m, enum role role)
{
	if (supervise_find(&m->children, role) == NULL)
		(void)supervise_start(m, role, 0, m->settings,
		    m->generation > 0 ? m->generation : 1);
}

static void
start_children(struct master *m, int upgrade_fd)
{
	if (upgrade_fd >= 0 &&
	    upgrade_adopt_children(m, upgrade_fd) != RC_OK)
		fatal(EXIT_FAILED, "the list of the last relayd is broken");
	if (upgrade_fd >= 0)
		supervise_reap(m);	/* who ended in between */
	if (m->settings->e3 != NULL) {
		start_single(m, ROLE_E3D);
		start_single(m, ROLE_HELPER);
	}
	if (!m->options.engine_only)
		start_single(m, ROLE_FEED);
	(void)reload_request(m, upgrade_fd >= 0 ? RELOAD_UPGRADE :
	    RELOAD_START);
}

static void
open_all(struct master *m, int upgrade_fd)
{
	struct conf_fault fault = { .text = "" };

	listen_init(&m->listeners);
	supervise_init(&m->children);
	if (priv_folders(&m->privs, m->settings->relay, m->settings->e3,
	    m->options.engine_only, &fault) != RC_OK)
		fatal(EXIT_CONF, "%s", fault.text);
	if (upgrade_fd < 0)
		take_lock(m);
	else if (upgrade_adopt_sockets(m, upgrade_fd) != RC_OK)
		fatal(EXIT_FAILED, "the list of the last relayd is broken");
	if (master_open_log(m, m->settings->relay) != RC_OK)
		fatal(EXIT_CONF, "%s: %s", m->settings->relay->log_file,
		    strerror(errno));
	open_sockets(m);
	write_pid(m);
	m->loop = loop_new();
	m->tickets = tickets_new(m);
	m->reload = reload_new(m);
	m->restart = restart_new(m);
	m->control = control_new(m);
	timer_init(&m->start_deadline, m->loop, on_start_deadline, m);
	watch_signals(m);
}

static void
close_all(struct master *m)
{
	char *path = pid_path(m);

	supervise_fini(&m->children);
	control_free(&m->control);
	reload_free(&m->reload);
	restart_free(&m->restart);
	tickets_free(&m->tickets);
	listen_fini(&m->listeners);
	log_info("relayd-ended exit=%d", m->exit_code);
	timer_fini(&m->start_deadline);
	for (size_t i = 0; m->signals[i] != NULL; i++)
		event_free(m->signals[i]);
	loop_free(&m->loop);
	(void)unlink(path);
	free(path);
	fd_close(&m->lock_fd);
}

static void
give_back(struct master *m)
{
	fd_close(&m->log_fd);
	settings_unref(&m->settings);
	free(m->program);
	free(m->conf_path);
}

int
main(int argc, char **argv)
{
	struct master m = { .lock_fd = -1, .log_fd = -1, .daemon_fd = -1 };
	int upgrade_fd;

	(void)signal(SIGPIPE, SIG_IGN);
	daemon_stdio();
	log_init("relayd", LOG_INFO);
	parse_options(argc, argv, &m.options);
	m.program = own_path();
	m.t_start_ms = clock_mono_ms();
	read_settings(&m);
	if (m.options.test) {
		test_configuration(&m);
		give_back(&m);
		return (EXIT_DONE);
	}
	if (!upgrade_inherited(&upgrade_fd) && !m.options.foreground)
		daemon_begin(&m);
	(void)umask(027);
	open_all(&m, upgrade_fd);
	if (upgrade_fd < 0)
		timer_start_ms(&m.start_deadline, START_MS);
	start_children(&m, upgrade_fd);
	loop_run(m.loop);
	close_all(&m);
	give_back(&m);
	return (m.exit_code);
}
