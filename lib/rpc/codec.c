/*
 * rpc/codec.c - MessagePack in and out.
 *
 * Reading is two passes: our own walk over the headers, which settles depth,
 * counts and the end before a byte is allocated, then msgpack-c, whose zone is
 * made once in the size that the walk found.  Writing puts headers by hand:
 * a header and its bytes go into one reservation, where msgpack-c's packer
 * would call back for each piece.
 */
#include "lib/rpc/codec.h"

#include <string.h>

#include <msgpack/object.h>
#include <msgpack/unpack.h>
#include <msgpack/zone.h>

#include "lib/base/object.h"
#include "lib/rpc/op.h"

/* ---- the walk ---- */

enum kind { KIND_BROKEN, KIND_SCALAR, KIND_TEXT, KIND_ARRAY, KIND_MAP };

struct head {
	enum kind	kind;
	unsigned	skip;	/* bytes of header, and of a scalar's value */
	unsigned	len_at;	/* big-endian length bytes behind the type */
	uint32_t	n;	/* text, bin: bytes; array, map: entries */
};

/* Types 0xc0..0xdf; len_at bytes of length follow those that have one.  0xc1
 * is never used; ext (0xc7..0xc9, 0xd4..0xd8, timestamps among them) has no
 * meaning in this protocol. */
static const struct head heads[32] = {
	[0x00] = { KIND_SCALAR, 1, 0, 0 },	/* nil */
	[0x02] = { KIND_SCALAR, 1, 0, 0 },	/* false */
	[0x03] = { KIND_SCALAR, 1, 0, 0 },	/* true */
	[0x04] = { KIND_SCALAR, 2, 1, 0 },	/* bin 8 */
	[0x05] = { KIND_SCALAR, 3, 2, 0 },	/* bin 16 */
	[0x06] = { KIND_SCALAR, 5, 4, 0 },	/* bin 32 */
	[0x0a] = { KIND_SCALAR, 5, 0, 0 },	/* float 32 */
	[0x0b] = { KIND_SCALAR, 9, 0, 0 },	/* float 64 */
	[0x0c] = { KIND_SCALAR, 2, 0, 0 },	/* uint 8 */
	[0x0d] = { KIND_SCALAR, 3, 0, 0 },	/* uint 16 */
	[0x0e] = { KIND_SCALAR, 5, 0, 0 },	/* uint 32 */
	[0x0f] = { KIND_SCALAR, 9, 0, 0 },	/* uint 64 */
	[0x10] = { KIND_SCALAR, 2, 0, 0 },	/* int 8 */
	[0x11] = { KIND_SCALAR, 3, 0, 0 },	/* int 16 */
	[0x12] = { KIND_SCALAR, 5, 0, 0 },	/* int 32 */
	[0x13] = { KIND_SCALAR, 9, 0, 0 },	/* int 64 */
	[0x19] = { KIND_TEXT, 2, 1, 0 },	/* str 8 */
	[0x1a] = { KIND_TEXT, 3, 2, 0 },	/* str 16 */
	[0x1b] = { KIND_TEXT, 5, 4, 0 },	/* str 32 */
	[0x1c] = { KIND_ARRAY, 3, 2, 0 },	/* array 16 */
	[0x1d] = { KIND_ARRAY, 5, 4, 0 },	/* array 32 */
	[0x1e] = { KIND_MAP, 3, 2, 0 },		/* map 16 */
	[0x1f] = { KIND_MAP, 5, 4, 0 },		/* map 32 */
};

/* The header at p, of which `left` > 0 bytes are there. */
static inline struct head
head_read(const uint8_t *p, size_t left)
{
	struct head h;
	uint8_t type = p[0];

	if (type < 0x80 || type >= 0xe0)
		return ((struct head){ KIND_SCALAR, 1, 0, 0 });
	if (type < 0x90)
		return ((struct head){ KIND_MAP, 1, 0, type & 0x0fu });
	if (type < 0xa0)
		return ((struct head){ KIND_ARRAY, 1, 0, type & 0x0fu });
	if (type < 0xc0)
		return ((struct head){ KIND_TEXT, 1, 0, type & 0x1fu });
	h = heads[type - 0xc0];
	if (h.skip > left) {
		h.kind = KIND_BROKEN;
		return (h);
	}
	for (unsigned i = 0; i < h.len_at; i++)
		h.n = h.n << 8 | p[1 + i];
	return (h);
}

