/*
 * master/leave.c - the order in which everything ends.
 *
 * QUIT: doors closed, workers and feed drain, then the helper, then the
 * engine, which the others need to finish what they have.  TERM: all at once.
 */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "master/control.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/reload.h"

static enum role
next_to_drain(const struct master *m)
{
	static const enum role order[] = { ROLE_WORKER, ROLE_FEED,
	    ROLE_HELPER, ROLE_E3D };
	const struct child *c;

	for (size_t i = 0; i < 4; i++)
		TAILQ_FOREACH(c, &m->children.list, link)
			if (c->role == order[i])
				return (order[i]);
	return (ROLE_COUNT);
}

static void
drain_next(struct master *m)
{
	enum role first = next_to_drain(m);
	struct child *c, *next;

	TAILQ_FOREACH_SAFE(c, &m->children.list, link, next)
		if (c->role == first ||
		    (first == ROLE_WORKER && c->role == ROLE_FEED))
			supervise_drain(c);
}

/* A child in BACKOFF goes at once, so a stage may end without an event. */
static void
go_on_leaving(struct master *m)
{
	enum role before;

	if (m->leaving == LEAVING_QUIT) {
		do {
			before = next_to_drain(m);
			drain_next(m);
		} while (next_to_drain(m) != before);
	}
	if (TAILQ_EMPTY(&m->children.list))
		loop_stop(m->loop);
}

void
master_child_gone(struct master *m)
{
	if (m->leaving != LEAVING_NOT)
		go_on_leaving(m);
}

/* Nobody accepts here any more: a queue would only make clients wait for
 * nothing.  What the leaving roles need of each other stays. */
static void
close_doors(struct master *m)
{
	const struct conf *c = m->settings->relay;
	char *control = xasprintf("control:%s/relayd.sock", c->run_dir);

	control_free(&m->control);
	listen_close(&m->listeners, control);
	free(control);
	for (size_t i = 0; i < c->n_listens; i++)
		listen_close(&m->listeners, c->listens[i].address);
}

void
master_leave(struct master *m, enum leaving how, int exit_code)
{
	struct child *c, *next;

	if (m->leaving >= how)
		return;
	if (m->leaving == LEAVING_NOT) {
		log_info("leaving how=%s", how == LEAVING_QUIT ? "drain" :
		    "now");
		notify_send("STOPPING=1");
		m->leaving = how;
		m->exit_code = exit_code;
		timer_stop(&m->start_deadline);
		reload_cancel(m);
		close_doors(m);
	}
	m->leaving = how;
	if (how == LEAVING_TERM)
		TAILQ_FOREACH_SAFE(c, &m->children.list, link, next)
			supervise_stop(c);
	go_on_leaving(m);
}
