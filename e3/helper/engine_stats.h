/*
 * helper/engine_stats.h - what GetStatistics answers, as JSON.
 * Context:   pure.
 */
#ifndef RELAY_E3_HELPER_ENGINE_STATS_H
#define RELAY_E3_HELPER_ENGINE_STATS_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/rpc/codec.h"

/* Replace out by a JSON object of the members we know; foreign ones and those
 * of another type are left out.  *links: how many links the engine has, 0 when
 * it did not say. */
void engine_stats_json(const struct rpc_value *body, struct buffer *out,
    uint64_t *links);

#endif
