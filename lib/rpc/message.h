/*
 * rpc/message.h - the bodies of calls and replies that more than one program
 * reads or writes, typed.
 * Context:   pure; fuzzed.
 */
#ifndef RELAY_RPC_MESSAGE_H
#define RELAY_RPC_MESSAGE_H

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/op.h"

enum rpc_curve { RPC_CURVE_R1, RPC_CURVE_K1 };		/* "r1", "k1" */
enum rpc_key_scope { RPC_SCOPE_REQUEST, RPC_SCOPE_FIELD }; /* "request", "field" */
enum rpc_existing { RPC_EXISTING_VERIFY, RPC_EXISTING_ENCRYPT };

enum rpc_field_type {		/* numbers on the wire */
	RPC_FIELD_STRING = 0,
	RPC_FIELD_NUMBER = 1,
	RPC_FIELD_BOOLEAN = 2,
	RPC_FIELD_FILE = 3
};

struct rpc_field {
	enum rpc_field_type	type;
	struct span		bytes;	/* view */
	struct span		role;	/* view; empty: none */
};

/* ---- Encrypt {app, curve, keyScope, existing, fields} ---- */
struct rpc_encrypt {
	struct span		app;
	enum rpc_curve		curve;
	enum rpc_key_scope	scope;
	enum rpc_existing	existing;
	const struct rpc_value	*fields;	/* reading: an array */
	size_t			n_fields;
};
/* Writing: head first, then exactly n_fields fields.  RC_LIMIT / RC_NOMEM:
 * nothing of that field is written. */
void rpc_encrypt_put(struct buffer *, const struct rpc_encrypt *);
enum rc rpc_encrypt_put_field(struct buffer *, const struct rpc_field *)
    must_check;
/* For bytes that are not one piece of memory, or are unescaped in place: the
 * head, with room for len bytes reserved; the caller appends exactly len
 * bytes and then, if has_role, the role by rpc_put_text. */
enum rc rpc_encrypt_put_field_head(struct buffer *, enum rpc_field_type,
    size_t len, bool has_role) must_check;
/* RC_SYNTAX: a key is missing or foreign; RC_LIMIT: over RPC_FIELDS_MAX. */
enum rc rpc_encrypt_read(const struct rpc_value *body, struct rpc_encrypt *)
    must_check;
enum rc rpc_encrypt_field_at(const struct rpc_encrypt *, size_t i,
    struct rpc_field *) must_check;

/* Reply body: an array of [status, bytes]; pieces of a long reply are arrays
 * that follow each other. */
enum rpc_seal_status { RPC_SEALED = 0, RPC_PASSED = 1 };
struct rpc_sealed {
	enum rpc_seal_status	status;
	struct span		bytes;	/* view; empty when passed: the caller
					   keeps its own */
};
enum rc rpc_sealed_at(const struct rpc_value *body, size_t i,
    struct rpc_sealed *) must_check;
/* Writing: the pair's head, with room for len bytes reserved: the token is
 * written there once.  A passed field has len 0. */
enum rc rpc_sealed_put_head(struct buffer *, enum rpc_seal_status, size_t len)
    must_check;

/* ---- Decrypt {app | apiKey, place, tokens}; exactly one of the two ---- */
enum rpc_place { RPC_PLACE_RELAY, RPC_PLACE_EGRESS, RPC_PLACE_API };
struct rpc_decrypt {
	struct span		app;		/* or empty */
	struct span		api_key;	/* or empty */
	enum rpc_place		place;		/* {kind, destination?, address} */
	struct span		destination;
	struct span		address;
	const struct rpc_value	*tokens;	/* reading */
	size_t			n_tokens;
};
void rpc_decrypt_put(struct buffer *, const struct rpc_decrypt *);
enum rc rpc_decrypt_put_token(struct buffer *, struct span token,
    struct span role) must_check;
enum rc rpc_decrypt_read(const struct rpc_value *body, struct rpc_decrypt *)
    must_check;
enum rc rpc_decrypt_token_at(const struct rpc_decrypt *, size_t i,
    struct span *token, struct span *role) must_check;

enum rpc_open_status {
	RPC_OPEN_OK = 0,
	RPC_OPEN_NOT_A_TOKEN = 1,
	RPC_OPEN_WRONG_APP_OR_CHANGED = 2,
	RPC_OPEN_FORBIDDEN = 3,
	RPC_OPEN_TOO_OLD = 4,
	RPC_OPEN_DEBUG = 5,
	RPC_OPEN_OTHER_ROLE = 6	/* not of the role that was asked for */
};
struct rpc_opened {
	enum rpc_open_status	status;
	enum rpc_field_type	type;
	struct span		bytes;	/* view; empty unless ok */
};
/* Reply body: an array of [status, type, bytes], in pieces as above. */
enum rc rpc_opened_at(const struct rpc_value *body, size_t i,
    struct rpc_opened *) must_check;
/* Writing: as rpc_sealed_put_head; type 0 and len 0 unless ok. */
enum rc rpc_opened_put_head(struct buffer *, enum rpc_open_status,
    enum rpc_field_type, size_t len) must_check;

