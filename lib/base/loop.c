/* base/loop.c - event_base plus hooks that run before each wait. */
#include "lib/base/loop.h"

#include <stdlib.h>

#include "lib/base/object.h"

#define IDLE_HOOKS_MAX	8	/* net, rpc and one or two per role */

#define TURN_LIMIT_MS	20	/* loop_turn, for tests */

struct loop {
	unsigned		magic;
#define LOOP_MAGIC		0x1a5c0f37
	struct event_base	*base;		/* owned */
	bool			stop;
	bool			again;	/* an idle hook left work: do not wait */
	unsigned		n_idle;
	unsigned		at;	/* hook that runs next, while they run */
	struct {
		loop_idle_cb	*cb;
		void		*arg;	/* borrowed: removed by its owner */
	} idle[IDLE_HOOKS_MAX];
};

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->magic = LOOP_MAGIC;
	l->base = event_base_new();
	ensure(l->base != NULL);
	return (l);
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	obj_check(l, LOOP_MAGIC);
	event_base_free(l->base);
	l->magic = 0;
	free(l);
}

struct event_base *
loop_base(struct loop *l)
{
	obj_check(l, LOOP_MAGIC);
	return (l->base);
}

void
loop_idle_add(struct loop *l, loop_idle_cb *cb, void *arg)
{
	obj_check(l, LOOP_MAGIC);
	ensure(l->n_idle < IDLE_HOOKS_MAX);
	l->idle[l->n_idle].cb = cb;
	l->idle[l->n_idle].arg = arg;
	l->n_idle++;
}

void
loop_idle_del(struct loop *l, loop_idle_cb *cb, void *arg)
{
	obj_check(l, LOOP_MAGIC);
	for (unsigned i = 0; i < l->n_idle; i++) {
		if (l->idle[i].cb != cb || l->idle[i].arg != arg)
			continue;
		if (i < l->at)
			l->at--;	/* removed by a hook: skip none */
		for (; i + 1 < l->n_idle; i++)
			l->idle[i] = l->idle[i + 1];
		l->n_idle--;
		return;
	}
}

void *
loop_idle_find(const struct loop *l, loop_idle_cb *cb)
{
	obj_check(l, LOOP_MAGIC);
	for (unsigned i = 0; i < l->n_idle; i++)
		if (l->idle[i].cb == cb)
			return (l->idle[i].arg);
	return (NULL);
}

void
loop_again(struct loop *l)
{
	obj_check(l, LOOP_MAGIC);
	l->again = true;
}

/* Cleared first: what is asked for before the hooks run, they will see. */
static void
run_idle(struct loop *l)
{
	l->again = false;
	for (l->at = 0; l->at < l->n_idle;) {
		unsigned i = l->at++;

		l->idle[i].cb(l->idle[i].arg);
	}
	l->at = 0;
}

static int
run_events(struct loop *l, bool wait)
{
	return (event_base_loop(l->base, EVLOOP_ONCE |
	    (wait && !l->again ? 0 : EVLOOP_NONBLOCK)));
}

static void
on_turn_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void
loop_turn(struct loop *l, bool wait)
{
	const struct timeval longest = { 0, TURN_LIMIT_MS * 1000 };
	struct event *limit = NULL;

	obj_check(l, LOOP_MAGIC);
	run_idle(l);
	if (wait) {
		/* An idle hook may have done what the caller waits for. */
		limit = event_new(l->base, -1, 0, on_turn_limit, NULL);
		ensure(limit != NULL && event_add(limit, &longest) == 0);
	}
	(void)run_events(l, wait);
	if (limit != NULL)
		event_free(limit);
}

void
loop_run(struct loop *l)
{
	obj_check(l, LOOP_MAGIC);
	while (!l->stop) {
		run_idle(l);
		if (l->stop)
			break;
		ensure(run_events(l, true) == 0);
	}
}

void
loop_stop(struct loop *l)
{
	obj_check(l, LOOP_MAGIC);
	l->stop = true;
}
