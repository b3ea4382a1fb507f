/*
 * ctl/isolated_engine.h - an engine of our own, for as long as a proof takes:
 * with the records of a backup and its root key, on certificates that nobody
 * else has, reachable through one Unix socket in a folder of mode 0700,
 * without Redis.
 * Context:   relayctl only; blocks.  SIGINT, SIGTERM and SIGHUP are caught
 *            meanwhile, so that nothing is left behind.
 * Ownership: the creator owns it.
 */
#ifndef RELAY_CTL_ISOLATED_ENGINE_H
#define RELAY_CTL_ISOLATED_ENGINE_H

#include "ctl/archive.h"
#include "ctl/ctl.h"

struct isolated_engine;

/* Start it and wait until it is ready.  ctl: users and limits come from its
 * configuration.  CTL_DONE with *out, or an error told and nothing left. */
enum ctl_exit isolated_engine_start(struct ctl *, const struct archive *,
    const uint8_t root_key[SHARES_SECRET_BYTES],
    struct isolated_engine **out) must_check;

/* What engine_client_open(ENGINE_LOCAL) needs to reach it; a view. */
struct ctl *isolated_engine_ctl(struct isolated_engine *);

/* The errors that its log holds, for a proof that failed. */
void isolated_engine_tell_log(const struct isolated_engine *);

/* A signal wants us to end. */
bool isolated_engine_interrupted(const struct isolated_engine *);

/* End it, wait for that, and take its folder away. */
void isolated_engine_end(struct isolated_engine **);

#endif
