/*
 * body/json.c - yajl's events become an index of byte spans.
 *
 * yajl decodes every string but tells only where an event ends, so spans are
 * found by position: a token begins at the first byte behind the previous one
 * that is not white space, a comma or a colon, and it must have the length the
 * event says.  Whatever yajl skipped and RFC 8259 does not allow (form feed)
 * breaks that equation and is an error.  The document is read in one call:
 * yajl scans a partial string again from its start with every piece.
 */
#include "lib/body/json.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define NODES_MAX	(16u << 20)	/* 448 MiB of index: far over any body
					   limit, yet bounded */
#define NODES_FIRST	16u		/* plus one for 16 bytes of document:
					   what real documents need */
#define NO_NODE		UINT32_MAX

struct reader {
	struct body_json	*doc;		/* borrowed: being built */
	yajl_handle		yajl;		/* owned by body_json_read */
	size_t			pos;		/* end of the previous event */
	bool			finishing;	/* inside yajl_complete_parse */
	uint32_t		max_nodes;
	uint32_t		depth;
	uint32_t		open;		/* innermost container */
	uint32_t		key_start;	/* of the member being read */
	uint32_t		key_end;
	bool			has_key;
	bool			key_escaped;
	enum rc			rc;		/* why we cancelled */
	const char		*reason;
	bool			too_many;	/* it was max_nodes */
};

/* ---- memory of yajl ------------------------------------------------------ */

/*
 * yajl decodes strings into a buffer of its own: plaintext.  Its memory is
 * wiped on the way out, so its size stands in front of it.  yajl checks no
 * allocation; running out of memory ends the process cleanly instead.
 */
union block {
	size_t		bytes;
	max_align_t	align;
};

static void
block_free(void *ctx, void *p)
{
	union block *b = p;

	(void)ctx;
	if (b == NULL)
		return;
	b--;
	secret_wipe(b + 1, b->bytes);
	free(b);
}

static void *
block_alloc(void *ctx, size_t bytes)
{
	union block *b;

	(void)ctx;
	ensure(bytes <= SIZE_MAX - sizeof(*b));
	b = malloc(sizeof(*b) + bytes);
	ensure(b != NULL);
	b->bytes = bytes;
	return (b + 1);
}

static void *
block_realloc(void *ctx, void *p, size_t bytes)
{
	void *new = block_alloc(ctx, bytes);

	if (p != NULL) {
		size_t old = ((union block *)p - 1)->bytes;

		memcpy(new, p, old < bytes ? old : bytes);
		block_free(ctx, p);
	}
	return (new);
}

/* ---- events -------------------------------------------------------------- */

/* Cancel the parse; the value is what a yajl callback returns for that. */
static int
cancel(struct reader *r, enum rc rc, const char *reason)
{
	r->rc = rc;
	r->reason = reason;
	return (0);
}

