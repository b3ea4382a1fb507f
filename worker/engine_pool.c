/*
 * worker/engine_pool.c - engines, their links, and the calls on them.
 *
 *   pool -> engine (one address) -> link slots: 0 is for Ping alone, the
 *   others carry calls.  A slot reconnects by itself with backoff.
 *   pool -> call: waiting (no link) or running (on a slot, with a link id).
 *
 * An engine is chosen when a Ping of the last second said `ready`.  Among the
 * chosen, the slot with fewest calls in flight wins.
 */
#include "worker/engine_pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/timer.h"

#define BACKOFF_MIN_MS	50
#define BACKOFF_MAX_MS	1000	/* an engine that is back is seen in a second */
#define CALL_BUCKETS	1024

struct engine;

struct slot {
	struct engine	*engine;	/* borrowed: embeds us */
	struct rpc_link	*link;		/* owned; NULL while down */
	bool		up;
	unsigned	backoff_ms;
	unsigned	tried;		/* addresses of the engine's name */
	uint64_t	dns_id;		/* 0: not resolving */
	struct timer	timer;		/* reconnect */
};

struct engine {
	struct engine_pool	*pool;	/* borrowed: owns us */
	const char		*address; /* borrowed: conf's */
	struct net_addr		addr;	/* when it is no name */
	char			host[HOST_BYTES]; /* "" when it is no name */
	uint16_t		port;
	struct slot		*slots;	/* owned; [0] is for Ping */
	size_t			n_slots;
	struct timer		ping;
	uint64_t		ping_id; /* 0: none in flight */
	uint64_t		t_pong_ms; /* last `ready` answer */
	uint64_t		keys_epoch; /* as it said last */
	bool			chosen;	/* for one log line per change */
};

struct call {
	TAILQ_ENTRY(call)	link;	/* in pool->waiting, while !slot */
	LIST_ENTRY(call)	chain;
	struct engine_pool	*pool;
	const struct engine_call_ops *ops;
	void			*arg;	/* borrowed: cancels us when it goes */
	enum rpc_op		op;
	uint64_t		id;
	uint64_t		t_deadline_ms;
	struct slot		*slot;	/* borrowed; NULL while waiting */
	uint64_t		link_id;
	struct timer		timer;	/* the deadline */
};
TAILQ_HEAD(call_queue, call);
LIST_HEAD(call_chain, call);

struct engine_pool {
	unsigned	magic;
#define ENGINE_POOL_MAGIC	0x4d27b6a9
	struct loop	*loop;		/* borrowed: the worker's */
	SSL_CTX		*ctx;		/* borrowed */
	struct net_dns	*dns;		/* borrowed */
	unsigned	timeout_ms;
	unsigned	stall_ms;
	int		send_buffer_bytes;
	struct engine	*engines;	/* owned */
	size_t		n_engines;
	struct call_queue waiting;
	unsigned	n_waiting;
	unsigned	n_calls;
	uint64_t	next_id;
	uint64_t	keys_seen;	/* see engine_pool_keys_seen */
	struct timer	kick;		/* start waiting calls, from the loop */
	struct call_chain by_id[CALL_BUCKETS];
};

static void kick(struct engine_pool *);
static void slot_retry(struct slot *);
static void on_link_up(void *, const struct net_link_peer *);
static void on_link_down(void *, const char *);
static void on_reply(void *, enum rc, enum rpc_status, const struct rpc_value *,
    bool);

static const struct rpc_link_ops link_ops = {
	.on_up = on_link_up,
	.on_down = on_link_down,
};

/* ---- choosing ---- */

static bool
engine_alive(const struct engine *e, uint64_t now_ms)
{
	return (e->t_pong_ms != 0 && now_ms - e->t_pong_ms <= ENGINE_SILENT_MS);
}

static struct slot *
choose_slot(struct engine_pool *p)
{
	uint64_t now_ms = clock_mono_ms();
	struct slot *best = NULL;
	unsigned least = UINT32_MAX;

	for (size_t i = 0; i < p->n_engines; i++) {
		struct engine *e = &p->engines[i];

		if (!engine_alive(e, now_ms))
			continue;
		for (size_t k = 1; k < e->n_slots; k++) {
			struct slot *s = &e->slots[k];
			unsigned n;

			if (!s->up || !rpc_link_is_up(s->link))
				continue;
			n = rpc_link_in_flight(s->link);
			if (n < least && n < RPC_CALLS_MAX) {
				least = n;
				best = s;
			}
		}
	}
	return (best);
}