/*
 * One value at in[0..len): *used is its length, *values how many values it
 * is made of, for the size of the zone.
 */
static enum rc
walk_value(const uint8_t *in, size_t len, size_t *used, size_t *values)
{
	uint64_t todo[RPC_DEPTH_MAX + 1] = { 1 };	/* values still to come */
	bool map[RPC_DEPTH_MAX + 1] = { false };
	unsigned depth = 0;
	size_t at = 0, n = 0, room;
	uint64_t children;
	struct head h;

	for (;;) {
		while (todo[depth] == 0) {
			if (depth-- == 0)
				goto done;
		}
		if (at == len)
			return (RC_SYNTAX);
		h = head_read(in + at, len - at);
		if (h.kind == KIND_BROKEN)
			return (RC_SYNTAX);
		/* In a map an even rest means that a key is next. */
		if (map[depth] && todo[depth] % 2 == 0 && h.kind != KIND_TEXT)
			return (RC_SYNTAX);
		todo[depth]--;
		at += h.skip;
		room = len - at;
		if (++n > RPC_VALUES_MAX)
			return (RC_LIMIT);
		if (h.kind == KIND_SCALAR || h.kind == KIND_TEXT) {
			if (h.n > room)
				return (RC_SYNTAX);
			at += h.n;
			continue;
		}
		/* Every child takes a byte at least: an announced count can
		 * never ask for more than what came. */
		children = h.kind == KIND_MAP ? (uint64_t)h.n * 2 : h.n;
		if (children > room)
			return (RC_SYNTAX);
		if (depth == RPC_DEPTH_MAX)
			return (RC_LIMIT);
		depth++;
		todo[depth] = children;
		map[depth] = h.kind == KIND_MAP;
	}
done:
	*used = at;
	*values = n;
	return (RC_OK);
}

static enum rc
walk_whole(const void *in, size_t len, size_t *values)
{
	size_t used = 0;
	enum rc rc;

	*values = 0;
	if ((rc = walk_value(in, len, &used, values)) != RC_OK)
		return (rc);
	return (used == len ? RC_OK : RC_SYNTAX);
}

enum rc
rpc_walk(const void *in, size_t len)
{
	size_t values;

	return (walk_whole(in, len, &values));
}

size_t
rpc_value_extent(const void *in, size_t len)
{
	size_t used = 0, values = 0;

	if (walk_value(in, len, &used, &values) != RC_OK)
		return (0);
	return (used);
}

/* ---- reading ---- */

/* The zone aligns each array to a pointer; an object is a multiple of that,
 * so nothing is lost between them. */
_Static_assert(sizeof(msgpack_object) % sizeof(void *) == 0 &&
    sizeof(msgpack_object_kv) == 2 * sizeof(msgpack_object),
    "the zone's size is computed from the number of values");

enum rc
rpc_document_read(struct rpc_document *d, const void *in, size_t len)
{
	msgpack_unpack_return got;
	msgpack_object *root;
	msgpack_zone *zone;
	size_t values, bytes, off = 0;
	enum rc rc;

	d->zone = NULL;
	d->root = NULL;
	d->bytes = 0;
	if ((rc = walk_whole(in, len, &values)) != RC_OK)
		return (rc);
	/* One chunk for everything, with a pointer's worth of alignment. */
	bytes = (values + 1) * sizeof(msgpack_object);
	zone = msgpack_zone_new(bytes);
	if (zone == NULL)
		return (RC_NOMEM);
	root = msgpack_zone_malloc(zone, sizeof(*root));
	if (root == NULL) {
		msgpack_zone_free(zone);
		return (RC_NOMEM);
	}
	got = msgpack_unpack(in, len, &off, zone, root);
	if (got != MSGPACK_UNPACK_SUCCESS) {
		msgpack_zone_free(zone);
		/* The walk took these bytes: only memory can be missing. */
		return (got == MSGPACK_UNPACK_NOMEM_ERROR ? RC_NOMEM :
		    RC_SYNTAX);
	}
	d->zone = zone;
	d->bytes = bytes;
	d->root = (const struct rpc_value *)(const void *)root;
	return (RC_OK);
}

void
rpc_document_fini(struct rpc_document *d)
{
	if (d->zone != NULL)
		msgpack_zone_free(d->zone);
	d->zone = NULL;
	d->root = NULL;
	d->bytes = 0;
}

static inline const msgpack_object *
object(const struct rpc_value *v)
{
	return ((const msgpack_object *)(const void *)v);
}

