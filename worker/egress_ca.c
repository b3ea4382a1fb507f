/*
 * worker/egress_ca.c - one GetCA for all who wait; what it said is served at
 * once, and asked for again behind that when it is two seconds old.
 *
 * Watched, it is asked for when the engines' keys_epoch says that a record
 * changed, which Pings bring within half a second, and when the date comes
 * that was told with it.  The date itself counts at once, by this machine's
 * clock: no leaf of the former CA is taken for a good one while the answer is
 * on its way.
 */
#include "worker/egress_ca.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"

#define SKEW_AGAIN_MS	5000	/* an engine is believed so long against our clock */
#define PEM_BEGIN	"-----BEGIN CERTIFICATE-----"
#define PEM_END		"-----END CERTIFICATE-----"

struct egress_ca {
	unsigned		magic;
#define EGRESS_CA_MAGIC		0x70d93b1e
	struct engine_pool	*pool;		/* borrowed: outlives us */
	TAILQ_HEAD(, egress_ca_waiter) waiters;	/* borrowed */
	struct timer		look;
	uint64_t		call_id;	/* 0: none is out */
	uint64_t		asked_seen;	/* keys_seen when it was written */

	bool			known;		/* an engine has said it once */
	struct buffer		anchors;	/* owned */
	bool			signs;		/* one does, and this is its: */
	uint8_t			sum[EGRESS_CA_SUM_BYTES];
	uint64_t		changes_ms;	/* wall clock: another one does
						   then; 0: never */
	uint64_t		t_known_ms;
	uint64_t		known_seen;	/* keys_seen of that answer */
};

/* ---- what is known ---- */

static bool
is_past(const struct egress_ca *ca)
{
	return (ca->changes_ms != 0 && clock_wall_ms() >= ca->changes_ms);
}

/* An engine that answers has said so.  Without one there is nothing to wait
 * for. */
static bool
has_changed(const struct egress_ca *ca)
{
	uint64_t keys_seen = engine_pool_keys_seen(ca->pool);

	return (keys_seen != 0 && keys_seen != ca->known_seen);
}

static bool
is_older(const struct egress_ca *ca, uint64_t age_ms)
{
	return (clock_mono_ms() - ca->t_known_ms >= age_ms);
}

static enum egress_ca_known
what_is_known(const struct egress_ca *ca)
{
	return (!ca->known ? EGRESS_CA_UNKNOWN :
	    is_past(ca) ? EGRESS_CA_PAST : EGRESS_CA_NOW);
}

static void
tell(struct egress_ca *ca, enum egress_ca_known known, egress_ca_cb *cb,
    void *arg)
{
	cb(arg, known, (struct span){ buffer_data(&ca->anchors),
	    buffer_len(&ca->anchors) });
}

/* ---- the call ---- */

static enum rc
on_write(void *arg, struct buffer *body)
{
	struct egress_ca *ca = arg;

	ca->asked_seen = engine_pool_keys_seen(ca->pool);
	rpc_put_map(body, 0);
	return (RC_OK);
}

/* The last two are not there in the answer of an engine that is older than
 * they are: then every leaf is good until its end. */
static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct span anchors, sum = { NULL, 0 };
	struct egress_ca *ca = arg;
	uint64_t changes_ms = 0, now_ms = clock_wall_ms();

	if (more || !rpc_unpack(body, RPC_WANT_BYTES("anchors", &anchors),
	    RPC_MAY_BYTES("issuers_sha256", &sum),
	    RPC_MAY_U64("changes_ms", &changes_ms)) ||
	    (sum.len != 0 && sum.len != sizeof(ca->sum)))
		return (RC_SYNTAX);
	buffer_clear(&ca->anchors);
	/* Not yet, says who signs: then our clock is ahead. */
	if (changes_ms != 0 && changes_ms <= now_ms)
		changes_ms = now_ms + SKEW_AGAIN_MS;
	ca->changes_ms = changes_ms;
	if ((ca->signs = sum.len != 0))
		memcpy(ca->sum, sum.p, sizeof(ca->sum));
	return (buffer_append(&ca->anchors, anchors.p, anchors.len));
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct egress_ca *ca = arg;
	struct egress_ca_waiter *w;
	enum egress_ca_known known;

	(void)status;
	ca->call_id = 0;
	if (rc == RC_OK) {
		ca->known = true;
		ca->t_known_ms = clock_mono_ms();
		ca->known_seen = ca->asked_seen;
	}
	/* What an engine has said just now holds, whatever our clock says to
	 * its date. */
	known = rc == RC_OK ? EGRESS_CA_NOW : what_is_known(ca);
	/* A callback may forget others of the list. */
	while ((w = TAILQ_FIRST(&ca->waiters)) != NULL) {
		TAILQ_REMOVE(&ca->waiters, w, link);
		w->waiting = false;
		tell(ca, known, w->cb, w->arg);
	}
}

