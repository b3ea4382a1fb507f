/*
 * worker/origin_pool.c - groups of equal connections, and the attempts to make
 * new ones.
 *
 *   pool -> group (one identity) -> idle connections, newest first, and one
 *   TLS session to resume.
 *   pool -> attempt: somebody waits: RESOLVE, then CONNECT to each address in
 *   turn, under one deadline.
 */
#include "worker/origin_pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"

#define GROUPS_MAX	4096	/* identities remembered; idle ones go first */
#define SWEEP_MS	1000
#define INPUT_BYTES	65536	/* what a stream takes in by itself */

TAILQ_HEAD(origin_conn_list, origin_conn);

struct origin_group {
	TAILQ_ENTRY(origin_group) link;
	struct origin_pool	*pool;		/* borrowed: owns us */
	char			*key;		/* owned: the identity */
	char			*host;		/* owned */
	char			*server_name;	/* owned */
	uint16_t		port;
	SSL_CTX			*ctx;		/* owned reference; NULL while the
						   relay's CA cannot be read */
	SSL_SESSION		*session;	/* owned; NULL: none yet */
	struct origin_conn_list	idle;		/* newest first */
	unsigned		n_idle;
	unsigned		n_taken;	/* connections and attempts out */
};
TAILQ_HEAD(origin_group_list, origin_group);

struct attempt {
	TAILQ_ENTRY(attempt)	link;
	struct origin_group	*group;		/* borrowed: counted in n_taken */
	origin_ready_cb		*cb;
	void			*arg;		/* borrowed: cancels us when it goes */
	uint64_t		id;
	uint64_t		dns_id;		/* 0: not resolving */
	struct net_addr		addrs[NET_DNS_ADDRS_MAX];
	size_t			n_addrs;
	size_t			at;		/* the one being tried */
	enum origin_fault	fault;		/* of the last one tried */
	char			why[160];
	struct net_stream	*stream;	/* owned while connecting */
	struct origin_conn	*ready;		/* owned: an idle one, to be told */
	unsigned		timeout_ms;
	struct timer		timer;		/* the deadline, or "tell now" */
};
TAILQ_HEAD(attempt_list, attempt);

struct origin_pool {
	unsigned		magic;
#define ORIGIN_POOL_MAGIC	0x5b8e02d7
	struct loop		*loop;		/* borrowed */
	const struct conf	*conf;		/* borrowed */
	struct certs_verify	*verify;	/* borrowed */
	struct net_dns		*dns;		/* borrowed */
	struct origin_group_list groups;	/* most recently used first */
	unsigned		n_groups;
	struct attempt_list	attempts;
	uint64_t		next_id;
	struct timer		sweep;
};

static int group_index = -1;	/* SSL ex_data: the group of a connection */

static void attempt_resolve(struct attempt *);
static void attempt_next(struct attempt *);
static void on_ready_event(void *);
static void on_ready_error(void *, enum net_reason, const char *);
static void on_connect_ready(void *);
static void on_connect_error(void *, enum net_reason, const char *);
static void on_connect_eof(void *);
static void on_idle_event(void *);
static void on_idle_error(void *, enum net_reason, const char *);

static const struct net_stream_ops connect_ops = {
	.on_ready = on_connect_ready,
	.on_eof = on_connect_eof,
	.on_error = on_connect_error,
};

/* An idle connection on its way to who waits, ended after all. */
static const struct net_stream_ops ready_ops = {
	.on_input = on_ready_event,
	.on_eof = on_ready_event,
	.on_error = on_ready_error,
};

/* Whatever an idle origin says, it is no answer to a request of ours. */
static const struct net_stream_ops idle_ops = {
	.on_input = on_idle_event,
	.on_eof = on_idle_event,
	.on_error = on_idle_error,
};

/* ---- groups ---- */

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct origin_group *g = SSL_get_ex_data(ssl, group_index);

	if (g == NULL)
		return (0);
	SSL_SESSION_free(g->session);
	/* A copy: OpenSSL marks its own as spent when an origin closes without
	 * close_notify, as many do. */
	g->session = SSL_SESSION_dup(session);
	return (0);		/* we took no reference */
}

static void
group_free(struct origin_group *g)
{
	ensure(g->n_taken == 0 && g->n_idle == 0);
	TAILQ_REMOVE(&g->pool->groups, g, link);
	g->pool->n_groups--;
	SSL_SESSION_free(g->session);
	SSL_CTX_free(g->ctx);
	free(g->key);
	free(g->host);
	free(g->server_name);
	free(g);
}