static bool
is_space(char c)
{
	return (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

/*
 * The token that just ended: [*start, *end).  A number that the end of the
 * document ends is reported late, when yajl's counter has started anew.
 */
static void
token_span(struct reader *r, size_t *start, size_t *end)
{
	const char *doc = r->doc->doc;
	size_t at = r->pos;

	*end = r->finishing ? r->doc->len : yajl_get_bytes_consumed(r->yajl);
	while (at < *end && (is_space(doc[at]) || doc[at] == ',' ||
	    doc[at] == ':'))
		at++;
	*start = at;
	r->pos = *end;
}

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

static int
add(struct reader *r, enum body_json_type type, size_t start, size_t end,
    bool escaped)
{
	struct body_json *doc = r->doc;
	struct body_json_node *node;

	if (doc->n == doc->cap) {
		if (doc->cap >= r->max_nodes) {
			r->too_many = true;
			return (cancel(r, RC_LIMIT, "too many values"));
		}
		if (!grow(doc, r->max_nodes))
			return (cancel(r, RC_NOMEM, "out of memory"));
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
	return (1);
}

/* A token of known length, which the span must have. */
static int
add_exact(struct reader *r, enum body_json_type type, size_t len)
{
	size_t start, end;

	token_span(r, &start, &end);
	if (end - start != len)
		return (cancel(r, RC_SYNTAX, "foreign byte between values"));
	return (add(r, type, start, end, false));
}

/* decoded: bytes after unescaping; every escape is longer than its text. */
static bool
string_span(struct reader *r, size_t decoded, size_t *start, size_t *end,
    bool *escaped)
{
	token_span(r, start, end);
	if (*end - *start < 2 || r->doc->doc[*start] != '"')
		return (false);
	*escaped = *end - *start - 2 != decoded;
	return (true);
}

static int
on_null(void *ctx)
{
	return (add_exact(ctx, BODY_JSON_NULL, 4));
}

static int
on_boolean(void *ctx, int value)
{
	return (value ? add_exact(ctx, BODY_JSON_TRUE, 4) :
	    add_exact(ctx, BODY_JSON_FALSE, 5));
}

static int
on_number(void *ctx, const char *text, size_t len)
{
	(void)text;
	return (add_exact(ctx, BODY_JSON_NUMBER, len));
}

static int
on_string(void *ctx, const unsigned char *text, size_t len)
{
	struct reader *r = ctx;
	size_t start, end;
	bool escaped;

	(void)text;
	if (!string_span(r, len, &start, &end, &escaped))
		return (cancel(r, RC_SYNTAX, "foreign byte between values"));
	return (add(r, BODY_JSON_STRING, start, end, escaped));
}

static int
on_key(void *ctx, const unsigned char *text, size_t len)
{
	struct reader *r = ctx;
	size_t start, end;
	bool escaped;

	(void)text;
	if (!string_span(r, len, &start, &end, &escaped))
		return (cancel(r, RC_SYNTAX, "foreign byte between values"));
	r->has_key = true;
	r->key_escaped = escaped;
	r->key_start = (uint32_t)start;
	r->key_end = (uint32_t)end;
	return (1);
}

static int
open_container(struct reader *r, enum body_json_type type)
{
	if (r->depth == BODY_JSON_DEPTH_MAX)
		return (cancel(r, RC_LIMIT, "nested too deep"));
	if (!add_exact(r, type, 1))
		return (0);
	r->depth++;
	r->open = r->doc->n - 1;
	return (1);
}

static int
on_open_object(void *ctx)
{
	return (open_container(ctx, BODY_JSON_OBJECT));
}

static int
on_open_array(void *ctx)
{
	return (open_container(ctx, BODY_JSON_ARRAY));
}

static int
on_close(void *ctx)
{
	struct reader *r = ctx;
	struct body_json_node *node = &r->doc->nodes[r->open];
	size_t start, end;

	token_span(r, &start, &end);
	if (end - start != 1)
		return (cancel(r, RC_SYNTAX, "foreign byte between values"));
	node->end = (uint32_t)end;
	node->next = r->doc->n;
	r->depth--;
	r->open = r->depth == 0 ? NO_NODE : node->parent;
	return (1);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_map_key = on_key,
	.yajl_start_map = on_open_object,
	.yajl_end_map = on_close,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close,
};

/* ---- reading ------------------------------------------------------------- */

static enum rc
parse(struct reader *r)
{
	struct body_json *doc = r->doc;
	yajl_status status;

	status = yajl_parse(r->yajl, (const unsigned char *)doc->doc, doc->len);
	if (status == yajl_status_ok) {
		r->finishing = true;
		status = yajl_complete_parse(r->yajl);
	}
	if (status == yajl_status_client_canceled)
		return (r->rc);
	if (status != yajl_status_ok || doc->n == 0) {
		r->reason = r->finishing ? "the document ends too early" :
		    "not well-formed";
		if (!r->finishing)
			r->pos = yajl_get_bytes_consumed(r->yajl);
		return (RC_SYNTAX);
	}
	for (; r->pos < doc->len; r->pos++) {
		if (!is_space(doc->doc[r->pos])) {
			r->reason = "foreign byte behind the document";
			return (RC_SYNTAX);
		}
	}
	return (RC_OK);
}

static enum rc
read_document(struct reader *r)
{
	yajl_alloc_funcs memory = { block_alloc, block_realloc, block_free, NULL };
	struct body_json *doc = r->doc;
	uint32_t cap;
	enum rc rc;

	if (doc->len > BODY_JSON_BYTES_MAX) {
		r->reason = "the document is too long";
		return (RC_LIMIT);
	}
	if (!utf8_valid(doc->doc, doc->len)) {
		r->reason = "not UTF-8";
		return (RC_SYNTAX);
	}
	cap = NODES_FIRST + (uint32_t)(doc->len / 16);
	doc->cap = cap < r->max_nodes ? cap : r->max_nodes;
	if ((doc->nodes = malloc(doc->cap * sizeof(*doc->nodes))) == NULL) {
		r->reason = "out of memory";
		return (RC_NOMEM);
	}
	r->yajl = yajl_alloc(&callbacks, &memory, r);
	/* Our own check was stricter: yajl lets overlong forms pass. */
	(void)yajl_config(r->yajl, yajl_dont_validate_strings, 1);
	rc = parse(r);
	yajl_free(r->yajl);
	r->yajl = NULL;
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
		fault->offset = rc == RC_OK ? len : r.pos;
		fault->reason = rc == RC_OK ? "" : r.reason;
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
