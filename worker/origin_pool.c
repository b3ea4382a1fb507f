/*
 * worker/origin_pool.c - who waits for a connection, and how it comes back.
 *
 *   pool -> groups (origin_group.c): for each identity its idle connections,
 *   |                                a TLS session to resume, a circuit
 *   '----> taker: somebody waits: for an idle connection to be told, or for a
 *          new one (origin_connect.c)
 */
#include "worker/origin_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "worker/origin_group.h"

#define TAKER_BUCKETS	1024	/* ids count up: they fill evenly */
#define SWEEP_MS	1000

struct taker {
	LIST_ENTRY(taker)	by_id;
	struct origin_pool	*pool;		/* borrowed: owns us */
	struct origin_group	*group;		/* borrowed: counted in n_taken */
	origin_ready_cb		*cb;
	void			*arg;		/* borrowed: cancels us when it goes */
	uint64_t		id;
	unsigned		timeout_ms;
	/* One of these three: */
	struct origin_conn	*ready;		/* owned: an idle one, to be told */
	struct origin_connect	*connect;	/* owned */
	enum origin_fault	fault;		/* to be told */

	bool			trial;		/* its result moves the circuit */
	struct timer		tell;		/* at once, but from the loop */
};
LIST_HEAD(taker_bucket, taker);

struct origin_pool {
	unsigned		magic;
#define ORIGIN_POOL_MAGIC	0x5b8e02d7
	struct loop		*loop;		/* borrowed */
	const struct conf	*conf;		/* borrowed */
	struct net_dns		*dns;		/* borrowed */
	struct origin_self	*self;		/* owned */
	struct net_cidr		*internal;	/* owned: conf's egress_internal */
	struct origin_groups	groups;
	struct taker_bucket	takers[TAKER_BUCKETS];
	uint64_t		last_id;
	struct timer		sweep;
};

static void taker_connect(struct taker *);
static void on_ready_event(void *);
static void on_ready_error(void *, enum net_reason, const char *);

/* An idle connection on its way to who waits, ended after all. */
static const struct net_stream_ops ready_ops = {
	.on_input = on_ready_event,
	.on_eof = on_ready_event,
	.on_error = on_ready_error,
};

/* ---- takers ---- */

static void
taker_free(struct taker *t)
{
	origin_connect_stop(&t->connect);
	if (t->ready != NULL)
		origin_conn_free(t->ready);
	timer_fini(&t->tell);
	LIST_REMOVE(t, by_id);
	t->group->n_taken--;
	free(t);
}

/* c: NULL, or now the asker's. */
static void
taker_end(struct taker *t, enum origin_fault fault, const char *why,
    struct origin_conn *c)
{
	origin_ready_cb *cb = t->cb;
	void *arg = t->arg;

	if (c != NULL)
		t->group->n_taken++;	/* the connection's own */
	taker_free(t);
	cb(arg, fault, why, c);
}

static const char *
told_why(const struct taker *t)
{
	switch (t->fault) {
	case ORIGIN_TLS:
		return (t->group->ca_fault);
	case ORIGIN_REFUSED:
		return ("circuit open");
	case ORIGIN_OK:
	case ORIGIN_UNRESOLVED:
	case ORIGIN_TIMEOUT:
	case ORIGIN_FORBIDDEN:
	case ORIGIN_LOOP:
		break;
	}
	return ("");
}

static void
on_tell(void *arg)
{
	struct taker *t = arg;
	struct origin_conn *c = t->ready;
	char why[160];

	t->ready = NULL;
	/* The group may go with the asker's next call. */
	(void)snprintf(why, sizeof(why), "%s", told_why(t));
	taker_end(t, t->fault, why, c);
}

static void
taker_tell(struct taker *t, enum origin_fault fault)
{
	t->fault = fault;
	timer_start_ms(&t->tell, 0);
}

static void
on_connected(void *arg, const struct origin_outcome *o)
{
	struct taker *t = arg;
	struct origin_circuit *circuit = &t->group->circuit;
	struct origin_conn *c = NULL;

	t->connect = NULL;	/* it ends with this call */
	if (o->fault == ORIGIN_OK) {
		origin_circuit_succeeded(circuit);
		c = origin_conn_new(t->group, o->stream);
	} else if (o->its_own) {
		origin_circuit_failed(circuit, t->trial, o->why);
	} else {
		origin_circuit_unknown(circuit, t->trial);
	}
	taker_end(t, o->fault, o->why, c);
}

static void
taker_connect(struct taker *t)
{
	struct origin_group *g = t->group;
	struct origin_pool *p = t->pool;

	if (!origin_circuit_allows(&g->circuit, &t->trial)) {
		taker_tell(t, ORIGIN_REFUSED);
		return;
	}
	t->connect = origin_connect_start(&(struct origin_connect_to){
	    .loop = p->loop,
	    .dns = p->dns,
	    .self = p->self,
	    .host = g->host,
	    .port = g->port,
	    .server_name = g->server_name,
	    .ctx = g->plain ? NULL : g->ctx,
	    .public_only = g->guarded && !g->internal,
	    .internal = p->internal,
	    .n_internal = p->conf->n_egress_internal,
	    .session = &g->session,
	    .timeout_ms = t->timeout_ms,
	    .delay_ms = p->conf->connect_attempt_delay_ms,
	}, on_connected, t);
}

