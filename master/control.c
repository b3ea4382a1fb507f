/* master/control.c - the control socket and the status document. */
#include "master/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/ipc/channel.h"
#include "master/master.h"
#include "master/reload.h"
#include "master/restart.h"

#define CLIENTS_MAX	32	/* tools of administrators, not a service */
#define STATUS_MS	500	/* a role answers in microseconds; one that is
				   stuck must not hide how the others are */

enum waits {
	WAITS_NOT,
	WAITS_STATUS,		/* for feed and helper */
	WAITS_ENGINE,		/* restart-engine */
	WAITS_NEW_ENGINE,	/* reload-wait: the generation serves, its
				   engine not yet */
	WAITS_ACCEPTED,		/* reload */
	WAITS_SERVING		/* reload-wait */
};

/* The roles that say more of themselves than their state. */
static const struct {
	enum role	role;
	const char	*key;
} reports[] = { { ROLE_FEED, "feed" }, { ROLE_HELPER, "helper" } };
#define N_REPORTS	(sizeof(reports) / sizeof(reports[0]))

/* What a status waits for: a process, and the number of its answer. */
struct question {
	pid_t		pid;		/* 0: nobody could be asked */
	unsigned	number;
};

struct client {
	TAILQ_ENTRY(client)	link;
	struct control		*control;	/* borrowed: owns us */
	struct ipc_channel	*channel;	/* owned */
	struct ucred		peer;
	enum waits		waits;
	unsigned		run;		/* of reload, that it waits for */
	unsigned		generation;	/* WAITS_NEW_ENGINE */
	struct question		asked[N_REPORTS];	/* WAITS_STATUS */
	struct timer		late;		/* WAITS_STATUS */
};

struct control {
	struct master		*master;	/* borrowed: owns us */
	struct event		*ev_accept;	/* owned */
	TAILQ_HEAD(, client)	clients;
	unsigned		n_clients;
};

/* ---- answers ----------------------------------------------------------------------- */

static void
answer(struct client *c, const char *verb, struct span text)
{
	/* A tool that left shows as EOF. */
	if (ipc_channel_send(c->channel, verb, text, -1) != RC_OK)
		log_debug("control-answer-lost peer=%ld", (long)c->peer.pid);
}

static void
answer_failed(struct client *c, const char *why)
{
	c->waits = WAITS_NOT;
	answer(c, "failed", span_of(why));
}

static void
answer_generation(struct client *c, unsigned generation)
{
	char text[16];

	c->waits = WAITS_NOT;
	(void)snprintf(text, sizeof(text), "%u", generation);
	answer(c, "ok", span_of(text));
}

void
control_reload_accepted(struct master *m, unsigned run, unsigned generation)
{
	struct client *c;

	TAILQ_FOREACH(c, &m->control->clients, link)
		if (c->waits == WAITS_ACCEPTED && c->run == run)
			answer_generation(c, generation);
}

void
control_reload_done(struct master *m, unsigned run, const unsigned *generation,
    const char *why)
{
	struct client *c;

	TAILQ_FOREACH(c, &m->control->clients, link) {
		if (c->waits < WAITS_ACCEPTED || c->run > run)
			continue;
		if (generation == NULL) {
			answer_failed(c, why);
		} else if (c->waits == WAITS_SERVING && restart_is_running(m)) {
			c->waits = WAITS_NEW_ENGINE;
			c->generation = *generation;
		} else
			answer_generation(c, *generation);
	}
}

void
control_restart_done(struct master *m, const char *why)
{
	struct client *c;

	if (m->control == NULL)		/* leaving: the door is closed */
		return;
	TAILQ_FOREACH(c, &m->control->clients, link) {
		if (c->waits != WAITS_ENGINE && c->waits != WAITS_NEW_ENGINE)
			continue;
		if (why != NULL) {
			answer_failed(c, why);
			continue;
		}
		if (c->waits == WAITS_NEW_ENGINE) {
			answer_generation(c, c->generation);
			continue;
		}
		c->waits = WAITS_NOT;
		answer(c, "ok", SPAN_LIT(""));
	}
}

