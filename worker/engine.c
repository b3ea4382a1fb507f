/* worker/engine.c - links that come back, and Ping. */
#include "worker/engine.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/timer.h"
#include "worker/engine_pool.h"

#define BACKOFF_MIN_MS	50
#define BACKOFF_MAX_MS	1000	/* an engine that is back is seen in a second */

struct slot {
	struct engine	*engine;	/* borrowed: owns us */
	struct rpc_link	*link;		/* owned; NULL while down */
	bool		up;
	unsigned	backoff_ms;
	unsigned	tried;		/* addresses of the engine's name */
	uint64_t	dns_id;		/* 0: not resolving */
	struct timer	timer;		/* reconnect */
};

struct engine {
	unsigned	magic;
#define ENGINE_MAGIC	0x3ed7c105
	const struct engine_config *cfg;	/* borrowed: the pool's */
	void		*arg;		/* borrowed: who owns us */
	char		*address;	/* owned */
	struct net_addr	addr;		/* when it is no name */
	char		host[HOST_BYTES]; /* "" when it is no name */
	uint16_t	port;
	struct net_addr	*found;		/* owned: what the name was last */
	size_t		n_found;
	struct slot	*slots;		/* owned; [0] is for Ping */
	size_t		n_slots;
	struct timer	ping;
	uint64_t	ping_id;	/* 0: none in flight */
	uint64_t	t_pong_ms;	/* last `ready` answer; 0: none */
	uint64_t	keys_epoch;	/* as it said last */
	bool		was_alive;	/* for one log line per change */
	bool		rests;		/* has no links, and wants none */
	bool		drains;
};

static void on_link_up(void *, const struct net_link_peer *);
static void on_link_down(void *, const char *);

static const struct rpc_link_ops link_ops = {
	.on_up = on_link_up,
	.on_down = on_link_down,
};

/* ---- what it is ---- */

const char *
engine_address(const struct engine *e)
{
	return (e->address);
}

bool
engine_is_at(const struct engine *e, const struct net_addr *addr)
{
	if (e->host[0] == '\0')
		return (net_addr_equal(&e->addr, addr));
	for (size_t i = 0; i < e->n_found; i++)
		if (net_addr_equal(&e->found[i], addr))
			return (true);
	return (false);
}

bool
engine_alive(const struct engine *e, uint64_t now_ms)
{
	return (e->t_pong_ms != 0 && now_ms - e->t_pong_ms <= ENGINE_SILENT_MS);
}

bool
engine_was_alive(const struct engine *e)
{
	return (e->was_alive);
}

bool
engine_drains(const struct engine *e)
{
	return (e->drains);
}

struct rpc_link *
engine_link(const struct engine *e, unsigned *n)
{
	struct rpc_link *best = NULL;

	*n = UINT32_MAX;
	for (size_t k = 1; k < e->n_slots; k++) {
		const struct slot *s = &e->slots[k];
		unsigned in_flight;

		if (!s->up || !rpc_link_is_up(s->link))
			continue;
		in_flight = rpc_link_in_flight(s->link);
		if (in_flight < *n) {
			*n = in_flight;
			best = s->link;
		}
	}
	return (best);
}

void
engine_not_ready(struct engine *e)
{
	e->t_pong_ms = 0;
}

bool
engine_note_keys(struct engine *e, const struct rpc_value *body)
{
	uint64_t epoch;

	if (!rpc_get_u64(rpc_map_get(body, "keys_epoch"), &epoch))
		return (false);
	if (epoch != e->keys_epoch) {
		e->keys_epoch = epoch;
		e->cfg->ops->on_keys(e->arg);
	}
	return (true);
}

static void
note_alive(struct engine *e)
{
	bool alive = engine_alive(e, clock_mono_ms());

	if (alive == e->was_alive)
		return;
	e->was_alive = alive;
	e->cfg->ops->on_keys(e->arg);
	if (alive) {
		log_info("engine ready engine=%s", e->address);
		return;
	}
	log_warn("engine lost engine=%s", e->address);
	e->cfg->ops->on_lost(e->arg);
}

static void
note_drains(struct engine *e, bool drains)
{
	if (drains == e->drains)
		return;
	e->drains = drains;
	log_info("engine %s engine=%s", drains ? "drains" : "drains no more",
	    e->address);
}

/* ---- links ---- */

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

