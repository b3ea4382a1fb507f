/* master/reload.c - generations; see reload.h for the states. */
#include "master/reload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "master/control.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/restart.h"
#include "master/spawn.h"
#include "master/upgrade.h"

#define CHECK_MS	10000	/* a worker loads files, no network */
#define START_GRACE_MS	5000	/* for feed and engine, once workers serve */

enum step { STEP_IDLE, STEP_CHECKING, STEP_STARTING };

struct reload {
	struct master		*master;	/* borrowed: owns us */
	enum step		step;
	enum reload_kind	kind;
	unsigned		run;		/* number of this or the last */
	unsigned		generation;	/* that is being made */
	unsigned		last_generation;
	uint64_t		t_start_ms;
	struct settings		*next;		/* a reference, or NULL */
	struct spawned_check	check;
	bool			check_late;
	bool			queued;		/* one more after this */
	enum reload_kind	queued_kind;
	struct timer		timer;		/* check, or grace at start */
	struct timer		again;		/* begins what is queued */
};

static void begin(struct reload *);

/* ---- outcomes ------------------------------------------------------------------ */

static void
finish(struct reload *r)
{
	r->step = STEP_IDLE;
	timer_stop(&r->timer);
	settings_unref(&r->next);
	if (r->queued && r->master->leaving == LEAVING_NOT)
		timer_start_ms(&r->again, 0);
}

static void __attribute__((__format__(__printf__, 2, 3)))
refuse(struct reload *r, const char *fmt, ...)
{
	struct master *m = r->master;
	char why[640];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_error("reload-refused generation=%u stays why=\"%s\"",
	    m->generation, why);
	listen_undo(&m->listeners);
	finish(r);
	control_reload_done(m, r->run, NULL, why);
	if (r->kind == RELOAD_UPGRADE) {	/* what was adopted serves */
		master_serves(m);
		return;
	}
	notify_send("READY=1\nSTATUS=reload refused, generation %u serves: "
	    "%.300s", m->generation, why);
}

/* Roles beside the workers learn what is new by being replaced, old first:
 * each has something that only one process may hold. */
static void
replace_singles(struct reload *r, const struct settings *old)
{
	static const enum role singles[] = { ROLE_FEED, ROLE_E3D,
	    ROLE_HELPER };
	struct master *m = r->master;
	bool engine = false;
	pid_t pid = 0;
	struct child *c;

	for (size_t i = 0; i < 3; i++) {
		c = supervise_find(&m->children, singles[i]);
		if (c == NULL || (r->kind != RELOAD_UPGRADE &&
		    settings_same_for(singles[i], old, m->settings)))
			continue;
		log_info("child-replaced name=%s why=%s", c->name,
		    r->kind == RELOAD_UPGRADE ? "upgrade" : "configuration");
		engine |= singles[i] != ROLE_FEED;
		pid = singles[i] == ROLE_E3D ? c->pid : pid;
		supervise_replace(c);
	}
	/* Who waits for the reload waits until there is an engine again. */
	if (engine && r->kind == RELOAD_CONF)
		restart_follow(m, pid);
}

static void
drain_old_workers(struct master *m)
{
	struct child *c, *next;

	TAILQ_FOREACH_SAFE(c, &m->children.list, link, next)
		if (c->role == ROLE_WORKER && c->generation < m->generation)
			supervise_drain(c);
}

/* Sockets, level and log file of what serves now. */
static void
apply_settings(struct master *m, const struct settings *old)
{
	struct listen_wants wants;

	settings_wants(m->settings, &m->privs, &wants);
	listen_keep(&m->listeners, &wants);
	listen_wants_fini(&wants);
	log_set_level(m->settings->relay->log_level);
	if (strcmp(old->relay->log_file, m->settings->relay->log_file) != 0 &&
	    master_open_log(m, m->settings->relay) != RC_OK)
		log_warn("log-file stays path=%s", old->relay->log_file);
}