static const struct engine_call_ops ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

static void
ask_engine(struct egress_ca *ca)
{
	if (ca->call_id == 0)
		ca->call_id = engine_call(ca->pool, RPC_OP_GET_CA, &ops, ca);
}

/* ---- who asks ---- */

void
egress_ca_ask(struct egress_ca *ca, struct egress_ca_waiter *w,
    egress_ca_cb *cb, void *arg)
{
	enum egress_ca_known known = what_is_known(ca);
	bool sure;

	obj_check(ca, EGRESS_CA_MAGIC);
	ensure(!w->waiting);
	/* That there was none a moment ago: there may be one by now. */
	sure = known == EGRESS_CA_NOW && !has_changed(ca) &&
	    buffer_len(&ca->anchors) != 0;
	if (!sure || is_older(ca, EGRESS_CA_FRESH_MS))
		ask_engine(ca);
	if (sure || ca->call_id == 0) {
		tell(ca, known, cb, arg);
		return;
	}
	w->cb = cb;
	w->arg = arg;
	w->waiting = true;
	TAILQ_INSERT_TAIL(&ca->waiters, w, link);
}

void
egress_ca_forget(struct egress_ca *ca, struct egress_ca_waiter *w)
{
	if (!w->waiting)
		return;
	TAILQ_REMOVE(&ca->waiters, w, link);
	w->waiting = false;
}

static void
on_look(void *arg)
{
	struct egress_ca *ca = arg;

	if (engine_pool_keys_seen(ca->pool) != 0 &&
	    (what_is_known(ca) != EGRESS_CA_NOW || has_changed(ca) ||
	    is_older(ca, EGRESS_CA_AGAIN_MS)))
		ask_engine(ca);
	timer_start_ms(&ca->look, EGRESS_CA_LOOK_MS);
}

void
egress_ca_watch(struct egress_ca *ca)
{
	obj_check(ca, EGRESS_CA_MAGIC);
	timer_start_ms(&ca->look, 0);
}

/* ---- leaves ---- */

void
egress_ca_sum(struct span chain, uint8_t sum[EGRESS_CA_SUM_BYTES])
{
	struct span leaf = egress_ca_first(chain);
	size_t at = leaf.len == 0 ? 0 : (size_t)(leaf.p - chain.p) + leaf.len;

	ERR_clear_error();
	ensure(EVP_Digest(chain.p + at, chain.len - at, sum, NULL, EVP_sha256(),
	    NULL) == 1);
}

bool
egress_ca_left(const struct egress_ca *ca,
    const uint8_t sum[EGRESS_CA_SUM_BYTES])
{
	bool same;

	obj_check(ca, EGRESS_CA_MAGIC);
	if (!ca->known || !ca->signs)
		return (false);
	same = memcmp(ca->sum, sum, sizeof(ca->sum)) == 0;
	return (is_past(ca) ? same : !same);
}

/* ---- PEM ---- */

struct span
egress_ca_first(struct span pem)
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

/* ---- life ---- */

struct egress_ca *
egress_ca_new(struct loop *loop, struct engine_pool *pool)
{
	struct egress_ca *ca = xcalloc(1, sizeof(*ca));

	ca->magic = EGRESS_CA_MAGIC;
	ca->pool = pool;
	TAILQ_INIT(&ca->waiters);
	buffer_init(&ca->anchors, 0, false);
	timer_init(&ca->look, loop, on_look, ca);
	return (ca);
}

void
egress_ca_free(struct egress_ca **cap)
{
	struct egress_ca *ca = *cap;

	*cap = NULL;
	if (ca == NULL)
		return;
	obj_check(ca, EGRESS_CA_MAGIC);
	ensure(TAILQ_EMPTY(&ca->waiters));
	engine_call_cancel(ca->pool, ca->call_id);
	timer_fini(&ca->look);
	buffer_fini(&ca->anchors);
	ca->magic = 0;
	free(ca);
}