void
engine_distrust(struct engine *e, struct rpc_link *link)
{
	obj_check(e, ENGINE_MAGIC);
	for (size_t k = 1; k < e->n_slots; k++)
		if (e->slots[k].link == link) {
			rpc_link_close(&e->slots[k].link);
			slot_retry(&e->slots[k]);
			return;
		}
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
		s->engine->cfg->ops->on_room(s->engine->arg);
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
	const struct engine_config *c = s->engine->cfg;
	struct rpc_link_config cfg = {
		.addr = *addr,
		.ctx = c->ctx,
		.send_buffer_bytes = c->send_buffer_bytes,
		.stall_ms = c->stall_ms,
	};

	s->link = rpc_link_open(c->loop, &cfg, &link_ops, s);
}

static void
note_found(struct engine *e, const struct net_addr *addrs, size_t n)
{
	free(e->found);
	e->found = xcalloc(n, sizeof(*e->found));
	memcpy(e->found, addrs, n * sizeof(*e->found));
	e->n_found = n;
}

/* Another address of the name with each try. */
static void
on_resolved(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct slot *s = arg;

	s->dns_id = 0;
	if (rc != RC_OK) {
		slot_retry(s);
		return;
	}
	note_found(s->engine, addrs, n);
	slot_connect(s, &addrs[s->tried++ % n]);
}

static void
slot_open(struct slot *s)
{
	struct engine *e = s->engine;

	if (e->host[0] == '\0')
		slot_connect(s, &e->addr);
	else
		s->dns_id = net_dns_resolve(e->cfg->dns, e->host, e->port,
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
	bool ready = false, drains = false;

	(void)more;
	e->ping_id = 0;
	if (rc == RC_OK && status == RPC_STATUS_OK && engine_note_keys(e, body)) {
		(void)rpc_get_bool(rpc_map_get(body, "ready"), &ready);
		(void)rpc_get_bool(rpc_map_get(body, "draining"), &drains);
		note_drains(e, drains);
	}
	/* It was silent, and is back before the timer saw that. */
	if (!engine_alive(e, now_ms))
		e->cfg->ops->on_keys(e->arg);
	e->t_pong_ms = ready ? now_ms : 0;
	note_alive(e);
	if (ready)
		e->cfg->ops->on_room(e->arg);
}

static void
on_ping_timer(void *arg)
{
	struct engine *e = arg;
	struct buffer body;
	bool alive;

	note_alive(e);
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

static bool
set_address(struct engine *e, const char *address)
{
	const char *colon = strrchr(address, ':');
	uint64_t port;

	if (net_addr_parse(address, &e->addr) == RC_OK)
		return (true);
	if (colon == NULL || host_canonical((struct span){ address,
	    (size_t)(colon - address) }, e->host) != RC_OK ||
	    string_u64(span_of(colon + 1), &port) != RC_OK || port > UINT16_MAX)
		return (false);
	e->port = (uint16_t)port;
	return (true);
}

struct engine *
engine_new(const struct engine_config *cfg, const char *address, void *arg)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	if (!set_address(e, address)) {
		free(e);
		return (NULL);
	}
	e->magic = ENGINE_MAGIC;
	e->cfg = cfg;
	e->arg = arg;
	e->address = xstrdup(address);
	e->n_slots = cfg->links + 1;
	e->slots = xcalloc(e->n_slots, sizeof(*e->slots));
	timer_init(&e->ping, cfg->loop, on_ping_timer, e);
	for (size_t k = 0; k < e->n_slots; k++) {
		e->slots[k].engine = e;
		timer_init(&e->slots[k].timer, cfg->loop, on_slot_timer,
		    &e->slots[k]);
	}
	e->rests = true;
	engine_wake(e);
	return (e);
}

void
engine_wake(struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	if (!e->rests)
		return;
	e->rests = false;
	for (size_t k = 0; k < e->n_slots; k++)
		slot_open(&e->slots[k]);
}

void
engine_rest(struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	e->rests = true;
	e->was_alive = false;	/* its Ping ends now: that is no loss */
	for (size_t k = 0; k < e->n_slots; k++) {
		struct slot *s = &e->slots[k];

		rpc_link_close(&s->link);
		s->up = false;
		s->backoff_ms = 0;
		timer_stop(&s->timer);
		if (s->dns_id != 0)
			net_dns_cancel(e->cfg->dns, s->dns_id);
		s->dns_id = 0;
	}
	timer_stop(&e->ping);
	e->t_pong_ms = 0;
	e->cfg->ops->on_keys(e->arg);
}

bool
engine_rests(const struct engine *e)
{
	return (e->rests);
}

void
engine_free(struct engine **ep)
{
	struct engine *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	engine_rest(e);
	for (size_t k = 0; k < e->n_slots; k++)
		timer_fini(&e->slots[k].timer);
	timer_fini(&e->ping);
	free(e->slots);
	free(e->address);
	free(e->found);
	e->magic = 0;
	free(e);
}
