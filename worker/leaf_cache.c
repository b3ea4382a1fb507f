/*
 * worker/leaf_cache.c - host -> leaf, least recently used last.
 *
 *   cache -> leaf: one for each host, with its context once there is one, and
 *            with the call that asks for it (or for the next one)
 *         -> waiters of that call
 *
 * A leaf is renewed in the background when a quarter of its life is left: its
 * hosts never wait for the engine twice, unless another CA has taken over.  One
 * that has ended is not served, whatever the engine says.
 */
#include "worker/leaf_cache.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/net/tls.h"
#include "worker/egress_ca.h"

#define BUCKETS		1024
#define CHAIN_BYTES_MAX	16384	/* two certificates in PEM */
#define RETRY_MS	5000	/* a renewal that failed */
#define LATE_RETRY_MS	1000	/* one by an engine that does not know yet that
				   another CA took over */

struct leaf;

struct leaf_waiter {
	TAILQ_ENTRY(leaf_waiter) link;
	uint64_t		id;
	leaf_cb			*cb;
	void			*arg;	/* borrowed: cancels us when it goes */
};

struct leaf {
	LIST_ENTRY(leaf)	chain;	/* cache->buckets */
	TAILQ_ENTRY(leaf)	use;	/* cache->by_use: latest first */
	struct leaf_cache	*cache;	/* borrowed: owns us */
	SSL_CTX			*ctx;	/* owned; NULL: asked for */
	uint64_t		end_ms;	/* wall clock: its end */
	uint64_t		renew_ms;	/* wall clock: ask again from then */
	uint64_t		retry_ms;	/* wall clock: and not before */
	uint8_t			issuers[EGRESS_CA_SUM_BYTES];
	uint64_t		call_id;	/* 0: none out */
	SSL_CTX			*fresh;	/* owned: came with this call */
	uint64_t		fresh_end_ms;
	uint8_t			fresh_issuers[EGRESS_CA_SUM_BYTES];
	TAILQ_HEAD(, leaf_waiter) waiters;	/* owned */
	char			host[];
};

struct leaf_cache {
	unsigned		magic;
#define LEAF_CACHE_MAGIC	0x1eafca5e
	struct engine_pool	*pool;	/* borrowed */
	const struct egress_ca	*ca;	/* borrowed */
	EVP_PKEY		*key;	/* owned: of every leaf */
	unsigned char		*spki;	/* owned: its public half, DER */
	int			spki_len;
	uint64_t		seed;
	uint64_t		next_id;
	unsigned		max, n;	/* leaves that are there */
	unsigned		n_asked;
	LIST_HEAD(, leaf)	buckets[BUCKETS];
	TAILQ_HEAD(leaf_list, leaf) by_use;
};

/* ---- leaves ---- */

static unsigned
bucket_of(const struct leaf_cache *lc, const char *host)
{
	uint64_t h = lc->seed;

	for (; *host != '\0'; host++)	/* FNV-1a */
		h = (h ^ (unsigned char)*host) * 0x100000001b3u;
	return ((unsigned)((h >> 32 ^ h) % BUCKETS));
}

static struct leaf *
find(const struct leaf_cache *lc, const char *host)
{
	struct leaf *l;

	LIST_FOREACH(l, &lc->buckets[bucket_of(lc, host)], chain)
		if (strcmp(l->host, host) == 0)
			return (l);
	return (NULL);
}

static void
leaf_free(struct leaf *l)
{
	ensure(TAILQ_EMPTY(&l->waiters) && l->call_id == 0);
	LIST_REMOVE(l, chain);
	TAILQ_REMOVE(&l->cache->by_use, l, use);
	l->cache->n -= l->ctx != NULL;
	SSL_CTX_free(l->ctx);
	SSL_CTX_free(l->fresh);
	free(l);
}

/* The one unused for longest that nobody waits for. */
static void
make_room(struct leaf_cache *lc)
{
	struct leaf *l;

	if (lc->n < lc->max)
		return;
	TAILQ_FOREACH_REVERSE(l, &lc->by_use, leaf_list, use) {
		if (l->call_id == 0) {
			leaf_free(l);
			return;
		}
	}
}

static struct leaf *
leaf_new(struct leaf_cache *lc, const char *host)
{
	struct leaf *l = xcalloc(1, sizeof(*l) + strlen(host) + 1);

	l->cache = lc;
	memcpy(l->host, host, strlen(host) + 1);
	TAILQ_INIT(&l->waiters);
	LIST_INSERT_HEAD(&lc->buckets[bucket_of(lc, host)], l, chain);
	TAILQ_INSERT_HEAD(&lc->by_use, l, use);
	return (l);
}

static bool
is_good(const struct leaf *l)
{
	return (l->ctx != NULL && clock_wall_ms() < l->end_ms);
}

