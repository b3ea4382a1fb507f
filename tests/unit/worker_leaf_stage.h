/*
 * worker_leaf_stage.h - a leaf cache, engines that sign for it, who asks it, and
 * a wall clock of the test's own.
 * Context:   tests of worker/leaf_cache.c.
 */
#ifndef RELAY_TESTS_WORKER_LEAF_STAGE_H
#define RELAY_TESTS_WORKER_LEAF_STAGE_H

#include "tests/unit/test_clock.h"
#include "tests/unit/worker_leaf_signer.h"
#include "worker/egress_ca.h"
#include "worker/leaf_cache.h"

#define LEAF_HOST	"shop.test"
#define LEAF_LIFE_MS	1000000u	/* a quarter of it is 250 s */
#define LEAF_MAX	4		/* leaves kept, unless a test says more */

struct leaf_stage {
	struct engine_pair	engines;
	struct leaf_signer	signer;
	struct egress_ca	*ca;
	struct leaf_cache	*leaves;
};

/* cmocka's state is a struct leaf_stage without a cache. */
int leaf_stage_setup(void **state);
int leaf_stage_teardown(void **state);
#define LEAF_TEST(t)	cmocka_unit_test_setup_teardown(t, leaf_stage_setup, leaf_stage_teardown)

/* The cache, and a pool of n engines that are up. */
void leaf_begin(struct leaf_stage *, size_t n_engines, unsigned timeout_ms,
    unsigned max);
/* IssueLeaf, so far. */
size_t leaf_calls(const struct leaf_stage *);

/* One asker. */
struct leaf_ask {
	struct leaf_stage		*f;
	uint64_t		id;
	bool			ended;
	enum leaf_fault		fault;
	SSL_CTX			*ctx;		/* owned reference */
	size_t			*count;		/* NULL, or: those that ended */
	uint64_t		cancels;	/* an id, from the callback */
	struct leaf_ask		*starts;	/* NULL, or: asks from the callback */
	const char		*host;		/* for this one */
};

/* True: an answer comes later. */
bool leaf_ask_start(struct leaf_ask *, struct leaf_stage *, const char *host);
void leaf_ask_end(struct leaf_ask *);

/* By one call of the engine, or none: as `called` says. */
enum leaf_fault leaf_fault_of(struct leaf_stage *, const char *host,
    bool called);
/* The one that is served without waiting; the cache's. */
SSL_CTX *leaf_kept(struct leaf_stage *, const char *host);

/* It is of the host and of the CA that signs, with n_chain behind it. */
void leaf_check_ctx(struct leaf_stage *, SSL_CTX *, const char *host,
    int n_chain);

#endif
