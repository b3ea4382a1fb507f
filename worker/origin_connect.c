/*
 * worker/origin_connect.c - the race of a destination's addresses.
 *
 *   attempt -> dns_id                 while resolving
 *           -> racers[0..n)           one for each address, in the order of
 *                                     lib/net/dns.c: v6 and v4 take turns
 *           -> deadline, delay        of the whole, and until the next starts
 *
 * RFC 8305 lets the first TCP connection win.  Here it only holds the others
 * back: behind a connection may be a TLS server with the wrong certificate, or
 * a path that swallows large packets while the handshake of TCP passes.  The
 * others then go on as if there had been no winner.
 */
#include "worker/origin_connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/object.h"
#include "lib/base/timer.h"

/* So many delays a connected address may take for its TLS handshake before the
 * next one joins: a second by default, several round trips of any network. */
#define HOLD_DELAYS	4

struct racer {
	struct origin_connect	*attempt;	/* borrowed: embeds us */
	struct net_stream	*stream;	/* owned; NULL: not running */
};

struct origin_connect {
	unsigned		magic;
#define ORIGIN_CONNECT_MAGIC	0x7d2c90e5
	struct origin_connect_to to;
	origin_connect_cb	*cb;
	void			*arg;		/* borrowed: stops us when it goes */
	uint64_t		dns_id;		/* 0: not resolving */
	struct net_addr		addrs[NET_DNS_ADDRS_MAX];
	struct racer		racers[NET_DNS_ADDRS_MAX];
	size_t			n_addrs;
	size_t			next;		/* to be started */
	size_t			n_running;
	unsigned		held;		/* delays since the last start */
	struct timer		deadline;
	struct timer		delay;
	enum origin_fault	fault;		/* the most telling so far */
	bool			its_own;
	char			why[160];
};

static void on_racer_ready(void *);
static void on_racer_eof(void *);
static void on_racer_error(void *, enum net_reason, const char *);

static const struct net_stream_ops racer_ops = {
	.on_ready = on_racer_ready,
	.on_eof = on_racer_eof,
	.on_error = on_racer_error,
};

/* ---- the end ---- */

void
origin_connect_stop(struct origin_connect **cp)
{
	struct origin_connect *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, ORIGIN_CONNECT_MAGIC);
	if (c->dns_id != 0)
		net_dns_cancel(c->to.dns, c->dns_id);
	for (size_t i = 0; i < c->next; i++)
		net_stream_close(&c->racers[i].stream);
	timer_fini(&c->deadline);
	timer_fini(&c->delay);
	c->magic = 0;
	free(c);
}

/* stream: the winner's, or NULL: the fault says why there is none. */
static void
finish(struct origin_connect *c, struct net_stream *stream)
{
	char why[sizeof(c->why)];
	struct origin_outcome outcome = {
		.fault = stream != NULL ? ORIGIN_OK : c->fault,
		.its_own = c->its_own,
		.stream = stream,
		.why = why,
	};
	origin_connect_cb *cb = c->cb;
	void *arg = c->arg;

	memcpy(why, c->why, sizeof(why));
	origin_connect_stop(&c);
	cb(arg, &outcome);
}

/* Keep the fault that explains most; of equal ones the latest. */
static void
note(struct origin_connect *c, enum origin_fault fault, const char *why)
{
	if (fault < c->fault)
		return;
	c->fault = fault;
	(void)snprintf(c->why, sizeof(c->why), "%s", why);
}

/* ---- the race ---- */

static bool
is_forbidden(const struct origin_connect *c, const struct net_addr *addr)
{
	if (!c->to.public_only || net_addr_classify(addr) == NET_ADDR_PUBLIC)
		return (false);
	for (size_t i = 0; i < c->to.n_internal; i++)
		if (net_cidr_has(&c->to.internal[i], addr))
			return (false);
	return (true);
}

