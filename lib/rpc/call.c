/* rpc/call.c - the table of calls in flight: by id, and by age. */
#include "lib/rpc/call_private.h"

#include <stdlib.h>

#include "lib/base/object.h"

void
rpc_calls_init(struct rpc_calls *t, struct rpc_link *link, struct loop *loop,
    timer_cb *on_deadline)
{
	t->link = link;
	t->loop = loop;
	t->on_deadline = on_deadline;
	t->n = 0;
	TAILQ_INIT(&t->in_flight);
	TAILQ_INIT(&t->free);
	for (size_t i = 0; i < RPC_CALL_BUCKETS; i++)
		LIST_INIT(&t->buckets[i]);
}

void
rpc_calls_fini(struct rpc_calls *t)
{
	struct rpc_call *c, *next;

	ensure(rpc_calls_empty(t));
	TAILQ_FOREACH_SAFE(c, &t->free, order, next) {
		timer_fini(&c->deadline);
		free(c);
	}
	TAILQ_INIT(&t->free);
}

struct rpc_call *
rpc_calls_find(const struct rpc_calls *t, uint64_t id)
{
	struct rpc_call *c;

	LIST_FOREACH(c, &t->buckets[id % RPC_CALL_BUCKETS], bucket)
		if (c->id == id)
			return (c);
	return (NULL);
}

struct rpc_call *
rpc_calls_add(struct rpc_calls *t, uint64_t id, uint64_t end,
    rpc_reply_cb *cb, void *arg, bool is_cancel)
{
	struct rpc_call *c = TAILQ_FIRST(&t->free);

	if (c != NULL) {
		TAILQ_REMOVE(&t->free, c, order);
	} else {
		c = xcalloc(1, sizeof(*c));
		c->link = t->link;
		timer_init(&c->deadline, t->loop, t->on_deadline, c);
	}
	c->id = id;
	c->cb = cb;
	c->arg = arg;
	c->end = end;
	c->is_cancel = is_cancel;
	TAILQ_INSERT_TAIL(&t->in_flight, c, order);
	LIST_INSERT_HEAD(&t->buckets[id % RPC_CALL_BUCKETS], c, bucket);
	if (!is_cancel)
		t->n++;
	return (c);
}

void
rpc_calls_remove(struct rpc_calls *t, struct rpc_call *c)
{
	rpc_call_forget(c);
	LIST_REMOVE(c, bucket);
	TAILQ_REMOVE(&t->in_flight, c, order);
	if (!c->is_cancel)
		t->n--;
	c->id = 0;
	TAILQ_INSERT_HEAD(&t->free, c, order);
}

void
rpc_call_forget(struct rpc_call *c)
{
	timer_stop(&c->deadline);
	c->cb = NULL;
	c->arg = NULL;
}

void
rpc_call_fail(struct rpc_call *c, enum rc rc)
{
	rpc_reply_cb *cb = c->cb;
	void *arg = c->arg;

	rpc_call_forget(c);
	if (cb != NULL)
		cb(arg, rc, RPC_STATUS_INTERNAL, NULL, false);
}

void
rpc_calls_fail_all(struct rpc_calls *t, enum rc rc)
{
	struct rpc_call *c;
	uint64_t id;

	while ((c = TAILQ_FIRST(&t->in_flight)) != NULL) {
		id = c->id;
		rpc_call_fail(c, rc);
		/* The callback may have closed the link: then it is gone. */
		if (c->id == id)
			rpc_calls_remove(t, c);
	}
}
