/* master/supervise.c - children: born, ready, drained, ended, born again. */
#include "master/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "master/backoff.h"
#include "master/control.h"
#include "master/master.h"
#include "master/reload.h"
#include "master/spawn.h"

#define READY_MS	30000	/* a role opens files and sockets, no more */
#define DRAIN_GRACE_MS	1000	/* a child keeps the same deadline itself */
#define ENGINE_SWAP_MS	2000	/* links never end by themselves, calls take
				   milliseconds, and until the new engine is
				   there nobody new can connect */
#define TERM_MS		3000	/* from TERM to KILL */
#define EOF_MS		3000	/* between the end of the channel and exit */
#define MAP_CHECKS_PER_S	2	/* asked for by what workers say; each
					   looks at the whole map */

static const char *const state_names[] = {
	[CHILD_STARTING] = "starting", [CHILD_READY] = "ready",
	[CHILD_DRAINING] = "draining", [CHILD_BACKOFF] = "backoff"
};

const char *
child_state_name(enum child_state s)
{
	return (state_names[s]);
}

enum rc
child_state_parse(const char *name, enum child_state *out)
{
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]);
	    i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*out = (enum child_state)i;
			return (RC_OK);
		}
	}
	return (RC_NOTFOUND);
}

static void
set_state(struct child *c, enum child_state s)
{
	c->state = s;
	c->t_state_ms = clock_mono_ms();
}

/* ---- birth and end of the object ---------------------------------------------- */

static void child_begin(struct child *);
static void on_timer(void *);

/* What belongs to one process of the child, not to the child. */
static void
drop_process(struct child *c)
{
	ipc_channel_free(&c->control);
	c->control_fd = -1;
	if (c->panic != NULL)
		(void)munmap(c->panic, PANIC_PAGE_BYTES);
	c->panic = NULL;
	fd_close(&c->panic_fd);
	free(c->status);
	c->status = NULL;
	c->asked = c->answered = 0;
	c->pid = 0;
}

static struct child *
child_new(struct master *m, enum role role, unsigned index,
    struct settings *s, unsigned generation)
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->magic = CHILD_MAGIC;
	c->master = m;
	c->role = role;
	c->index = index;
	if (index > 0)
		(void)snprintf(c->name, sizeof(c->name), "%s%u",
		    role_name(role), index);
	else
		(void)snprintf(c->name, sizeof(c->name), "%s",
		    role_name(role));
	c->generation = generation;
	c->control_fd = c->panic_fd = -1;
	c->settings = settings_ref(s);
	timer_init(&c->timer, m->loop, on_timer, c);
	TAILQ_INSERT_TAIL(&m->children.list, c, link);
	return (c);
}

static void
child_free(struct child *c)
{
	obj_check(c, CHILD_MAGIC);
	TAILQ_REMOVE(&c->master->children.list, c, link);
	timer_fini(&c->timer);
	drop_process(c);
	settings_unref(&c->settings);
	c->magic = 0;
	free(c);
}

/* ---- messages of a child --------------------------------------------------------- */

static void
on_ready(struct child *c)
{
	if (c->state != CHILD_STARTING)
		return;
	timer_stop(&c->timer);
	set_state(c, CHILD_READY);
	log_info("child-ready name=%s child=%ld generation=%u took_ms=%llu",
	    c->name, (long)c->pid, c->generation,
	    (unsigned long long)(clock_mono_ms() - c->t_born_ms));
	reload_child_ready(c->master, c);
}

static void
on_status(struct child *c, struct span json)
{
	if (c->answered < c->asked)	/* else asked by a relayd before us */
		c->answered++;
	if (json.len >= 2 && json.p[0] == '{' &&
	    json.p[json.len - 1] == '}') {
		free(c->status);
		c->status = xstrndup(json.p, json.len);
	}
	control_child_told(c->master);
}

