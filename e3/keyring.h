/*
 * e3/keyring.h - the active apps by id, and their live API keys by hash.
 * Context:   the network thread alone; a call takes a reference to its app
 *            before a crypto thread sees it, so no lock is needed.
 * Ownership: the keyring holds one reference to each app.
 */
#ifndef RELAY_E3_KEYRING_H
#define RELAY_E3_KEYRING_H

#include <stddef.h>
#include <stdint.h>

#include "e3/app.h"
#include "lib/base/tree.h"

struct e3_keyring;

struct e3_keyring *e3_keyring_new(void);
void e3_keyring_free(struct e3_keyring **);

/* Borrowed; NULL: no such app. */
struct e3_app *e3_keyring_app(const struct e3_keyring *, struct span id);

/* By SHA-256 of the secret, expired ones too; borrowed.  NULL: none. */
const struct e3_api_key *e3_keyring_key(const struct e3_keyring *,
    const uint8_t hash[SCHEME_SECRET_BYTES]);

/*
 * Make a snapshot active in place of an older one; the reference moves here
 * in every case.
 * RC_OK        active now
 * RC_EXISTS    the same record was active already
 * RC_CONFLICT  this version is active with other bytes
 * RC_DENIED    an older version than the active one: a rollback
 */
enum rc e3_keyring_put(struct e3_keyring *, struct e3_app **) must_check;

/* Over every active record, as lib/rpc/sealed_record.h defines it. */
void e3_keyring_checksum(struct e3_keyring *,
    uint8_t out[SCHEME_SECRET_BYTES]);

/* With each struct e3_app, in the order of ids. */
void e3_keyring_each(const struct e3_keyring *, tree_cb *, void *arg);

size_t e3_keyring_apps(const struct e3_keyring *);
size_t e3_keyring_pairs(const struct e3_keyring *);	/* of all apps */
size_t e3_keyring_under_next(const struct e3_keyring *);	/* apps */
size_t e3_keyring_keys(const struct e3_keyring *);	/* not revoked */
/* Changes with every put that changed anything, and with every start. */
uint64_t e3_keyring_epoch(const struct e3_keyring *);

#endif
