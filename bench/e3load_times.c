/* bench/e3load_times.c - exponent and ten bits of mantissa choose a slot. */
#include "bench/e3load_times.h"

#include <math.h>
#include <stddef.h>

#define STEPS	((uint64_t)1 << LOAD_TIMES_BITS)

/* Below 2 * STEPS each value has a slot of its own. */
static size_t
slot_of(uint64_t ns)
{
	unsigned shift;

	if (ns >> LOAD_TIMES_MAX_BITS != 0)
		return (LOAD_TIMES_SLOTS - 1);
	if (ns < STEPS)
		return ((size_t)ns);
	shift = 63 - (unsigned)__builtin_clzll(ns) - LOAD_TIMES_BITS;
	return ((size_t)(shift * STEPS + (ns >> shift)));
}

/* The largest value of a slot. */
static uint64_t
slot_value(size_t slot)
{
	uint64_t shift = slot >> LOAD_TIMES_BITS;

	if (shift != 0)
		shift--;
	return (((slot - shift * STEPS + 1) << shift) - 1);
}

void
load_times_add(struct load_times *t, uint64_t ns)
{
	t->count++;
	t->slots[slot_of(ns)]++;
	if (ns > t->max_ns)
		t->max_ns = ns;
}

void
load_times_merge(struct load_times *t, const struct load_times *other)
{
	t->count += other->count;
	if (other->max_ns > t->max_ns)
		t->max_ns = other->max_ns;
	for (size_t i = 0; i < LOAD_TIMES_SLOTS; i++)
		t->slots[i] += other->slots[i];
}

uint64_t
load_times_percentile(const struct load_times *t, double percent)
{
	uint64_t wanted = (uint64_t)ceil((double)t->count * percent / 100);
	uint64_t seen = 0;

	if (wanted == 0)
		wanted = 1;
	for (size_t i = 0; i < LOAD_TIMES_SLOTS; i++)
		if ((seen += t->slots[i]) >= wanted)
			return (slot_value(i) < t->max_ns ? slot_value(i) :
			    t->max_ns);
	return (0);
}
