/*
 * helper/announce.h - says in Redis that our engine is there, and listens to
 * what the others say of theirs.
 * Context:   the loop's thread.
 * Ownership: the creator owns it; engine and replica are borrowed and outlive
 *            it.
 *
 *   relay:engine:<name>   the announcement, with a time to live
 *   relay:engines         the names
 *   relay:engines:last    what was last known of each: "here SECONDS", kept for
 *                         a week, or "left SECONDS", which it said itself
 *
 * An engine that is lost stays announced until that time is over: it is mostly
 * back within a second or two, and who asks meanwhile whether every engine has
 * a record must not be told that this one does not count.  Nor does it cease to
 * count by its silence: cut off from Redis it may serve on (confirm.h).
 */
#ifndef RELAY_E3_HELPER_ANNOUNCE_H
#define RELAY_E3_HELPER_ANNOUNCE_H

#include <stdbool.h>

#include "e3/helper/announcement.h"
#include "e3/helper/engine.h"
#include "e3/helper/replica.h"
#include "lib/base/loop.h"
#include "lib/body/json_write.h"

struct announce;

struct announce_config {
	struct engine	*engine;	/* borrowed */
	struct replica	*replica;	/* borrowed; NULL: no Redis */
	const char	*name;		/* as announcement_name; copied */
	const char	*address;	/* or ""; copied */
};

struct announce_ops {
	/* announce_end is over. */
	void	(*on_ended)(void *arg);
};

struct announce *announce_new(struct loop *, const struct announce_config *,
    const struct announce_ops *, void *arg);
void announce_free(struct announce **);

/* The engine or the way to Redis changed: say at once what is new. */
void announce_kick(struct announce *);

/* We leave: draining from now on, unless a successor of the same name speaks
 * already. */
void announce_drain(struct announce *);
/* Take the announcement back; on_ended comes, at once without Redis, else
 * within a second.  A second call does nothing. */
void announce_end(struct announce *);

/* An array of all that are announced, ours too: the announcement and `agrees`,
 * false where the engine holds other records than ours does now. */
void announce_put(const struct announce *, struct body_json_writer *,
    const char *key);
/* Engines that are ready and have held other records than ours for longer than
 * changes need to arrive. */
size_t announce_disagree(const struct announce *);

#endif
