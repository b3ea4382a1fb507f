/*
 * rpc/codec.h - MessagePack values in and out; the only file that knows
 * msgpack-c (with codec.c).
 * Context:   pure; fuzzed.
 *
 * Reading: the headers are walked once (depth, counts against bytes left,
 * nothing after the end) before msgpack-c unpacks, so an announced size never
 * allocates more than the bytes that came.  Values are views into the input.
 */
#ifndef RELAY_RPC_CODEC_H
#define RELAY_RPC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

/* ---- reading ---- */

struct rpc_value;		/* a node of an unpacked document: a view */

struct rpc_document {
	void			*zone;	/* owned: msgpack_zone */
	const struct rpc_value	*root;	/* view into the zone */
	size_t			bytes;	/* memory of the zone: up to 24 times
					   what came, so it has to be counted */
};

/*
 * Values (nodes) in one document.  A node takes a byte on the wire and 24 in
 * memory; the largest honest call, RPC_FIELDS_MAX fields with roles, has
 * 4 * 65,536 and a handful.  So a 32 MiB frame of one-byte values is refused
 * before it costs 768 MiB.
 */
#define RPC_VALUES_MAX	(1u << 19)

/*
 * Walk and unpack in[0..len), which must stay unchanged while the document
 * lives.  RC_OK, RC_SYNTAX (also for bytes left over or missing), RC_LIMIT
 * (depth, number of values), RC_NOMEM.
 */
enum rc rpc_document_read(struct rpc_document *, const void *in, size_t len)
    must_check;
void rpc_document_fini(struct rpc_document *);

/* The header walk alone: depth <= RPC_DEPTH_MAX, at most RPC_VALUES_MAX
 * values, counts fit the bytes left, exactly one value.  Refuses ext types and
 * maps with other than text keys. */
enum rc rpc_walk(const void *in, size_t len) must_check;
/* Length in bytes of the one value at in[0..len), or 0 when broken: to find
 * spans of encoded parts (what a signature covers). */
size_t rpc_value_extent(const void *in, size_t len);

/* Accessors return false (and leave *out alone) when the type does not fit,
 * v is NULL included. */
bool rpc_get_u64(const struct rpc_value *, uint64_t *out);
bool rpc_get_bool(const struct rpc_value *, bool *out);
/* str and bin alike, as a view. */
bool rpc_get_bytes(const struct rpc_value *, struct span *out);
bool rpc_is_nil(const struct rpc_value *);
/* SIZE_MAX when v is no array. */
size_t rpc_array_len(const struct rpc_value *);
/* NULL when out of range. */
const struct rpc_value *rpc_array_at(const struct rpc_value *, size_t i);
/* NULL when v is no map or has no such key; the first one counts. */
const struct rpc_value *rpc_map_get(const struct rpc_value *,
    const char *key);

/*
 * ---- writing: appended to the buffer ----
 * For values whose size we chose: no memory, or the buffer's max passed, is
 * our bug and aborts.  Bytes whose size a peer chose go through the writers
 * of message.h, or through buffer_reserve and rpc_write_bin_head.
 */

void rpc_put_nil(struct buffer *);
void rpc_put_bool(struct buffer *, bool);
void rpc_put_u64(struct buffer *, uint64_t);
void rpc_put_str(struct buffer *, const char *);
void rpc_put_text(struct buffer *, struct span);	/* str */
void rpc_put_bin(struct buffer *, struct span);
/* Only the header of a bin of len bytes: the bytes are then written in place
 * by the caller (tokens are written once). */
void rpc_put_bin_head(struct buffer *, size_t len);
/* The same header written at `at`, where RPC_BIN_HEAD_MAX bytes are free;
 * returns the first byte behind it. */
#define RPC_BIN_HEAD_MAX	5
char *rpc_write_bin_head(char *at, size_t len);
void rpc_put_array(struct buffer *, size_t n);
void rpc_put_map(struct buffer *, size_t n);

#endif
