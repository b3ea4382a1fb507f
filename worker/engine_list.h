/*
 * worker/engine_list.h - the engines of the map, told to the pool whenever they
 * change.
 * Context:   the loop's thread.
 * Ownership: the worker owns it; it borrows routes (who have the map) and pool.
 *
 * The map has them from the feed, which has them from Redis.  While the map
 * cannot be read, or one of its engines cannot, the last list stays.
 */
#ifndef RELAY_WORKER_ENGINE_LIST_H
#define RELAY_WORKER_ENGINE_LIST_H

#include "worker/engine_pool.h"
#include "worker/route.h"

#define ENGINE_LIST_MS	200	/* between looks, each some nanoseconds */

struct engine_list *engine_list_new(struct loop *, struct route_table *,
    struct engine_pool *);
void engine_list_free(struct engine_list **);

#endif