/* The feed looks for itself, and not more often than it can afford. */
static void
check_map(struct child *c, const char *why, unsigned suppressed)
{
	log_info("map-check asked-by=%s child=%ld why=%s suppressed=%u",
	    c->name, (long)c->pid, why, suppressed);
	supervise_tell(&c->master->children, ROLE_FEED, "map-check", -1);
}

/* What a worker says of the map is a hint: one that says it without end must
 * not fill the feed's socket. */
static void
on_map_damaged(struct child *c)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, MAP_CHECKS_PER_S, &suppressed))
		check_map(c, "damaged", suppressed);
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct child *c = arg;

	obj_check(c, CHILD_MAGIC);
	fd_close(&fd);			/* children never pass any */
	if (span_eq_str(verb, "ready")) {
		on_ready(c);
	} else if (span_eq_str(verb, "status")) {
		on_status(c, text);
	} else if (span_eq_str(verb, "failed")) {
		(void)snprintf(c->failed, sizeof(c->failed), "%.*s",
		    (int)(text.len < 250 ? text.len : 250), text.p);
	} else if (span_eq_str(verb, "map-replaced") && c->role == ROLE_FEED) {
		log_warn("map-replaced by=%s child=%ld", c->name,
		    (long)c->pid);
		(void)reload_request(c->master, RELOAD_REPLACE);
	} else if (span_eq_str(verb, "map-damaged") &&
	    c->role == ROLE_WORKER) {
		on_map_damaged(c);
	} else {
		log_warn("child-message-unknown name=%s child=%ld", c->name,
		    (long)c->pid);
	}
}

/* The process is ending, or it is sick: SIGCHLD tells, or the timer. */
static void
on_eof(void *arg)
{
	struct child *c = arg;

	obj_check(c, CHILD_MAGIC);
	ipc_channel_free(&c->control);
	c->control_fd = -1;
	control_child_told(c->master);
	if (c->state == CHILD_DRAINING)
		return;
	c->force = FORCE_KILL;
	timer_start_ms(&c->timer, EOF_MS);
}

static const struct ipc_channel_ops channel_ops = {
	.on_message = on_message, .on_eof = on_eof
};

static void
tell(struct child *c, const char *verb, int fd)
{
	if (c->control == NULL)
		return;
	if (ipc_channel_send(c->control, verb, SPAN_LIT(""), fd) != RC_OK)
		log_warn("child-deaf name=%s child=%ld verb=%s", c->name,
		    (long)c->pid, verb);
}

/* ---- ending ------------------------------------------------------------------------- */

static void
send_signal(struct child *c, int sig)
{
	if (c->pid > 0 && kill(c->pid, sig) != 0 && errno != ESRCH)
		log_error("kill failed name=%s child=%ld signal=%d errno=%d",
		    c->name, (long)c->pid, sig, errno);
}

/* TERM first, then KILL. */
static void
force(struct child *c)
{
	switch (c->force) {
	case FORCE_TERM:
		send_signal(c, SIGTERM);
		c->force = FORCE_KILL;
		timer_start_ms(&c->timer, TERM_MS);
		return;
	case FORCE_KILL:
		log_warn("child-killed name=%s child=%ld state=%s", c->name,
		    (long)c->pid, child_state_name(c->state));
		send_signal(c, SIGKILL);
		c->force = FORCE_WAIT;
		return;
	case FORCE_WAIT:
		return;
	}
}

static void
on_timer(void *arg)
{
	struct child *c = arg;

	obj_check(c, CHILD_MAGIC);
	switch (c->state) {
	case CHILD_BACKOFF:
		c->restarts++;
		child_begin(c);
		return;
	case CHILD_STARTING:
		if (c->control != NULL)
			(void)snprintf(c->failed, sizeof(c->failed),
			    "not ready after %d s", READY_MS / 1000);
		c->force = FORCE_KILL;
		force(c);
		return;
	case CHILD_READY:
	case CHILD_DRAINING:
		force(c);
		return;
	}
}

