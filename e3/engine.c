/* e3/engine.c - a server of calls, and crypto threads that work for it. */
#include "e3/engine.h"

#include <openssl/crypto.h>

#include "e3/dispatch.h"

/* The network thread, which answers all callers, goes before those that work
 * for one of them. */
#define CRYPTO_NICE	5

struct e3_call *
e3_call_of(struct sched_job *job)
{
	_Static_assert(offsetof(struct e3_call, served) == 0,
	    "what is served comes first");
	return ((struct e3_call *)rpc_served_of(job));
}

static void
on_call(void *arg, struct rpc_served *served)
{
	e3_dispatch(arg, e3_call_of(&served->job));
}

/* A call that the server let nobody see. */
static void
on_refused(void *arg, enum rpc_status status)
{
	struct e3_engine *e = arg;

	e->calls++;
	e->refused++;
	e->refused_limit += status == RPC_STATUS_LIMIT;
}

static void
on_done(void *arg, struct rpc_served *served)
{
	e3_dispatch_done(arg, e3_call_of(&served->job));
}

static void
on_free(struct rpc_served *served)
{
	struct e3_call *c = e3_call_of(&served->job);

	e3_app_unref(&c->app);
}

/* Shares: clients wait for workers, and for nobody else. */
static unsigned
weight(enum rpc_role role)
{
	switch (role) {
	case RPC_ROLE_WORKER:
		return (8);
	case RPC_ROLE_HELPER:
		return (4);
	case RPC_ROLE_FEED:
	case RPC_ROLE_ADMIN:
		return (2);
	default:
		return (1);
	}
}

static const struct rpc_server_ops server_ops = {
	.on_call = on_call,
	.on_refused = on_refused,
	.on_done = on_done,
	.on_free = on_free,
	.weight = weight,
};

/* ---- crypto threads ---- */

static void *
crypto_new(void)
{
	return (scheme_crypto_new());
}

/* By the thread itself, at its end. */
static void
crypto_free(void *ctx)
{
	struct scheme_crypto *crypto = ctx;

	scheme_crypto_free(&crypto);
	OPENSSL_thread_stop();
}

static void
crypto_reset(void *ctx)
{
	scheme_ecies_reset(ctx);
}

static bool
make_pair(void *arg, void *ctx)
{
	struct e3_engine *e = arg;

	return (scheme_ready_pairs_make(e->pairs, ctx));
}

/* ---- the parts ---- */

void
e3_engine_config(struct rpc_server_config *config)
{
	config->ops = &server_ops;
	config->call_bytes = sizeof(struct e3_call);
	config->sched.slice_cost = E3_SLICE_COST;
	config->sched.nice = CRYPTO_NICE;
	config->sched.ctx_new = crypto_new;
	config->sched.ctx_free = crypto_free;
	config->sched.after_slice = crypto_reset;
}

bool
e3_engine_start(struct e3_engine *e, struct loop *loop,
    struct rpc_server_config *config)
{
	e3_engine_config(config);
	config->sched.idle = make_pair;
	config->sched.idle_arg = e;
	e->tables = scheme_p256_tables_new(SCHEME_P256_TABLES_MAX);
	if (e->tables == NULL ||
	    (e->pairs = scheme_ready_pairs_new()) == NULL ||
	    (e->server = rpc_server_new(loop, config, e)) == NULL) {
		e3_engine_stop(e);
		return (false);
	}
	e->sched = rpc_server_sched(e->server);
	return (true);
}

void
e3_engine_stop(struct e3_engine *e)
{
	rpc_server_free(&e->server);
	e->sched = NULL;
	meters_fini(&e->meters);
	meters_fini(&e->leaf_meters);
	scheme_ready_pairs_free(&e->pairs);
	scheme_p256_tables_free(&e->tables);
}
