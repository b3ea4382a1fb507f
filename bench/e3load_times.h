/*
 * bench/e3load_times.h - how long things took: a histogram that keeps a
 * percentile to a thousandth of itself, and the maximum exactly.
 * Context:   pure; one thread for each.
 * Ownership: the caller embeds it (256 KiB: not on a stack).
 *
 * Its size does not grow with the load, and two of them can be added: values
 * in a list could do neither.
 */
#ifndef RELAY_BENCH_E3LOAD_TIMES_H
#define RELAY_BENCH_E3LOAD_TIMES_H

#include <stdint.h>

#define LOAD_TIMES_BITS		10	/* steps of 1/1024 */
#define LOAD_TIMES_MAX_BITS	41	/* 36 minutes in ns; above: as that */
#define LOAD_TIMES_SLOTS	\
	((LOAD_TIMES_MAX_BITS - LOAD_TIMES_BITS + 1) << LOAD_TIMES_BITS)

struct load_times {
	uint64_t	count, max_ns;
	uint64_t	slots[LOAD_TIMES_SLOTS];
};

void load_times_add(struct load_times *, uint64_t ns);
void load_times_merge(struct load_times *, const struct load_times *);
/* The smallest time that so many per cent of all do not exceed; 0: none. */
uint64_t load_times_percentile(const struct load_times *, double percent);

#endif
