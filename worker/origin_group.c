/* worker/origin_group.c - finding groups, and their idle connections. */
#include "worker/origin_group.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define CA_HASHED_BYTES	128	/* of its end */
#define INPUT_BYTES	65536	/* what a stream takes in by itself */

static void on_idle_event(void *);
static void on_idle_error(void *, enum net_reason, const char *);

/* Whatever an idle origin says, it is no answer to a request of ours. */
static const struct net_stream_ops idle_ops = {
	.on_input = on_idle_event,
	.on_eof = on_idle_event,
	.on_error = on_idle_error,
};

/* ---- connections ---- */

struct origin_conn *
origin_conn_new(struct origin_group *g, struct net_stream *stream)
{
	struct origin_conn *c = xcalloc(1, sizeof(*c));
	size_t head = g->table->conf->max_head_bytes;

	c->group = g;
	c->stream = stream;
	/* A response head must fit the stream's input. */
	if (head > INPUT_BYTES)
		net_stream_set_input_high(c->stream, head);
	return (c);
}

void
origin_conn_free(struct origin_conn *c)
{
	net_stream_close(&c->stream);
	free(c);
}

static void
drop_idle(struct origin_group *g, struct origin_conn *c)
{
	TAILQ_REMOVE(&g->idle, c, link);
	g->n_idle--;
	origin_conn_free(c);
}

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

/* Newest first: the oldest then idle out. */
struct origin_conn *
origin_group_take_idle(struct origin_group *g)
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

void
origin_group_put_idle(struct origin_group *g, struct origin_conn *c)
{
	c->reused = true;
	c->t_idle_ms = clock_mono_ms();
	net_stream_set_ops(c->stream, &idle_ops, c);
	net_stream_read_resume(c->stream);	/* an idle one must see the end */
	TAILQ_INSERT_HEAD(&g->idle, c, link);
	g->n_idle++;
	if (g->n_idle > g->table->conf->origin_pool_size)
		drop_idle(g, TAILQ_LAST(&g->idle, origin_conn_list));
}

void
origin_groups_sweep(struct origin_groups *gs)
{
	uint64_t now_ms = clock_mono_ms();
	struct origin_group *g;
	struct origin_conn *c;

	TAILQ_FOREACH(g, &gs->by_use, by_use) {
		while ((c = TAILQ_LAST(&g->idle, origin_conn_list)) != NULL &&
		    now_ms - c->t_idle_ms >= gs->conf->origin_idle_ms)
			drop_idle(g, c);
	}
}

/* ---- identities ---- */

static uint64_t
hash_more(uint64_t h, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)	/* FNV-1a */
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return ((h ^ 0xff) * 0x100000001b3u);	/* no field runs into the next */
}

/* Of a CA only the end is hashed, its signature: this runs for each request.
 * What decides is origin_group_fits(). */
static struct origin_group_bucket *
bucket_of(struct origin_groups *gs, const struct relay *r)
{
	size_t len = r->ca != NULL ? strlen(r->ca) : 0;
	size_t skip = len > CA_HASHED_BYTES ? len - CA_HASHED_BYTES : 0;
	uint64_t h = gs->seed ^ (uint64_t)r->port << 1 ^ r->min_tls_13;

	h = hash_more(h, r->host, strlen(r->host));
	h = hash_more(h, r->server_name, strlen(r->server_name));
	if (r->guarded)
		h = hash_more(h, r->app, strlen(r->app));
	if (r->ca != NULL)
		h = hash_more(h, r->ca + skip, len - skip);
	return (&gs->buckets[(h >> 32 ^ h) % ORIGIN_GROUP_BUCKETS]);
}

bool
origin_group_fits(const struct origin_group *g, const struct relay *r)
{
	if (g->port != r->port || g->min_tls_13 != r->min_tls_13 ||
	    (g->ca == NULL) != (r->ca == NULL) || g->plain != r->plain ||
	    g->guarded != r->guarded || g->internal != r->internal)
		return (false);
	if (g->guarded && strcmp(g->app, r->app) != 0)
		return (false);
	return (strcmp(g->host, r->host) == 0 &&
	    strcmp(g->server_name, r->server_name) == 0 &&
	    (g->ca == NULL || strcmp(g->ca, r->ca) == 0));
}