/* ---- status -------------------------------------------------------------------------- */

/* Every text in here is ours (names, states): nothing needs escaping. */
static void
put_children(struct buffer *b, const struct master *m)
{
	uint64_t now = clock_mono_ms();
	const struct child *c;
	const char *comma = "";

	buffer_puts(b, "\"children\":[");
	TAILQ_FOREACH(c, &m->children.list, link) {
		buffer_printf(b, "%s{\"name\":\"%s\",\"pid\":%ld,"
		    "\"role\":\"%s\",\"generation\":%u,\"state\":\"%s\","
		    "\"restarts\":%u,\"since_ms\":%llu}", comma, c->name,
		    (long)c->pid, role_name(c->role), c->generation,
		    child_state_name(c->state), c->restarts,
		    (unsigned long long)(now - c->t_state_ms));
		comma = ",";
	}
	buffer_puts(b, "]");
}

/* The process that was asked, if it still serves. */
static const struct child *
asked_child(const struct client *c, size_t report)
{
	const struct question *q = &c->asked[report];
	const struct child *child = supervise_find(
	    &c->control->master->children, reports[report].role);

	if (child == NULL || child->state != CHILD_READY || q->pid == 0 ||
	    child->pid != q->pid)
		return (NULL);
	return (child);
}

/* What a role answered to this question, never to an older one; null when it
 * does not serve or answer, or when the whole would not fit one message. */
static void
put_report(struct buffer *b, const struct client *c, size_t report)
{
	const struct child *child = asked_child(c, report);

	buffer_printf(b, ",\"%s\":", reports[report].key);
	if (child == NULL || child->status == NULL ||
	    child->answered < c->asked[report].number ||
	    buffer_len(b) + strlen(child->status) + 64 > IPC_MESSAGE_BYTES)
		buffer_puts(b, "null");
	else
		buffer_puts(b, child->status);
}

static void
answer_status(struct client *c)
{
	struct master *m = c->control->master;
	struct buffer b;

	c->waits = WAITS_NOT;
	timer_stop(&c->late);
	buffer_init(&b, 0, false);
	buffer_printf(&b, "{\"version\":\"%s\",\"pid\":%ld,"
	    "\"generation\":%u,\"uptime_ms\":%llu,", PACKAGE_VERSION,
	    (long)getpid(), m->generation,
	    (unsigned long long)(clock_mono_ms() - m->t_start_ms));
	put_children(&b, m);
	for (size_t i = 0; i < N_REPORTS; i++)
		put_report(&b, c, i);
	buffer_puts(&b, "}");
	answer(c, "status", (struct span){ buffer_data(&b), buffer_len(&b) });
	buffer_fini(&b);
}

static void
answer_status_if_told(struct client *c)
{
	const struct child *child;

	for (size_t i = 0; i < N_REPORTS; i++) {
		child = asked_child(c, i);
		if (child != NULL && child->control != NULL &&
		    child->answered < c->asked[i].number)
			return;
	}
	answer_status(c);
}

void
control_child_told(struct master *m)
{
	struct client *c;

	if (m->control == NULL)		/* leaving: the door is closed */
		return;
	TAILQ_FOREACH(c, &m->control->clients, link)
		if (c->waits == WAITS_STATUS)
			answer_status_if_told(c);
}

static void
on_late(void *arg)
{
	answer_status(arg);
}

static void
on_status(struct client *c)
{
	struct child *child;

	for (size_t i = 0; i < N_REPORTS; i++) {
		child = supervise_find(&c->control->master->children,
		    reports[i].role);
		c->asked[i].number = child == NULL ? 0 : supervise_ask(child);
		c->asked[i].pid = c->asked[i].number == 0 ? 0 : child->pid;
	}
	c->waits = WAITS_STATUS;
	timer_start_ms(&c->late, STATUS_MS);
	answer_status_if_told(c);
}

/* ---- requests --------------------------------------------------------------------------- */

