/*
 * worker_origin_pool.h - a pool of connections to a.test in the test's own
 * process, and who takes some of them.
 * Context:   tests of worker/origin_pool.c; cmocka's state is a struct
 *            pool_bench.
 */
#ifndef RELAY_TESTS_WORKER_ORIGIN_POOL_H
#define RELAY_TESTS_WORKER_ORIGIN_POOL_H

#include "tests/unit/worker_origin.h"
#include "worker/origin_pool.h"

struct pool_ask {
	struct origin_pool	*pool;
	uint64_t		id;
	bool			ended;
	size_t			*count;		/* NULL, or: asks that ended */
	enum origin_fault	fault;
	char			why[160];
	struct origin_conn	*conn;		/* owned */
	uint64_t		also_cancel;	/* in the callback; 0: none */
};

struct pool_bench {
	struct lab		lab;
	struct certs_verify	*verify;
	struct origin_pool	*pool;
	struct relay		relay;		/* a.test, as a good one */
	char			host[16], name[16];
};

int pool_bench_setup(void **state);
int pool_bench_teardown(void **state);
#define POOL_TEST(t)							\
	cmocka_unit_test_setup_teardown(t, pool_bench_setup, pool_bench_teardown)

/* Ask; or until there is an answer. */
void pool_ask_start(struct pool_bench *, struct pool_ask *,
    const struct relay *, bool fresh);
struct pool_ask pool_ask(struct pool_bench *, const struct relay *, bool fresh);
/* A connection, or the test fails. */
struct origin_conn *pool_take(struct pool_bench *, const struct relay *);

#endif
