/* base/loop.c - event_base plus hooks that run before each wait. */
#include "lib/base/loop.h"

#include <stdlib.h>

#include "lib/base/object.h"

#define IDLE_HOOKS_MAX	8	/* net, rpc and one or two per role */

struct loop {
	unsigned		magic;
#define LOOP_MAGIC		0x1a5c0f37
	struct event_base	*base;		/* owned */
	bool			stop;
	unsigned		n_idle;
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
		for (; i + 1 < l->n_idle; i++)
			l->idle[i] = l->idle[i + 1];
		l->n_idle--;
		return;
	}
}

static void
run_idle(struct loop *l)
{
	for (unsigned i = 0; i < l->n_idle; i++)
		l->idle[i].cb(l->idle[i].arg);
}

void
loop_turn(struct loop *l, bool wait)
{
	obj_check(l, LOOP_MAGIC);
	run_idle(l);
	(void)event_base_loop(l->base,
	    EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));
}

void
loop_run(struct loop *l)
{
	obj_check(l, LOOP_MAGIC);
	while (!l->stop) {
		run_idle(l);
		if (l->stop)
			break;
		ensure(event_base_loop(l->base, EVLOOP_ONCE) == 0);
	}
}

void
loop_stop(struct loop *l)
{
	obj_check(l, LOOP_MAGIC);
	l->stop = true;
}
