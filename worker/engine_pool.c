/*
 * worker/engine_pool.c - the engines, and which one gets a call.
 *
 *   pool -> member (an engine: engine.c) and whether it may be asked.
 *   pool -> call (engine_call.c): waiting, or running on a member.
 *
 * Among the engines that are alive, do not drain and have not left, the link
 * with the fewest calls in flight wins.
 */
#include "worker/engine_pool.h"
#include "worker/engine_pool_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

/* ---- choosing ---- */

static bool
drains(const struct member *m)
{
	return (m->drains || engine_drains(m->engine));
}

/* Of those that drain, or of those that do not.  False: none of them is up. */
static bool
choose_among(struct engine_pool *p, bool draining, uint64_t but_id,
    struct choice *best)
{
	uint64_t now_ms = clock_mono_ms();
	unsigned least = RPC_CALLS_MAX, n;
	struct member *m;
	bool up = false;

	TAILQ_FOREACH(m, &p->members, link) {
		struct rpc_link *l;

		if (m->left || m->id == but_id || drains(m) != draining ||
		    !engine_alive(m->engine, now_ms) ||
		    (l = engine_link(m->engine, &n)) == NULL)
			continue;
		up = true;
		if (n < least) {
			least = n;
			*best = (struct choice){ m, l };
		}
	}
	return (up);
}

/* The links of those that drain were closed while others served. */
static void
wake_all(struct engine_pool *p)
{
	struct member *m;

	TAILQ_FOREACH(m, &p->members, link)
		if (!m->left)
			engine_wake(m->engine);
}

void
engine_pool_choose(struct engine_pool *p, uint64_t but_id,
    struct choice *best)
{
	*best = (struct choice){ NULL, NULL };
	if (choose_among(p, false, but_id, best) || choose_among(p, true, but_id,
	    best))
		return;
	if (but_id == 0)
		wake_all(p);
}

/* ---- what is remembered of API keys ---- */

uint64_t
engine_pool_keys_seen(const struct engine_pool *p)
{
	uint64_t now_ms = clock_mono_ms();
	const struct member *m;
	bool alive = false;

	obj_check(p, ENGINE_POOL_MAGIC);
	TAILQ_FOREACH(m, &p->members, link) {
		if (m->left)
			continue;
		if (engine_alive(m->engine, now_ms))
			alive = true;
		else if (engine_was_alive(m->engine))
			return (0);	/* lost, and not yet noted */
	}
	return (alive ? p->keys_seen : 0);
}

/* ---- what engines tell ---- */

static void
on_room(void *arg)
{
	struct member *m = arg;

	engine_calls_kick(m->pool);
	if (!timer_running(&m->pool->tidy))
		timer_start_ms(&m->pool->tidy, 0);	/* for who drains */
}

static void
on_keys(void *arg)
{
	struct member *m = arg;

	m->pool->keys_seen++;
}

/* Its calls wait for another engine, or for this one. */
static void
on_lost(void *arg)
{
	engine_calls_move(arg);
}

static const struct engine_ops engine_ops = {
	.on_room = on_room,
	.on_keys = on_keys,
	.on_lost = on_lost,
};

/* ---- members ---- */

/* NULL: not an address. */
static struct member *
member_new(struct engine_pool *p, const char *address)
{
	struct member *m = xcalloc(1, sizeof(*m));

	m->pool = p;
	m->id = ++p->next_member;
	if ((m->engine = engine_new(&p->cfg, address, m)) == NULL) {
		free(m);
		return (NULL);
	}
	TAILQ_INSERT_TAIL(&p->members, m, link);
	return (m);
}

static void
member_free(struct member *m)
{
	ensure(m->n_calls == 0);
	TAILQ_REMOVE(&m->pool->members, m, link);
	engine_free(&m->engine);
	free(m);
}

/*
 * Who left goes, and who drains by its own announcement loses its links, while
 * others serve: it may wait for just that.  Both once nothing waits on them for
 * an answer.
 */
static void
on_tidy(void *arg)
{
	struct engine_pool *p = arg;
	struct choice other = { NULL, NULL };
	bool others = choose_among(p, false, 0, &other);
	struct member *m, *next;

	TAILQ_FOREACH_SAFE(m, &p->members, link, next) {
		if (m->n_calls != 0)
			continue;
		if (m->left) {
			log_info("engine let go engine=%s",
			    engine_address(m->engine));
			member_free(m);
		} else if (m->drains && others && !engine_rests(m->engine)) {
			log_info("engine rests engine=%s",
			    engine_address(m->engine));
			engine_rest(m->engine);
		}
	}
}