/* ---- what is remembered of API keys ---- */

/* Any answer may bring keys_epoch, so that a change is known before the next
 * Ping. */
static bool
keys_note(struct engine *e, const struct rpc_value *body)
{
	uint64_t epoch;

	if (!rpc_get_u64(rpc_map_get(body, "keys_epoch"), &epoch))
		return (false);
	if (epoch != e->keys_epoch) {
		e->keys_epoch = epoch;
		e->pool->keys_seen++;
	}
	return (true);
}

uint64_t
engine_pool_keys_seen(const struct engine_pool *p)
{
	uint64_t now_ms = clock_mono_ms();
	bool alive = false;

	obj_check(p, ENGINE_POOL_MAGIC);
	for (size_t i = 0; i < p->n_engines; i++) {
		if (engine_alive(&p->engines[i], now_ms))
			alive = true;
		else if (p->engines[i].chosen)
			return (0);	/* lost, and not yet noted */
	}
	return (alive ? p->keys_seen : 0);
}

/* ---- calls ---- */

static struct call *
call_find(struct engine_pool *p, uint64_t id)
{
	struct call *c;

	LIST_FOREACH(c, &p->by_id[id % CALL_BUCKETS], chain)
		if (c->id == id)
			return (c);
	return (NULL);
}

static void
call_wait(struct call *c)
{
	c->slot = NULL;
	c->link_id = 0;
	TAILQ_INSERT_TAIL(&c->pool->waiting, c, link);
	c->pool->n_waiting++;
}