static void
on_ready_event(void *arg)
{
	struct taker *t = arg;

	origin_conn_free(t->ready);
	t->ready = NULL;
	timer_stop(&t->tell);
	taker_connect(t);
}

static void
on_ready_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	on_ready_event(arg);
}

static struct taker *
taker_new(struct origin_pool *p, const struct relay *r, origin_ready_cb *cb,
    void *arg)
{
	struct taker *t = xcalloc(1, sizeof(*t));

	t->pool = p;
	t->group = origin_group_get(&p->groups, r);
	t->group->n_taken++;
	t->cb = cb;
	t->arg = arg;
	t->id = ++p->last_id;
	t->timeout_ms = r->connect_timeout_ms != 0 ? r->connect_timeout_ms :
	    p->conf->connect_timeout_ms;
	LIST_INSERT_HEAD(&p->takers[t->id % TAKER_BUCKETS], t, by_id);
	timer_init(&t->tell, p->loop, on_tell, t);
	return (t);
}

uint64_t
origin_take(struct origin_pool *p, const struct relay *r, bool fresh,
    origin_ready_cb *cb, void *arg)
{
	struct taker *t;

	obj_check(p, ORIGIN_POOL_MAGIC);
	t = taker_new(p, r, cb, arg);
	if (!origin_group_trust(t->group)) {
		taker_tell(t, ORIGIN_TLS);
	} else if (!fresh && (t->ready = origin_group_take_idle(t->group)) != NULL) {
		net_stream_set_ops(t->ready->stream, &ready_ops, t);
		taker_tell(t, ORIGIN_OK);
	} else {
		taker_connect(t);
	}
	return (t->id);
}

void
origin_cancel(struct origin_pool *p, uint64_t id)
{
	struct taker *t;

	obj_check(p, ORIGIN_POOL_MAGIC);
	LIST_FOREACH(t, &p->takers[id % TAKER_BUCKETS], by_id) {
		if (t->id != id)
			continue;
		if (t->ready != NULL) {		/* nothing was sent on it */
			t->group->n_taken++;
			origin_give(&t->ready);
		}
		if (t->connect != NULL)
			origin_circuit_unknown(&t->group->circuit, t->trial);
		taker_free(t);
		return;
	}
}

bool
origin_is_for(const struct origin_conn *c, const struct relay *r)
{
	return (origin_group_fits(c->group, r));
}

/* ---- back again ---- */

void
origin_give(struct origin_conn **cp)
{
	struct origin_conn *c = *cp;

	*cp = NULL;
	if (c->group->table->conf->origin_pool_size == 0 ||
	    net_stream_unsent(c->stream) != 0 ||
	    buffer_len(net_stream_input(c->stream)) != 0) {
		origin_drop(&c);
		return;
	}
	c->group->n_taken--;
	origin_group_put_idle(c->group, c);
}

void
origin_finish(struct origin_conn **cp)
{
	struct origin_conn *c = *cp;
	struct origin_group *g = c->group;

	net_stream_finish(&c->stream, g->table->conf->linger_ms);
	origin_drop(cp);
}

void
origin_drop(struct origin_conn **cp)
{
	struct origin_conn *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	c->group->n_taken--;
	origin_conn_free(c);
}

static void
on_sweep(void *arg)
{
	struct origin_pool *p = arg;

	origin_groups_sweep(&p->groups);
	timer_start_ms(&p->sweep, SWEEP_MS);
}

/* ---- life ---- */

/* The configuration was checked: it has this form. */
static struct net_cidr *
read_internal(const struct conf *conf)
{
	struct net_cidr *v = xcalloc(conf->n_egress_internal + 1, sizeof(*v));

	for (size_t i = 0; i < conf->n_egress_internal; i++)
		ensure(net_cidr_parse(conf->egress_internal[i], &v[i]) == RC_OK);
	return (v);
}

struct origin_pool *
origin_pool_new(struct loop *loop, const struct conf *conf,
    struct certs_verify *verify, struct net_dns *dns)
{
	struct origin_pool *p = xcalloc(1, sizeof(*p));

	p->magic = ORIGIN_POOL_MAGIC;
	p->loop = loop;
	p->conf = conf;
	p->dns = dns;
	p->self = origin_self_new(conf);
	p->internal = read_internal(conf);
	origin_groups_init(&p->groups, conf, verify);
	timer_init(&p->sweep, loop, on_sweep, p);
	timer_start_ms(&p->sweep, SWEEP_MS);
	return (p);
}

void
origin_pool_set_parts(struct origin_pool *p, origin_self_part_cb *is_part,
    void *arg)
{
	obj_check(p, ORIGIN_POOL_MAGIC);
	origin_self_set_parts(p->self, is_part, arg);
}

void
origin_pool_free(struct origin_pool **pp)
{
	struct origin_pool *p = *pp;
	struct taker *t;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, ORIGIN_POOL_MAGIC);
	for (size_t i = 0; i < TAKER_BUCKETS; i++)
		while ((t = LIST_FIRST(&p->takers[i])) != NULL)
			taker_free(t);
	origin_groups_fini(&p->groups);
	timer_fini(&p->sweep);
	origin_self_free(&p->self);
	free(p->internal);
	p->magic = 0;
	free(p);
}
