/* net/turn.c - who wants a look before the loop waits, and who is warm. */
#include "lib/net/turn_private.h"

#include <stdlib.h>

#include "lib/base/object.h"

struct net_turn {
	unsigned		magic;
#define NET_TURN_MAGIC		0x7d41c9a6
	struct loop		*loop;		/* borrowed: outlives its streams */
	struct net_turn_list	asked;
	struct net_turn_list	watched;
	struct net_turn_list	now;		/* being looked at */
	struct net_turn_list	warm;		/* who worked last is last */
	unsigned		n_warm;
	unsigned		refs;
};

static void on_idle(void *);

struct net_turn *
net_turn_ref(struct loop *loop)
{
	struct net_turn *t = loop_idle_find(loop, on_idle);

	if (t == NULL) {
		t = xcalloc(1, sizeof(*t));
		t->magic = NET_TURN_MAGIC;
		t->loop = loop;
		TAILQ_INIT(&t->asked);
		TAILQ_INIT(&t->watched);
		TAILQ_INIT(&t->now);
		TAILQ_INIT(&t->warm);
		loop_idle_add(loop, on_idle, t);
	}
	t->refs++;
	return (t);
}

void
net_turn_unref(struct net_turn **tp)
{
	struct net_turn *t = *tp;

	*tp = NULL;
	obj_check(t, NET_TURN_MAGIC);
	if (--t->refs != 0)
		return;
	ensure(TAILQ_EMPTY(&t->asked) && TAILQ_EMPTY(&t->watched) &&
	    TAILQ_EMPTY(&t->now) && TAILQ_EMPTY(&t->warm));
	loop_idle_del(t->loop, on_idle, t);
	t->magic = 0;
	free(t);
}

void
net_turn_init(struct net_turn_item *item, net_turn_cb *look, net_turn_cb *cool,
    void *arg)
{
	item->on = NULL;
	item->warm_in = NULL;
	item->look = look;
	item->cool = cool;
	item->arg = arg;
}

static void
take_off(struct net_turn_item *item)
{
	if (item->on != NULL)
		TAILQ_REMOVE(item->on, item, link);
	item->on = NULL;
}

static void
put(struct net_turn_list *list, struct net_turn_item *item)
{
	take_off(item);
	TAILQ_INSERT_TAIL(list, item, link);
	item->on = list;
}

static void
not_warm(struct net_turn_item *item)
{
	struct net_turn *t = item->warm_in;

	if (t == NULL)
		return;
	TAILQ_REMOVE(&t->warm, item, warm_link);
	t->n_warm--;
	item->warm_in = NULL;
}

void
net_turn_forget(struct net_turn_item *item)
{
	take_off(item);
	not_warm(item);
}

void
net_turn_warm(struct net_turn *t, struct net_turn_item *item)
{
	struct net_turn_item *oldest;

	not_warm(item);
	TAILQ_INSERT_TAIL(&t->warm, item, warm_link);
	item->warm_in = t;
	if (++t->n_warm <= NET_TURN_WARM_MAX)
		return;
	oldest = TAILQ_FIRST(&t->warm);
	not_warm(oldest);
	oldest->cool(oldest->arg);
}

void
net_turn_ask(struct net_turn *t, struct net_turn_item *item)
{
	/* On `now` its look is still to come in this round. */
	if (item->on == &t->asked || item->on == &t->now)
		return;
	if (TAILQ_EMPTY(&t->asked))
		loop_again(t->loop);	/* heeded when asked while idle */
	put(&t->asked, item);
}

void
net_turn_watch(struct net_turn *t, struct net_turn_item *item)
{
	if (item->on == NULL)
		put(&t->watched, item);
}

static void
move(struct net_turn_list *to, struct net_turn_list *from)
{
	struct net_turn_item *item;

	while ((item = TAILQ_FIRST(from)) != NULL)
		put(to, item);
}

static void
on_idle(void *arg)
{
	struct net_turn *t = arg;
	struct net_turn_item *item;

	obj_check(t, NET_TURN_MAGIC);
	t->refs++;		/* the last stream may close in its look */
	move(&t->now, &t->asked);
	move(&t->now, &t->watched);
	/* From the front, one by one: a look may close any of the others. */
	while ((item = TAILQ_FIRST(&t->now)) != NULL) {
		take_off(item);
		item->look(item->arg);
	}
	net_turn_unref(&t);
}
