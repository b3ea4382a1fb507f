/* worker_engine_pair.c - see worker_engine_pair.h. */
#include "tests/unit/worker_engine_pair.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/unit/test_loop.h"

#define LOOKS_MAX	10000	/* of a millisecond at least */

void
engine_pair_start(struct engine_pair *p)
{
	lab_start(&p->lab);
	worker_engine_start(&p->one, &p->lab, false);
	worker_engine_start(&p->two, &p->lab, false);
	p->pool = NULL;
}

void
engine_pair_stop(struct engine_pair *p)
{
	engine_pool_free(&p->pool);
	worker_engine_stop(&p->one);
	worker_engine_stop(&p->two);
	loop_for_ms(p->lab.loop, 1);	/* what was closed leaves the loop */
	lab_stop(&p->lab);
}

void
engine_pair_pool(struct engine_pair *p, size_t n, unsigned timeout_ms)
{
	struct worker_engine *const both[] = { &p->one, &p->two };

	assert_in_range(n, 0, 2);
	p->pool = lab_pool(&p->lab, NULL, timeout_ms, both, n);
}

void
engine_pair_until_up(struct engine_pair *p, size_t n)
{
	for (unsigned i = 0; engine_pool_up(p->pool) != n; i++) {
		assert_in_range(i, 0, LOOKS_MAX);
		loop_for_ms(p->lab.loop, 1);
	}
}

uint64_t
engine_pair_until_keys_seen(struct engine_pair *p, uint64_t was)
{
	uint64_t now;

	for (unsigned i = 0; (now = engine_pool_keys_seen(p->pool)) == 0 ||
	    now == was; i++) {
		assert_in_range(i, 0, LOOKS_MAX);
		loop_for_ms(p->lab.loop, 1);
	}
	return (now);
}

void
engine_pair_until_keys_unsure(struct engine_pair *p)
{
	for (unsigned i = 0; engine_pool_keys_seen(p->pool) != 0; i++) {
		assert_in_range(i, 0, LOOKS_MAX);
		loop_for_ms(p->lab.loop, 1);
	}
}

int
engine_pair_setup(void **state)
{
	struct engine_pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	engine_pair_start(p);
	*state = p;
	return (0);
}

int
engine_pair_teardown(void **state)
{
	engine_pair_stop(*state);
	free(*state);
	return (0);
}
