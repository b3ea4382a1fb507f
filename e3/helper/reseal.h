/*
 * helper/reseal.h - every record on disk anew under the next root key, one
 * after the other.
 * Context:   the loop's thread.
 * Ownership: the creator owns it; what its config names is borrowed and
 *            outlives it.
 *
 * Each record is a change like one of relayctl (store_change.h): the engine
 * seals version n+1, it is written, loaded, active.  Others may change records
 * between two of ours.  While the engine has both root keys it opens records
 * under either, so that we may die anywhere; who begins again reseals what is
 * left.
 */
#ifndef RELAY_E3_HELPER_RESEAL_H
#define RELAY_E3_HELPER_RESEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "e3/helper/store_change.h"
#include "lib/base/loop.h"

struct reseal;

struct reseal_config {
	struct record_store	*store;
	struct engine		*engine;
	struct replica		*replica;	/* NULL: no Redis */
	struct turn		*turn;
	bool			require_replica;
};

struct reseal_ops {
	/* RC_OK: every record is under the next root key and active, and engine
	 * and disk have the same; text is their number.  RC_MORE: not all, text
	 * says why; else nothing was changed, text says why. */
	void	(*on_done)(void *arg, uint64_t who, enum rc, const char *text);
};

struct reseal *reseal_new(struct loop *, const struct reseal_config *,
    const struct reseal_ops *, void *arg);
void reseal_free(struct reseal **);	/* nobody is answered */

/* Begin, or join what is under way: on_done comes for who, perhaps before this
 * returns.  RC_LIMIT: too many wait for it. */
enum rc reseal_begin(struct reseal *, uint64_t who) must_check;
bool reseal_is_running(const struct reseal *);

/* Something changed: look at what waits. */
void reseal_kick(struct reseal *);
/* Stop behind the record under way. */
void reseal_drain(struct reseal *);

#endif
