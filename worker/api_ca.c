/*
 * worker/api_ca.c - one GetCA for all who wait; what it said is served for two
 * seconds, longer while no engine answers.
 */
#include "worker/api_ca.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/object.h"

#define PEM_BEGIN	"-----BEGIN CERTIFICATE-----"
#define PEM_END		"-----END CERTIFICATE-----"

struct api_ca {
	unsigned		magic;
#define API_CA_MAGIC		0x70d93b1e
	struct engine_pool	*pool;		/* borrowed: outlives us */
	TAILQ_HEAD(, api_ca_waiter) waiters;	/* borrowed */
	uint64_t		call_id;	/* 0: none is out */
	bool			known;		/* an engine has said it once */
	struct buffer		anchors;	/* owned */
	uint64_t		t_known_ms;
	uint64_t		keys_seen;	/* of the pool, when it was asked */
};

static bool
is_fresh(const struct api_ca *ca)
{
	return (ca->known && clock_mono_ms() - ca->t_known_ms < API_CA_FRESH_MS &&
	    ca->keys_seen == engine_pool_keys_seen(ca->pool));
}

static enum rc
on_write(void *arg, struct buffer *body)
{
	struct api_ca *ca = arg;

	ca->keys_seen = engine_pool_keys_seen(ca->pool);
	rpc_put_map(body, 0);
	return (RC_OK);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct api_ca *ca = arg;
	struct span anchors;

	if (more || !rpc_unpack(body, RPC_WANT_BYTES("anchors", &anchors)))
		return (RC_SYNTAX);
	buffer_clear(&ca->anchors);
	return (buffer_append(&ca->anchors, anchors.p, anchors.len));
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct api_ca *ca = arg;
	struct api_ca_waiter *w;
	struct span anchors;

	(void)status;
	ca->call_id = 0;
	if (rc == RC_OK) {
		ca->known = true;
		ca->t_known_ms = clock_mono_ms();
	}
	/* A callback may forget others of the list. */
	while ((w = TAILQ_FIRST(&ca->waiters)) != NULL) {
		TAILQ_REMOVE(&ca->waiters, w, link);
		w->waiting = false;
		anchors = (struct span){ buffer_data(&ca->anchors),
		    buffer_len(&ca->anchors) };
		w->cb(w->arg, ca->known ? &anchors : NULL);
	}
}

static const struct engine_call_ops ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

void
api_ca_ask(struct api_ca *ca, struct api_ca_waiter *w, api_ca_cb *cb, void *arg)
{
	struct span anchors = { buffer_data(&ca->anchors),
	    buffer_len(&ca->anchors) };

	obj_check(ca, API_CA_MAGIC);
	ensure(!w->waiting);
	if (!is_fresh(ca) && ca->call_id == 0)
		ca->call_id = engine_call(ca->pool, RPC_OP_GET_CA, &ops, ca);
	if (is_fresh(ca) || ca->call_id == 0) {
		cb(arg, ca->known ? &anchors : NULL);
		return;
	}
	w->cb = cb;
	w->arg = arg;
	w->waiting = true;
	TAILQ_INSERT_TAIL(&ca->waiters, w, link);
}

void
api_ca_forget(struct api_ca *ca, struct api_ca_waiter *w)
{
	if (!w->waiting)
		return;
	TAILQ_REMOVE(&ca->waiters, w, link);
	w->waiting = false;
}

struct span
api_ca_first(struct span pem)
{
	const char *begin, *end, *stop = pem.p + pem.len;

	begin = pem.len == 0 ? NULL : memmem(pem.p, pem.len, PEM_BEGIN,
	    strlen(PEM_BEGIN));
	if (begin == NULL)
		return ((struct span){ NULL, 0 });
	end = memmem(begin, (size_t)(stop - begin), PEM_END, strlen(PEM_END));
	if (end == NULL)
		return ((struct span){ NULL, 0 });
	end += strlen(PEM_END);
	if (end < stop && *end == '\n')
		end++;
	return ((struct span){ begin, (size_t)(end - begin) });
}

struct api_ca *
api_ca_new(struct engine_pool *pool)
{
	struct api_ca *ca = xcalloc(1, sizeof(*ca));

	ca->magic = API_CA_MAGIC;
	ca->pool = pool;
	TAILQ_INIT(&ca->waiters);
	buffer_init(&ca->anchors, 0, false);
	return (ca);
}

void
api_ca_free(struct api_ca **cap)
{
	struct api_ca *ca = *cap;

	*cap = NULL;
	if (ca == NULL)
		return;
	obj_check(ca, API_CA_MAGIC);
	ensure(TAILQ_EMPTY(&ca->waiters));
	engine_call_cancel(ca->pool, ca->call_id);
	buffer_fini(&ca->anchors);
	ca->magic = 0;
	free(ca);
}
