/*
 * body/json.c - a document's tokens become an index of byte spans.
 *
 * json_scan.c finds the tokens and is strict about them; here they are put in
 * their places.
 */
#include "lib/body/json.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json_scan.h"

#define NODES_MAX	(16u << 20)	/* 448 MiB of index: far over any body
					   limit, yet bounded */
#define NODES_FIRST	16u		/* plus one for 16 bytes of document:
					   what real documents need */
#define NO_NODE		UINT32_MAX

struct reader {
	struct json_scan	scan;
	struct body_json	*doc;		/* borrowed: being built */
	uint32_t		max_nodes;
	uint32_t		open;		/* innermost container */
	uint32_t		key_start;	/* of the member being read */
	uint32_t		key_end;
	bool			has_key;
	bool			key_escaped;
	bool			too_many;	/* it was max_nodes */
};

/* ---- events -------------------------------------------------------------- */

static bool
grow(struct body_json *doc, uint32_t max_nodes)
{
	struct body_json_node *nodes;
	uint32_t cap;

	cap = doc->cap > max_nodes / 2 ? max_nodes : doc->cap * 2;
	nodes = realloc(doc->nodes, cap * sizeof(*nodes));
	if (nodes == NULL)
		return (false);
	doc->nodes = nodes;
	doc->cap = cap;
	return (true);
}

static enum rc
add(struct reader *r, enum body_json_type type, size_t start, size_t end,
    bool escaped)
{
	struct body_json *doc = r->doc;
	struct body_json_node *node;

	if (doc->n == doc->cap) {
		if (doc->cap >= r->max_nodes) {
			r->too_many = true;
			return (json_scan_fail(&r->scan, RC_LIMIT,
			    "too many values"));
		}
		if (!grow(doc, r->max_nodes))
			return (json_scan_fail(&r->scan, RC_NOMEM,
			    "out of memory"));
	}
	node = &doc->nodes[doc->n++];
	node->type = (uint8_t)type;
	node->has_key = r->has_key;
	node->key_escaped = r->key_escaped;
	node->escaped = escaped;
	node->start = (uint32_t)start;
	node->end = (uint32_t)end;
	node->key_start = r->key_start;
	node->key_end = r->key_end;
	node->next = doc->n;
	node->parent = r->open == NO_NODE ? 0 : r->open;
	r->has_key = r->key_escaped = false;
	r->key_start = r->key_end = 0;
	return (RC_OK);
}

static enum rc
on_scalar(void *reader, enum body_json_type type, size_t start, size_t end,
    bool escaped)
{
	return (add(reader, type, start, end, escaped));
}

static enum rc
on_key(void *reader, size_t start, size_t end, bool escaped)
{
	struct reader *r = reader;

	r->has_key = true;
	r->key_escaped = escaped;
	r->key_start = (uint32_t)start;
	r->key_end = (uint32_t)end;
	return (RC_OK);
}

static enum rc
on_open(void *reader, enum body_json_type type, size_t start)
{
	struct reader *r = reader;
	enum rc rc;

	if ((rc = add(r, type, start, start + 1, false)) == RC_OK)
		r->open = r->doc->n - 1;
	return (rc);
}

static enum rc
on_close(void *reader, size_t end)
{
	struct reader *r = reader;
	struct body_json_node *node = &r->doc->nodes[r->open];

	node->end = (uint32_t)end;
	node->next = r->doc->n;
	r->open = r->open == 0 ? NO_NODE : node->parent;
	return (RC_OK);
}

static const struct json_scan_events events = {
	.on_scalar = on_scalar,
	.on_key = on_key,
	.on_open = on_open,
	.on_close = on_close,
};

/* ---- reading ------------------------------------------------------------- */

static enum rc
read_document(struct reader *r)
{
	struct body_json *doc = r->doc;
	uint32_t cap;
	enum rc rc;

	if (doc->len > BODY_JSON_BYTES_MAX)
		return (json_scan_fail(&r->scan, RC_LIMIT,
		    "the document is too long"));
	cap = NODES_FIRST + (uint32_t)(doc->len / 16);
	doc->cap = cap < r->max_nodes ? cap : r->max_nodes;
	if ((doc->nodes = malloc(doc->cap * sizeof(*doc->nodes))) == NULL)
		return (json_scan_fail(&r->scan, RC_NOMEM, "out of memory"));
	json_scan_init(&r->scan, &events, r);
	rc = json_scan_feed(&r->scan, (struct span){ doc->doc, doc->len }, 0,
	    true);
	json_scan_fini(&r->scan);
	return (rc);
}

enum rc
body_json_read(struct body_json *out, const char *doc, size_t len,
    uint32_t max_nodes, struct body_json_fault *fault)
{
	struct reader r = { .doc = out, .open = NO_NODE };
	enum rc rc;

	memset(out, 0, sizeof(*out));
	out->doc = len == 0 ? "" : doc;
	out->len = len;
	r.max_nodes = max_nodes == 0 || max_nodes > NODES_MAX ? NODES_MAX :
	    max_nodes;
	rc = read_document(&r);
	if (fault != NULL) {
		fault->offset = rc == RC_OK ? len : r.scan.pos;
		fault->reason = rc == RC_OK ? "" : r.scan.reason;
		fault->too_many = r.too_many;
	}
	if (rc != RC_OK)
		body_json_fini(out);
	return (rc);
}

void
body_json_fini(struct body_json *doc)
{
	free(doc->nodes);
	memset(doc, 0, sizeof(*doc));
}

/* ---- walking ------------------------------------------------------------- */

uint32_t
body_json_child(const struct body_json *doc, uint32_t node)
{
	ensure(node < doc->n);
	return (doc->nodes[node].next > node + 1 ? node + 1 : 0);
}

uint32_t
body_json_sibling(const struct body_json *doc, uint32_t node)
{
	uint32_t next;

	ensure(node < doc->n);
	next = doc->nodes[node].next;
	/* The root has no sibling; its own subtree ends the array. */
	return (next < doc->nodes[doc->nodes[node].parent].next ? next : 0);
}

struct span
body_json_raw(const struct body_json *doc, uint32_t node)
{
	const struct body_json_node *n;

	ensure(node < doc->n);
	n = &doc->nodes[node];
	return ((struct span){ doc->doc + n->start, n->end - n->start });
}

struct span
body_json_raw_key(const struct body_json *doc, uint32_t node)
{
	const struct body_json_node *n;

	ensure(node < doc->n);
	n = &doc->nodes[node];
	return ((struct span){ doc->doc + n->key_start,
	    n->key_end - n->key_start });
}

bool
body_json_key_is(const struct body_json *doc, uint32_t node, struct span name)
{
	struct span raw = body_json_raw_key(doc, node);

	if (!doc->nodes[node].has_key)
		return (false);
	if (doc->nodes[node].key_escaped)
		return (body_json_text_is(raw, name));
	return (raw.len - 2 == name.len && (name.len == 0 ||
	    memcmp(raw.p + 1, name.p, name.len) == 0));
}

uint32_t
body_json_member(const struct body_json *doc, uint32_t object, const char *name)
{
	struct span want = span_of(name);
	uint32_t i;

	for (i = body_json_child(doc, object); i != 0;
	    i = body_json_sibling(doc, i))
		if (body_json_key_is(doc, i, want))
			break;
	return (i);
}
