/* See test_clock.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "lib/base/clock.h"
#include "tests/unit/test_clock.h"

uint64_t test_clock_ahead_ms;

static uint64_t
clock_of(clockid_t id)
{
	struct timespec t;

	assert_int_equal(clock_gettime(id, &t), 0);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

uint64_t
clock_mono_ns(void)
{
	return (clock_of(CLOCK_MONOTONIC));
}

uint64_t
clock_mono_ms(void)
{
	return (clock_mono_ns() / 1000000);
}

uint64_t
clock_wall_ms(void)
{
	return (clock_of(CLOCK_REALTIME) / 1000000 + test_clock_ahead_ms);
}
