/* bench/e3load_chance.c - splitmix64, and what is made of it. */
#include "bench/e3load_chance.h"

#include <math.h>

static uint64_t
next_random(struct load_chance *c)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31);
}

size_t
load_chance_scenario(struct load_chance *c, const struct load_client *client)
{
	uint64_t sum = 0, at;
	size_t i;

	for (i = 0; i < client->n_scenarios; i++)
		sum += client->scenarios[i].weight;
	at = next_random(c) % sum;
	for (i = 0; at >= client->scenarios[i].weight; i++)
		at -= client->scenarios[i].weight;
	return (i);
}

uint64_t
load_chance_gap_ns(struct load_chance *c, const struct load_client *client,
    double rate)
{
	double u;

	if (client->arrivals == LOAD_FIXED)
		return ((uint64_t)(1e9 / rate));
	/* In (0, 1]: its logarithm is finite. */
	u = ((double)(next_random(c) >> 11) + 1) / (double)(1ull << 53);
	return ((uint64_t)(-log(u) * 1e9 / rate));
}
