/*
 * worker_engine_pair.h - two engines of worker_engine.h and a pool that knows
 * none, one or both of them.
 * Context:   tests of worker/engine_pool.c and of what asks it.
 */
#ifndef RELAY_TESTS_WORKER_ENGINE_PAIR_H
#define RELAY_TESTS_WORKER_ENGINE_PAIR_H

#include "tests/unit/worker_engine.h"

#define SOON_MS		200
#define NEVER_MS	60000

struct engine_pair {
	struct lab		lab;
	struct worker_engine	one, two;
	struct engine_pool	*pool;	/* owned; NULL: not yet */
};

void engine_pair_start(struct engine_pair *);
void engine_pair_stop(struct engine_pair *);

/* The pool, of the first n; its calls end after timeout_ms. */
void engine_pair_pool(struct engine_pair *, size_t n, unsigned timeout_ms);
/* Until it has this many engines up. */
void engine_pair_until_up(struct engine_pair *, size_t n);

/* Until engine_pool_keys_seen is not 0 and not what it was; returns it. */
uint64_t engine_pair_until_keys_seen(struct engine_pair *, uint64_t was);
/* Until it is 0. */
void engine_pair_until_keys_unsure(struct engine_pair *);

/* cmocka's state is a struct engine_pair without a pool. */
int engine_pair_setup(void **state);
int engine_pair_teardown(void **state);
#define ENGINE_PAIR_TEST(t)						\
	cmocka_unit_test_setup_teardown(t, engine_pair_setup,		\
	    engine_pair_teardown)

#endif