static inline const struct rpc_value *
value(const msgpack_object *o)
{
	return ((const struct rpc_value *)(const void *)o);
}

bool
rpc_get_u64(const struct rpc_value *v, uint64_t *out)
{
	if (v == NULL || object(v)->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return (false);
	*out = object(v)->via.u64;
	return (true);
}

bool
rpc_get_bool(const struct rpc_value *v, bool *out)
{
	if (v == NULL || object(v)->type != MSGPACK_OBJECT_BOOLEAN)
		return (false);
	*out = object(v)->via.boolean;
	return (true);
}

bool
rpc_get_bytes(const struct rpc_value *v, struct span *out)
{
	const msgpack_object *o = object(v);

	if (o == NULL)
		return (false);
	if (o->type == MSGPACK_OBJECT_BIN) {
		*out = (struct span){ o->via.bin.ptr, o->via.bin.size };
		return (true);
	}
	if (o->type == MSGPACK_OBJECT_STR) {
		*out = (struct span){ o->via.str.ptr, o->via.str.size };
		return (true);
	}
	return (false);
}

bool
rpc_is_nil(const struct rpc_value *v)
{
	return (v != NULL && object(v)->type == MSGPACK_OBJECT_NIL);
}

size_t
rpc_array_len(const struct rpc_value *v)
{
	if (v == NULL || object(v)->type != MSGPACK_OBJECT_ARRAY)
		return (SIZE_MAX);
	return (object(v)->via.array.size);
}

const struct rpc_value *
rpc_array_at(const struct rpc_value *v, size_t i)
{
	const msgpack_object *o = object(v);

	if (o == NULL || o->type != MSGPACK_OBJECT_ARRAY ||
	    i >= o->via.array.size)
		return (NULL);
	return (value(&o->via.array.ptr[i]));
}

const struct rpc_value *
rpc_map_get(const struct rpc_value *v, const char *key)
{
	const msgpack_object *o = object(v);
	size_t len = strlen(key);

	if (o == NULL || o->type != MSGPACK_OBJECT_MAP)
		return (NULL);
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];

		/* The walk let only text keys through. */
		if (kv->key.via.str.size == len &&
		    memcmp(kv->key.via.str.ptr, key, len) == 0)
			return (value(&kv->val));
	}
	return (NULL);
}

/* ---- writing ---- */