/* ---- Rewrap {app, curve, tokens} ---- */
struct rpc_rewrap {
	struct span		app;
	enum rpc_curve		curve;		/* of the new tokens */
	const struct rpc_value	*tokens;	/* reading */
	size_t			n_tokens;
};
/* Then n_tokens tokens by rpc_decrypt_put_token, without a role. */
void rpc_rewrap_put(struct buffer *, const struct rpc_rewrap *);
enum rc rpc_rewrap_read(const struct rpc_value *body, struct rpc_rewrap *)
    must_check;
enum rc rpc_rewrap_token_at(const struct rpc_rewrap *, size_t i,
    struct span *token) must_check;

struct rpc_rewrapped {
	enum rpc_open_status	status;		/* of the old token */
	struct span		token;		/* view; empty unless ok */
};
/* Reply body: an array of [status, bytes], in pieces as above. */
enum rc rpc_rewrapped_at(const struct rpc_value *body, size_t i,
    struct rpc_rewrapped *) must_check;
/* Writing: as rpc_sealed_put_head; len 0 unless ok. */
enum rc rpc_rewrapped_put_head(struct buffer *, enum rpc_open_status,
    size_t len) must_check;

/* ---- Authenticate {apiKey} -> {app, key, scopes, cache_s, keys_epoch} ---- */

/* Longer is no key of ours: not sent, and not hashed by the engine. */
#define RPC_API_KEY_BYTES_MAX	512

/* api_key: at most RPC_API_KEY_BYTES_MAX. */
void rpc_authenticate_put(struct buffer *, struct span api_key);

struct rpc_authenticated {
	struct span		app;		/* view */
	struct span		key;		/* view: its id, no secret */
	const struct rpc_value	*scopes;	/* an array of text */
	uint64_t		cache_s;	/* how long this may be remembered,
						   if keys_epoch stays the same */
};
/* RC_SYNTAX: a key is missing or foreign. */
enum rc rpc_authenticated_read(const struct rpc_value *body,
    struct rpc_authenticated *) must_check;
/* The key carries this scope; one without scopes carries all. */
bool rpc_authenticated_allows(const struct rpc_authenticated *,
    const char *scope);

/*
 * The other bodies are small maps, read and written in place with codec.h:
 *
 * Ping            {}                    -> {ready, draining, keys_epoch, time_ms}
 * GetStatistics   {}                    -> {ready, draining, resealing, keys_epoch, ...,
 *                   checksum} (docs/rpc.md)
 * PublicKeys      {app}                 -> {app, r1: bin33|nil, k1: bin33|nil}
 * Cancel          {id}                  -> {}
 * LoadRecords     {records: [bin...]}   -> {loaded, broken, rollbacks, conflicts,
 *                   active: [[id, version]...]}
 * Checksum        {}                    -> {checksum: bin32, records}
 * SetReady        {checksum: bin32}     -> {}          (conflict if it differs)
 * SetDraining     {on}                  -> {}
 * Reseal          {app}                 -> {version, record: bin}
 * Unlock          {key: bin}            -> {}
 * Attest          {nonce: bin}          -> {document: bin}
 * ListApps        {}                    -> [[id, version, state, created_ms,
 *                   name]...]
 * ListKeys        {app}                 -> [[key id, state, created_ms, scopes,
 *                   expires_ms|nil]...]
 * ListPairs       {app}                 -> {app, version, pairs: [[pair id, curve,
 *                   number, state, created_ms]...]}
 * ListRoles       {app}                 -> {app, version, roles: [role...]}
 * Challenge       {}                    -> {challenge: bin32, every_call}
 * CreateApp       {name?}               -> {app, version, record: bin}
 * CreateKey       {app, scopes?, expires_ms?} -> {key: id, secret, version,
 *                   record: bin}
 * RevokeKey       {app, key}            -> {version, record: bin}
 * RotateKeys      {app, curve?}         -> {version, record: bin, pairs: [id...]}
 * ActivateKey, RetireKey, DestroyKey  {app, pair} -> {version, record: bin}
 * SetRoles        {app, version?, roles: [role...]} -> {version, record: bin}
 *   role: [name, default_permit, [rule...]]
 *   rule: [permit, place: 0 any|1 relay|2 egress|3 api, [destination...],
 *         [address...], older_s]
 * GetCA           {}                    -> {cas: [[id, state, sha256: bin32|nil,
 *                   not_before_ms|nil, not_after_ms|nil, pem, active_ms|nil,
 *                   anchor_sha256: bin32|nil]...], anchors: PEM,
 *                   issuers_sha256: bin32|nil, changes_ms|nil}
 *   state: "pending" (pem is its request), "published", "signs", "old"
 *   issuers_sha256: of what stands behind the leaf in IssueLeaf's chain now
 * IssueLeaf       {host, publicKey: SPKI DER} -> {chain: PEM, not_after_ms}
 * CreateCA        {name?, permit?: [domain...], selfSigned?, days?} -> {ca: id,
 *                   csr: PEM, certificate: PEM|nil, app, version, record: bin}
 * InstallCA       {ca, chain: PEM, active_ms?} -> {version, record: bin}
 */

#endif
