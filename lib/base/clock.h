/*
 * base/clock.h - the two clocks: monotonic for waiting, wall for records.
 * Context:   pure; any process, any thread.
 */
#ifndef RELAY_BASE_CLOCK_H
#define RELAY_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
uint64_t clock_wall_ms(void);	/* since 1970 */

#endif