/* A type byte and the low n bytes of v, big-endian. */
static void
put_typed(struct buffer *b, unsigned type, uint64_t v, unsigned n)
{
	uint8_t out[9];

	out[0] = (uint8_t)type;
	for (unsigned i = 0; i < n; i++)
		out[1 + i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	buffer_put(b, out, 1 + n);
}

void
rpc_put_nil(struct buffer *b)
{
	put_typed(b, 0xc0, 0, 0);
}

void
rpc_put_bool(struct buffer *b, bool on)
{
	put_typed(b, on ? 0xc3 : 0xc2, 0, 0);
}

void
rpc_put_u64(struct buffer *b, uint64_t v)
{
	if (v < 0x80)
		put_typed(b, (unsigned)v, 0, 0);
	else if (v <= UINT8_MAX)
		put_typed(b, 0xcc, v, 1);
	else if (v <= UINT16_MAX)
		put_typed(b, 0xcd, v, 2);
	else if (v <= UINT32_MAX)
		put_typed(b, 0xce, v, 4);
	else
		put_typed(b, 0xcf, v, 8);
}

/* The frame's limit is far below 4 GiB: a longer count is our bug. */
static void
put_len(struct buffer *b, unsigned type8, unsigned type16, unsigned type32,
    size_t n)
{
	ensure(n <= UINT32_MAX);
	if (type8 != 0 && n <= UINT8_MAX)
		put_typed(b, type8, n, 1);
	else if (n <= UINT16_MAX)
		put_typed(b, type16, n, 2);
	else
		put_typed(b, type32, n, 4);
}

void
rpc_put_text(struct buffer *b, struct span s)
{
	if (s.len < 32)
		put_typed(b, 0xa0 | (unsigned)s.len, 0, 0);
	else
		put_len(b, 0xd9, 0xda, 0xdb, s.len);
	buffer_put(b, s.p, s.len);
}

void
rpc_put_str(struct buffer *b, const char *s)
{
	rpc_put_text(b, (struct span){ s, strlen(s) });
}

void
rpc_put_bin_head(struct buffer *b, size_t len)
{
	put_len(b, 0xc4, 0xc5, 0xc6, len);
}

void
rpc_put_bin(struct buffer *b, struct span s)
{
	rpc_put_bin_head(b, s.len);
	buffer_put(b, s.p, s.len);
}

void
rpc_put_array(struct buffer *b, size_t n)
{
	if (n < 16)
		put_typed(b, 0x90 | (unsigned)n, 0, 0);
	else
		put_len(b, 0, 0xdc, 0xdd, n);
}

void
rpc_put_map(struct buffer *b, size_t n)
{
	if (n < 16)
		put_typed(b, 0x80 | (unsigned)n, 0, 0);
	else
		put_len(b, 0, 0xde, 0xdf, n);
}

char *
rpc_write_bin_head(char *at, size_t len)
{
	uint8_t *p = (uint8_t *)at;

	ensure(len <= UINT32_MAX);
	if (len <= UINT8_MAX) {
		*p++ = 0xc4;
	} else if (len <= UINT16_MAX) {
		*p++ = 0xc5;
		*p++ = (uint8_t)(len >> 8);
	} else {
		*p++ = 0xc6;
		*p++ = (uint8_t)(len >> 24);
		*p++ = (uint8_t)(len >> 16);
		*p++ = (uint8_t)(len >> 8);
	}
	*p++ = (uint8_t)len;
	return ((char *)p);
}

void
rpc_write_array_head(char *at, size_t n)
{
	ensure(n <= UINT32_MAX);
	*at++ = (char)0xdd;
	for (int i = 0; i < 4; i++)
		*at++ = (char)(n >> (24 - 8 * i));
}

void
rpc_put_value(struct buffer *b, const struct rpc_value *v)
{
	const msgpack_object *o = object(v);
	struct span s;

	ensure(o != NULL);
	if (o->type == MSGPACK_OBJECT_BOOLEAN) {
		rpc_put_bool(b, o->via.boolean);
	} else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
		rpc_put_u64(b, o->via.u64);
	} else if (o->type == MSGPACK_OBJECT_STR) {
		(void)rpc_get_bytes(v, &s);
		rpc_put_text(b, s);
	} else if (o->type == MSGPACK_OBJECT_BIN) {
		(void)rpc_get_bytes(v, &s);
		rpc_put_bin(b, s);
	} else if (o->type == MSGPACK_OBJECT_ARRAY) {
		rpc_put_array(b, rpc_array_len(v));
		for (size_t i = 0; i < rpc_array_len(v); i++)
			rpc_put_value(b, rpc_array_at(v, i));
	} else if (o->type == MSGPACK_OBJECT_MAP) {
		rpc_put_map(b, o->via.map.size);
		for (uint32_t i = 0; i < o->via.map.size; i++) {
			rpc_put_value(b, value(&o->via.map.ptr[i].key));
			rpc_put_value(b, value(&o->via.map.ptr[i].val));
		}
	} else {
		rpc_put_nil(b);		/* floats and negatives mean nothing */
	}
}

/* ---- small maps ---- */

static bool
get_name(const struct rpc_value *v, const struct rpc_want *w)
{
	struct span s;

	if (!rpc_get_bytes(v, &s))
		return (false);
	for (unsigned i = 0; w->names[i] != NULL; i++) {
		if (!span_eq_str(s, w->names[i]))
			continue;
		*w->to.index = i;
		return (true);
	}
	return (false);
}

static bool
get_member(const struct rpc_value *v, const struct rpc_want *w)
{
	switch (w->kind) {
	case RPC_KIND_BOOL:
		return (rpc_get_bool(v, w->to.flag));
	case RPC_KIND_U64:
		return (rpc_get_u64(v, w->to.number));
	case RPC_KIND_BYTES:
		return (rpc_get_bytes(v, w->to.bytes));
	case RPC_KIND_VALUE:
		*w->to.value = v;
		return (v != NULL);
	case RPC_KIND_LIST:
		*w->to.value = v;
		return (rpc_array_len(v) != SIZE_MAX);
	case RPC_KIND_NAME:
		return (get_name(v, w));
	}
	return (false);
}

static bool
get_wanted(const struct rpc_value *v, const struct rpc_want *w)
{
	if (w->optional && (v == NULL || rpc_is_nil(v)))
		return (true);
	return (get_member(v, w));
}