void
engine_pool_call_left(struct member *m)
{
	if (--m->n_calls == 0 && (m->left || m->drains))
		timer_start_ms(&m->pool->tidy, 0);
}

static void
member_set_left(struct member *m, bool left)
{
	if (m->left == left)
		return;
	m->left = left;
	m->pool->keys_seen++;
	log_info("engine %s engine=%s calls=%u", left ? "left" : "is back",
	    engine_address(m->engine), m->n_calls);
	if (!left)
		engine_calls_kick(m->pool);
}

static struct member *
member_find(struct engine_pool *p, const char *address)
{
	struct member *m;

	TAILQ_FOREACH(m, &p->members, link)
		if (strcmp(engine_address(m->engine), address) == 0)
			return (m);
	return (NULL);
}

/* Who is announced twice drains when both say so. */
static void
member_announced(struct engine_pool *p, const struct engine_announced *a)
{
	struct member *m = member_find(p, a->address);

	if (m == NULL) {
		if ((m = member_new(p, a->address)) == NULL) {
			log_warn("engine announced without a usable address");
			return;
		}
		log_info("engine announced engine=%s", a->address);
	}
	m->drains = a->draining && (!m->announced || m->drains);
	m->announced = true;
	member_set_left(m, false);
}

void
engine_pool_announced(struct engine_pool *p, const struct engine_announced *v,
    size_t n)
{
	struct member *m;

	obj_check(p, ENGINE_POOL_MAGIC);
	TAILQ_FOREACH(m, &p->members, link)
		m->announced = false;
	for (size_t i = 0; i < n; i++)
		member_announced(p, &v[i]);
	TAILQ_FOREACH(m, &p->members, link) {
		if (m->announced)
			continue;
		m->drains = false;
		if (!m->of_conf)
			member_set_left(m, true);
	}
	TAILQ_FOREACH(m, &p->members, link)
		if (!m->drains && !m->left)
			engine_wake(m->engine);
	timer_start_ms(&p->tidy, 0);
}

bool
engine_pool_is_at(const struct engine_pool *p, const struct net_addr *addr)
{
	const struct member *m;

	TAILQ_FOREACH(m, &p->members, link)
		if (engine_is_at(m->engine, addr))
			return (true);
	return (false);
}

/* ---- life ---- */

struct engine_pool *
engine_pool_new(struct loop *loop, const struct engine_pool_config *cfg)
{
	struct engine_pool *p = xcalloc(1, sizeof(*p));
	struct member *m;

	p->magic = ENGINE_POOL_MAGIC;
	p->cfg = (struct engine_config){
		.loop = loop,
		.dns = cfg->dns,
		.ctx = cfg->ctx,
		.links = cfg->links,
		.stall_ms = cfg->stall_ms,
		.send_buffer_bytes = cfg->send_buffer_bytes,
		.ops = &engine_ops,
	};
	p->timeout_ms = cfg->timeout_ms;
	TAILQ_INIT(&p->members);
	engine_calls_init(p);
	timer_init(&p->tidy, loop, on_tidy, p);
	for (size_t i = 0; i < cfg->n_addresses; i++) {
		m = member_new(p, cfg->addresses[i]);
		ensure(m != NULL);	/* conf let nothing else through */
		m->of_conf = true;
	}
	return (p);
}

void
engine_pool_free(struct engine_pool **pp)
{
	struct engine_pool *p = *pp;
	struct member *m;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, ENGINE_POOL_MAGIC);
	engine_calls_fini(p);
	while ((m = TAILQ_FIRST(&p->members)) != NULL)
		member_free(m);
	timer_fini(&p->tidy);
	p->magic = 0;
	free(p);
}

unsigned
engine_pool_up(const struct engine_pool *p)
{
	uint64_t now_ms = clock_mono_ms();
	const struct member *m;
	unsigned n = 0;

	TAILQ_FOREACH(m, &p->members, link)
		n += !m->left && engine_alive(m->engine, now_ms);
	return (n);
}

unsigned
engine_pool_calls(const struct engine_pool *p)
{
	return (p->n_calls);
}
