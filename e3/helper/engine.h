/*
 * helper/engine.h - the helper's link to its engine: fills it with the records
 * on disk, proves that they arrived, sets it ready; again after every restart
 * of the engine.
 * Context:   the loop's thread.
 * Ownership: the creator owns it; the store is borrowed and outlives it.
 */
#ifndef RELAY_E3_HELPER_ENGINE_H
#define RELAY_E3_HELPER_ENGINE_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "e3/helper/engine_stats.h"
#include "e3/helper/record_store.h"
#include "lib/base/loop.h"
#include "lib/net/addr.h"

struct engine;

enum engine_state {
	ENGINE_DOWN,		/* waiting to connect again */
	ENGINE_CONNECTING,
	ENGINE_LOADING,		/* LoadRecords, batch by batch */
	ENGINE_COMPARING,	/* Checksum */
	ENGINE_SETTING_READY,	/* SetReady */
	ENGINE_UNEQUAL,		/* it does not hold what the disk has: not set
				   ready; asked again every tick */
	ENGINE_READY
};
const char *engine_state_name(enum engine_state);

struct engine_config {
	struct net_addr	addr;
	SSL_CTX		*ctx;		/* role helper; borrowed */
};

struct engine_ops {
	/* The state changed, a record became active, or GetStatistics told of
	 * another checksum, epoch or drain: look again. */
	void	(*on_change)(void *arg);
};

struct engine *engine_new(struct loop *, const struct engine_config *,
    struct record_store *, const struct engine_ops *, void *arg);
/* Calls in flight get RC_CANCELLED. */
void engine_free(struct engine **);

enum engine_state engine_state(const struct engine *);
bool engine_is_up(const struct engine *);	/* the link stands */
/* The disk's records were sent and nothing is being compared: single loads are
 * possible (READY and UNEQUAL, which a record of Redis may heal). */
bool engine_is_loaded(const struct engine *);
/* It is loaded, and answered a few seconds ago: one that hangs keeps its link
 * and its state until the link stalls. */
bool engine_answers(const struct engine *);

/* Do not connect again once the link is gone, and notice soon when ours is
 * the last link the engine has. */
void engine_drain(struct engine *);
/* Draining, and the engine is gone or nobody but us uses it. */
bool engine_is_left_alone(const struct engine *);

/*
 * LoadRecords of one record.  RC_OK: cb comes once, later; RC_UNAVAILABLE: not
 * loaded yet, cb does not come.  cb's rc: RC_OK (the engine opened it and uses
 * this version), RC_CONFLICT (it uses a higher one), RC_DENIED (it could not open
 * it), RC_UNAVAILABLE, RC_TIMEOUT, RC_CANCELLED.
 */
typedef void engine_load_cb(void *arg, enum rc);
enum rc engine_load(struct engine *, struct span record, engine_load_cb *,
    void *arg) must_check;

/*
 * Reseal: the app's next record, under the next root key.  Results as above;
 * cb's rc: RC_OK (version and record, a view), RC_CONFLICT (there is no next root
 * key, or the app is under it), RC_NOTFOUND (no such app), RC_DENIED (refused for another reason), RC_SYNTAX,
 * RC_UNAVAILABLE, RC_TIMEOUT, RC_CANCELLED.
 */
typedef void engine_reseal_cb(void *arg, enum rc, uint64_t version,
    struct span record);
enum rc engine_reseal(struct engine *, const char *app, engine_reseal_cb *,
    void *arg) must_check;

/* SetDraining, and again whenever the engine came back.  RC_OK: cb (may be NULL)
 * comes once, later; RC_UNAVAILABLE: not ready, and nothing is remembered. */
enum rc engine_set_draining(struct engine *, bool on, engine_load_cb *,
    void *arg) must_check;

/* It told its callers to go elsewhere, or will as soon as it is back. */
bool engine_is_draining(const struct engine *);

/* The last GetStatistics: as a JSON object, "{}" before the first; its facts,
 * not known while the link is down; and when it came, by clock_mono_ms, 0:
 * never. */
struct span engine_statistics(const struct engine *);
const struct engine_facts *engine_facts(const struct engine *);
uint64_t engine_answered_ms(const struct engine *);
/* Ask for them now: on_change comes when they say anything new. */
void engine_ask(struct engine *);

#endif
