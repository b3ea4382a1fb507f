/* helper/turn.c - a queue for one. */
#include "e3/helper/turn.h"

#include "lib/base/object.h"

void
turn_init(struct turn *t)
{
	t->holder = NULL;
	t->closed = false;
	TAILQ_INIT(&t->waiting);
}

void
turn_close(struct turn *t)
{
	t->closed = true;
}

void
turn_waiter_init(struct turn_waiter *w, turn_cb *cb, void *arg)
{
	*w = (struct turn_waiter){ .cb = cb, .arg = arg };
}

static void
hand_over(struct turn *t, struct turn_waiter *w)
{
	t->holder = w;
	w->waiting = false;
	w->has = true;
	w->cb(w->arg);		/* may leave again before it returns */
}

void
turn_take(struct turn *t, struct turn_waiter *w)
{
	ensure(!w->waiting && !w->has);
	if (t->holder == NULL && !t->closed) {
		hand_over(t, w);
		return;
	}
	w->waiting = true;
	TAILQ_INSERT_TAIL(&t->waiting, w, link);
}

void
turn_leave(struct turn *t, struct turn_waiter *w)
{
	struct turn_waiter *next;

	if (w->waiting) {
		TAILQ_REMOVE(&t->waiting, w, link);
		w->waiting = false;
	}
	if (!w->has)
		return;
	ensure(t->holder == w);
	w->has = false;
	t->holder = NULL;
	if (t->closed || (next = TAILQ_FIRST(&t->waiting)) == NULL)
		return;
	TAILQ_REMOVE(&t->waiting, next, link);
	hand_over(t, next);
}