/* Log who asks; refuse before the first generation serves and at the end. */
static bool
may_change(struct client *c, const char *what)
{
	const struct master *m = c->control->master;

	log_info("control asks=%s uid=%u pid=%ld", what,
	    (unsigned)c->peer.uid, (long)c->peer.pid);
	if (m->leaving == LEAVING_NOT && m->ready)
		return (true);
	answer_failed(c, m->leaving != LEAVING_NOT ? "relayd is leaving" :
	    "relayd is still starting");
	return (false);
}

static void
on_reload(struct client *c, enum waits waits)
{
	struct master *m = c->control->master;

	if (!may_change(c, "reload"))
		return;
	/* It may be refused before reload_request returns; then the run is
	 * over and its number known only afterwards: wait for any. */
	c->waits = waits;
	c->run = 0;
	c->run = reload_request(m, RELOAD_CONF);
}

static void
on_restart_engine(struct client *c)
{
	struct master *m = c->control->master;
	enum rc rc;

	if (!may_change(c, "restart-engine"))
		return;
	if ((rc = restart_engine(m)) == RC_OK)
		c->waits = WAITS_ENGINE;
	else
		answer_failed(c, rc == RC_NOTFOUND ?
		    "relayd runs no engine here" :
		    "the engine is being restarted already");
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct client *c = arg;

	(void)text;
	fd_close(&fd);			/* no request brings one */
	if (c->waits != WAITS_NOT)
		answer_failed(c, "one request at a time");
	else if (span_eq_str(verb, "status"))
		on_status(c);
	else if (span_eq_str(verb, "reload"))
		on_reload(c, WAITS_ACCEPTED);
	else if (span_eq_str(verb, "reload-wait"))
		on_reload(c, WAITS_SERVING);
	else if (span_eq_str(verb, "restart-engine"))
		on_restart_engine(c);
	else
		answer_failed(c, "unknown request");
}

static void
client_free(struct client *c)
{
	TAILQ_REMOVE(&c->control->clients, c, link);
	c->control->n_clients--;
	timer_fini(&c->late);
	ipc_channel_free(&c->channel);
	free(c);
}

static void
on_eof(void *arg)
{
	client_free(arg);
}

static const struct ipc_channel_ops client_ops = {
	.on_message = on_message, .on_eof = on_eof
};

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct control *ctl = arg;
	struct client *c;
	socklen_t len;
	int fd;

	(void)what;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (ctl->n_clients >= CLIENTS_MAX) {
		log_warn("control-refused why=too-many");
		fd_close(&fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->control = ctl;
	len = sizeof(c->peer);
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &len);
	log_debug("control-open uid=%u pid=%ld", (unsigned)c->peer.uid,
	    (long)c->peer.pid);
	timer_init(&c->late, ctl->master->loop, on_late, c);
	c->channel = ipc_channel_new(ctl->master->loop, fd, &client_ops, c);
	TAILQ_INSERT_TAIL(&ctl->clients, c, link);
	ctl->n_clients++;
}

/* ---- life ---------------------------------------------------------------------------------- */

struct control *
control_new(struct master *m)
{
	struct control *ctl = xcalloc(1, sizeof(*ctl));
	char *address = xasprintf("control:%s/relayd.sock",
	    m->settings->relay->run_dir);
	int fd = listen_fd(&m->listeners, address);

	free(address);
	ensure(fd >= 0);
	ctl->master = m;
	TAILQ_INIT(&ctl->clients);
	ctl->ev_accept = event_new(loop_base(m->loop), fd,
	    EV_READ | EV_PERSIST, on_accept, ctl);
	ensure(ctl->ev_accept != NULL);
	ensure(event_add(ctl->ev_accept, NULL) == 0);
	return (ctl);
}

void
control_free(struct control **cp)
{
	struct control *ctl = *cp;
	struct client *c;

	*cp = NULL;
	if (ctl == NULL)
		return;
	while ((c = TAILQ_FIRST(&ctl->clients)) != NULL)
		client_free(c);
	event_free(ctl->ev_accept);
	free(ctl);
}