static void
group_free(struct origin_group *g)
{
	while (!TAILQ_EMPTY(&g->idle))
		drop_idle(g, TAILQ_FIRST(&g->idle));
	ensure(g->n_taken == 0 && g->n_idle == 0);
	LIST_REMOVE(g, by_identity);
	TAILQ_REMOVE(&g->table->by_use, g, by_use);
	g->table->n--;
	origin_session_fini(&g->session);
	SSL_CTX_free(g->ctx);
	free(g->ca_fault);
	free(g->host);
	free(g->server_name);
	free(g->ca);
	free(g->app);
	free(g);
}

/* Forget the least recently used identity that nobody uses. */
static void
make_room(struct origin_groups *gs)
{
	struct origin_group *g;

	if (gs->n < ORIGIN_GROUPS_MAX)
		return;
	TAILQ_FOREACH_REVERSE(g, &gs->by_use, origin_group_list, by_use) {
		if (g->n_taken == 0) {
			group_free(g);
			return;
		}
	}
}

static struct origin_group *
group_new(struct origin_groups *gs, struct origin_group_bucket *bucket,
    const struct relay *r)
{
	struct origin_group *g;

	make_room(gs);
	g = xcalloc(1, sizeof(*g));
	g->table = gs;
	g->host = xstrdup(r->host);
	g->port = r->port;
	g->server_name = xstrdup(r->server_name);
	g->min_tls_13 = r->min_tls_13;
	g->ca = r->ca != NULL ? xstrdup(r->ca) : NULL;
	g->app = r->guarded ? xstrdup(r->app) : NULL;
	g->plain = r->plain;
	g->guarded = r->guarded;
	g->internal = r->internal;
	origin_circuit_init(&g->circuit, g->host, g->port,
	    gs->conf->origin_max_fails, gs->conf->origin_fail_ms);
	TAILQ_INIT(&g->idle);
	LIST_INSERT_HEAD(bucket, g, by_identity);
	TAILQ_INSERT_HEAD(&gs->by_use, g, by_use);
	gs->n++;
	return (g);
}

struct origin_group *
origin_group_get(struct origin_groups *gs, const struct relay *r)
{
	struct origin_group_bucket *bucket = bucket_of(gs, r);
	struct origin_group *g;

	LIST_FOREACH(g, bucket, by_identity) {
		if (!origin_group_fits(g, r))
			continue;
		TAILQ_REMOVE(&gs->by_use, g, by_use);
		TAILQ_INSERT_HEAD(&gs->by_use, g, by_use);
		return (g);
	}
	return (group_new(gs, bucket, r));
}

bool
origin_group_trust(struct origin_group *g)
{
	struct span ca = g->ca != NULL ? span_of(g->ca) : SPAN_LIT("");
	char why[160] = "";

	if (g->ctx != NULL || g->ca_fault != NULL)
		return (g->ctx != NULL);
	g->ctx = certs_verify_ctx(g->table->verify, ca, g->min_tls_13, why,
	    sizeof(why));
	if (g->ctx == NULL) {
		/* Its text has the form of one; it will not become one. */
		g->ca_fault = xstrdup(why);
		return (false);
	}
	SSL_CTX_up_ref(g->ctx);
	origin_session_prepare(g->ctx);
	return (true);
}

/* ---- life ---- */

void
origin_groups_init(struct origin_groups *gs, const struct conf *conf,
    struct certs_verify *verify)
{
	memset(gs, 0, sizeof(*gs));
	gs->conf = conf;
	gs->verify = verify;
	gs->seed = random_u64();
	TAILQ_INIT(&gs->by_use);
}

void
origin_groups_fini(struct origin_groups *gs)
{
	while (!TAILQ_EMPTY(&gs->by_use))
		group_free(TAILQ_FIRST(&gs->by_use));
}
