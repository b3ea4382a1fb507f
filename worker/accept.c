/* worker/accept.c - takes connections until the worker's limit; the others
 * wait in the kernel's queue for a worker that has room. */
#include "worker/accept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "worker/conn.h"

#define PAUSE_MS	100	/* no descriptors: until some were closed */

struct listener {
	struct accept	*accept;	/* borrowed: owns us */
	int		fd;		/* owned */
	enum conf_listen_kind kind;
	struct event	*ev;		/* owned */
};

struct accept {
	struct worker	*wrk;		/* borrowed: owns us */
	struct listener	*v;		/* owned */
	size_t		n;
	bool		started;
	bool		full;		/* watching is off: at the limit */
	struct timer	pause;
};

static void
watch(struct accept *a, bool on)
{
	for (size_t i = 0; i < a->n; i++) {
		if (on)
			event_add(a->v[i].ev, NULL);
		else
			event_del(a->v[i].ev);
	}
}

static void
on_pause_over(void *arg)
{
	struct accept *a = arg;

	if (a->started && !a->full)
		watch(a, true);
}

static void
on_listener(evutil_socket_t lfd, short what, void *arg)
{
	static struct log_rate rate;
	struct listener *l = arg;
	struct accept *a = l->accept;
	struct worker *w = a->wrk;
	unsigned suppressed;
	struct net_addr peer;
	int fd;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_WAKE && a->started; i++) {
		if (w->n_live >= w->conf->max_connections) {
			if (log_rate_ok(&rate, 1, &suppressed))
				log_warn("connection limit reached "
				    "max_connections=%u suppressed=%u",
				    w->conf->max_connections, suppressed);
			a->full = true;
			watch(a, false);
			return;
		}
		peer.len = sizeof(peer.ss);
		fd = accept4(lfd, (struct sockaddr *)&peer.ss, &peer.len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			conn_new(w, fd, &peer, l->kind);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			log_warn("accept paused error=\"%s\"", strerror(errno));
			watch(a, false);
			timer_start_ms(&a->pause, PAUSE_MS);
			return;
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;		/* EAGAIN: another worker was faster */
	}
}

struct accept *
accept_new(struct worker *w, const struct accept_listener *v, size_t n)
{
	struct accept *a = xcalloc(1, sizeof(*a));

	a->wrk = w;
	a->n = n;
	a->v = xcalloc(n, sizeof(*a->v));
	timer_init(&a->pause, w->loop, on_pause_over, a);
	for (size_t i = 0; i < n; i++) {
		a->v[i].accept = a;
		a->v[i].fd = v[i].fd;
		a->v[i].kind = v[i].kind;
		a->v[i].ev = event_new(loop_base(w->loop), v[i].fd,
		    EV_READ | EV_PERSIST, on_listener, &a->v[i]);
		ensure(a->v[i].ev != NULL);
		ensure(fd_nonblock(v[i].fd) == RC_OK);
	}
	return (a);
}

void
accept_start(struct accept *a)
{
	a->started = true;
	watch(a, true);
}

void
accept_stop(struct accept *a)
{
	a->started = false;
	timer_stop(&a->pause);
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].ev != NULL)
			event_free(a->v[i].ev);
		a->v[i].ev = NULL;
		fd_close(&a->v[i].fd);
	}
	a->n = 0;
}

void
accept_room(struct accept *a)
{
	if (a == NULL || !a->full || !a->started)
		return;
	a->full = false;
	watch(a, true);
}

void
accept_free(struct accept **ap)
{
	struct accept *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	accept_stop(a);
	timer_fini(&a->pause);
	free(a->v);
	free(a);
}
