/*
 * rpc/op.h - the engine's operations and status codes in ONE table
 * (design.md section 8).  docs/rpc.md is written from it, e3/dispatch.c
 * permits by it, callers check their limits against it.
 * Context:   pure; any process.
 *
 * On the wire an op and a status are their names ("Encrypt", "ok"), so that a
 * frame can be read without this table.
 */
#ifndef RELAY_RPC_OP_H
#define RELAY_RPC_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/string.h"

enum rpc_role {			/* of a link certificate; bits, for masks */
	RPC_ROLE_NONE	= 0,
	RPC_ROLE_WORKER	= 1 << 0,
	RPC_ROLE_FEED	= 1 << 1,
	RPC_ROLE_HELPER	= 1 << 2,
	RPC_ROLE_PULSE	= 1 << 3,
	RPC_ROLE_ADMIN	= 1 << 4,
	RPC_ROLE_ENGINE	= 1 << 5,	/* the serving end; calls nothing */
	RPC_ROLE_ANY	= RPC_ROLE_WORKER | RPC_ROLE_FEED | RPC_ROLE_HELPER |
			  RPC_ROLE_PULSE | RPC_ROLE_ADMIN
};
/* "worker" -> RPC_ROLE_WORKER; RPC_ROLE_NONE for a foreign name. */
enum rpc_role rpc_role_lookup(const char *name);
const char *rpc_role_name(enum rpc_role);

enum rpc_op {
	RPC_OP_PING,
	RPC_OP_GET_STATISTICS,
	RPC_OP_ENCRYPT,
	RPC_OP_DECRYPT,
	RPC_OP_AUTHENTICATE,
	RPC_OP_PUBLIC_KEYS,
	RPC_OP_CREATE_TOKEN,
	RPC_OP_INSPECT,
	RPC_OP_CANCEL,
	RPC_OP_LOAD_RECORDS,
	RPC_OP_CHECKSUM,
	RPC_OP_SET_READY,
	RPC_OP_SET_DRAINING,
	RPC_OP_RESEAL,
	RPC_OP_UNLOCK,
	RPC_OP_ATTEST,
	RPC_OP_LIST_APPS,
	RPC_OP_LIST_KEYS,
	RPC_OP_LIST_PAIRS,
	RPC_OP_LIST_ROLES,
	RPC_OP_CHALLENGE,
	RPC_OP_CREATE_APP,
	RPC_OP_CREATE_KEY,
	RPC_OP_REVOKE_KEY,
	RPC_OP_ROTATE_KEYS,
	RPC_OP_ACTIVATE_KEY,
	RPC_OP_RETIRE_KEY,
	RPC_OP_DESTROY_KEY,
	RPC_OP_SET_ROLES,
	RPC_OP_REWRAP,
	RPC_OP_GET_CA,
	RPC_OP_ISSUE_LEAF,
	RPC_OP_CREATE_CA,
	RPC_OP_INSTALL_CA,
	RPC_OPS			/* how many */
};

struct rpc_op_info {
	enum rpc_op	op;
	const char	*name;		/* on the wire */
	unsigned	roles;		/* mask of enum rpc_role */
	bool		signed_call;	/* needs Challenge and a signature */
	bool		before_ready;	/* allowed before SetReady */
	bool		at_once;	/* answered by the network thread at any
					   load: not counted against
					   RPC_CALLS_MAX */
	bool		once;		/* in the engine's life: a second one is
					   a conflict */
	size_t		max_bytes;	/* of the encoded body; over it: limit */
	const char	*does;		/* one line for docs/rpc.md */
};
/* Never NULL for a valid op. */
const struct rpc_op_info *rpc_op_info(enum rpc_op);
/* NULL: unknown. */
const struct rpc_op_info *rpc_op_lookup(struct span name);

enum rpc_status {
	RPC_STATUS_OK,
	RPC_STATUS_BAD_REQUEST,		/* body not as the op needs it */
	RPC_STATUS_UNKNOWN_OP,
	RPC_STATUS_NOT_ALLOWED,		/* role, signature or scope */
	RPC_STATUS_NOT_READY,		/* before SetReady, or draining */
	RPC_STATUS_LIMIT,		/* a named limit was exceeded */
	RPC_STATUS_OVERLOADED,		/* bounded queue is full */
	RPC_STATUS_NO_SUCH_APP,
	RPC_STATUS_NO_SUCH_KEY,
	RPC_STATUS_UNAUTHORIZED,	/* API key unknown, revoked, expired */
	RPC_STATUS_CONFLICT,		/* version or state changed meanwhile */
	RPC_STATUS_CANCELLED,
	RPC_STATUS_RATE_LIMITED,	/* the app's share is used up: later */
	RPC_STATUS_INTERNAL,
	RPC_STATUSES
};
const char *rpc_status_name(enum rpc_status);
/* RPC_STATUS_INTERNAL for a foreign name. */
enum rpc_status rpc_status_lookup(struct span name);

/* Limits with names and defaults (design.md section 8). */
#define RPC_FRAME_BYTES_MAX	(32u << 20)
#define RPC_FIELDS_MAX		65536u	/* per call */
#define RPC_DEPTH_MAX		8
#define RPC_CALLS_MAX		256	/* in flight per link */
#define RPC_REPLY_PIECE_BYTES	(256u << 10)
#define RPC_SMALL_BYTES_MAX	4096u	/* body of a call that carries no list */
#define RPC_ROLES_BYTES_MAX	(64u << 10)	/* body of SetRoles */
#define RPC_CHAIN_BYTES_MAX	(16u << 10)	/* body of InstallCA: 4 certificates */
#define RPC_VERSION		1

#endif