static void
conn_free(struct origin_conn *c)
{
	net_stream_close(&c->stream);
	free(c);
}

static void
drop_idle(struct origin_group *g, struct origin_conn *c)
{
	TAILQ_REMOVE(&g->idle, c, link);
	g->n_idle--;
	conn_free(c);
}

/* The identity as text: the trust is named by its content's address only
 * inside the key made here, so compare the PEM itself. */
static char *
group_key(const struct relay *r)
{
	return (xasprintf("%s|%u|%s|%d|%s", r->host, r->port, r->server_name,
	    r->min_tls_13, r->ca != NULL ? r->ca : ""));
}

/* Forget the least recently used identity that nothing uses. */
static void
make_room(struct origin_pool *p)
{
	struct origin_group *g;

	if (p->n_groups < GROUPS_MAX)
		return;
	TAILQ_FOREACH_REVERSE(g, &p->groups, origin_group_list, link) {
		if (g->n_taken != 0)
			continue;
		while (!TAILQ_EMPTY(&g->idle))
			drop_idle(g, TAILQ_LAST(&g->idle, origin_conn_list));
		group_free(g);
		return;
	}
}

/* key: owned from here. */
static struct origin_group *
group_new(struct origin_pool *p, const struct relay *r, char *key)
{
	struct origin_group *g;

	make_room(p);
	g = xcalloc(1, sizeof(*g));
	g->pool = p;
	g->key = key;
	g->host = xstrdup(r->host);
	g->server_name = xstrdup(r->server_name);
	g->port = r->port;
	TAILQ_INIT(&g->idle);
	TAILQ_INSERT_HEAD(&p->groups, g, link);
	p->n_groups++;
	return (g);
}

/* Trust comes with the first use.  False: the relay's CA is no certificate,
 * though its text has the form of one. */