/* All new workers are ready: from here on they are the generation. */
static void
commit(struct reload *r)
{
	struct master *m = r->master;
	struct settings *old = m->settings;
	uint64_t took = clock_mono_ms() - r->t_start_ms;

	m->generation = r->generation;
	m->settings = r->next;
	r->next = NULL;
	apply_settings(m, old);
	drain_old_workers(m);
	replace_singles(r, old);
	settings_unref(&old);
	log_info("generation-serves generation=%u workers=%u took_ms=%llu",
	    m->generation, settings_workers(m->settings),
	    (unsigned long long)took);
	finish(r);
	control_reload_done(m, r->run, &m->generation, NULL);
	if (r->kind == RELOAD_START || r->kind == RELOAD_UPGRADE)
		master_serves(m);
	else
		notify_send("READY=1\nSTATUS=generation %u serves",
		    m->generation);
}

/* ---- the new workers ---------------------------------------------------------------- */

static bool
workers_ready(const struct reload *r)
{
	const struct child *c;

	TAILQ_FOREACH(c, &r->master->children.list, link)
		if (c->role == ROLE_WORKER && c->generation == r->generation &&
		    c->state != CHILD_READY)
			return (false);
	return (true);
}

static bool
all_ready(const struct reload *r)
{
	const struct child *c;

	TAILQ_FOREACH(c, &r->master->children.list, link)
		if (c->state == CHILD_STARTING || c->state == CHILD_BACKOFF)
			return (false);
	return (true);
}

/* At start the rest is waited for a little too, so that the first request
 * finds an engine; on an engine's host there is nothing but the rest. */
static void
maybe_commit(struct reload *r)
{
	if (r->step != STEP_STARTING || !workers_ready(r))
		return;
	if (r->kind == RELOAD_START && !all_ready(r)) {
		if (!r->next->engine_only && !timer_running(&r->timer))
			timer_start_ms(&r->timer, START_GRACE_MS);
		return;
	}
	commit(r);
}

void
reload_child_ready(struct master *m, struct child *c)
{
	(void)c;
	maybe_commit(m->reload);
}

void
reload_child_lost(struct master *m, struct child *c, const char *why)
{
	struct reload *r = m->reload;
	struct child *next;
	char text[512];

	/* The first generation is tried again until the start's deadline. */
	if (r->step != STEP_STARTING || r->kind == RELOAD_START ||
	    c->role != ROLE_WORKER || c->generation != r->generation)
		return;
	(void)snprintf(text, sizeof(text), "%s did not become ready: %.400s",
	    c->name, why);
	TAILQ_FOREACH_SAFE(c, &m->children.list, link, next)
		if (c->role == ROLE_WORKER && c->generation == r->generation)
			supervise_stop(c);
	refuse(r, "%s", text);
}

static void
start_workers(struct reload *r)
{
	struct master *m = r->master;
	unsigned n = settings_workers(r->next);

	r->step = STEP_STARTING;
	r->generation = ++r->last_generation;
	for (unsigned i = 1; i <= n; i++)
		(void)supervise_start(m, ROLE_WORKER, i, r->next,
		    r->generation);
	maybe_commit(r);	/* there may be none to wait for */
}

/* ---- checking -------------------------------------------------------------------------- */

static void
check_failed(struct reload *r, int status)
{
	char said[384], why[512];

	spawn_check_reason(r->check.output_fd, said, sizeof(said));
	if (r->check_late)
		(void)snprintf(why, sizeof(why), "the check took longer than "
		    "%d s", CHECK_MS / 1000);
	else if (WIFSIGNALED(status))
		(void)snprintf(why, sizeof(why), "the check ended by signal "
		    "%d: %s", WTERMSIG(status), said);
	else
		(void)snprintf(why, sizeof(why), "%s", said);
	fd_close(&r->check.output_fd);
	refuse(r, "%s", why);
}

void
reload_check_ended(struct master *m, pid_t pid, int status)
{
	struct reload *r = m->reload;

	if (r->step != STEP_CHECKING || r->check.pid != pid) {
		upgrade_check_ended(m, pid, status);
		return;
	}
	r->check.pid = -1;
	timer_stop(&r->timer);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		check_failed(r, status);
		return;
	}
	fd_close(&r->check.output_fd);
	control_reload_accepted(m, r->run, m->reload->last_generation + 1);
	start_workers(r);
}

static void
on_timer(void *arg)
{
	struct reload *r = arg;

	if (r->step == STEP_CHECKING && r->check.pid > 0) {
		r->check_late = true;
		(void)kill(r->check.pid, SIGKILL);
	} else if (r->step == STEP_STARTING && workers_ready(r)) {
		log_warn("serving without every role: see the lines above");
		commit(r);
	}
}

