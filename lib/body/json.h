/*
 * body/json.h - a JSON document as an index of byte spans; nothing is copied.
 * Context:   pure; no I/O.
 * Ownership: the index owns one array; every span points into the document,
 *            which the caller keeps unchanged as long as the index lives.
 *
 * yajl reads the grammar, in one call; we add what it lacks (traps.md): strict
 * UTF-8, only the four white space bytes, a depth limit, unescaping from the
 * raw span with lone surrogates refused.  Nodes lie in document order; `next`
 * jumps over a node's whole subtree, so walking needs no tree.
 */
#ifndef RELAY_BODY_JSON_H
#define RELAY_BODY_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/body/json_text.h"

#define BODY_JSON_DEPTH_MAX	128	/* deeper is refused as RC_LIMIT */
#define BODY_JSON_BYTES_MAX	0x7fffffffu /* offsets are 32 bit */

enum body_json_type {
	BODY_JSON_NULL,
	BODY_JSON_FALSE,
	BODY_JSON_TRUE,
	BODY_JSON_NUMBER,
	BODY_JSON_STRING,
	BODY_JSON_ARRAY,
	BODY_JSON_OBJECT
};

struct body_json_node {
	uint8_t		type;		/* enum body_json_type */
	bool		has_key;	/* member of an object */
	bool		key_escaped;	/* the key holds a backslash */
	bool		escaped;	/* a string that holds a backslash */
	uint32_t	start;		/* first byte; strings: the quote */
	uint32_t	end;		/* one past the last byte */
	uint32_t	key_start;	/* the key's opening quote */
	uint32_t	key_end;
	uint32_t	next;		/* index behind this node's subtree */
	uint32_t	parent;		/* index; 0 for the root itself */
};

struct body_json {
	const char		*doc;	/* view */
	size_t			len;
	struct body_json_node	*nodes;	/* owned; nodes[0] is the root */
	uint32_t		n;
	uint32_t		cap;
};

struct body_json_fault {
	size_t		offset;		/* where reading stopped */
	const char	*reason;	/* literal, holds no data */
	bool		too_many;	/* RC_LIMIT by max_nodes or max_fields: a
					   large document, not a hostile one */
};

/*
 * Index doc[0..len).  max_nodes: a limit on the array (0: 16 M); a node costs
 * 28 bytes and stands for two bytes of document or more.
 * RC_OK, RC_SYNTAX, RC_LIMIT (depth, nodes, length), RC_NOMEM.  On failure
 * *out is empty and *fault (may be NULL) tells why.
 */
enum rc body_json_read(struct body_json *out, const char *doc, size_t len,
    uint32_t max_nodes, struct body_json_fault *fault) must_check;
void body_json_fini(struct body_json *);

/* The first child of an array or object, and the next sibling; 0 = none. */
uint32_t body_json_child(const struct body_json *, uint32_t node);
uint32_t body_json_sibling(const struct body_json *, uint32_t node);

/* Raw bytes of a value (quotes included) or of a member's key. */
struct span body_json_raw(const struct body_json *, uint32_t node);
struct span body_json_raw_key(const struct body_json *, uint32_t node);

/* The decoded key equals name (UTF-8). */
bool body_json_key_is(const struct body_json *, uint32_t node,
    struct span name);
/* First member of this decoded name; 0 = none. */
uint32_t body_json_member(const struct body_json *, uint32_t object,
    const char *name);

#endif
