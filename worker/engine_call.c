/*
 * worker/engine_call.c - what becomes of a call: it waits for a link, runs on
 * one, and ends once, or moves when its engine is lost.
 */
#include "worker/engine_pool.h"
#include "worker/engine_pool_private.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

struct call {
	TAILQ_ENTRY(call)	link;	/* in pool->waiting, while !on */
	LIST_ENTRY(call)	chain;
	struct engine_pool	*pool;
	const struct engine_call_ops *ops;
	void			*arg;	/* borrowed: cancels us when it goes */
	enum rpc_op		op;
	uint64_t		id;
	uint64_t		t_deadline_ms;
	struct member		*on;	/* borrowed; NULL while waiting */
	struct rpc_link		*at;	/* borrowed: its link, while on */
	uint64_t		link_id;
	uint64_t		refused_by; /* id of a member that was overloaded */
	struct timer		timer;	/* the deadline */
};

static void on_reply(void *, enum rc, enum rpc_status, const struct rpc_value *,
    bool);

static struct call *
call_find(struct engine_pool *p, uint64_t id)
{
	struct call *c;

	LIST_FOREACH(c, &p->by_id[id % ENGINE_CALL_BUCKETS], chain)
		if (c->id == id)
			return (c);
	return (NULL);
}

static void
call_run(struct call *c, const struct choice *where, uint64_t link_id)
{
	TAILQ_REMOVE(&c->pool->waiting, c, link);
	c->pool->n_waiting--;
	c->on = where->member;
	c->on->n_calls++;
	c->at = where->link;
	c->link_id = link_id;
}

/* It runs nowhere any more. */
static void
call_leave(struct call *c)
{
	struct member *m = c->on;

	c->on = NULL;
	c->at = NULL;
	c->link_id = 0;
	engine_pool_call_left(m);
}

/* Until somebody can take it. */
static void
call_wait(struct call *c)
{
	if (c->on != NULL)
		call_leave(c);
	TAILQ_INSERT_TAIL(&c->pool->waiting, c, link);
	c->pool->n_waiting++;
}

static void
call_free(struct call *c)
{
	if (c->on != NULL) {
		call_leave(c);
	} else {
		TAILQ_REMOVE(&c->pool->waiting, c, link);
		c->pool->n_waiting--;
	}
	LIST_REMOVE(c, chain);
	c->pool->n_calls--;
	timer_fini(&c->timer);
	free(c);
}

static void
call_end(struct call *c, enum rc rc, enum rpc_status status)
{
	const struct engine_call_ops *ops = c->ops;
	struct engine_pool *p = c->pool;
	void *arg = c->arg;

	call_free(c);
	if (p->n_waiting != 0)
		engine_calls_kick(p);	/* its place on the link is free */
	ops->on_end(arg, rc, status);
}

/*
 * Put the call on a link.  RC_AGAIN: no link can take it now; anything else
 * but RC_OK has ended the call.
 */
static enum rc
call_start(struct call *c)
{
	uint64_t now_ms = clock_mono_ms(), link_id;
	struct choice where;
	struct buffer body;
	enum rc rc;

	engine_pool_choose(c->pool, c->refused_by, &where);
	if (where.link == NULL && c->refused_by == 0)
		return (RC_AGAIN);
	if (where.link == NULL) {
		call_end(c, RC_UNAVAILABLE, RPC_STATUS_OVERLOADED);
		return (RC_UNAVAILABLE);
	}
	buffer_init(&body, RPC_FRAME_BYTES_MAX, true);
	rc = c->ops->on_write(c->arg, &body);
	if (rc == RC_OK) {
		/* Ours is the deadline that counts; the link's is a net below. */
		rc = rpc_link_call(where.link, c->op, &body,
		    (unsigned)(c->t_deadline_ms > now_ms ?
		    c->t_deadline_ms - now_ms : 1) + 1000, on_reply, c, &link_id);
		if (rc == RC_UNAVAILABLE)
			rc = RC_AGAIN;
	}
	buffer_fini(&body);
	if (rc == RC_AGAIN)
		return (rc);
	if (rc != RC_OK) {
		call_end(c, rc, RPC_STATUS_LIMIT);
		return (rc);
	}
	call_run(c, &where, link_id);
	return (RC_OK);
}

static void
on_kick(void *arg)
{
	struct engine_pool *p = arg;
	struct call *c;

	/* call_start may end a call and its owner may cancel others: begin at
	 * the head again each time. */
	while ((c = TAILQ_FIRST(&p->waiting)) != NULL)
		if (call_start(c) == RC_AGAIN)
			break;
}

void
engine_calls_kick(struct engine_pool *p)
{
	if (!timer_running(&p->kick))
		timer_start_ms(&p->kick, 0);
}

static void
on_call_deadline(void *arg)
{
	struct call *c = arg;
	enum rc rc = c->on == NULL ? RC_UNAVAILABLE : RC_TIMEOUT;

	if (c->on != NULL)
		rpc_link_cancel(c->at, c->link_id);
	call_end(c, rc, RPC_STATUS_INTERNAL);
}

