/*
 * rpc/credential.h - the bodies of calls that the key API is made of, typed:
 * Authenticate in its three forms, CreateToken, Inspect.  What Authenticate
 * answers is in message.h.
 * Context:   pure; fuzzed.
 */
#ifndef RELAY_RPC_CREDENTIAL_H
#define RELAY_RPC_CREDENTIAL_H

#include "lib/rpc/message.h"

#define RPC_PAYLOAD_HASH_BYTES	32
/* A client-side token's life. */
#define RPC_CLIENT_TOKEN_MS_MAX	600000u
/* Of one API key; a scope is [a-z0-9:_-]{1,32}. */
#define RPC_SCOPES_MAX		8
#define RPC_SCOPE_BYTES		33

bool rpc_scope_valid(struct span);

/* ---- Authenticate {apiKey} | {app, key} | {clientToken, payloadHash} ---- */
enum rpc_credential_kind {
	RPC_CREDENTIAL_SECRET,		/* an API key */
	RPC_CREDENTIAL_KEY,		/* an API key's id: does it still live? */
	RPC_CREDENTIAL_TOKEN		/* a client-side token */
};
struct rpc_credential {
	enum rpc_credential_kind kind;
	struct span	secret;		/* view: API key, or token */
	struct span	app, key;	/* views */
	struct span	payload_hash;	/* view: 32 bytes, with a token */
};
/* secret, app and key: sizes that fit RPC_SMALL_BYTES_MAX, see op.h. */
void rpc_credential_put(struct buffer *, const struct rpc_credential *);
/* RC_SYNTAX: not exactly one of the three. */
enum rc rpc_credential_read(const struct rpc_value *body,
    struct rpc_credential *) must_check;

/* ---- CreateToken {app, action, payloadHash | nil, expires_ms} ---- */
struct rpc_create_token {
	struct span	app;
	struct span	action;		/* "api:decrypt" */
	struct span	payload_hash;	/* 32 bytes; empty: any payload */
	uint64_t	expires_ms;
};
void rpc_create_token_put(struct buffer *, const struct rpc_create_token *);
enum rc rpc_create_token_read(const struct rpc_value *body,
    struct rpc_create_token *) must_check;

struct rpc_created_token {
	struct span	token;		/* views */
	struct span	id;
	uint64_t	created_ms, expires_ms;
};
enum rc rpc_created_token_read(const struct rpc_value *body,
    struct rpc_created_token *) must_check;

/* ---- Inspect {app, token} ---- */
struct rpc_inspected {
	enum rpc_open_status	status;
	/* if ok */
	enum rpc_field_type	type;
	bool			integer;	/* a number of digits alone */
	struct span		role;		/* view; empty: none */
	uint64_t		encrypted_ms;	/* 0: not known */
	struct span		fingerprint;	/* view: 32 bytes */
};
/* Room for a token of any length: RC_OK, RC_LIMIT, RC_NOMEM. */
enum rc rpc_inspect_put(struct buffer *, struct span app, struct span token)
    must_check;
void rpc_inspected_put(struct buffer *, const struct rpc_inspected *);
enum rc rpc_inspected_read(const struct rpc_value *body,
    struct rpc_inspected *) must_check;

#endif