bool
rpc_get_members(const struct rpc_value *map, const struct rpc_want *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!get_wanted(rpc_map_get(map, w[i].key), &w[i]))
			return (false);
	return (true);
}

bool
rpc_get_elements(const struct rpc_value *list, const struct rpc_want *w,
    size_t n)
{
	if (rpc_array_len(list) > n)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (!get_wanted(rpc_array_at(list, i), &w[i]))
			return (false);
	return (true);
}

/* One value as it came: `text` is what a str or bin holds. */
struct encoded {
	const uint8_t	*at;
	struct head	head;
	struct span	text;
};

/* Take the value at the front of *in. */
static bool
next_encoded(struct span *in, struct encoded *e)
{
	size_t n;

	if (in->len == 0)
		return (false);
	e->at = (const uint8_t *)in->p;
	e->head = head_read(e->at, in->len);
	n = e->head.skip;
	e->text = (struct span){ in->p + n, e->head.n };
	if (e->head.kind == KIND_ARRAY || e->head.kind == KIND_MAP)
		n = rpc_value_extent(in->p, in->len);
	else if (e->head.kind == KIND_BROKEN || e->head.n > in->len - n)
		n = 0;
	else
		n += e->head.n;
	in->p += n;
	in->len -= n;
	return (n != 0);
}

static bool
encoded_u64(const struct encoded *e, uint64_t *out)
{
	uint8_t type = e->at[0];
	uint64_t v = 0;

	if (type < 0x80) {
		*out = type;
		return (true);
	}
	if (type < 0xcc || type > 0xd3 || (type >= 0xd0 && e->at[1] >= 0x80))
		return (false);		/* no integer, or a negative one */
	for (unsigned i = 1; i < e->head.skip; i++)
		v = v << 8 | e->at[i];
	*out = v;
	return (true);
}

static bool
encoded_member(const struct encoded *e, const struct rpc_want *w)
{
	if (w->kind == RPC_KIND_U64)
		return (encoded_u64(e, w->to.number));
	if (w->kind != RPC_KIND_BYTES || (e->head.kind != KIND_TEXT &&
	    (e->at[0] < 0xc4 || e->at[0] > 0xc6)))
		return (false);
	*w->to.bytes = e->text;
	return (true);
}

bool
rpc_scan_members(struct span in, const struct rpc_want *w, size_t n)
{
	struct encoded key, value;
	unsigned seen = 0, got = 0;
	struct head map;

	ensure(n <= 32);
	if (in.len == 0)
		return (false);
	map = head_read((const uint8_t *)in.p, in.len);
	if (map.kind != KIND_MAP)
		return (false);
	in.p += map.skip;
	in.len -= map.skip;
	for (uint32_t i = 0; i < map.n; i++) {
		if (!next_encoded(&in, &key) || key.head.kind != KIND_TEXT ||
		    !next_encoded(&in, &value))
			return (false);
		for (unsigned k = 0; k < n; k++) {
			if (seen >> k & 1 || !span_eq_str(key.text, w[k].key))
				continue;
			seen |= 1u << k;	/* the first one counts */
			got |= (unsigned)encoded_member(&value, &w[k]) << k;
		}
	}
	for (unsigned k = 0; k < n; k++)
		if (!w[k].optional && (got >> k & 1) == 0)
			return (false);
	return (in.len == 0);
}

static void
put_member(struct buffer *b, const struct rpc_member *m)
{
	switch (m->kind) {
	case RPC_PUT_BOOL:
		rpc_put_bool(b, m->from.flag);
		break;
	case RPC_PUT_U64:
		rpc_put_u64(b, m->from.number);
		break;
	case RPC_PUT_STR:
		rpc_put_str(b, m->from.text);
		break;
	case RPC_PUT_BIN:
		rpc_put_bin(b, m->from.bytes);
		break;
	case RPC_PUT_RAW:
		buffer_put(b, m->from.bytes.p, m->from.bytes.len);
		break;
	case RPC_PUT_NIL:
		rpc_put_nil(b);
		break;
	}
}

void
rpc_put_members(struct buffer *b, const struct rpc_member *m, size_t n)
{
	rpc_put_map(b, n);
	for (size_t i = 0; i < n; i++) {
		rpc_put_str(b, m[i].key);
		put_member(b, &m[i]);
	}
}

void
rpc_put_elements(struct buffer *b, const struct rpc_member *m, size_t n)
{
	rpc_put_array(b, n);
	for (size_t i = 0; i < n; i++)
		put_member(b, &m[i]);
}