/* ---- beginning ----------------------------------------------------------------------------- */

/* Read, compare, listen, start the check.  RC_OK: CHECKING. */
static enum rc
prepare_conf(struct reload *r, struct conf_fault *fault)
{
	struct master *m = r->master;
	struct listen_wants wants;
	enum rc rc;

	rc = settings_read(m->options.conf_path, !m->options.conf_given,
	    m->options.engine_only, &r->next, fault);
	if (rc != RC_OK)
		return (rc);
	rc = settings_may_follow(m->settings, r->next, fault);
	if (rc != RC_OK)
		return (rc);
	settings_wants(r->next, &m->privs, &wants);
	rc = listen_open(&m->listeners, &wants, 0, fault);
	listen_wants_fini(&wants);
	if (rc != RC_OK || m->options.engine_only)
		return (rc);
	rc = spawn_check_worker(m, r->next, &r->check);
	if (rc != RC_OK) {
		(void)snprintf(fault->text, sizeof(fault->text),
		    "the check could not be started: %s", strerror(errno));
		return (rc);
	}
	r->step = STEP_CHECKING;
	r->check_late = false;
	timer_start_ms(&r->timer, CHECK_MS);
	return (RC_OK);
}

static void
begin_conf(struct reload *r)
{
	struct conf_fault fault = { .text = "" };

	notify_send("RELOADING=1\nSTATUS=checking the configuration");
	if (prepare_conf(r, &fault) != RC_OK) {
		refuse(r, "%s", fault.text);
		return;
	}
	if (r->step == STEP_CHECKING)
		return;
	/* An engine's host has no worker to check with. */
	control_reload_accepted(r->master, r->run, r->last_generation + 1);
	start_workers(r);
}

static void
begin(struct reload *r)
{
	struct master *m = r->master;

	r->t_start_ms = clock_mono_ms();
	switch (r->kind) {
	case RELOAD_CONF:
		log_info("reload conf=%s", m->settings->relay->path);
		begin_conf(r);
		return;
	case RELOAD_START:
	case RELOAD_REPLACE:
	case RELOAD_UPGRADE:
		r->next = settings_ref(m->settings);
		start_workers(r);
		return;
	}
}

static void
on_again(void *arg)
{
	struct reload *r = arg;

	if (!r->queued || r->step != STEP_IDLE)
		return;
	r->queued = false;
	r->kind = r->queued_kind;
	r->run++;
	begin(r);
}

unsigned
reload_request(struct master *m, enum reload_kind kind)
{
	struct reload *r = m->reload;

	if (m->leaving != LEAVING_NOT)
		return (r->run);
	if (r->step != STEP_IDLE || r->queued) {
		/* Reading the file again replaces the workers too. */
		if (!r->queued || kind > r->queued_kind)
			r->queued_kind = kind;
		r->queued = true;
		return (r->run + 1);
	}
	r->kind = kind;
	r->run++;
	if (kind == RELOAD_UPGRADE)	/* adopted ones keep their numbers */
		r->last_generation = m->generation;
	begin(r);
	return (r->run);
}

bool
reload_running(const struct master *m)
{
	return (m->reload->step != STEP_IDLE || m->reload->queued);
}

void
reload_cancel(struct master *m)
{
	struct reload *r = m->reload;
	unsigned last = r->run + (r->queued ? 1 : 0);
	bool was = reload_running(m);

	if (r->check.pid > 0)
		(void)kill(r->check.pid, SIGKILL);
	r->check.pid = -1;
	fd_close(&r->check.output_fd);
	r->queued = false;
	finish(r);
	if (was)
		control_reload_done(m, last, NULL, "relayd is leaving");
}

struct reload *
reload_new(struct master *m)
{
	struct reload *r = xcalloc(1, sizeof(*r));

	r->master = m;
	r->check.pid = -1;
	r->check.output_fd = -1;
	timer_init(&r->timer, m->loop, on_timer, r);
	timer_init(&r->again, m->loop, on_again, r);
	return (r);
}

void
reload_free(struct reload **rp)
{
	struct reload *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	timer_fini(&r->timer);
	timer_fini(&r->again);
	fd_close(&r->check.output_fd);
	settings_unref(&r->next);
	free(r);
}
