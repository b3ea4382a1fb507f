/*
 * rpc/sealed_record.h - the clear header of a sealed app record, all that is
 * readable outside the engine (docs/records.md).
 * Context:   pure; fuzzed.
 *
 *   "RLYR" | format u8 | id length u8 | app id | version u64 big-endian
 *   then, opaque here: IV 12 | ciphertext | tag 16.
 *   The header is the AAD of the AES-256-GCM seal under the root key.
 */
#ifndef RELAY_RPC_SEALED_RECORD_H
#define RELAY_RPC_SEALED_RECORD_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

#define RPC_APP_ID_BYTES		40	/* with the NUL */
#define RPC_SYSTEM_APP			"app_system"	/* holds certificate keys */
#define RPC_RECORD_BYTES_MAX		(1u << 20)

/* What the sealed part holds.  1 is read only; 3 is a record with egress CAs,
 * 2 every other: an engine that knows no CAs reads all it can mean. */
enum rpc_record_format { RPC_RECORD_FORMAT_1 = 1, RPC_RECORD_FORMAT_2 = 2,
    RPC_RECORD_FORMAT_3 = 3 };

struct rpc_record_head {
	enum rpc_record_format	format;
	char			app[RPC_APP_ID_BYTES];	/* "app_" + [a-z0-9_]+ */
	uint64_t		version;	/* from 1 */
	size_t			bytes;		/* of the header itself */
};

/* Of format 2. */
void rpc_record_head_write(struct buffer *, const char *app,
    uint64_t version);
void rpc_record_head_write_as(struct buffer *, enum rpc_record_format,
    const char *app, uint64_t version);
/* RC_OK, RC_SYNTAX (also for a format we do not know, and a record too short
 * to hold IV and tag). */
enum rc rpc_record_head_read(struct span record, struct rpc_record_head *)
    must_check;

/* "app_" then 1..35 of [a-z0-9_]: safe as a file name. */
bool rpc_app_id_valid(struct span);

/*
 * The digest that helper and engine compare: SHA-256 over, for each record in
 * app id order, app id | NUL | version u64 big-endian | SHA-256(record).
 * Feed it records in that order.
 */
struct rpc_checksum;
struct rpc_checksum *rpc_checksum_new(void);
void rpc_checksum_add(struct rpc_checksum *, const char *app,
    uint64_t version, const uint8_t record_sha256[32]);
void rpc_checksum_end(struct rpc_checksum **, uint8_t out[32]);

#endif
