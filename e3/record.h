/*
 * e3/record.h - sealed app records (docs/records.md): an app snapshot to
 * bytes that may lie anywhere, and back.
 * Context:   a crypto thread.
 *
 *   header (lib/rpc/sealed_record.h) | IV 12 | GCM(payload) | tag 16
 *   payload: u32 big-endian length of the document | document (MessagePack) |
 *            one 32-byte private key for each pair of the document, in order,
 *            then one for each egress CA
 *
 * Private keys stand outside the document so that they go from and to the
 * secure heap without ever lying in ordinary memory.
 */
#ifndef RELAY_E3_RECORD_H
#define RELAY_E3_RECORD_H

#include "e3/app.h"
#include "lib/scheme/ecies.h"

/* Append the record of app (its id and version), in the oldest format that
 * holds it (docs/records.md), to out; also sets app->record_sha256.  RC_OK, RC_LIMIT (over RPC_RECORD_BYTES_MAX),
 * RC_NOMEM. */
enum rc e3_record_seal(struct scheme_crypto *, const uint8_t *root_key,
    struct e3_app *, struct buffer *out) must_check;

/*
 * RC_OK       *out is a new snapshot (one reference); its pairs were derived
 *             again from their private keys
 * RC_SYNTAX   no record: the header is broken
 * RC_CORRUPT  not sealed by this root key, or changed
 * RC_UNSUPPORTED  authentic, but it holds what this version does not know
 * RC_NOMEM    the secure heap is full
 */
enum rc e3_record_open(struct scheme_crypto *, const uint8_t *root_key,
    struct span record, struct e3_app **out) must_check;

#endif