/* Another CA signs by now. */
static bool
is_former(const struct leaf *l)
{
	return (egress_ca_left(l->cache->ca, l->issuers));
}

static bool
is_due(const struct leaf *l)
{
	uint64_t now_ms = clock_wall_ms();

	return (now_ms >= l->retry_ms && (now_ms >= l->renew_ms ||
	    is_former(l)));
}

/* A client that knows only the CA that signs now refuses it: so a new one is
 * waited for, if there is anybody to give it. */
static bool
is_worth_waiting(const struct leaf *l)
{
	return (is_former(l) && engine_pool_up(l->cache->pool) != 0);
}

/* ---- a context of what came ---- */

/* Our listener offers no tickets: a client that comes back shakes hands anew,
 * and who does not is spared two of them. */
static SSL_CTX *
make_ctx(const struct leaf_cache *lc, struct span chain)
{
	SSL_CTX *ctx = net_tls_server_ctx(TLS1_2_VERSION);
	X509 *leaf = NULL, *ca = NULL;
	BIO *bio = NULL;
	bool fine;

	ERR_clear_error();
	fine = ctx != NULL && chain.len <= CHAIN_BYTES_MAX &&
	    (bio = BIO_new_mem_buf(chain.p, (int)chain.len)) != NULL &&
	    (leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL &&
	    SSL_CTX_use_certificate(ctx, leaf) == 1 &&
	    SSL_CTX_use_PrivateKey(ctx, lc->key) == 1 &&
	    SSL_CTX_check_private_key(ctx) == 1;
	while (fine && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
			X509_free(ca);
			fine = false;
		}
	X509_free(leaf);
	BIO_free(bio);
	ERR_clear_error();
	if (!fine) {
		SSL_CTX_free(ctx);
		return (NULL);
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	return (ctx);
}

/* ---- the call ---- */

static enum rc
on_write(void *arg, struct buffer *body)
{
	const struct leaf *l = arg;
	const struct leaf_cache *lc = l->cache;

	rpc_pack(body, RPC_STR("host", l->host),
	    RPC_BIN("publicKey", lc->spki, (size_t)lc->spki_len));
	return (RC_OK);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct leaf *l = arg;
	struct span chain;
	uint64_t end_ms;

	if (more || !rpc_unpack(body, RPC_WANT_BYTES("chain", &chain),
	    RPC_WANT_U64("not_after_ms", &end_ms)))
		return (RC_SYNTAX);
	SSL_CTX_free(l->fresh);
	l->fresh = make_ctx(l->cache, chain);
	l->fresh_end_ms = end_ms;
	if (l->fresh == NULL)
		return (RC_SYNTAX);
	egress_ca_sum(chain, l->fresh_issuers);
	return (RC_OK);
}

static enum leaf_fault
fault_of(enum rc rc, enum rpc_status status)
{
	if (rc == RC_OK)
		return (LEAF_OK);
	if (rc != RC_DENIED)
		return (LEAF_NO_ENGINE);
	switch (status) {
	case RPC_STATUS_NO_SUCH_KEY:
		return (LEAF_NO_CA);
	case RPC_STATUS_RATE_LIMITED:
		return (LEAF_LIMITED);
	case RPC_STATUS_NOT_ALLOWED:
	case RPC_STATUS_BAD_REQUEST:
		return (LEAF_DENIED);
	default:
		return (LEAF_NO_ENGINE);
	}
}

static void
keep(struct leaf *l)
{
	uint64_t now_ms = clock_wall_ms();

	/* Only now: hosts that get none push nobody out. */
	if (l->ctx == NULL) {
		make_room(l->cache);
		l->cache->n++;
	}
	SSL_CTX_free(l->ctx);
	l->ctx = l->fresh;
	l->fresh = NULL;
	l->end_ms = l->fresh_end_ms;
	memcpy(l->issuers, l->fresh_issuers, sizeof(l->issuers));
	l->retry_ms = is_former(l) ? now_ms + LATE_RETRY_MS : 0;
	l->renew_ms = l->end_ms > now_ms ? l->end_ms - (l->end_ms - now_ms) / 4 :
	    now_ms;
}

static void
not_issued(const struct leaf *l, enum leaf_fault fault, enum rpc_status status)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, 5, &suppressed))
		log_warn("leaf not issued host=%s why=\"%s\" suppressed=%u", l->host,
		    fault == LEAF_NO_ENGINE ? "no engine answered" :
		    fault == LEAF_NO_CA ? "the engine has no egress CA: relayctl ca "
		    "create" : rpc_status_name(status), suppressed);
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	enum leaf_fault fault = fault_of(rc, status);
	struct leaf *l = arg;
	struct leaf_waiter *w;
	SSL_CTX *ctx;

	l->cache->n_asked--;
	if (fault == LEAF_OK && clock_wall_ms() >= l->fresh_end_ms)
		fault = LEAF_NO_ENGINE;	/* it had ended when it came */
	if (fault == LEAF_OK) {
		keep(l);
	} else {
		not_issued(l, fault, status);
		l->retry_ms = clock_wall_ms() + RETRY_MS;
	}
	if (is_good(l))
		fault = LEAF_OK;	/* the former one still holds */
	ctx = fault == LEAF_OK ? l->ctx : NULL;
	/* call_id stays until all were told: a callback may cancel others. */
	while ((w = TAILQ_FIRST(&l->waiters)) != NULL) {
		leaf_cb *cb = w->cb;
		void *cb_arg = w->arg;

		TAILQ_REMOVE(&l->waiters, w, link);
		free(w);
		cb(cb_arg, fault, ctx);
	}
	l->call_id = 0;
	if (l->ctx == NULL)
		leaf_free(l);
}

