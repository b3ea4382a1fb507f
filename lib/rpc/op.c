/* rpc/op.c - the one table of operations, roles and status names. */
#include "lib/rpc/op.h"

#include <string.h>

#include "lib/base/object.h"

static const struct {
	enum rpc_role	role;
	const char	*name;
} role_names[] = {
	{ RPC_ROLE_WORKER,	"worker" },
	{ RPC_ROLE_FEED,	"feed" },
	{ RPC_ROLE_HELPER,	"helper" },
	{ RPC_ROLE_PULSE,	"pulse" },
	{ RPC_ROLE_ADMIN,	"admin" },
	{ RPC_ROLE_ENGINE,	"engine" },
};

enum rpc_role
rpc_role_lookup(const char *name)
{
	for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++)
		if (strcmp(role_names[i].name, name) == 0)
			return (role_names[i].role);
	return (RPC_ROLE_NONE);
}

const char *
rpc_role_name(enum rpc_role role)
{
	for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++)
		if (role_names[i].role == role)
			return (role_names[i].name);
	return ("none");
}

/* In the order of enum rpc_op. */
#define NO	false
#define SIGNED	true
#define EARLY	true
#define AT_ONCE	true
#define ONCE	true
static const struct rpc_op_info ops[] = {
	{ RPC_OP_PING, "Ping",
	    RPC_ROLE_ANY, NO, EARLY, AT_ONCE, NO,
	    RPC_SMALL_BYTES_MAX, "is the engine there, ready, draining; which keys_epoch" },
	{ RPC_OP_GET_STATISTICS, "GetStatistics",
	    RPC_ROLE_ANY, NO, EARLY, AT_ONCE, NO,
	    RPC_SMALL_BYTES_MAX, "counters since the engine's start" },
	{ RPC_OP_ENCRYPT, "Encrypt",
	    RPC_ROLE_WORKER | RPC_ROLE_ADMIN | RPC_ROLE_FEED, NO, NO, NO, NO,
	    RPC_FRAME_BYTES_MAX, "values to tokens, in order; feed for app_system alone" },
	{ RPC_OP_DECRYPT, "Decrypt",
	    RPC_ROLE_WORKER | RPC_ROLE_ADMIN, NO, NO, NO, NO,
	    RPC_FRAME_BYTES_MAX, "tokens to values, in order; admin with an API key only" },
	{ RPC_OP_AUTHENTICATE, "Authenticate",
	    RPC_ROLE_WORKER | RPC_ROLE_FEED, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an API key or client-side token to its app and scopes" },
	{ RPC_OP_PUBLIC_KEYS, "PublicKeys",
	    RPC_ROLE_WORKER, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an app's public keys, compressed points" },
	{ RPC_OP_CREATE_TOKEN, "CreateToken",
	    RPC_ROLE_WORKER, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a client-side token, good for minutes" },
	{ RPC_OP_INSPECT, "Inspect",
	    RPC_ROLE_WORKER, NO, NO, NO, NO,
	    RPC_FRAME_BYTES_MAX, "what a token holds, without its value" },
	{ RPC_OP_CANCEL, "Cancel",
	    RPC_ROLE_ANY, NO, EARLY, AT_ONCE, NO,
	    RPC_SMALL_BYTES_MAX, "nobody waits for that call of this link any more" },
	{ RPC_OP_LOAD_RECORDS, "LoadRecords",
	    RPC_ROLE_HELPER, NO, EARLY, NO, NO,
	    RPC_FRAME_BYTES_MAX, "open sealed app records and make their keys active" },
	{ RPC_OP_CHECKSUM, "Checksum",
	    RPC_ROLE_HELPER, NO, EARLY, NO, NO,
	    RPC_SMALL_BYTES_MAX, "digest over the loaded records" },
	{ RPC_OP_SET_READY, "SetReady",
	    RPC_ROLE_HELPER, NO, EARLY, NO, NO,
	    RPC_SMALL_BYTES_MAX, "begin to serve, if the helper's checksum is ours" },
	{ RPC_OP_SET_DRAINING, "SetDraining",
	    RPC_ROLE_HELPER, NO, EARLY, NO, NO,
	    RPC_SMALL_BYTES_MAX, "tell callers to go elsewhere, or to come again" },
	{ RPC_OP_RESEAL, "Reseal",
	    RPC_ROLE_HELPER, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an app's next record, under the next root key" },
	{ RPC_OP_UNLOCK, "Unlock",
	    RPC_ROLE_HELPER, NO, EARLY, NO, ONCE,
	    RPC_FRAME_BYTES_MAX, "the root key for a platform that starts without one" },
	{ RPC_OP_ATTEST, "Attest",
	    RPC_ROLE_ANY, NO, EARLY, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a document that says what runs here, from the platform" },
	{ RPC_OP_LIST_APPS, "ListApps",
	    RPC_ROLE_ADMIN, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "apps: ids, versions, states, names" },
	{ RPC_OP_LIST_KEYS, "ListKeys",
	    RPC_ROLE_ADMIN, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an app's API keys: ids, states, scopes, ends" },
	{ RPC_OP_LIST_PAIRS, "ListPairs",
	    RPC_ROLE_ADMIN, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an app's key pairs: ids, curves, states" },
	{ RPC_OP_LIST_ROLES, "ListRoles",
	    RPC_ROLE_ADMIN, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an app's data roles and their policies" },
	{ RPC_OP_CHALLENGE, "Challenge",
	    RPC_ROLE_ANY, NO, EARLY, AT_ONCE, NO,
	    RPC_SMALL_BYTES_MAX, "32 bytes for one signature, once, 30 s, this link" },
	{ RPC_OP_CREATE_APP, "CreateApp",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a new app as a sealed record; pending until loaded" },
	{ RPC_OP_CREATE_KEY, "CreateKey",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a new API key as the app's next sealed record" },
	{ RPC_OP_REVOKE_KEY, "RevokeKey",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "an API key's end as the app's next sealed record" },
	{ RPC_OP_ROTATE_KEYS, "RotateKeys",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a new key pair that opens, and seals nothing yet" },
	{ RPC_OP_ACTIVATE_KEY, "ActivateKey",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "this key pair seals from now on; a retired one opens again" },
	{ RPC_OP_RETIRE_KEY, "RetireKey",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "this key pair opens no token any more; it can come back" },
	{ RPC_OP_DESTROY_KEY, "DestroyKey",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "this retired key pair is gone for ever" },
	{ RPC_OP_SET_ROLES, "SetRoles",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_ROLES_BYTES_MAX, "an app's data roles and policies, all of them" },
	{ RPC_OP_REWRAP, "Rewrap",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_FRAME_BYTES_MAX, "tokens to tokens of the sealing key; no value leaves" },
	{ RPC_OP_GET_CA, "GetCA",
	    RPC_ROLE_ANY, NO, NO, AT_ONCE, NO,
	    RPC_SMALL_BYTES_MAX, "the egress CAs, and what clients must trust" },
	{ RPC_OP_ISSUE_LEAF, "IssueLeaf",
	    RPC_ROLE_WORKER, NO, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a short-lived certificate for a destination's name" },
	{ RPC_OP_CREATE_CA, "CreateCA",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_SMALL_BYTES_MAX, "a new egress CA key, as app_system's next sealed record" },
	{ RPC_OP_INSTALL_CA, "InstallCA",
	    RPC_ROLE_ADMIN, SIGNED, NO, NO, NO,
	    RPC_CHAIN_BYTES_MAX, "an egress CA's certificate, and when it begins to sign" },
};
#undef NO
#undef SIGNED
#undef EARLY
#undef AT_ONCE
#undef ONCE
_Static_assert(sizeof(ops) / sizeof(ops[0]) == RPC_OPS,
    "every enum rpc_op has its row");

const struct rpc_op_info *
rpc_op_info(enum rpc_op op)
{
	ensure((unsigned)op < RPC_OPS && ops[op].op == op);
	return (&ops[op]);
}

const struct rpc_op_info *
rpc_op_lookup(struct span name)
{
	for (size_t i = 0; i < RPC_OPS; i++)
		if (span_eq_str(name, ops[i].name))
			return (&ops[i]);
	return (NULL);
}

static const char *const status_names[] = {
	[RPC_STATUS_OK] = "ok",
	[RPC_STATUS_BAD_REQUEST] = "bad-request",
	[RPC_STATUS_UNKNOWN_OP] = "unknown-op",
	[RPC_STATUS_NOT_ALLOWED] = "not-allowed",
	[RPC_STATUS_NOT_READY] = "not-ready",
	[RPC_STATUS_LIMIT] = "limit",
	[RPC_STATUS_OVERLOADED] = "overloaded",
	[RPC_STATUS_NO_SUCH_APP] = "no-such-app",
	[RPC_STATUS_NO_SUCH_KEY] = "no-such-key",
	[RPC_STATUS_UNAUTHORIZED] = "unauthorized",
	[RPC_STATUS_CONFLICT] = "conflict",
	[RPC_STATUS_CANCELLED] = "cancelled",
	[RPC_STATUS_RATE_LIMITED] = "rate-limited",
	[RPC_STATUS_INTERNAL] = "internal",
};
_Static_assert(sizeof(status_names) / sizeof(status_names[0]) == RPC_STATUSES,
    "every enum rpc_status has its name");

const char *
rpc_status_name(enum rpc_status status)
{
	ensure((unsigned)status < RPC_STATUSES);
	return (status_names[status]);
}

enum rpc_status
rpc_status_lookup(struct span name)
{
	for (unsigned i = 0; i < RPC_STATUSES; i++)
		if (span_eq_str(name, status_names[i]))
			return ((enum rpc_status)i);
	return (RPC_STATUS_INTERNAL);
}
