/*
 * worker/payload_hash.h - a JSON value as a client-side token is bound to it:
 * the same for every spelling that means the same.
 * Context:   pure; fuzzed.
 *
 * The canonical form (docs/api.md): no white space; members in the order of
 * their decoded names' bytes, members of one name as they came; strings
 * unescaped and escaped again, only where RFC 8259 demands it; numbers as they
 * came.  Token and request are made by different programs, in which order and
 * escapes of one value differ.
 */
#ifndef RELAY_WORKER_PAYLOAD_HASH_H
#define RELAY_WORKER_PAYLOAD_HASH_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/body/json.h"
#include "lib/rpc/credential.h"

/* Values in one document.  Members are sorted on the loop's thread: this many
 * take some tens of milliseconds. */
#define PAYLOAD_NODES_MAX	(1u << 17)

/* Append the canonical form of a node.  RC_OK; RC_SYNTAX: a lone surrogate;
 * RC_LIMIT, RC_NOMEM.  out is sensitive. */
enum rc payload_canonical(const struct body_json *, uint32_t node,
    struct buffer *out) must_check;

/* SHA-256 over it. */
enum rc payload_hash(const struct body_json *, uint32_t node,
    uint8_t out[RPC_PAYLOAD_HASH_BYTES]) must_check;

#endif
