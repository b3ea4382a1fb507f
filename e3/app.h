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

#include "e3/ca.h"
#include "lib/base/buffer.h"
#include "lib/rpc/credential.h"
#include "lib/rpc/sealed_record.h"
#include "lib/scheme/ecdh.h"

#define E3_PAIRS_MAX		64	/* per app, retired ones too */
#define E3_LIVE_PAIRS_MAX	8	/* per curve: each costs a try per token */
#define E3_API_KEYS_MAX		1024	/* per app, revoked ones too; beyond
					   them the oldest dead one goes */
#define E3_KEY_ID_BYTES		17	/* "key_" + 12 hex + NUL */
#define E3_PAIR_ID_BYTES	18	/* "pair_" + 12 hex + NUL */
#define E3_NAME_BYTES		65	/* an app's label, 64 bytes of UTF-8 */
#define E3_SCOPES_MAX		RPC_SCOPES_MAX
#define E3_SCOPE_BYTES		RPC_SCOPE_BYTES

enum e3_pair_state {
	E3_PAIR_SEALS,		/* the one of its curve that makes tokens */
	E3_PAIR_OPENS,		/* older, or not yet taken up: opens only */
	E3_PAIR_RETIRED		/* kept, and used for nothing */
};

struct e3_key_pair {
	enum rpc_curve		curve;
	enum e3_pair_state	state;
	uint64_t		number;		/* per app, grows with age */
	uint64_t		created_ms;
	struct scheme_public_key	pub;
	uint8_t			*secret;	/* view into app->secrets */
};

struct e3_api_key {
	struct e3_app	*app;		/* borrowed: holds this; set when it is
					   published */
	char		id[E3_KEY_ID_BYTES];
	uint8_t		hash[SCHEME_SECRET_BYTES];	/* SHA-256 of the secret */
	bool		revoked;
	uint64_t	created_ms;
	uint64_t	expires_ms;		/* 0: never */
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
	struct e3_key_pair	*pairs;		/* owned; the newest last */
	struct e3_api_key	*keys;		/* owned */
	uint8_t			*secrets;	/* owned: secure heap, 32 each */
	unsigned		n_cas;		/* of app_system only */
	struct e3_ca		*cas[E3_CAS_MAX];	/* counted; the newest last */
	struct buffer		roles_bytes;	/* owned: policies, encoded */
	struct rpc_document	roles;		/* owned: views of roles_bytes;
						   root NULL: no roles */
	uint8_t			record_sha256[SCHEME_SECRET_BYTES];
	bool			under_next;	/* sealed by the next root key */
};

/* Zeroed, one reference.  RC_OK; RC_NOMEM: the secure heap is full;
 * RC_LIMIT: more pairs or keys than we keep. */
enum rc e3_app_new(unsigned n_pairs, unsigned n_keys, struct e3_app **)
    must_check;
/* The same once more, with room at the end of pairs[] and keys[]. */
enum rc e3_app_copy(const struct e3_app *, unsigned extra_pairs,
    unsigned extra_keys, struct e3_app **) must_check;
struct e3_app *e3_app_ref(struct e3_app *);
void e3_app_unref(struct e3_app **);

/* For an app that is not published yet.  Roles as rpc_policy_check takes them;
 * RC_SYNTAX, RC_LIMIT, RC_NOMEM: the former ones stay. */
enum rc e3_app_set_roles(struct e3_app *, const struct rpc_value *roles)
    must_check;
/* Encoded: a view. */
struct span e3_app_roles(const struct e3_app *);
/* For an app that is not published yet: pair i is wiped and gone. */
void e3_app_drop_pair(struct e3_app *, unsigned i);
/* Room for one more CA: the oldest that has ended is gone, else the oldest
 * without a certificate.  False: all are needed. */
bool e3_app_make_room_for_ca(struct e3_app *, uint64_t now_ms);
/* The oldest API key that is revoked or has ended is gone.  False: all live. */
bool e3_app_drop_dead_key(struct e3_app *, uint64_t now_ms);

/* NULL when the app has none for this curve. */
const struct e3_key_pair *e3_app_sealing_pair(const struct e3_app *,
    enum rpc_curve);

unsigned e3_app_live_pairs(const struct e3_app *, enum rpc_curve);
/* "pair_" and the first 12 hex digits of SHA-256(compressed public key). */
void e3_pair_id(const struct e3_key_pair *, char out[E3_PAIR_ID_BYTES]);

/* On the wire and in records: by enum rpc_curve, by enum e3_pair_state; NULL
 * behind the last. */
const char *const *e3_curve_names(void);
const char *const *e3_pair_state_names(void);

/* Not revoked, not expired. */
bool e3_api_key_live(const struct e3_api_key *, uint64_t now_ms);
/* Does this key carry the scope?  A key without scopes carries all. */
bool e3_api_key_allows(const struct e3_api_key *, const char *scope);
/* An array of at most E3_SCOPES_MAX texts, each [a-z0-9:_-]{1,32}. */
bool e3_api_key_set_scopes(struct e3_api_key *, const struct rpc_value *);
void e3_api_key_put_scopes(struct buffer *, const struct e3_api_key *);

#endif
