/*
 * bench/e3load_chance.h - when the next request leaves and which it is: the
 * same in each run with the same seed.
 * Context:   pure; one thread for each state.
 */
#ifndef RELAY_BENCH_E3LOAD_CHANCE_H
#define RELAY_BENCH_E3LOAD_CHANCE_H

#include "bench/e3load_profile.h"

struct load_chance {
	uint64_t	state;		/* any seed will do */
};

/* By weight. */
size_t load_chance_scenario(struct load_chance *, const struct load_client *);
/* To the arrival after this one, at so many a second. */
uint64_t load_chance_gap_ns(struct load_chance *, const struct load_client *,
    double rate);

#endif
