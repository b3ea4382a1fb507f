/*
 * helper/control.h - the helper's own socket: relayctl brings sealed records,
 * asks for the status, and who else uses a record.
 * Context:   the loop's thread.
 * Ownership: the creator owns it; it owns its clients and their changes.
 *
 *   store-record APPID VERSION + memfd  ->  ok | conflict | partly TEXT |
 *                                           failed TEXT
 *   confirm APPID VERSION TIMEOUT_MS    ->  ok | partly NAME... | failed TEXT
 *   reseal                              ->  ok N | partly TEXT | failed TEXT
 *   drain on|off                        ->  ok | failed TEXT
 *   engines                             ->  engines [announcement...]
 *   status                              ->  status {json}
 *
 * partly: of a record, on disk, but engine or Redis (require_replica) did not
 * confirm it in time, and they are asked again until they do; of confirm, the
 * engines that do not use this version; of reseal, some are left.
 */
#ifndef RELAY_E3_HELPER_CONTROL_H
#define RELAY_E3_HELPER_CONTROL_H

#include <stdbool.h>

#include "e3/helper/announce.h"
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
	struct announce		*announce;
	struct turn		*turn;
	const char		*name;		/* the engine's, as announced */
	const char		*state_dir;	/* for what others left there */
	bool			require_replica;
};

struct control *control_new(struct loop *, const struct control_config *);
void control_free(struct control **);

/* Something changed: look at what waits. */
void control_kick(struct control *);

/* Take no new clients, begin nothing new. */
void control_drain(struct control *);
bool control_is_idle(const struct control *);	/* no change under way */

/* Append the status JSON; also the answer to the master's `status`. */
void control_status(const struct control *, struct buffer *out);

#endif