/* The next address that may be tried; false: none is left. */
static bool
start_next(struct origin_connect *c)
{
	struct net_stream_connect how = {
		.ctx = c->to.ctx,
		.server_name = c->to.ctx != NULL ? c->to.server_name : NULL,
		.session = c->to.session->last,
	};
	struct racer *r;

	for (; c->next < c->n_addrs; c->next++) {
		how.addr = &c->addrs[c->next];
		if (origin_self_is(c->to.self, how.addr)) {
			note(c, ORIGIN_LOOP, "destination is this relay");
			continue;
		}
		if (is_forbidden(c, how.addr)) {
			note(c, ORIGIN_FORBIDDEN, net_addr_class_name(
			    net_addr_classify(how.addr)));
			continue;
		}
		r = &c->racers[c->next++];
		r->attempt = c;
		r->stream = net_stream_connect(c->to.loop, &how, &racer_ops, r);
		/* None when it could not even start (no route, no descriptor):
		 * on_racer_error tells. */
		if (net_stream_ssl(r->stream) != NULL)
			origin_session_watch(c->to.session,
			    net_stream_ssl(r->stream));
		c->n_running++;
		c->held = 0;
		return (true);
	}
	return (false);
}

/* Somebody has connected and shakes hands.  A stream does not tell when it has
 * connected, its socket does. */
static bool
is_held(const struct origin_connect *c)
{
	struct sockaddr_storage peer;

	for (size_t i = 0; i < c->next; i++) {
		socklen_t len = sizeof(peer);

		if (c->racers[i].stream != NULL &&
		    getpeername(net_stream_fd(c->racers[i].stream),
		    (struct sockaddr *)&peer, &len) == 0)
			return (true);
	}
	return (false);
}

/* One more joins; without any left, the end if nobody runs. */
static void
race_on(struct origin_connect *c)
{
	if (start_next(c) && c->next < c->n_addrs) {
		timer_start_ms(&c->delay, c->to.delay_ms);
		return;
	}
	timer_stop(&c->delay);
	if (c->n_running == 0)
		finish(c, NULL);
}

static void
on_delay(void *arg)
{
	struct origin_connect *c = arg;

	if (++c->held < HOLD_DELAYS && is_held(c))
		timer_start_ms(&c->delay, c->to.delay_ms);
	else
		race_on(c);
}

static void
on_racer_ready(void *arg)
{
	struct racer *r = arg;
	struct net_stream *stream = r->stream;

	r->stream = NULL;
	finish(r->attempt, stream);
}

static void
on_racer_error(void *arg, enum net_reason reason, const char *why)
{
	struct racer *r = arg;
	struct origin_connect *c = r->attempt;

	switch (reason) {
	case NET_TLS_UNTRUSTED:
	case NET_TLS_ERROR:
	case NET_TRUNCATED:
		c->its_own = true;
		note(c, ORIGIN_TLS, why);
		break;
	case NET_REFUSED:
	case NET_RESET:
		c->its_own = true;
		note(c, ORIGIN_REFUSED, why);
		break;
	case NET_PROXY_HEADER:		/* of accepted streams only */
	case NET_LOCAL_ERROR:
		note(c, ORIGIN_REFUSED, why);
		break;
	}
	net_stream_close(&r->stream);
	c->n_running--;
	/* With another one connected the delay goes on. */
	if (c->next == c->n_addrs || !is_held(c))
		race_on(c);
}

static void
on_racer_eof(void *arg)
{
	on_racer_error(arg, NET_RESET, "closed during the handshake");
}

/* ---- before it ---- */

static void
on_resolved(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct origin_connect *c = arg;

	c->dns_id = 0;
	if (rc != RC_OK) {
		note(c, rc == RC_TIMEOUT ? ORIGIN_TIMEOUT : ORIGIN_UNRESOLVED,
		    "name not resolved");
		finish(c, NULL);
		return;
	}
	c->n_addrs = n;
	memcpy(c->addrs, addrs, n * sizeof(*addrs));
	race_on(c);
}

static void
on_deadline(void *arg)
{
	struct origin_connect *c = arg;

	c->its_own = c->its_own || c->n_running != 0;
	note(c, ORIGIN_TIMEOUT, c->dns_id != 0 ?
	    "name not resolved in time" : "connect deadline");
	finish(c, NULL);
}

struct origin_connect *
origin_connect_start(const struct origin_connect_to *to, origin_connect_cb *cb,
    void *arg)
{
	struct origin_connect *c = xcalloc(1, sizeof(*c));

	c->magic = ORIGIN_CONNECT_MAGIC;
	c->to = *to;
	c->cb = cb;
	c->arg = arg;
	timer_init(&c->deadline, to->loop, on_deadline, c);
	timer_init(&c->delay, to->loop, on_delay, c);
	timer_start_ms(&c->deadline, to->timeout_ms);
	c->dns_id = net_dns_resolve(to->dns, to->host, to->port, on_resolved, c);
	return (c);
}
