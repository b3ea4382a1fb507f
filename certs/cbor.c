/*
 * certs/cbor.c - CBOR heads by libcbor's streaming decoder, structure by us.
 *
 * Only cbor_stream_decode() is used.  cbor_load() allocates what an array or
 * map announces before it has seen the items (a 9-byte input asks for any
 * amount), and frees by recursion.  The streaming decoder keeps no state and
 * allocates nothing; it checks a string's length against the bytes left.
 * What it lacks is here: nesting, counts against the bytes left, one item
 * and no more, UTF-8, repeated keys.
 */
#include "certs/cbor.h"

#include <string.h>

#include <cbor.h>

#include "lib/base/object.h"

#define OPEN_END	UINT64_MAX	/* a container that a break closes */

/* libcbor 0.8 calls the tags 6 to 20 "unassigned" when they take one byte,
 * COSE's 18 among them; it reads every longer one. */
#define TAG_SHORT_FIRST	0xc6
#define TAG_SHORT_LAST	0xd4
#define TAG_BASE	0xc0

/* What one head says. */
struct head {
	struct certs_cbor_node	node;
	bool			open_end;	/* of indefinite length */
	bool			is_break;
	bool			pieces;		/* a string in pieces begins */
};

struct frame {
	uint32_t	node;	/* the container */
	uint64_t	total;	/* items in it (a map: twice the pairs) */
	uint64_t	seen;	/* items read so far */
};

struct reader {
	struct certs_cbor	*out;	/* borrowed: the caller's */
	const char		*why;
	struct frame		stack[CERTS_CBOR_DEPTH_MAX];
	unsigned		depth;
	bool			whole;	/* the root is complete */
};

static void
set_value(void *ctx, enum certs_cbor_type type, uint64_t value)
{
	struct head *h = ctx;

	h->node.type = type;
	h->node.value = value;
}

static void
on_uint8(void *ctx, uint8_t v)
{
	set_value(ctx, CERTS_CBOR_UINT, v);
}

static void
on_uint16(void *ctx, uint16_t v)
{
	set_value(ctx, CERTS_CBOR_UINT, v);
}

static void
on_uint32(void *ctx, uint32_t v)
{
	set_value(ctx, CERTS_CBOR_UINT, v);
}

static void
on_uint64(void *ctx, uint64_t v)
{
	set_value(ctx, CERTS_CBOR_UINT, v);
}

static void
on_negint8(void *ctx, uint8_t v)
{
	set_value(ctx, CERTS_CBOR_NEGINT, v);
}

static void
on_negint16(void *ctx, uint16_t v)
{
	set_value(ctx, CERTS_CBOR_NEGINT, v);
}

static void
on_negint32(void *ctx, uint32_t v)
{
	set_value(ctx, CERTS_CBOR_NEGINT, v);
}

static void
on_negint64(void *ctx, uint64_t v)
{
	set_value(ctx, CERTS_CBOR_NEGINT, v);
}

static void
set_bytes(void *ctx, enum certs_cbor_type type, cbor_data data, size_t len)
{
	struct head *h = ctx;

	h->node.type = type;
	h->node.bytes = (struct span){ (const char *)data, len };
}

static void
on_bytes(void *ctx, cbor_data data, size_t len)
{
	set_bytes(ctx, CERTS_CBOR_BYTES, data, len);
}

static void
on_text(void *ctx, cbor_data data, size_t len)
{
	set_bytes(ctx, CERTS_CBOR_TEXT, data, len);
}

static void
on_pieces(void *ctx)
{
	struct head *h = ctx;

	h->pieces = true;
}

static void
on_array(void *ctx, size_t items)
{
	set_value(ctx, CERTS_CBOR_ARRAY, items);
}

static void
on_map(void *ctx, size_t pairs)
{
	set_value(ctx, CERTS_CBOR_MAP, pairs);
}

static void
on_open_array(void *ctx)
{
	struct head *h = ctx;

	h->node.type = CERTS_CBOR_ARRAY;
	h->open_end = true;
}

static void
on_open_map(void *ctx)
{
	struct head *h = ctx;

	h->node.type = CERTS_CBOR_MAP;
	h->open_end = true;
}

static void
on_break(void *ctx)
{
	struct head *h = ctx;

	h->is_break = true;
}

static void
on_tag(void *ctx, uint64_t tag)
{
	set_value(ctx, CERTS_CBOR_TAG, tag);
}

