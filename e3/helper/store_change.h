/*
 * helper/store_change.h - one sealed record on its way from relayctl to disk,
 * engine and Redis.
 * Context:   the loop's thread.
 * Ownership: a change belongs to the list it is made in and lives until its
 *            end, whether or not anybody still waits for the answer: what is on
 *            disk must reach the engine.
 */
#ifndef RELAY_E3_HELPER_STORE_CHANGE_H
#define RELAY_E3_HELPER_STORE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "e3/helper/engine.h"
#include "e3/helper/record_store.h"
#include "e3/helper/replica.h"
#include "e3/helper/turn.h"
#include "lib/base/list.h"

struct store_change;

struct store_changes {
	struct loop		*loop;		/* borrowed */
	struct record_store	*store;		/* borrowed */
	struct engine		*engine;	/* borrowed */
	struct replica		*replica;	/* borrowed; NULL: no Redis */
	struct turn		*turn;		/* borrowed */
	bool			require_replica;
	/* who: as given to store_change_begin.  RC_OK: acknowledge; RC_CONFLICT;
	 * RC_MORE: on disk, but why says what has not confirmed it yet; else
	 * why says what failed, and nothing is changed. */
	void			(*on_done)(void *arg, uint64_t who, enum rc,
				    const char *why);
	void			*arg;
	unsigned		n;		/* under way */
	TAILQ_HEAD(, store_change) list;
};

void store_changes_init(struct store_changes *);
/* Ends every change without an answer. */
void store_changes_fini(struct store_changes *);

/* record: moved.  RC_OK: on_done comes, perhaps before this returns.
 * RC_SYNTAX: no record of this app and version.  RC_LIMIT: too many wait. */
enum rc store_change_begin(struct store_changes *, uint64_t who,
    const char *app, uint64_t version, struct buffer *record) must_check;

/* Something changed: look at what waits. */
void store_changes_kick(struct store_changes *);

#endif