static bool
group_trust(struct origin_group *g, const struct relay *r, char *why,
    size_t why_size)
{
	struct span ca = r->ca != NULL ? span_of(r->ca) : SPAN_LIT("");

	if (g->ctx != NULL)
		return (true);
	g->ctx = certs_verify_ctx(g->pool->verify, ca, r->min_tls_13, why, why_size);
	if (g->ctx == NULL)
		return (false);
	SSL_CTX_up_ref(g->ctx);
	SSL_CTX_set_session_cache_mode(g->ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(g->ctx, on_new_session);
	return (true);
}

static struct origin_group *
group_get(struct origin_pool *p, const struct relay *r)
{
	char *key = group_key(r);
	struct origin_group *g;

	TAILQ_FOREACH(g, &p->groups, link) {
		if (strcmp(g->key, key) != 0)
			continue;
		free(key);
		TAILQ_REMOVE(&p->groups, g, link);
		TAILQ_INSERT_HEAD(&p->groups, g, link);
		return (g);
	}
	return (group_new(p, r, key));
}

/* ---- attempts ---- */

static void
attempt_free(struct attempt *a)
{
	struct origin_pool *p = a->group->pool;

	if (a->dns_id != 0)
		net_dns_cancel(p->dns, a->dns_id);
	net_stream_close(&a->stream);
	if (a->ready != NULL)
		conn_free(a->ready);
	timer_fini(&a->timer);
	TAILQ_REMOVE(&p->attempts, a, link);
	a->group->n_taken--;
	free(a);
}

static void
attempt_end(struct attempt *a, enum origin_fault fault, struct origin_conn *c)
{
	origin_ready_cb *cb = a->cb;
	void *arg = a->arg;
	char why[sizeof(a->why)];

	memcpy(why, a->why, sizeof(why));
	if (c != NULL)
		a->group->n_taken++;	/* the connection's own */
	attempt_free(a);
	cb(arg, fault, why, c);
}

static void
attempt_fail(struct attempt *a, enum origin_fault fault, const char *why)
{
	snprintf(a->why, sizeof(a->why), "%s", why);
	attempt_end(a, fault, NULL);
}

static struct origin_conn *
conn_new(struct origin_group *g, struct net_stream **stream)
{
	struct origin_conn *c = xcalloc(1, sizeof(*c));

	c->group = g;
	c->stream = *stream;
	*stream = NULL;
	/* A response head must fit the stream's input. */
	if (g->pool->conf->max_head_bytes > INPUT_BYTES)
		net_stream_set_input_high(c->stream, g->pool->conf->max_head_bytes);
	return (c);
}

static void
on_connect_ready(void *arg)
{
	struct attempt *a = arg;

	attempt_end(a, ORIGIN_OK, conn_new(a->group, &a->stream));
}

static void
on_connect_error(void *arg, enum net_reason reason, const char *why)
{
	struct attempt *a = arg;

	switch (reason) {
	case NET_TLS_UNTRUSTED:
	case NET_TLS_ERROR:
	case NET_TRUNCATED:
		a->fault = ORIGIN_TLS;
		break;
	case NET_REFUSED:
	case NET_RESET:
	case NET_LOCAL_ERROR:
		a->fault = ORIGIN_REFUSED;
		break;
	}
	snprintf(a->why, sizeof(a->why), "%s", why);
	net_stream_close(&a->stream);
	a->at++;
	attempt_next(a);
}

static void
on_connect_eof(void *arg)
{
	on_connect_error(arg, NET_RESET, "closed during the handshake");
}

static bool
is_ourselves(const struct conf *conf, const struct net_addr *addr)
{
	struct net_addr own;

	for (size_t i = 0; i < conf->n_listens; i++)
		if (net_addr_parse(conf->listens[i].address, &own) == RC_OK &&
		    net_addr_equal(&own, addr))
			return (true);
	return (false);
}

/* Try the next address, or tell the fault of the last one. */
static void
attempt_next(struct attempt *a)
{
	struct origin_group *g = a->group;
	struct net_stream_connect how = {
		.ctx = g->ctx,
		.server_name = g->server_name,
		.session = g->session,
	};

	for (; a->at < a->n_addrs; a->at++) {
		if (is_ourselves(g->pool->conf, &a->addrs[a->at])) {
			a->fault = ORIGIN_LOOP;
			snprintf(a->why, sizeof(a->why), "destination is this relay");
			continue;
		}
		how.addr = &a->addrs[a->at];
		a->stream = net_stream_connect(g->pool->loop, &how, &connect_ops, a);
		/* None when it could not even start (no route, no descriptor):
		 * on_connect_error tells. */
		if (net_stream_ssl(a->stream) != NULL)
			SSL_set_ex_data(net_stream_ssl(a->stream), group_index, g);
		return;
	}
	attempt_end(a, a->fault, NULL);
}

static void
on_resolved(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct attempt *a = arg;

	a->dns_id = 0;
	if (rc != RC_OK) {
		attempt_fail(a, rc == RC_TIMEOUT ? ORIGIN_TIMEOUT : ORIGIN_UNRESOLVED,
		    "name not resolved");
		return;
	}
	a->n_addrs = n < NET_DNS_ADDRS_MAX ? n : NET_DNS_ADDRS_MAX;
	memcpy(a->addrs, addrs, a->n_addrs * sizeof(*addrs));
	attempt_next(a);
}

static void
on_deadline(void *arg)
{
	attempt_fail(arg, ORIGIN_TIMEOUT, "connect deadline");
}

static void
attempt_resolve(struct attempt *a)
{
	struct origin_pool *p = a->group->pool;

	a->timer.cb = on_deadline;
	timer_start_ms(&a->timer, a->timeout_ms);
	a->dns_id = net_dns_resolve(p->dns, a->group->host, a->group->port,
	    on_resolved, a);
}

/* ---- an attempt that has an idle connection ---- */

static void
on_tell(void *arg)
{
	struct attempt *a = arg;
	struct origin_conn *c = a->ready;

	a->ready = NULL;
	attempt_end(a, ORIGIN_OK, c);
}

static void
on_ready_event(void *arg)
{
	struct attempt *a = arg;

	conn_free(a->ready);
	a->ready = NULL;
	attempt_resolve(a);
}

static void
on_ready_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	on_ready_event(arg);
}

/* Newest first: the oldest then idle out. */
static struct origin_conn *
take_idle(struct origin_group *g)
{
	struct origin_conn *c;

	while ((c = TAILQ_FIRST(&g->idle)) != NULL) {
		if (!net_stream_is_quiet(c->stream)) {
			drop_idle(g, c);
			continue;
		}
		TAILQ_REMOVE(&g->idle, c, link);
		g->n_idle--;
		return (c);
	}
	return (NULL);
}

static void
on_no_context(void *arg)
{
	struct attempt *a = arg;

	attempt_end(a, ORIGIN_TLS, NULL);
}