static void
call_free(struct call *c)
{
	if (c->slot == NULL) {
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
		kick(p);	/* its place on the link is free */
	ops->on_end(arg, rc, status);
}

/*
 * Put the call on a link.  RC_AGAIN: no link can take it now; anything else
 * but RC_OK has ended the call.
 */
static enum rc
call_start(struct call *c)
{
	struct slot *s = choose_slot(c->pool);
	uint64_t now_ms = clock_mono_ms(), link_id;
	struct buffer body;
	enum rc rc;

	if (s == NULL)
		return (RC_AGAIN);
	buffer_init(&body, RPC_FRAME_BYTES_MAX, true);
	rc = c->ops->on_write(c->arg, &body);
	if (rc == RC_OK) {
		/* Ours is the deadline that counts; the link's is a net below. */
		rc = rpc_link_call(s->link, c->op, &body,
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
	TAILQ_REMOVE(&c->pool->waiting, c, link);
	c->pool->n_waiting--;
	c->slot = s;
	c->link_id = link_id;
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

static void
kick(struct engine_pool *p)
{
	if (!timer_running(&p->kick))
		timer_start_ms(&p->kick, 0);
}

static void
on_call_deadline(void *arg)
{
	struct call *c = arg;
	enum rc rc = c->slot == NULL ? RC_UNAVAILABLE : RC_TIMEOUT;

	if (c->slot != NULL)
		rpc_link_cancel(c->slot->link, c->link_id);
	call_end(c, rc, RPC_STATUS_INTERNAL);
}

/*
 * An answer that is none.  An engine that is not ready will not do it, another
 * may.  An overloaded one is not asked again: its queue is bounded so that
 * somebody is refused early.
 */
static void
on_refusal(struct call *c, enum rpc_status status)
{
	if (status == RPC_STATUS_NOT_READY) {
		c->slot->engine->t_pong_ms = 0;	/* until its next Ping */
		call_wait(c);
		kick(c->pool);
		return;
	}
	call_end(c, status == RPC_STATUS_OVERLOADED ? RC_UNAVAILABLE : RC_DENIED,
	    status);
}

/* The asker says that the piece is wrong, or that it cannot take it. */
static void
on_bad_piece(struct call *c, enum rc rc)
{
	struct slot *s = c->slot;

	if (rc != RC_LIMIT && rc != RC_NOMEM) {
		rc = RC_SYNTAX;
		log_warn("engine answer refused engine=%s op=%s", s->engine->address,
		    rpc_op_info(c->op)->name);
		/* Its other calls come back as cancelled and wait again. */
		rpc_link_close(&s->link);
		slot_retry(s);
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
		call_wait(c);	/* the link was lost: another one */
		kick(c->pool);
		return;
	default:
		call_end(c, rc, status);
		return;
	}
	(void)keys_note(c->slot->engine, body);
	if (status == RPC_STATUS_OK)
		rc = c->ops->on_piece(c->arg, body, more);
	if (rc == RC_OK && status == RPC_STATUS_OK) {
		if (!more)
			call_end(c, RC_OK, RPC_STATUS_OK);
		return;
	}
	/* The link must not call back for pieces that would still come. */
	if (more)
		rpc_link_cancel(c->slot->link, c->link_id);
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
	timer_init(&c->timer, p->loop, on_call_deadline, c);
	timer_start_ms(&c->timer, p->timeout_ms);
	LIST_INSERT_HEAD(&p->by_id[c->id % CALL_BUCKETS], c, chain);
	p->n_calls++;
	call_wait(c);
	kick(p);
	return (c->id);
}

void
engine_call_cancel(struct engine_pool *p, uint64_t id)
{
	struct call *c;

	obj_check(p, ENGINE_POOL_MAGIC);
	if (id == 0 || (c = call_find(p, id)) == NULL)
		return;
	if (c->slot != NULL)
		rpc_link_cancel(c->slot->link, c->link_id);
	call_free(c);
}

/* ---- links ---- */

/*
 * The engine went silent with calls on it.  Ping is answered at any load, so
 * it is stuck or gone: its calls wait for another engine, or for this one.
 */
static void
engine_leave(struct engine *e)
{
	struct engine_pool *p = e->pool;
	struct call *c;

	for (size_t i = 0; i < CALL_BUCKETS; i++) {
		LIST_FOREACH(c, &p->by_id[i], chain) {
			if (c->slot == NULL || c->slot->engine != e)
				continue;
			rpc_link_cancel(c->slot->link, c->link_id);
			call_wait(c);
		}
	}
	kick(p);
}

static void
engine_note(struct engine *e)
{
	bool alive = engine_alive(e, clock_mono_ms());

	if (alive == e->chosen)
		return;
	e->chosen = alive;
	e->pool->keys_seen++;
	if (alive) {
		log_info("engine ready engine=%s", e->address);
		return;
	}
	log_warn("engine lost engine=%s", e->address);
	engine_leave(e);
}

static void
slot_retry(struct slot *s)
{
	s->up = false;
	s->backoff_ms = s->backoff_ms == 0 ? BACKOFF_MIN_MS : s->backoff_ms * 2;
	if (s->backoff_ms > BACKOFF_MAX_MS)
		s->backoff_ms = BACKOFF_MAX_MS;
	/* Up to half of it again, so that workers do not come as a herd. */
	timer_start_ms(&s->timer,
	    s->backoff_ms + random_below(s->backoff_ms / 2 + 1));
}

static void
on_link_up(void *arg, const struct net_link_peer *peer)
{
	struct slot *s = arg;

	s->up = true;
	s->backoff_ms = 0;
	log_debug("engine link up engine=%s name=%s", s->engine->address, peer->name);
	if (s == &s->engine->slots[0])
		timer_start_ms(&s->engine->ping, 0);
	else
		kick(s->engine->pool);
}

static void
on_link_down(void *arg, const char *why)
{
	struct slot *s = arg;

	log_debug("engine link down engine=%s why=%s", s->engine->address, why);
	if (s == &s->engine->slots[0])
		s->engine->ping_id = 0;	/* the timer notes the silence */
	rpc_link_close(&s->link);
	slot_retry(s);
}

static void
slot_connect(struct slot *s, const struct net_addr *addr)
{
	struct engine_pool *p = s->engine->pool;
	struct rpc_link_config cfg = {
		.addr = *addr,
		.ctx = p->ctx,
		.send_buffer_bytes = p->send_buffer_bytes,
		.stall_ms = p->stall_ms,
	};

	s->link = rpc_link_open(p->loop, &cfg, &link_ops, s);
}

/* Another address of the name with each try. */
static void
on_resolved(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct slot *s = arg;

	s->dns_id = 0;
	if (rc == RC_OK)
		slot_connect(s, &addrs[s->tried++ % n]);
	else
		slot_retry(s);
}

static void
slot_open(struct slot *s)
{
	struct engine *e = s->engine;

	if (e->host[0] == '\0')
		slot_connect(s, &e->addr);
	else
		s->dns_id = net_dns_resolve(e->pool->dns, e->host, e->port,
		    on_resolved, s);
}

static void
on_slot_timer(void *arg)
{
	slot_open(arg);
}

/* ---- Ping: readiness, and the sign that nothing is stuck ---- */

static void
on_pong(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct engine *e = arg;
	uint64_t now_ms = clock_mono_ms();
	bool ready = false;

	(void)more;
	e->ping_id = 0;
	if (rc == RC_OK && status == RPC_STATUS_OK && keys_note(e, body))
		(void)rpc_get_bool(rpc_map_get(body, "ready"), &ready);
	/* It was silent, and is back before the timer saw that. */
	if (!engine_alive(e, now_ms))
		e->pool->keys_seen++;
	e->t_pong_ms = ready ? now_ms : 0;
	engine_note(e);
	if (ready)
		kick(e->pool);
}

static void
on_ping_timer(void *arg)
{
	struct engine *e = arg;
	struct buffer body;
	bool alive;

	engine_note(e);
	alive = engine_alive(e, clock_mono_ms());
	if (!alive && !e->slots[0].up)
		return;		/* until its link is up again */
	timer_start_ms(&e->ping, alive ? ENGINE_PING_MS : BACKOFF_MIN_MS);
	if (e->ping_id != 0 || !e->slots[0].up)
		return;
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	if (rpc_link_call(e->slots[0].link, RPC_OP_PING, &body, ENGINE_SILENT_MS * 5,
	    on_pong, e, &e->ping_id) != RC_OK)
		e->ping_id = 0;
	buffer_fini(&body);
}

/* ---- life ---- */

/* "unix:PATH", "IP:port" or "name:port"; conf let nothing else through. */
static void
engine_set_address(struct engine *e, const char *address)
{
	const char *colon = strrchr(address, ':');
	uint64_t port;

	e->address = address;
	if (net_addr_parse(address, &e->addr) == RC_OK)
		return;
	ensure(colon != NULL && host_canonical((struct span){ address,
	    (size_t)(colon - address) }, e->host) == RC_OK);
	ensure(string_u64(span_of(colon + 1), &port) == RC_OK && port <= UINT16_MAX);
	e->port = (uint16_t)port;
}

static void
engine_init(struct engine *e, struct engine_pool *p, const char *address,
    unsigned links)
{
	e->pool = p;
	engine_set_address(e, address);
	e->n_slots = links + 1;
	e->slots = xcalloc(e->n_slots, sizeof(*e->slots));
	timer_init(&e->ping, p->loop, on_ping_timer, e);
	for (size_t k = 0; k < e->n_slots; k++) {
		e->slots[k].engine = e;
		timer_init(&e->slots[k].timer, p->loop, on_slot_timer, &e->slots[k]);
		slot_open(&e->slots[k]);
	}
}

struct engine_pool *
engine_pool_new(struct loop *loop, const struct engine_pool_config *cfg)
{
	struct engine_pool *p = xcalloc(1, sizeof(*p));

	p->magic = ENGINE_POOL_MAGIC;
	p->loop = loop;
	p->ctx = cfg->ctx;
	p->dns = cfg->dns;
	p->timeout_ms = cfg->timeout_ms;
	p->stall_ms = cfg->stall_ms;
	p->send_buffer_bytes = cfg->send_buffer_bytes;
	TAILQ_INIT(&p->waiting);
	for (size_t i = 0; i < CALL_BUCKETS; i++)
		LIST_INIT(&p->by_id[i]);
	timer_init(&p->kick, loop, on_kick, p);
	p->n_engines = cfg->n_addresses;
	p->engines = xcalloc(p->n_engines, sizeof(*p->engines));
	for (size_t i = 0; i < p->n_engines; i++)
		engine_init(&p->engines[i], p, cfg->addresses[i], cfg->links);
	return (p);
}

void
engine_pool_free(struct engine_pool **pp)
{
	struct engine_pool *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, ENGINE_POOL_MAGIC);
	ensure(p->n_calls == 0);	/* every asker has cancelled */
	for (size_t i = 0; i < p->n_engines; i++) {
		struct engine *e = &p->engines[i];

		e->chosen = false;	/* its Ping ends now: that is no loss */
		for (size_t k = 0; k < e->n_slots; k++) {
			struct slot *s = &e->slots[k];

			rpc_link_close(&s->link);
			if (s->dns_id != 0)
				net_dns_cancel(p->dns, s->dns_id);
			timer_fini(&s->timer);
		}
		timer_fini(&e->ping);
		free(e->slots);
	}
	timer_fini(&p->kick);
	free(p->engines);
	p->magic = 0;
	free(p);
}

unsigned
engine_pool_up(const struct engine_pool *p)
{
	uint64_t now_ms = clock_mono_ms();
	unsigned n = 0;

	for (size_t i = 0; i < p->n_engines; i++)
		n += engine_alive(&p->engines[i], now_ms);
	return (n);
}

unsigned
engine_pool_calls(const struct engine_pool *p)
{
	return (p->n_calls);
}