void
supervise_drain(struct child *c)
{
	obj_check(c, CHILD_MAGIC);
	switch (c->state) {
	case CHILD_BACKOFF:
		child_free(c);
		return;
	case CHILD_DRAINING:
		return;
	case CHILD_STARTING:
	case CHILD_READY:
		break;
	}
	set_state(c, CHILD_DRAINING);
	c->force = FORCE_TERM;
	log_info("child-drains name=%s child=%ld generation=%u", c->name,
	    (long)c->pid, c->generation);
	tell(c, "drain", -1);
	if (c->again && (c->role == ROLE_E3D || c->role == ROLE_HELPER))
		timer_start_ms(&c->timer, ENGINE_SWAP_MS);
	else
		timer_start_ms(&c->timer,
		    c->settings->relay->drain_timeout_ms + DRAIN_GRACE_MS);
}

void
supervise_replace(struct child *c)
{
	obj_check(c, CHILD_MAGIC);
	if (c->state == CHILD_BACKOFF) {	/* it starts anew anyway */
		settings_unref(&c->settings);
		c->settings = settings_ref(c->master->settings);
		return;
	}
	c->again = true;
	supervise_drain(c);
}

void
supervise_stop(struct child *c)
{
	obj_check(c, CHILD_MAGIC);
	if (c->state == CHILD_BACKOFF) {
		child_free(c);
		return;
	}
	set_state(c, CHILD_DRAINING);
	c->again = false;
	c->force = FORCE_TERM;
	force(c);
}

/* ---- starting ------------------------------------------------------------------------- */

static void
wait_and_start(struct child *c, uint64_t lived_ms)
{
	c->backoff_ms = backoff_next_ms(c->backoff_ms, lived_ms);
	set_state(c, CHILD_BACKOFF);
	timer_start_ms(&c->timer, c->backoff_ms);
}

static void
child_begin(struct child *c)
{
	struct spawned p;

	c->t_born_ms = clock_mono_ms();
	c->failed[0] = '\0';
	if (spawn_role(c->master, c->settings, c->role, c->name,
	    c->generation, &p) != RC_OK) {
		log_error("fork failed name=%s errno=%d", c->name, errno);
		wait_and_start(c, 0);
		return;
	}
	c->pid = p.pid;
	c->panic_fd = p.panic_fd;
	c->panic = p.panic;
	c->control_fd = p.control_fd;
	c->control = ipc_channel_new(c->master->loop, p.control_fd,
	    &channel_ops, c);
	set_state(c, CHILD_STARTING);
	timer_start_ms(&c->timer, READY_MS);
	log_info("child-started name=%s child=%ld generation=%u", c->name,
	    (long)c->pid, c->generation);
}

struct child *
supervise_start(struct master *m, enum role role, unsigned index,
    struct settings *s, unsigned generation)
{
	struct child *c = child_new(m, role, index, s, generation);

	child_begin(c);
	return (c);
}

void
supervise_adopt(struct master *m, const struct child *like, int control_fd,
    struct settings *s)
{
	struct child *c = child_new(m, like->role, like->index, s,
	    like->generation);

	c->pid = like->pid;
	c->restarts = like->restarts;
	c->t_born_ms = like->t_born_ms;
	c->panic_fd = like->panic_fd;
	if (c->panic_fd >= 0)
		c->panic = spawn_panic_map(c->panic_fd);
	if (control_fd >= 0) {
		c->control_fd = control_fd;
		c->control = ipc_channel_new(m->loop, control_fd,
		    &channel_ops, c);
	}
	set_state(c, like->state);
	if (c->state == CHILD_READY)
		return;
	/* One that was starting or leaving has its time once more. */
	c->force = FORCE_TERM;
	timer_start_ms(&c->timer, c->state == CHILD_STARTING ? READY_MS :
	    s->relay->drain_timeout_ms + DRAIN_GRACE_MS);
}

/* ---- after the end ------------------------------------------------------------------------ */