static const struct engine_call_ops call_ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

static bool
ask(struct leaf *l)
{
	struct leaf_cache *lc = l->cache;

	if (l->call_id != 0)
		return (true);
	if (lc->n_asked >= LEAF_ASKED_MAX)
		return (false);
	l->call_id = engine_call(lc->pool, RPC_OP_ISSUE_LEAF, &call_ops, l);
	lc->n_asked += l->call_id != 0;
	return (l->call_id != 0);
}

/* ---- asking ---- */

bool
leaf_is_kept(const struct leaf_cache *lc, const char *host)
{
	const struct leaf *l = find(lc, host);

	return (l != NULL && is_good(l));
}

uint64_t
leaf_take(struct leaf_cache *lc, const char *host, leaf_cb *cb, void *arg,
    enum leaf_fault *fault, SSL_CTX **ctx)
{
	struct leaf_waiter *w;
	struct leaf *l;

	obj_check(lc, LEAF_CACHE_MAGIC);
	*ctx = NULL;
	if ((l = find(lc, host)) == NULL)
		l = leaf_new(lc, host);
	TAILQ_REMOVE(&lc->by_use, l, use);
	TAILQ_INSERT_HEAD(&lc->by_use, l, use);
	/* If it cannot be asked for now, then with the next one. */
	if (is_good(l) && (!is_due(l) || !ask(l) || !is_worth_waiting(l))) {
		*fault = LEAF_OK;
		*ctx = l->ctx;
		return (0);
	}
	if (!ask(l)) {
		*fault = LEAF_NO_ENGINE;
		if (l->ctx == NULL)
			leaf_free(l);
		return (0);
	}
	w = xcalloc(1, sizeof(*w));
	w->id = ++lc->next_id;
	w->cb = cb;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&l->waiters, w, link);
	return (w->id);
}

void
leaf_cancel(struct leaf_cache *lc, uint64_t id)
{
	struct leaf_waiter *w;
	struct leaf *l;

	if (id == 0)
		return;
	obj_check(lc, LEAF_CACHE_MAGIC);
	/* Those that are asked for were used last. */
	TAILQ_FOREACH(l, &lc->by_use, use) {
		TAILQ_FOREACH(w, &l->waiters, link) {
			if (w->id != id)
				continue;
			/* The call goes on: the next client of this host is
			 * served from memory. */
			TAILQ_REMOVE(&l->waiters, w, link);
			free(w);
			return;
		}
	}
}

/* ---- life ---- */

struct leaf_cache *
leaf_cache_new(struct engine_pool *pool, const struct egress_ca *ca,
    unsigned max)
{
	struct leaf_cache *lc = xcalloc(1, sizeof(*lc));

	lc->magic = LEAF_CACHE_MAGIC;
	lc->pool = pool;
	lc->ca = ca;
	lc->max = max;
	lc->seed = random_u64();
	TAILQ_INIT(&lc->by_use);
	ERR_clear_error();
	lc->key = EVP_EC_gen("P-256");
	if (lc->key != NULL)
		lc->spki_len = i2d_PUBKEY(lc->key, &lc->spki);
	ERR_clear_error();
	if (lc->spki_len <= 0)
		leaf_cache_free(&lc);
	return (lc);
}

void
leaf_cache_free(struct leaf_cache **lcp)
{
	struct leaf_cache *lc = *lcp;
	struct leaf *l;

	*lcp = NULL;
	if (lc == NULL)
		return;
	obj_check(lc, LEAF_CACHE_MAGIC);
	while ((l = TAILQ_FIRST(&lc->by_use)) != NULL) {
		engine_call_cancel(lc->pool, l->call_id);
		l->call_id = 0;
		leaf_free(l);
	}
	EVP_PKEY_free(lc->key);
	OPENSSL_free(lc->spki);
	lc->magic = 0;
	free(lc);
}
