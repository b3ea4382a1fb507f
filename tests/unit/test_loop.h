/*
 * tests/unit/test_loop.h - turning a loop until something happened.
 * Context:   unit tests with both ends of a connection on one loop.
 */
#ifndef RELAY_TEST_LOOP_H
#define RELAY_TEST_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/loop.h"

/* Until *flag, or until *count is want; the test fails after ten seconds. */
void loop_until(struct loop *, const bool *flag);
void loop_until_count(struct loop *, const size_t *count, size_t want);
/* Let time pass on the loop: for what must not happen. */
void loop_for_ms(struct loop *, unsigned ms);

#endif
