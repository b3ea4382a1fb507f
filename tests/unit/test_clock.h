/*
 * test_clock.h - lib/base/clock.h for a test that is linked with test_clock.c:
 * the wall clock goes ahead as it wants.
 */
#ifndef RELAY_TESTS_TEST_CLOCK_H
#define RELAY_TESTS_TEST_CLOCK_H

#include <stdint.h>

extern uint64_t test_clock_ahead_ms;

#endif
