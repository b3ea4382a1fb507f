/*
 * helper/control.h - the helper's own socket: relayctl brings sealed records
 * and asks for the status.
 * Context:   the loop's thread.
 * Ownership: the creator owns it; it owns its clients and their changes.
 *
 *   store-record APPID VERSION + memfd  ->  ok | conflict | partly TEXT |
 *                                           failed TEXT
 *   status                              ->  status {json}
 *
 * partly: on disk, but engine or Redis (require_replica) did not confirm it in
 * time; they are asked again until they do.
 */
#ifndef RELAY_E3_HELPER_CONTROL_H
#define RELAY_E3_HELPER_CONTROL_H

#include <stdbool.h>

#include "e3/helper/engine.h"
#include "e3/helper/record_store.h"
#include "e3/helper/replica.h"
#include "e3/helper/turn.h"
#include "lib/base/buffer.h"
#include "lib/base/loop.h"

struct control;

struct control_config {
	int			fd;	/* listening SOCK_SEQPACKET; owned from
					   here; -1: none */
	struct record_store	*store;		/* these are borrowed */
	struct engine		*engine;
	struct replica		*replica;	/* NULL: no Redis */
	struct turn		*turn;
	bool			require_replica;
};

struct control *control_new(struct loop *, const struct control_config *);
void control_free(struct control **);

/* Something changed: look at what waits. */
void control_kick(struct control *);

/* Take no new clients. */
void control_drain(struct control *);
bool control_is_idle(const struct control *);	/* no change under way */

/* Append the status JSON; also the answer to the master's `status`. */
void control_status(const struct control *, struct buffer *out);

#endif