/* Somewhere else, or here when it can be. */
static void
call_again(struct call *c, uint64_t refused_by)
{
	c->refused_by = refused_by;
	call_wait(c);
	engine_calls_kick(c->pool);
}

/* An overloaded engine is not asked again, and only one more is: queues are
 * bounded so that somebody is refused early. */
static bool
may_ask_another(struct call *c)
{
	struct choice where;

	if (c->refused_by != 0)
		return (false);
	engine_pool_choose(c->pool, c->on->id, &where);
	return (where.link != NULL);
}

/* An answer that is none.  An engine that is not ready will not do it, another
 * may. */
static void
on_refusal(struct call *c, enum rpc_status status)
{
	if (status == RPC_STATUS_NOT_READY) {
		engine_not_ready(c->on->engine);
		call_again(c, 0);
		return;
	}
	if (status == RPC_STATUS_OVERLOADED && may_ask_another(c)) {
		call_again(c, c->on->id);
		return;
	}
	call_end(c, status == RPC_STATUS_OVERLOADED ? RC_UNAVAILABLE : RC_DENIED,
	    status);
}

/* The asker says that the piece is wrong, or that it cannot take it. */
static void
on_bad_piece(struct call *c, enum rc rc)
{
	struct engine *e = c->on->engine;

	if (rc != RC_LIMIT && rc != RC_NOMEM) {
		rc = RC_SYNTAX;
		log_warn("engine answer refused engine=%s op=%s",
		    engine_address(e), rpc_op_info(c->op)->name);
		/* Its other calls come back as cancelled and wait again. */
		engine_distrust(e, c->at);
	}
	call_end(c, rc, RPC_STATUS_INTERNAL);
}

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct call *c = arg;

	switch (rc) {
	case RC_OK:
		break;
	case RC_UNAVAILABLE:
	case RC_CANCELLED:
		call_again(c, 0);	/* the link was lost: another one */
		return;
	default:
		call_end(c, rc, status);
		return;
	}
	(void)engine_note_keys(c->on->engine, body);
	if (status == RPC_STATUS_OK)
		rc = c->ops->on_piece(c->arg, body, more);
	if (rc == RC_OK && status == RPC_STATUS_OK) {
		if (!more)
			call_end(c, RC_OK, RPC_STATUS_OK);
		return;
	}
	/* The link must not call back for pieces that would still come. */
	if (more)
		rpc_link_cancel(c->at, c->link_id);
	if (status != RPC_STATUS_OK)
		on_refusal(c, status);
	else
		on_bad_piece(c, rc);
}

uint64_t
engine_call(struct engine_pool *p, enum rpc_op op,
    const struct engine_call_ops *ops, void *arg)
{
	struct call *c;

	obj_check(p, ENGINE_POOL_MAGIC);
	if (p->n_waiting >= ENGINE_WAITING_MAX)
		return (0);
	c = xcalloc(1, sizeof(*c));
	c->pool = p;
	c->ops = ops;
	c->arg = arg;
	c->op = op;
	c->id = ++p->next_id;
	c->t_deadline_ms = clock_mono_ms() + p->timeout_ms;
	timer_init(&c->timer, p->cfg.loop, on_call_deadline, c);
	timer_start_ms(&c->timer, p->timeout_ms);
	LIST_INSERT_HEAD(&p->by_id[c->id % ENGINE_CALL_BUCKETS], c, chain);
	p->n_calls++;
	call_wait(c);
	engine_calls_kick(p);
	return (c->id);
}

void
engine_call_cancel(struct engine_pool *p, uint64_t id)
{
	struct call *c;

	obj_check(p, ENGINE_POOL_MAGIC);
	if (id == 0 || (c = call_find(p, id)) == NULL)
		return;
	if (c->on != NULL)
		rpc_link_cancel(c->at, c->link_id);
	call_free(c);
}

/* ---- all of them ---- */

void
engine_calls_move(struct member *m)
{
	struct call *c;

	for (size_t i = 0; i < ENGINE_CALL_BUCKETS; i++) {
		LIST_FOREACH(c, &m->pool->by_id[i], chain) {
			if (c->on != m)
				continue;
			rpc_link_cancel(c->at, c->link_id);
			call_wait(c);
		}
	}
	engine_calls_kick(m->pool);
}

void
engine_calls_init(struct engine_pool *p)
{
	TAILQ_INIT(&p->waiting);
	for (size_t i = 0; i < ENGINE_CALL_BUCKETS; i++)
		LIST_INIT(&p->by_id[i]);
	timer_init(&p->kick, p->cfg.loop, on_kick, p);
}

void
engine_calls_fini(struct engine_pool *p)
{
	ensure(p->n_calls == 0);	/* every asker has cancelled */
	timer_fini(&p->kick);
}