uint64_t
origin_take(struct origin_pool *p, const struct relay *r, bool fresh,
    origin_ready_cb *cb, void *arg)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	obj_check(p, ORIGIN_POOL_MAGIC);
	a->group = group_get(p, r);
	a->group->n_taken++;
	a->cb = cb;
	a->arg = arg;
	a->id = ++p->next_id;
	a->timeout_ms = r->connect_timeout_ms != 0 ? r->connect_timeout_ms :
	    p->conf->connect_timeout_ms;
	TAILQ_INSERT_TAIL(&p->attempts, a, link);
	timer_init(&a->timer, p->loop, on_tell, a);
	if (!group_trust(a->group, r, a->why, sizeof(a->why))) {
		a->timer.cb = on_no_context;
		timer_start_ms(&a->timer, 0);
		return (a->id);
	}
	if (!fresh && (a->ready = take_idle(a->group)) != NULL) {
		net_stream_set_ops(a->ready->stream, &ready_ops, a);
		timer_start_ms(&a->timer, 0);
		return (a->id);
	}
	attempt_resolve(a);
	return (a->id);
}

void
origin_cancel(struct origin_pool *p, uint64_t id)
{
	struct attempt *a;

	obj_check(p, ORIGIN_POOL_MAGIC);
	TAILQ_FOREACH(a, &p->attempts, link) {
		if (a->id != id)
			continue;
		if (a->ready != NULL) {		/* nothing was sent on it */
			a->group->n_taken++;
			origin_give(&a->ready);
		}
		attempt_free(a);
		return;
	}
}

/* ---- idle connections ---- */

static void
on_idle_event(void *arg)
{
	struct origin_conn *c = arg;

	drop_idle(c->group, c);
}

static void
on_idle_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	on_idle_event(arg);
}

void
origin_give(struct origin_conn **cp)
{
	struct origin_conn *c = *cp;
	struct origin_group *g = c->group;
	unsigned max = g->pool->conf->origin_pool_size;

	*cp = NULL;
	if (max == 0 || net_stream_unsent(c->stream) != 0 ||
	    buffer_len(net_stream_input(c->stream)) != 0) {
		origin_drop(&c);
		return;
	}
	g->n_taken--;
	c->reused = true;
	c->t_idle_ms = clock_mono_ms();
	net_stream_set_ops(c->stream, &idle_ops, c);
	net_stream_read_resume(c->stream);	/* an idle one must see the end */
	TAILQ_INSERT_HEAD(&g->idle, c, link);
	g->n_idle++;
	if (g->n_idle > max)
		drop_idle(g, TAILQ_LAST(&g->idle, origin_conn_list));
}

void
origin_drop(struct origin_conn **cp)
{
	struct origin_conn *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	c->group->n_taken--;
	conn_free(c);
}

static void
on_sweep(void *arg)
{
	struct origin_pool *p = arg;
	uint64_t now_ms = clock_mono_ms();
	struct origin_group *g;
	struct origin_conn *c;

	TAILQ_FOREACH(g, &p->groups, link) {
		while ((c = TAILQ_LAST(&g->idle, origin_conn_list)) != NULL &&
		    now_ms - c->t_idle_ms >= p->conf->origin_idle_ms)
			drop_idle(g, c);
	}
	timer_start_ms(&p->sweep, SWEEP_MS);
}

/* ---- life ---- */

struct origin_pool *
origin_pool_new(struct loop *loop, const struct conf *conf,
    struct certs_verify *verify, struct net_dns *dns)
{
	struct origin_pool *p = xcalloc(1, sizeof(*p));

	p->magic = ORIGIN_POOL_MAGIC;
	p->loop = loop;
	p->conf = conf;
	p->verify = verify;
	p->dns = dns;
	TAILQ_INIT(&p->groups);
	TAILQ_INIT(&p->attempts);
	if (group_index < 0)
		group_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	ensure(group_index >= 0);
	timer_init(&p->sweep, loop, on_sweep, p);
	timer_start_ms(&p->sweep, SWEEP_MS);
	return (p);
}

void
origin_pool_free(struct origin_pool **pp)
{
	struct origin_pool *p = *pp;
	struct origin_group *g;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, ORIGIN_POOL_MAGIC);
	while (!TAILQ_EMPTY(&p->attempts))
		attempt_free(TAILQ_FIRST(&p->attempts));
	while ((g = TAILQ_FIRST(&p->groups)) != NULL) {
		while (!TAILQ_EMPTY(&g->idle))
			drop_idle(g, TAILQ_FIRST(&g->idle));
		group_free(g);
	}
	timer_fini(&p->sweep);
	p->magic = 0;
	free(p);
}
