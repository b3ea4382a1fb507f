/*
 * worker/drain.h - leave politely: no new connections, what is in flight ends,
 * idle ones close at once.
 * Context:   the loop's thread.
 */
#ifndef RELAY_WORKER_DRAIN_H
#define RELAY_WORKER_DRAIN_H

#include "worker/worker.h"

/* Begin, or look again whether all is done; then the loop stops.  Bounded by
 * conf's drain_timeout_ms.  Idempotent. */
void drain_begin(struct worker *);

#endif
