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
 * ---- small maps and arrays, read by one list ----
 * Every wanted key is there with its type, or, if it is optional, absent or
 * nil: true, and each *out is set (an absent one is left as it is).  False:
 * what was read so far may be set.
 */
enum rpc_kind { RPC_KIND_BOOL, RPC_KIND_U64, RPC_KIND_BYTES, RPC_KIND_VALUE,
    RPC_KIND_LIST, RPC_KIND_NAME };
struct rpc_want {
	const char	*key;
	enum rpc_kind	kind;
	bool		optional;
	union {
		bool			*flag;
		uint64_t		*number;
		struct span		*bytes;
		const struct rpc_value	**value;	/* any; LIST: an array */
		unsigned		*index;		/* NAME: its place in */
	} to;
	const char *const	*names;			/* ... this, up to NULL */
};
#define RPC_WANT_BOOL(k, out)	{ k, RPC_KIND_BOOL, false, { .flag = (out) }, NULL }
#define RPC_WANT_U64(k, out)	{ k, RPC_KIND_U64, false, { .number = (out) }, NULL }
#define RPC_WANT_BYTES(k, out)	{ k, RPC_KIND_BYTES, false, { .bytes = (out) }, NULL }
#define RPC_WANT_VALUE(k, out)	{ k, RPC_KIND_VALUE, false, { .value = (out) }, NULL }
#define RPC_WANT_LIST(k, out)	{ k, RPC_KIND_LIST, false, { .value = (out) }, NULL }
#define RPC_WANT_NAME(k, of, out) { k, RPC_KIND_NAME, false, { .index = (out) }, of }
#define RPC_MAY_BOOL(k, out)	{ k, RPC_KIND_BOOL, true, { .flag = (out) }, NULL }
#define RPC_MAY_U64(k, out)	{ k, RPC_KIND_U64, true, { .number = (out) }, NULL }
#define RPC_MAY_BYTES(k, out)	{ k, RPC_KIND_BYTES, true, { .bytes = (out) }, NULL }
#define RPC_MAY_VALUE(k, out)	{ k, RPC_KIND_VALUE, true, { .value = (out) }, NULL }
#define RPC_MAY_NAME(k, of, out) { k, RPC_KIND_NAME, true, { .index = (out) }, of }
bool rpc_get_members(const struct rpc_value *map, const struct rpc_want *,
    size_t n);
#define rpc_unpack(map, ...)						\
	rpc_get_members(map, (const struct rpc_want[]){ __VA_ARGS__ },	\
	    sizeof((const struct rpc_want[]){ __VA_ARGS__ }) /		\
	    sizeof(struct rpc_want))
/* An array of not more than n elements, in this order; the keys only say what
 * each is. */
bool rpc_get_elements(const struct rpc_value *list, const struct rpc_want *,
    size_t n);
#define rpc_unpack_list(list, ...)					\
	rpc_get_elements(list, (const struct rpc_want[]){ __VA_ARGS__ }, \
	    sizeof((const struct rpc_want[]){ __VA_ARGS__ }) /		\
	    sizeof(struct rpc_want))

/*
 * The same of an encoded map, without unpacking it: for small maps that are
 * read by the thousand.  Numbers and bytes only; a wanted key that is there
 * with another type counts as absent.  False also when in[0..len) is not
 * exactly one map.
 */
bool rpc_scan_members(struct span in, const struct rpc_want *, size_t n);
#define rpc_scan(in, ...)						\
	rpc_scan_members(in, (const struct rpc_want[]){ __VA_ARGS__ },	\
	    sizeof((const struct rpc_want[]){ __VA_ARGS__ }) /		\
	    sizeof(struct rpc_want))

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
/* An array's header at `at`, in a form whose length does not depend on n: for
 * who counts while he writes. */
#define RPC_ARRAY_HEAD_BYTES	5
void rpc_write_array_head(char *at, size_t n);
/* A value that was read, encoded again in its shortest form. */
void rpc_put_value(struct buffer *, const struct rpc_value *);

/* A small map, or an array, by one list of typed members. */
struct rpc_member {
	const char	*key;
	enum { RPC_PUT_BOOL, RPC_PUT_U64, RPC_PUT_STR, RPC_PUT_BIN, RPC_PUT_RAW,
	    RPC_PUT_NIL } kind;
	union {
		bool		flag;
		uint64_t	number;
		const char	*text;
		struct span	bytes;	/* BIN; RAW: one encoded value */
	} from;
};
#define RPC_BOOL(k, v)	{ k, RPC_PUT_BOOL, { .flag = (v) } }
#define RPC_U64(k, v)	{ k, RPC_PUT_U64, { .number = (v) } }
#define RPC_STR(k, v)	{ k, RPC_PUT_STR, { .text = (v) } }
#define RPC_BIN(k, p, n) { k, RPC_PUT_BIN, { .bytes = { (const char *)(p), (n) } } }
#define RPC_RAW(k, v)	{ k, RPC_PUT_RAW, { .bytes = (v) } }
#define RPC_NIL(k)	{ k, RPC_PUT_NIL, { .flag = false } }
/* Of a buffer; and a number of which 0 means none, written as nil. */
#define RPC_RAW_OF(k, b) { k, RPC_PUT_RAW, { .bytes = { buffer_data(b), buffer_len(b) } } }
#define RPC_BIN_OF(k, b) { k, RPC_PUT_BIN, { .bytes = { buffer_data(b), buffer_len(b) } } }
#define RPC_MAYBE_U64(k, v) { k, (v) != 0 ? RPC_PUT_U64 : RPC_PUT_NIL, { .number = (v) } }
void rpc_put_members(struct buffer *, const struct rpc_member *, size_t n);
#define rpc_pack(b, ...)						\
	rpc_put_members(b, (const struct rpc_member[]){ __VA_ARGS__ },	\
	    sizeof((const struct rpc_member[]){ __VA_ARGS__ }) /	\
	    sizeof(struct rpc_member))
/* An array: the keys only say what each element is. */
void rpc_put_elements(struct buffer *, const struct rpc_member *, size_t n);
#define rpc_pack_list(b, ...)						\
	rpc_put_elements(b, (const struct rpc_member[]){ __VA_ARGS__ },	\
	    sizeof((const struct rpc_member[]){ __VA_ARGS__ }) /	\
	    sizeof(struct rpc_member))

#endif
