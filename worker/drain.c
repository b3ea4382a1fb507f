/* worker/drain.c - listeners first, then idle connections, then the rest. */
#include "worker/drain.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/stream.h"
#include "worker/accept.h"
#include "worker/conn.h"

#define LOOK_MS		20	/* how often we look whether all have left */

static uint64_t t_end_ms;	/* one worker per process */

static void
close_idle(struct worker *w, bool all)
{
	struct conn *c, *next;

	TAILQ_FOREACH_SAFE(c, &w->live, link, next)
		if (all || c->state == CONN_IDLE || c->state == CONN_HANDSHAKE)
			conn_close(c, CLOSE_DRAIN);
}

static void
on_look(void *arg)
{
	struct worker *w = arg;
	bool late = clock_mono_ms() >= t_end_ms;

	close_idle(w, late);
	if (late)
		log_warn("drain deadline passed connections_cut=%u", w->n_live);
	if (late || (w->n_live == 0 && net_stream_lingering() == 0)) {
		loop_stop(w->loop);
		return;
	}
	timer_start_ms(&w->drain_timer, LOOK_MS);
}

void
drain_begin(struct worker *w)
{
	if (w->draining)
		return;
	w->draining = true;
	log_info("draining connections=%u", w->n_live);
	accept_stop(w->accept);
	t_end_ms = clock_mono_ms() + w->conf->drain_timeout_ms;
	timer_init(&w->drain_timer, w->loop, on_look, w);
	timer_start_ms(&w->drain_timer, 0);
}