static void
on_double(void *ctx, double v)
{
	struct head *h = ctx;

	h->node.type = CERTS_CBOR_FLOAT;
	h->node.real = v;
}

static void
on_float(void *ctx, float v)
{
	on_double(ctx, (double)v);
}

static void
on_bool(void *ctx, bool v)
{
	set_value(ctx, CERTS_CBOR_BOOL, v ? 1 : 0);
}

static void
on_null(void *ctx)
{
	set_value(ctx, CERTS_CBOR_NULL, 0);
}

static void
on_undefined(void *ctx)
{
	set_value(ctx, CERTS_CBOR_UNDEFINED, 0);
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint64 = on_negint64,
	.negint32 = on_negint32,
	.negint16 = on_negint16,
	.negint8 = on_negint8,
	.byte_string_start = on_pieces,
	.byte_string = on_bytes,
	.string = on_text,
	.string_start = on_pieces,
	.indef_array_start = on_open_array,
	.array_start = on_array,
	.indef_map_start = on_open_map,
	.map_start = on_map,
	.tag = on_tag,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.undefined = on_undefined,
	.null = on_null,
	.boolean = on_bool,
	.indef_break = on_break,
};

static enum rc
fail(struct reader *r, enum rc rc, const char *why)
{
	r->why = why;
	return (rc);
}

/* The head at the front of a non-empty input, with a string's bytes. */
static enum rc
read_head(struct reader *r, struct span in, struct head *h, size_t *used)
{
	const unsigned char *p = (const unsigned char *)in.p;
	struct cbor_decoder_result result;

	memset(h, 0, sizeof(*h));
	if (p[0] >= TAG_SHORT_FIRST && p[0] <= TAG_SHORT_LAST) {
		on_tag(h, p[0] - (uint64_t)TAG_BASE);
		*used = 1;
		return (RC_OK);
	}
	result = cbor_stream_decode(p, in.len, &callbacks, h);
	*used = result.read;
	switch (result.status) {
	case CBOR_DECODER_FINISHED:
		ensure(result.read > 0 && result.read <= in.len);
		break;
	case CBOR_DECODER_NEDATA:
		return (fail(r, RC_SYNTAX, "cut short"));
	case CBOR_DECODER_ERROR:
		return (fail(r, RC_SYNTAX, "no CBOR item"));
	}
	if (h->pieces)
		return (fail(r, RC_UNSUPPORTED, "a string in pieces"));
	if (h->node.type == CERTS_CBOR_TEXT &&
	    !utf8_valid(h->node.bytes.p, h->node.bytes.len))
		return (fail(r, RC_SYNTAX, "text is not UTF-8"));
	return (RC_OK);
}

/* An item is complete, and so may be those that it was the last of. */
static void
complete(struct reader *r)
{
	while (r->depth > 0) {
		struct frame *f = &r->stack[r->depth - 1];

		if (++f->seen < f->total)
			return;
		r->out->nodes[f->node].next = r->out->n;
		r->depth--;
	}
	r->whole = true;
}

static enum rc
close_open_end(struct reader *r)
{
	struct certs_cbor_node *node;
	struct frame *f;

	if (r->depth == 0)
		return (fail(r, RC_SYNTAX, "a break outside of everything"));
	f = &r->stack[r->depth - 1];
	node = &r->out->nodes[f->node];
	if (f->total != OPEN_END)
		return (fail(r, RC_SYNTAX, "a break where an item must be"));
	if (node->type == CERTS_CBOR_MAP && f->seen % 2 != 0)
		return (fail(r, RC_SYNTAX, "a key without a value"));
	node->value = node->type == CERTS_CBOR_MAP ? f->seen / 2 : f->seen;
	node->next = r->out->n;
	r->depth--;
	complete(r);
	return (RC_OK);
}

