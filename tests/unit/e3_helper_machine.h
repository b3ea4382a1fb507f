/*
 * e3_helper_machine.h - the parts of one e3-helper around a scripted engine, as
 * main.c puts them together; several in one test are several machines.
 * Context:   the helper's tests.
 */
#ifndef RELAY_TESTS_E3_HELPER_MACHINE_H
#define RELAY_TESTS_E3_HELPER_MACHINE_H

#include "e3/helper/announce_private.h"
#include "e3/helper/confirm.h"
#include "e3/helper/engine_private.h"
#include "e3/helper/replica_private.h"
#include "e3/helper/reseal.h"
#include "e3/helper/store_change.h"
#include "e3_helper_stage.h"
#include "redis_server.h"

struct machine {
	struct stage		stage;
	char			dir[64];	/* records; made and removed */
	struct record_store	*store;
	struct engine		*engine;
	struct turn		turn;
	struct replica		*replica;	/* NULL: no Redis */
	struct announce		*announce;
	struct store_changes	changes;
	struct confirms		confirms;
	struct reseal		*reseal;
	struct timer		tick;	/* no turn of the loop waits long */

	/* the last answer */
	bool			answered;
	enum rc			rc;
	char			text[256];
	bool			ended;		/* announce_end is over */
};

/* n records app_000000000000, app_000000000001... of version 1 on disk.
 * redis: NULL for none.  name: "a@test". */
void machine_open(struct machine *, const struct redis_server *redis,
    const char *name, unsigned n);
void machine_close(struct machine *);
void machine_app(unsigned i, char out[RPC_APP_ID_BYTES]);

/* The helper alone dies and comes back: all but engine and disk is new. */
void machine_restart(struct machine *, const struct redis_server *redis,
    const char *name);

/* Store the app's next version, as relayctl does; waits for the answer. */
enum rc machine_change(struct machine *, const char *app);
/* What the store has of it; 0: nothing. */
uint64_t machine_version(struct machine *, const char *app);

/* Turn the loops of n machines until check says so, or fail in 10 s. */
void machines_until(struct machine *const *, size_t n,
    bool (*check)(void *arg), void *arg);
/* Until this one answered its question. */
void machine_until_answered(struct machine *);
bool machine_is_ready(void *machine);		/* for machines_until */
/* Let time pass: for what must not happen. */
void machines_for_ms(struct machine *const *, size_t n, unsigned ms);

#endif
