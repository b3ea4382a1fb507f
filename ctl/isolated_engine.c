/*
 * ctl/isolated_engine.c - `relayd -r e3` over a folder made for it.
 *
 * The folder is in memory (/dev/shm) where there is one.  It holds the sealed
 * records and keys of the throwaway certificates; the root key is in no file
 * at all: relayd inherits it in a memfd, which root_key names.
 *
 * Nothing stays behind: relayd gets SIGTERM when we die of anything, and the
 * folder is scratch.h's.
 */
#include "ctl/isolated_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/control_client.h"
#include "ctl/link_ca.h"
#include "ctl/pause.h"
#include "ctl/scratch.h"
#include "ctl/status_view.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/body/json.h"

#define PREFIX		"relay-proof."
#define PATH_BYTES_MAX	64	/* a socket below it must be connectable */
#define READY_MS	120000	/* a million records on a small machine */
#define ASK_MS		2000
#define POLL_MS		20
#define END_MS		15000	/* after SIGTERM; it needs a moment */
#define LOG_BYTES_MAX	(1u << 20)
#define LOG_LINES	8	/* the last errors say what is wrong */
#define N_SIGNALS	3

static const int signals[N_SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

struct isolated_engine {
	unsigned		magic;
#define ISOLATED_ENGINE_MAGIC	0x15ed0e31
	struct scratch		folder;
	int			root_key;	/* owned: memfd */
	pid_t			pid;		/* relayd; -1: not running */
	char			*conf_path;	/* owned: ctl.conf_path */
	struct ctl		ctl;
	struct sigaction	before[N_SIGNALS];
	struct sigaction	before_child;	/* of SIGCHLD */
};

static volatile sig_atomic_t interrupted;

/* ---- signals -------------------------------------------------------------------- */

static void
on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void
catch_signals(struct isolated_engine *e)
{
	/* Without SA_RESTART: what waits looks again. */
	struct sigaction sa = { .sa_handler = on_signal };
	struct sigaction child = { .sa_handler = SIG_DFL };

	interrupted = 0;
	(void)sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < N_SIGNALS; i++)
		(void)sigaction(signals[i], &sa, &e->before[i]);
	/* Who started us may have it ignored: relayd's pid would be free for
	 * others as soon as it ends, and we would wait for it, and kill it. */
	(void)sigemptyset(&child.sa_mask);
	(void)sigaction(SIGCHLD, &child, &e->before_child);
}

bool
isolated_engine_interrupted(const struct isolated_engine *e)
{
	obj_check(e, ISOLATED_ENGINE_MAGIC);
	return (interrupted != 0);
}

/* ---- the folder -------------------------------------------------------------------- */

/* In memory if that can be had; a name that needs no quotes in a file. */
static const char *
base_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	struct statfs fs;

	if (statfs("/dev/shm", &fs) == 0 &&
	    (unsigned long)fs.f_type == TMPFS_MAGIC &&
	    access("/dev/shm", W_OK | X_OK) == 0)
		return ("/dev/shm");
	if (tmp != NULL && tmp[0] == '/' && strlen(tmp) < PATH_BYTES_MAX &&
	    strpbrk(tmp, "\"\\$\n") == NULL)
		return (tmp);
	return ("/tmp");
}

