/*
 * helper/engine_stats.h - what GetStatistics answers, as JSON, and the part of
 * it that the helper acts on.
 * Context:   pure.
 */
#ifndef RELAY_E3_HELPER_ENGINE_STATS_H
#define RELAY_E3_HELPER_ENGINE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/rpc/codec.h"

#define ENGINE_CHECKSUM_BYTES	32

struct engine_facts {
	bool		known;		/* this engine has answered */
	bool		draining;
	bool		resealing;	/* it has a next root key */
	bool		has_checksum;
	uint8_t		checksum[ENGINE_CHECKSUM_BYTES];
	uint64_t	apps;
	uint64_t	resealed;	/* of them, under the next root key */
	uint64_t	keys_epoch;
	uint64_t	links;		/* 0: it did not say */
};

/* Replace out by a JSON object of the members we know, and *facts by what they
 * say.  Foreign members and those of another type are left out. */
void engine_stats_read(const struct rpc_value *body, struct buffer *out,
    struct engine_facts *facts);

#endif