/* One line that says why, from the best witness. */
static void
describe_end(const struct child *c, int status, char *out, size_t size)
{
	char how[64];

	if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), "signal %d%s",
		    WTERMSIG(status), WTERMSIG(status) == SIGSYS ?
		    " (a system call outside of its profile)" : "");
	else
		(void)snprintf(how, sizeof(how), "exit %d",
		    WEXITSTATUS(status));
	if (c->panic != NULL && c->panic[0] != '\0')
		(void)snprintf(out, size, "%s: %.*s", how,
		    (int)strnlen(c->panic, 512), c->panic);
	else if (c->failed[0] != '\0')
		(void)snprintf(out, size, "%s: %s", how, c->failed);
	else
		(void)snprintf(out, size, "%s", how);
}

/* The map may be damaged: a file that was cut short ends its reader by SIGBUS,
 * a page of wrong bytes in other ways.  The next worker would read the same. */
static bool
died_of_memory(int status)
{
	return (WIFSIGNALED(status) && (WTERMSIG(status) == SIGBUS ||
	    WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGABRT));
}

static void
on_end(struct child *c, int status)
{
	struct master *m = c->master;
	uint64_t lived_ms = clock_mono_ms() - c->t_born_ms;
	bool asked = c->state == CHILD_DRAINING;
	enum role role = c->role;
	char why[768];
	bool again;

	if (c->control != NULL)	/* its last words are still in the socket */
		ipc_channel_poll(c->control);
	describe_end(c, status, why, sizeof(why));
	if (asked && ((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
	    (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)))
		log_info("child-ended name=%s child=%ld lived_ms=%llu",
		    c->name, (long)c->pid, (unsigned long long)lived_ms);
	else
		log_error("child-ended name=%s child=%ld lived_ms=%llu "
		    "why=\"%s\"", c->name, (long)c->pid,
		    (unsigned long long)lived_ms, why);
	if (role == ROLE_WORKER && died_of_memory(status))
		check_map(c, "died", 0);
	timer_stop(&c->timer);
	drop_process(c);
	if (asked || m->leaving != LEAVING_NOT) {
		again = c->again && m->leaving == LEAVING_NOT;
		child_free(c);
		if (again)
			(void)supervise_start(m, role, 0, m->settings,
			    m->generation);
		master_child_gone(m);
		return;
	}
	if (c->role != ROLE_WORKER) {
		settings_unref(&c->settings);
		c->settings = settings_ref(m->settings);
	}
	wait_and_start(c, lived_ms);
	reload_child_lost(m, c, why);
}

static struct child *
find_pid(struct children *t, pid_t pid)
{
	struct child *c;

	TAILQ_FOREACH(c, &t->list, link)
		if (c->pid == pid)
			return (c);
	return (NULL);
}

void
supervise_reap(struct master *m)
{
	struct child *c;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if ((c = find_pid(&m->children, pid)) != NULL)
			on_end(c, status);
		else
			reload_check_ended(m, pid, status);
	}
}

/* ---- the table ----------------------------------------------------------------------------- */

void
supervise_tell(struct children *t, enum role role, const char *verb, int fd)
{
	struct child *c;

	TAILQ_FOREACH(c, &t->list, link)
		if (role == ROLE_COUNT || c->role == role)
			tell(c, verb, fd);
}

unsigned
supervise_ask(struct child *c)
{
	obj_check(c, CHILD_MAGIC);
	if (c->state != CHILD_READY || c->control == NULL ||
	    ipc_channel_send(c->control, "status", SPAN_LIT(""), -1) != RC_OK)
		return (0);
	return (++c->asked);
}

struct child *
supervise_find(struct children *t, enum role role)
{
	struct child *c;

	TAILQ_FOREACH(c, &t->list, link)
		if (c->role == role && c->state != CHILD_DRAINING)
			return (c);
	return (NULL);
}

void
supervise_init(struct children *t)
{
	TAILQ_INIT(&t->list);
}

void
supervise_fini(struct children *t)
{
	struct child *c;

	while ((c = TAILQ_FIRST(&t->list)) != NULL)
		child_free(c);
}