static enum ctl_exit
make_folder(struct isolated_engine *e)
{
	static const char *const below[] = { "link", "e3" };
	const char *base = base_folder();
	char *path;
	int made = 0;

	if (scratch_make(&e->folder, base, PREFIX) != RC_OK) {
		ctl_error("a folder below %s cannot be made: %s", base,
		    strerror(errno));
		return (CTL_FAILED);
	}
	for (size_t i = 0; made == 0 && i < 2; i++) {
		path = xasprintf("%s/%s", e->folder.path, below[i]);
		made = mkdir(path, 0700);
		free(path);
	}
	if (made == 0)
		return (CTL_DONE);
	ctl_error("%s: %s", e->folder.path, strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
put_file(const struct isolated_engine *e, const char *name, struct span text,
    unsigned mode)
{
	char *path = xasprintf("%s/%s", e->folder.path, name);
	enum ctl_exit status = CTL_DONE;

	if (file_create(path, text.p, text.len, mode) != RC_OK) {
		ctl_error("%s: %s", path, strerror(errno));
		status = CTL_FAILED;
	}
	free(path);
	return (status);
}

static struct span
text_of(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* ---- what is in it ------------------------------------------------------------------ */

static enum ctl_exit
put_pair(const struct isolated_engine *e, const char *who,
    const struct buffer *cert, const struct buffer *key)
{
	char name[32];
	enum ctl_exit status;

	(void)snprintf(name, sizeof(name), "link/%s.pem", who);
	if ((status = put_file(e, name, text_of(cert), 0400)) != CTL_DONE)
		return (status);
	(void)snprintf(name, sizeof(name), "link/%s.key", who);
	return (put_file(e, name, text_of(key), 0400));
}

/* The CA's key is never written: nobody can join this engine later. */
static enum ctl_exit
put_links(const struct isolated_engine *e)
{
	static const char *const roles[] = { "engine", "helper", "admin" };
	struct link_ca *ca = NULL;
	struct buffer cert, key;
	enum ctl_exit status = CTL_FAILED;

	buffer_init(&cert, 0, false);
	buffer_init(&key, 0, true);
	if (link_ca_new("proof", &ca) == RC_OK &&
	    link_ca_pem(ca, &cert, &key) == RC_OK)
		status = put_file(e, "link/ca.pem", text_of(&cert), 0400);
	for (size_t i = 0; status == CTL_DONE && i < 3; i++) {
		buffer_clear(&cert);
		buffer_clear(&key);
		status = CTL_FAILED;
		if (link_ca_issue(ca, roles[i], "proof", 1, &cert, &key) ==
		    RC_OK)
			status = put_pair(e, roles[i], &cert, &key);
	}
	if (status != CTL_DONE)
		ctl_error("the certificates of an engine for the proof cannot "
		    "be made");
	link_ca_free(&ca);
	buffer_fini(&cert);
	buffer_fini(&key);
	return (status);
}

static enum ctl_exit
put_records(const struct isolated_engine *e, const struct archive *a)
{
	char name[RPC_APP_ID_BYTES + 16];
	enum ctl_exit status = CTL_DONE;

	for (size_t i = 0; status == CTL_DONE && i < a->n_records; i++) {
		(void)snprintf(name, sizeof(name), "e3/%s.rec",
		    a->records[i].head.app);
		status = put_file(e, name, a->records[i].bytes, 0600);
		if (interrupted)
			status = CTL_FAILED;
	}
	return (status);
}

static enum ctl_exit
keep_root_key(struct isolated_engine *e,
    const uint8_t root_key[SHARES_SECRET_BYTES])
{
	e->root_key = memfd_create("root.key", MFD_CLOEXEC);
	if (e->root_key >= 0 && fchmod(e->root_key, 0400) == 0 &&
	    fd_write_all(e->root_key, root_key, SHARES_SECRET_BYTES) == RC_OK)
		return (CTL_DONE);
	ctl_error("memory for the root key: %s", strerror(errno));
	return (CTL_FAILED);
}

/* One user for all roles: they could not reach each other below a folder that
 * is ours alone. */
static enum ctl_exit
put_confs(struct isolated_engine *e, const struct ctl *ctl)
{
	const char *f = e->folder.path;
	enum ctl_exit status;
	struct buffer b;

	buffer_init(&b, 0, false);
	buffer_printf(&b, "state_dir = \"%s/relay\"\nrun_dir = \"%s\"\n"
	    "link_dir = \"%s/link\"\nengine_conf = \"%s/e3.conf\"\n"
	    "worker_user = \"\"\nfeed_user = \"\"\nengine_user = \"\"\n"
	    "helper_user = \"\"\nadmin_group = \"\"\nmap_group = \"\"\n"
	    "seccomp = %s\n", f, f, f, f,
	    ctl->conf->seccomp ? "true" : "false");
	status = put_file(e, "relay.conf", text_of(&b), 0400);
	buffer_clear(&b);
	buffer_printf(&b, "listen = { \"unix:%s/e3.sock\" }\n"
	    "root_key = \"/proc/self/fd/%d\"\nlink_dir = \"%s/link\"\n"
	    "state_dir = \"%s/e3\"\nhelper_socket = \"%s/helper.sock\"\n"
	    "name = \"proof\"\nthreads = 1\nsecure_heap_kib = %u\n", f,
	    e->root_key, f, f, f, ctl->conf_e3->secure_heap_kib);
	if (status == CTL_DONE)
		status = put_file(e, "e3.conf", text_of(&b), 0400);
	buffer_fini(&b);
	e->conf_path = xasprintf("%s/relay.conf", f);
	e->ctl.conf_path = e->conf_path;
	return (status);
}

/* ---- relayd --------------------------------------------------------------------------- */

/* None of the service manager's or of another relayd's variables. */
static void
clean_environment(void)
{
	static const char *const foreign[] = { "NOTIFY_SOCKET", "LISTEN_FDS",
	    "LISTEN_PID", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY",
	    "RELAY_CONF", "RELAY_FDS", "RELAY_UPGRADE" };

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		(void)unsetenv(foreign[i]);
}

static void __attribute__((__noreturn__))
become_relayd(const struct isolated_engine *e, const char *program,
    pid_t parent, int log, int null)
{
	/* By then the engine serves nobody: it may go without a word. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent ||
	    fd_cloexec(e->root_key, false) != RC_OK ||
	    dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
	    dup2(log, STDERR_FILENO) < 0)
		_exit(126);
	clean_environment();
	(void)execl(program, "relayd", "-f", "-r", "e3", "-c", e->conf_path,
	    (char *)NULL);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(126);
}

static enum ctl_exit
start_relayd(struct isolated_engine *e)
{
	char *program = ctl_program_path("relayd");
	char *path = xasprintf("%s/log", e->folder.path);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t self = getpid();

	if (log >= 0 && null >= 0)
		e->pid = fork();
	if (e->pid == 0)
		become_relayd(e, program, self, log, null);
	if (e->pid < 0)
		ctl_error("%s: %s", program, strerror(errno));
	fd_close(&log);
	fd_close(&null);
	free(path);
	free(program);
	return (e->pid < 0 ? CTL_FAILED : CTL_DONE);
}

/* Has it ended by itself? */
static bool
relayd_ended(struct isolated_engine *e)
{
	if (e->pid > 0 && waitpid(e->pid, NULL, WNOHANG) == e->pid)
		e->pid = -1;
	return (e->pid < 0);
}

static void
end_relayd(struct isolated_engine *e)
{
	uint64_t end_ms = clock_mono_ms() + END_MS;

	if (relayd_ended(e))
		return;
	(void)kill(e->pid, SIGTERM);
	while (!relayd_ended(e)) {
		if (clock_mono_ms() > end_ms) {
			/* Its children see the end of their sockets. */
			(void)kill(e->pid, SIGKILL);
			(void)waitpid(e->pid, NULL, 0);
			e->pid = -1;
			return;
		}
		pause_ms(POLL_MS);
	}
}

/* Errors are lines of the log; a line of another form is a loader's, or a
 * sanitizer's, and counts too. */
void
isolated_engine_tell_log(const struct isolated_engine *e)
{
	char *path = xasprintf("%s/log", e->folder.path), *line, *next;
	unsigned told = 0;
	struct buffer b;

	obj_check(e, ISOLATED_ENGINE_MAGIC);
	buffer_init(&b, LOG_BYTES_MAX, false);
	if (file_read(path, &b) == RC_OK || buffer_len(&b) != 0) {
		(void)buffer_cstr(&b);
		next = buffer_data(&b);
		while (told < LOG_LINES &&
		    (line = strsep(&next, "\n")) != NULL) {
			if (line[0] == '\0' || (strncmp(line, "20", 2) == 0 &&
			    strstr(line, " error ") == NULL))
				continue;
			ctl_error("engine of the proof: %s", line);
			told++;
		}
	}
	buffer_fini(&b);
	free(path);
}

/* Its helper compared what the engine holds with the disk: nothing will change
 * that any more. */
static bool
is_unequal(struct span status)
{
	struct body_json doc;
	uint32_t helper, state;
	bool unequal = false;

	if (body_json_read(&doc, status.p, status.len, 0, NULL) != RC_OK)
		return (false);
	if ((helper = body_json_member(&doc, 0, "helper")) != 0 &&
	    (state = body_json_member(&doc, helper, "engine_state")) != 0)
		unequal = span_eq_str(body_json_raw(&doc, state),
		    "\"unequal\"");
	body_json_fini(&doc);
	return (unequal);
}

/* RC_OK; RC_AGAIN with why; RC_CORRUPT. */
static enum rc
ask_ready(const char *path, char *why, size_t why_size)
{
	struct control_answer answer;
	enum rc rc = RC_AGAIN;

	if (control_ask(path, "status", SPAN_LIT(""), -1, ASK_MS, &answer) !=
	    RC_OK)
		return (RC_AGAIN);
	if (status_ready(control_answer_text(&answer), why, why_size) == RC_OK)
		rc = RC_OK;
	else if (is_unequal(control_answer_text(&answer)))
		rc = RC_CORRUPT;
	control_answer_fini(&answer);
	return (rc);
}

static enum ctl_exit
wait_ready(struct isolated_engine *e)
{
	char *path = xasprintf("%s/relayd.sock", e->folder.path), why[160] = "";
	uint64_t end_ms = clock_mono_ms() + READY_MS;
	enum rc rc = RC_AGAIN;

	while (rc == RC_AGAIN && !interrupted && !relayd_ended(e) &&
	    clock_mono_ms() < end_ms) {
		rc = ask_ready(path, why, sizeof(why));
		if (rc == RC_AGAIN)
			pause_ms(POLL_MS);
	}
	free(path);
	if (rc == RC_OK)
		return (CTL_DONE);
	if (interrupted)
		return (CTL_FAILED);
	isolated_engine_tell_log(e);
	if (rc == RC_CORRUPT)
		ctl_error("the records do not open with this root key");
	else
		ctl_error("the engine of the proof %s%s%s", e->pid < 0 ?
		    "ended" : "is not ready", why[0] == '\0' ? "" : ": ", why);
	return (CTL_FAILED);
}

/* ---- the whole ------------------------------------------------------------------------- */

enum ctl_exit
isolated_engine_start(struct ctl *ctl, const struct archive *a,
    const uint8_t root_key[SHARES_SECRET_BYTES], struct isolated_engine **out)
{
	struct isolated_engine *e;
	enum ctl_exit status;

	*out = NULL;
	if ((status = ctl_conf_e3(ctl)) != CTL_DONE)
		return (status);
	e = xcalloc(1, sizeof(*e));
	e->magic = ISOLATED_ENGINE_MAGIC;
	e->folder = SCRATCH_NONE;
	e->root_key = -1;
	e->pid = -1;
	catch_signals(e);
	if ((status = make_folder(e)) == CTL_DONE &&
	    (status = put_links(e)) == CTL_DONE &&
	    (status = put_records(e, a)) == CTL_DONE &&
	    (status = keep_root_key(e, root_key)) == CTL_DONE &&
	    (status = put_confs(e, ctl)) == CTL_DONE &&
	    (status = start_relayd(e)) == CTL_DONE)
		status = wait_ready(e);
	if (status == CTL_DONE) {
		*out = e;
		return (CTL_DONE);
	}
	if (interrupted)
		ctl_error("interrupted");
	isolated_engine_end(&e);
	return (status);
}

struct ctl *
isolated_engine_ctl(struct isolated_engine *e)
{
	obj_check(e, ISOLATED_ENGINE_MAGIC);
	return (&e->ctl);
}

void
isolated_engine_end(struct isolated_engine **ep)
{
	static const uint8_t zeros[SHARES_SECRET_BYTES];
	struct isolated_engine *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, ISOLATED_ENGINE_MAGIC);
	end_relayd(e);
	if (e->root_key >= 0)
		(void)!pwrite(e->root_key, zeros, sizeof(zeros), 0);
	fd_close(&e->root_key);
	scratch_remove(&e->folder);
	conf_free(&e->ctl.conf);
	conf_e3_free(&e->ctl.conf_e3);
	for (size_t i = 0; i < N_SIGNALS; i++)
		(void)sigaction(signals[i], &e->before[i], NULL);
	(void)sigaction(SIGCHLD, &e->before_child, NULL);
	free(e->conf_path);
	e->magic = 0;
	free(e);
}