/* Add what the head announced; left: bytes behind it. */
static enum rc
add(struct reader *r, const struct head *h, size_t left)
{
	struct certs_cbor *c = r->out;
	uint64_t total = 0;
	uint32_t at = c->n;

	if (at == CERTS_CBOR_NODES_MAX)
		return (fail(r, RC_LIMIT, "too many items"));
	if (h->open_end)
		total = OPEN_END;
	else if (h->node.type == CERTS_CBOR_TAG)
		total = 1;
	else if (h->node.type == CERTS_CBOR_ARRAY)
		total = h->node.value;
	else if (h->node.type == CERTS_CBOR_MAP && h->node.value > left / 2)
		return (fail(r, RC_SYNTAX, "more pairs than bytes"));
	else if (h->node.type == CERTS_CBOR_MAP)
		total = h->node.value * 2;
	if (total > left && !h->open_end)	/* an item is a byte at least */
		return (fail(r, RC_SYNTAX, "more items than bytes"));
	c->nodes[at] = h->node;
	c->nodes[at].next = ++c->n;
	if (total == 0) {
		complete(r);
		return (RC_OK);
	}
	if (r->depth == CERTS_CBOR_DEPTH_MAX)
		return (fail(r, RC_LIMIT, "too deep"));
	r->stack[r->depth++] = (struct frame){ .node = at, .total = total };
	return (RC_OK);
}

bool
certs_cbor_same_key(const struct certs_cbor_node *a,
    const struct certs_cbor_node *b)
{
	return (a->type == b->type && a->value == b->value &&
	    span_eq(a->bytes, b->bytes));
}

/* Two readers of a map with a key twice may see two different documents. */
static enum rc
check_keys(struct reader *r, uint32_t map)
{
	const struct certs_cbor *c = r->out;
	uint32_t end = c->nodes[map].next, other;

	for (uint32_t k = map + 1; k < end; k = c->nodes[k + 1].next) {
		if (c->nodes[k].type > CERTS_CBOR_TEXT)
			return (fail(r, RC_UNSUPPORTED,
			    "a key that is no number and no string"));
		for (other = c->nodes[k + 1].next; other < end;
		    other = c->nodes[c->nodes[other].next].next)
			if (certs_cbor_same_key(&c->nodes[k],
			    &c->nodes[other]))
				return (fail(r, RC_SYNTAX, "a key twice"));
	}
	return (RC_OK);
}

static enum rc
read_all(struct reader *r, struct span in)
{
	struct head h;
	size_t used;
	enum rc rc;

	while (!r->whole) {
		if (in.len == 0)
			return (fail(r, RC_SYNTAX, "cut short"));
		if ((rc = read_head(r, in, &h, &used)) != RC_OK)
			return (rc);
		in.p += used;
		in.len -= used;
		rc = h.is_break ? close_open_end(r) : add(r, &h, in.len);
		if (rc != RC_OK)
			return (rc);
	}
	if (in.len != 0)
		return (fail(r, RC_SYNTAX, "bytes behind the item"));
	for (uint32_t i = 0; i < r->out->n; i++)
		if (r->out->nodes[i].type == CERTS_CBOR_MAP &&
		    (rc = check_keys(r, i)) != RC_OK)
			return (rc);
	return (RC_OK);
}

enum rc
certs_cbor_read(struct certs_cbor *c, struct span in, const char **why)
{
	struct reader r = { .out = c, .why = "" };
	enum rc rc;

	c->n = 0;
	if ((rc = read_all(&r, in)) != RC_OK)
		c->n = 0;
	*why = r.why;
	return (rc);
}

uint32_t
certs_cbor_child(const struct certs_cbor *c, uint32_t node)
{
	ensure(node < c->n);
	return (c->nodes[node].next > node + 1 ? node + 1 : 0);
}

uint32_t
certs_cbor_sibling(const struct certs_cbor *c, uint32_t parent, uint32_t node)
{
	ensure(parent < c->n && node < c->n);
	return (c->nodes[node].next < c->nodes[parent].next ?
	    c->nodes[node].next : 0);
}

static uint32_t
find(const struct certs_cbor *c, uint32_t map,
    const struct certs_cbor_node *key)
{
	ensure(map < c->n);
	if (c->nodes[map].type != CERTS_CBOR_MAP)
		return (0);
	for (uint32_t k = map + 1; k < c->nodes[map].next;
	    k = c->nodes[k + 1].next)
		if (certs_cbor_same_key(&c->nodes[k], key))
			return (k + 1);
	return (0);
}

uint32_t
certs_cbor_find(const struct certs_cbor *c, uint32_t map, const char *key)
{
	return (find(c, map, &(struct certs_cbor_node){
	    .type = CERTS_CBOR_TEXT, .bytes = span_of(key) }));
}

uint32_t
certs_cbor_find_uint(const struct certs_cbor *c, uint32_t map, uint64_t key)
{
	return (find(c, map, &(struct certs_cbor_node){
	    .type = CERTS_CBOR_UINT, .value = key }));
}
