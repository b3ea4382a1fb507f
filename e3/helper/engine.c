/*
 * helper/engine.c - connect, load, compare, set ready; then keep it so.
 *
 *   DOWN -> CONNECTING -> LOADING -> COMPARING -> SETTING_READY -> READY
 *     ^                                  |                           |
 *     |                                  +-> UNEQUAL (asked again)   |
 *     +--- link lost, from anywhere: pause, connect, all again <-----+
 *
 * An engine that restarted knows nothing, one that did not knows more than it
 * is told: loading everything after each connect is right for both, and one
 * code path.  A record that the engine cannot open is named, left out of the
 * checksum and does not keep the others from serving; if it can open none, the
 * root key is not the one that sealed them, and it is not set ready.
 *
 * The start itself is engine_fill.c; single calls, and what is asked for while
 * the engine serves, are engine_call.c.
 */
#include "e3/helper/engine.h"

#include <stdlib.h>

#include "e3/helper/engine_private.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define BACKOFF_MAX_MS		2000

const char *
engine_state_name(enum engine_state state)
{
	switch (state) {
	case ENGINE_DOWN:
		return ("down");
	case ENGINE_CONNECTING:
		return ("connecting");
	case ENGINE_LOADING:
		return ("loading");
	case ENGINE_COMPARING:
		return ("comparing");
	case ENGINE_SETTING_READY:
		return ("setting-ready");
	case ENGINE_UNEQUAL:
		return ("unequal");
	case ENGINE_READY:
		return ("ready");
	}
	return ("unknown");
}

void
engine_set_state(struct engine *e, enum engine_state state)
{
	if (e->state == state)
		return;
	log_debug("engine state=%s was=%s", engine_state_name(state),
	    engine_state_name(e->state));
	e->state = state;
	if (engine_is_loaded(e))
		e->t_heard_ms = clock_mono_ms();
	e->ops->on_change(e->arg);
}

/* ---- the link comes and goes ------------------------------------------------ */

/* Full jitter: half the pause is fixed, half is chance. */
static void
pause_then_connect(struct engine *e)
{
	unsigned half = e->backoff_ms / 2;

	if (e->draining)
		return;
	timer_start_ms(&e->retry, half + random_below(half + 1));
	e->backoff_ms = e->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS :
	    e->backoff_ms * 2;
}

void
engine_link_lost(struct engine *e, const char *why)
{
	/* One line per outage, not one per attempt. */
	if (e->failures++ == 0)
		log_warn("engine link lost in=%s why=%s",
		    engine_state_name(e->state), why);
	else
		log_debug("engine link failed in=%s why=%s",
		    engine_state_name(e->state), why);
	timer_stop(&e->tick);
	rpc_link_close(&e->link);	/* loads in flight: RC_CANCELLED */
	e->reloading = e->asking = e->ask_again = false;
	e->facts.known = false;
	for (size_t i = 0; i < record_store_count(e->store); i++) {
		struct record_entry *entry = record_store_at(e->store, i);

		/* Another engine may come, with other root keys. */
		entry->active = entry->resealed = 0;
	}
	pause_then_connect(e);
	engine_set_state(e, ENGINE_DOWN);
}

static void
on_down(void *arg, const char *why)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	engine_link_lost(e, why);
}

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	log_info("engine link up engine=%s serial=%s", peer->name,
	    peer->serial);
	engine_fill(e);
}

static const struct rpc_link_ops link_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

static void
connect_now(struct engine *e)
{
	struct rpc_link_config config = {
		.addr = e->config.addr,
		.ctx = e->config.ctx,
		.stall_ms = RPC_LINK_STALL_MS,
		.connect_ms = RPC_LINK_CONNECT_MS,
		.max_calls = RPC_CALLS_MAX,
	};

	engine_set_state(e, ENGINE_CONNECTING);
	e->link = rpc_link_open(e->loop, &config, &link_ops, e);
}

static void
on_retry(void *arg)
{
	struct engine *e = arg;

	obj_check(e, ENGINE_MAGIC);
	if (!e->draining)
		connect_now(e);
}

/* ---- life ------------------------------------------------------------------------- */

struct engine *
engine_new(struct loop *loop, const struct engine_config *config,
    struct record_store *store, const struct engine_ops *ops, void *arg)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	e->magic = ENGINE_MAGIC;
	e->loop = loop;
	e->config = *config;
	e->store = store;
	e->ops = ops;
	e->arg = arg;
	e->state = ENGINE_DOWN;
	e->backoff_ms = BACKOFF_MIN_MS;
	buffer_init(&e->statistics, 0, false);
	buffer_puts(&e->statistics, "{}");
	timer_init(&e->retry, loop, on_retry, e);
	timer_init(&e->tick, loop, engine_on_tick, e);
	timer_start_ms(&e->retry, 0);
	return (e);
}

void
engine_free(struct engine **ep)
{
	struct engine *e = *ep;

	if (e == NULL)
		return;
	obj_check(e, ENGINE_MAGIC);
	rpc_link_close(&e->link);
	*ep = NULL;
	timer_fini(&e->retry);
	timer_fini(&e->tick);
	buffer_fini(&e->statistics);
	e->magic = 0;
	free(e);
}

enum engine_state
engine_state(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->state);
}

bool
engine_is_up(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->state != ENGINE_DOWN && e->state != ENGINE_CONNECTING);
}

bool
engine_is_loaded(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->state == ENGINE_UNEQUAL || e->state == ENGINE_READY);
}

bool
engine_answers(const struct engine *e)
{
	return (engine_is_loaded(e) &&
	    clock_mono_ms() - e->t_heard_ms < SILENT_MS);
}

void
engine_drain(struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	e->draining = true;
	e->facts.links = 0;	/* what was said before does not count */
	timer_stop(&e->retry);
	if (engine_is_loaded(e))
		timer_start_ms(&e->tick, 0);
}

bool
engine_is_left_alone(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->draining &&
	    (e->state == ENGINE_DOWN || e->facts.links == 1));
}

struct span
engine_statistics(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return ((struct span){ buffer_data(&e->statistics),
	    buffer_len(&e->statistics) });
}

const struct engine_facts *
engine_facts(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (&e->facts);
}

uint64_t
engine_answered_ms(const struct engine *e)
{
	obj_check(e, ENGINE_MAGIC);
	return (e->t_answered_ms);
}
