/*
 * e3/app.h - one app's keys as one sealed record brought them: an immutable,
 * counted snapshot.
 * Context:   made by a crypto thread, then read by any thread; never changed
 *            after it was published in the keyring.
 * Ownership: counted; the last unref wipes it.
 */
#ifndef RELAY_E3_APP_H
#define RELAY_E3_APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "e3/ecdh.h"
#include "lib/rpc/sealed_record.h"

#define E3_PAIRS_MAX		64	/* 32 rotations of both curves */
#define E3_API_KEYS_MAX		1024	/* per app, revoked ones too */
#define E3_KEY_ID_BYTES		17	/* "key_" + 12 hex + NUL */
#define E3_NAME_BYTES		65	/* an app's label, 64 bytes of UTF-8 */
#define E3_SCOPES_MAX		8
#define E3_SCOPE_BYTES		33

enum e3_pair_state {
	E3_PAIR_SEALS,		/* the one of its curve that makes tokens */
	E3_PAIR_OPENS		/* older, or not yet taken up: opens only */
};

struct e3_key_pair {
	enum rpc_curve		curve;
	enum e3_pair_state	state;
	uint64_t		number;		/* from 1, per app */
	uint64_t		created_ms;
	struct e3_public_key	pub;
	uint8_t			*secret;	/* view into app->secrets */
};

struct e3_api_key {
	char		id[E3_KEY_ID_BYTES];
	uint8_t		hash[E3_SECRET_BYTES];	/* SHA-256 of the secret */
	bool		revoked;
	uint64_t	created_ms;
	unsigned	n_scopes;		/* none: every scope */
	char		scopes[E3_SCOPES_MAX][E3_SCOPE_BYTES];
};

struct e3_app {
	unsigned		magic;
#define E3_APP_MAGIC		0xa9905c1e
	atomic_uint		refs;
	char			id[RPC_APP_ID_BYTES];
	uint64_t		version;
	char			name[E3_NAME_BYTES];
	uint64_t		created_ms;
	unsigned		n_pairs, n_keys;
	struct e3_key_pair	*pairs;		/* owned */
	struct e3_api_key	*keys;		/* owned */
	uint8_t			*secrets;	/* owned: secure heap, 32 each */
	uint8_t			record_sha256[E3_SECRET_BYTES];
};

/* Zeroed, one reference.  RC_OK; RC_NOMEM: the secure heap is full;
 * RC_LIMIT: more pairs or keys than we keep. */
enum rc e3_app_new(unsigned n_pairs, unsigned n_keys, struct e3_app **)
    must_check;
/* The same keys once more with room for extra_keys at the end of keys[]. */
enum rc e3_app_copy(const struct e3_app *, unsigned extra_keys,
    struct e3_app **) must_check;
struct e3_app *e3_app_ref(struct e3_app *);
void e3_app_unref(struct e3_app **);

/* NULL when the app has none for this curve. */
const struct e3_key_pair *e3_app_sealing_pair(const struct e3_app *,
    enum rpc_curve);

/* Does this key carry the scope?  A key without scopes carries all. */
bool e3_api_key_allows(const struct e3_api_key *, const char *scope);
/* [a-z0-9:_-]{1,32} */
bool e3_scope_valid(struct span);

#endif
