/*
 * worker/drain.c - listeners first, then idle connections, then the rest.
 *
 * A connection that has not asked yet is a client's who was told that we
 * serve: it gets a moment for its first request, which is answered with
 * `Connection: close`.
 */
#include "worker/drain.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/stream.h"
#include "worker/accept.h"
#include "worker/conn.h"

#define LOOK_MS		20	/* how often we look whether all have left */
#define FIRST_MS	2000	/* a handshake and a request, from far away */

/* One worker per process. */
static uint64_t t_first_ms;	/* end of the moment for first requests */
static uint64_t t_end_ms;

static void
close_idle(struct worker *w)
{
	bool late = clock_mono_ms() >= t_first_ms;
	struct conn *c, *next;

	TAILQ_FOREACH_SAFE(c, &w->live, link, next) {
		if (c->state == CONN_IDLE && (c->asked || late))
			conn_finish(c, CLOSE_DRAIN);
		else if ((c->state == CONN_HANDSHAKE ||
		    c->state == CONN_HELLO) && late)
			conn_close(c, CLOSE_DRAIN);
	}
}

static void
cut_all(struct worker *w)
{
	struct conn *c, *next;

	if (w->n_live != 0)
		log_warn("drain deadline passed connections_cut=%u", w->n_live);
	TAILQ_FOREACH_SAFE(c, &w->live, link, next)
		conn_close(c, CLOSE_DRAIN);
}

static void
on_look(void *arg)
{
	struct worker *w = arg;
	bool late = clock_mono_ms() >= t_end_ms;

	close_idle(w);
	if (late)
		cut_all(w);
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
	t_first_ms = clock_mono_ms() + FIRST_MS;
	t_end_ms = clock_mono_ms() + w->conf->drain_timeout_ms;
	timer_init(&w->drain_timer, w->loop, on_look, w);
	timer_start_ms(&w->drain_timer, 0);
}
