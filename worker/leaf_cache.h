/*
 * worker/leaf_cache.h - certificates for the insides of tunnels: asked of the
 * engine (IssueLeaf), kept as TLS contexts, renewed ahead of their end.
 * Context:   the loop's thread.
 * Ownership: who waits for a leaf holds an id.  A context belongs to the cache:
 *            take a reference (SSL_CTX_up_ref) to keep it beyond the callback.
 *
 * This process makes one key pair at its start; the CA's key stays in the
 * engine.  One call per host is out at a time, however many wait for it.
 *
 * Once another CA signs, who asks for a leaf of the former one waits for a new
 * one.  Only while the engine gives none (leaves per minute; it is away) is the
 * former one served on: clients that were told of both CAs take it.
 */
#ifndef RELAY_WORKER_LEAF_CACHE_H
#define RELAY_WORKER_LEAF_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "worker/engine_pool.h"

struct egress_ca;
struct leaf_cache;

#define LEAF_ASKED_MAX	256	/* hosts asked for at once */

enum leaf_fault {
	LEAF_OK,
	LEAF_NO_CA,		/* the engine has none that signs: 503 */
	LEAF_LIMITED,		/* leaves per minute: 429 */
	LEAF_DENIED,		/* the CA's name constraints: 403 */
	LEAF_NO_ENGINE		/* 503 */
};

/* max: leaves kept.  Pool and CA are borrowed and outlive it.  NULL without
 * memory or randomness. */
struct leaf_cache *leaf_cache_new(struct engine_pool *,
    const struct egress_ca *, unsigned max);
/* Every asker has its answer or has cancelled. */
void leaf_cache_free(struct leaf_cache **);

/* The leaf of this canonical host is here: no call is needed. */
bool leaf_is_kept(const struct leaf_cache *, const char *host);

/* ctx: NULL unless LEAF_OK. */
typedef void leaf_cb(void *arg, enum leaf_fault, SSL_CTX *ctx);

/*
 * 0:  *fault and *ctx say it now, cb never comes.
 * id: cb comes once, after this returned, unless cancelled.
 */
uint64_t leaf_take(struct leaf_cache *, const char *host, leaf_cb *, void *arg,
    enum leaf_fault *fault, SSL_CTX **ctx);
/* No callback comes after this; 0 and answered ids are ignored. */
void leaf_cancel(struct leaf_cache *, uint64_t id);

#endif
