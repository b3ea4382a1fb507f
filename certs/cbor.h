/*
 * certs/cbor.h - one CBOR item (RFC 8949) as a flat table of nodes; nothing
 * is copied and nothing is allocated, whatever sizes the bytes announce.
 * Context:   pure; no I/O, any thread.
 * Ownership: the caller embeds the table (about 12 KiB); every span points
 *            into the input, which the caller keeps as long as the table.
 *
 * Nodes lie in document order; `next` jumps over a node's whole content, so
 * walking needs no tree.  A map's nodes are key, value, key, value...
 */
#ifndef RELAY_CERTS_CBOR_H
#define RELAY_CERTS_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

/* An attestation document has 91 at most: 9 fields, 32 registers, 8 CAs. */
#define CERTS_CBOR_NODES_MAX	256
#define CERTS_CBOR_DEPTH_MAX	8	/* containers and tags; it has 2 */

enum certs_cbor_type {
	CERTS_CBOR_UINT,	/* value */
	CERTS_CBOR_NEGINT,	/* -1 - value */
	CERTS_CBOR_BYTES,	/* bytes */
	CERTS_CBOR_TEXT,	/* bytes: valid UTF-8 */
	CERTS_CBOR_ARRAY,	/* value: items */
	CERTS_CBOR_MAP,		/* value: pairs */
	CERTS_CBOR_TAG,		/* value: the tag; one child */
	CERTS_CBOR_FLOAT,	/* real */
	CERTS_CBOR_BOOL,	/* value: 0 or 1 */
	CERTS_CBOR_NULL,
	CERTS_CBOR_UNDEFINED
};

struct certs_cbor_node {
	enum certs_cbor_type	type;
	uint32_t		next;	/* index behind this node's content */
	uint64_t		value;
	double			real;
	struct span		bytes;	/* view into the input */
};

struct certs_cbor {
	uint32_t		n;
	struct certs_cbor_node	nodes[CERTS_CBOR_NODES_MAX];	/* [0]: root */
};

/*
 * Read exactly one item that fills the input.
 * RC_OK
 * RC_SYNTAX       no CBOR, cut short, bytes behind the item, text that is not
 *                 UTF-8, a simple value without a meaning, a repeated map key
 * RC_LIMIT        more nodes or deeper than the limits above
 * RC_UNSUPPORTED  a string in pieces, which would have to be copied; a map key
 *                 that is neither a number nor a string
 * Arrays and maps of indefinite length are read as any other.
 * *why is a literal without data, "" on RC_OK; the table is empty on failure.
 */
enum rc certs_cbor_read(struct certs_cbor *, struct span in, const char **why)
    must_check;

/* The first child of an array, map or tag, and the next one inside parent;
 * 0 = none (the root is nobody's child). */
uint32_t certs_cbor_child(const struct certs_cbor *, uint32_t node);
uint32_t certs_cbor_sibling(const struct certs_cbor *, uint32_t parent,
    uint32_t node);

/* The value under this key of a map; 0 = none, or it is no map. */
uint32_t certs_cbor_find(const struct certs_cbor *, uint32_t map,
    const char *key);
uint32_t certs_cbor_find_uint(const struct certs_cbor *, uint32_t map,
    uint64_t key);

/* Two numbers or strings that are the same map key. */
bool certs_cbor_same_key(const struct certs_cbor_node *,
    const struct certs_cbor_node *);

#endif
