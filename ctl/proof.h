/*
 * ctl/proof.h - does this root key open these records, and do they open what
 * their apps sealed?  An isolated engine answers.
 * Context:   relayctl only; blocks for a second or more.
 */
#ifndef RELAY_CTL_PROOF_H
#define RELAY_CTL_PROOF_H

#include "ctl/archive.h"
#include "ctl/ctl.h"

/*
 * CTL_DONE: an engine of its own loaded exactly these apps and versions, has
 * their checksum and opened each check value.  CTL_FAILED: every app, curve or
 * step that failed was told; nothing is left of the engine.
 */
enum ctl_exit proof_run(struct ctl *, const struct archive *,
    const uint8_t root_key[SHARES_SECRET_BYTES]) must_check;

#endif
