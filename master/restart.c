/*
 * master/restart.c - looks ten times a second whether the new engine serves.
 *
 * The master does not speak with engines: the helper does, and says `ready`
 * of the engine it has a link to.  Its word counts when it was asked after the
 * old process had ended, and twice in a row: between two answers it has been
 * through its loop, and seen that the old link is gone.
 */
#include "master/restart.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "master/control.h"
#include "master/master.h"

#define LOOK_MS		100
#define READY_MS	60000	/* many apps on a slow disk */
#define WORDS_NEEDED	2

struct restart {
	struct master	*master;	/* borrowed: owns us */
	bool		running;
	pid_t		old_pid;	/* 0: none ran */
	uint64_t	t_start_ms;
	pid_t		helper_pid;	/* whom we asked */
	unsigned	question;	/* its number; 0: none is open */
	unsigned	words;		/* "ready" in a row */
	struct timer	timer;
};

static void
finish(struct restart *r, const char *why)
{
	uint64_t took = clock_mono_ms() - r->t_start_ms;

	r->running = false;
	timer_stop(&r->timer);
	if (why == NULL)
		log_info("engine-restarted took_ms=%llu",
		    (unsigned long long)took);
	else
		log_error("engine-restart failed why=\"%s\"", why);
	control_restart_done(r->master, why);
}

/* `ready` is the first member of what the helper says of itself. */
static bool
says_ready(const struct child *helper)
{
	static const char word[] = "{\"ready\":true";

	return (helper->status != NULL &&
	    strncmp(helper->status, word, sizeof(word) - 1) == 0);
}

/* Is the open question answered?  Counts the answer. */
static void
hear(struct restart *r, const struct child *helper)
{
	if (r->question != 0 && helper->pid == r->helper_pid) {
		if (helper->answered < r->question)
			return;
		r->words = says_ready(helper) ? r->words + 1 : 0;
	}
	r->question = 0;
}

static void
on_look(void *arg)
{
	struct restart *r = arg;
	struct children *children = &r->master->children;
	struct child *engine = supervise_find(children, ROLE_E3D);
	struct child *helper = supervise_find(children, ROLE_HELPER);
	bool up = engine != NULL && engine->state == CHILD_READY &&
	    engine->pid != r->old_pid && helper != NULL &&
	    helper->state == CHILD_READY;

	if (r->master->leaving != LEAVING_NOT) {
		finish(r, "relayd is leaving");
		return;
	}
	if (up)
		hear(r, helper);
	else
		r->question = r->words = 0;
	if (r->words >= WORDS_NEEDED) {
		finish(r, NULL);
		return;
	}
	if (clock_mono_ms() - r->t_start_ms > READY_MS) {
		finish(r, "the new engine is not ready after 60 s");
		return;
	}
	if (up && r->question == 0) {
		r->question = supervise_ask(helper);
		r->helper_pid = helper->pid;
	}
	timer_start_ms(&r->timer, LOOK_MS);
}

void
restart_follow(struct master *m, pid_t old_pid)
{
	struct restart *r = m->restart;

	if (!r->running)
		r->t_start_ms = clock_mono_ms();
	if (!r->running || old_pid != 0)
		r->old_pid = old_pid;
	r->running = true;
	r->question = 0;
	r->words = 0;
	timer_start_ms(&r->timer, LOOK_MS);
}

bool
restart_is_running(const struct master *m)
{
	return (m->restart->running);
}

enum rc
restart_engine(struct master *m)
{
	struct restart *r = m->restart;
	struct child *engine;

	if (m->settings->e3 == NULL)
		return (RC_NOTFOUND);
	if (r->running)
		return (RC_AGAIN);
	engine = supervise_find(&m->children, ROLE_E3D);
	restart_follow(m, engine == NULL ? 0 : engine->pid);
	if (engine != NULL)	/* else it is being replaced already */
		supervise_replace(engine);
	return (RC_OK);
}

struct restart *
restart_new(struct master *m)
{
	struct restart *r = xcalloc(1, sizeof(*r));

	r->master = m;
	timer_init(&r->timer, m->loop, on_look, r);
	return (r);
}

void
restart_free(struct restart **rp)
{
	struct restart *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	timer_fini(&r->timer);
	free(r);
}
