/*
 * helper/confirm.h - does every engine use this version of a record: every one
 * that is announced, or was, and did not say that it leaves?
 * Context:   the loop's thread.
 * Ownership: embedded in what answers; confirms_fini before it goes, and after
 *            the replica is gone.
 */
#ifndef RELAY_E3_HELPER_CONFIRM_H
#define RELAY_E3_HELPER_CONFIRM_H

#include <stdbool.h>
#include <stdint.h>

#include "e3/helper/record_store.h"
#include "e3/helper/replica.h"
#include "lib/base/list.h"
#include "lib/base/loop.h"

#define CONFIRM_TIMEOUT_MAX_MS	600000

struct confirm;

struct confirms {
	struct loop		*loop;		/* borrowed */
	struct record_store	*store;		/* borrowed */
	struct replica		*replica;	/* borrowed; NULL: no Redis */
	const char		*name;		/* borrowed: our engine's */
	/* RC_OK: every one does.  RC_MORE: text names those that do not, by
	 * time's end.  RC_UNAVAILABLE: nobody can tell, text says why. */
	void			(*on_done)(void *arg, uint64_t who, enum rc,
				    const char *text);
	void			*arg;
	unsigned		n;
	TAILQ_HEAD(, confirm)	list;
};

void confirms_init(struct confirms *);
void confirms_fini(struct confirms *);		/* nobody is answered */

/* The way to Redis changed. */
void confirms_kick(struct confirms *);

/* RC_OK: on_done comes later.  RC_LIMIT: too many ask. */
enum rc confirm_begin(struct confirms *, uint64_t who, const char *app,
    uint64_t version, uint64_t timeout_ms) must_check;

#endif
