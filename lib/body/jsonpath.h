/*
 * body/jsonpath.h - RFC 9535 JSONPath on a body_json index.
 * Context:   pure.  A compiled path is immutable and may be shared.
 *
 * The parser reads the whole grammar of RFC 9535 and can tell "not a JSONPath"
 * from "not available in this version" (today slices, filters and functions).
 */
#ifndef RELAY_BODY_JSONPATH_H
#define RELAY_BODY_JSONPATH_H

#include "lib/body/json.h"

#define BODY_JSONPATH_BYTES_MAX	1024	/* of text; nobody writes longer */
#define BODY_JSONPATH_STEPS_MAX	64

struct body_jsonpath;

struct body_jsonpath_fault {
	size_t		offset;
	const char	*reason;	/* literal */
};

/* RC_OK; RC_SYNTAX: not well-formed or not valid; RC_UNSUPPORTED: valid, but
 * a feature of it is not available in this version; RC_LIMIT: text, segments
 * or filters nested too deep.  *fault (may be NULL) is set on failure. */
enum rc body_jsonpath_compile(struct span text, struct body_jsonpath **out,
    struct body_jsonpath_fault *) must_check;
void body_jsonpath_free(struct body_jsonpath **);

struct body_nodelist {
	uint32_t	*nodes;		/* owned; indexes, in the order and with
					   the duplicates RFC 9535 says */
	size_t		n;
	size_t		cap;
};
void body_nodelist_fini(struct body_nodelist *);

/* Append every selected node.  max: most nodes in the list, and in the list
 * behind each segment on the way (RC_LIMIT): `$..*..*` multiplies. */
enum rc body_jsonpath_select(const struct body_jsonpath *,
    const struct body_json *, size_t max, struct body_nodelist *out) must_check;

/* Append the normalized path of a node (RFC 9535 2.7), e.g. $['a'][0].
 * RC_SYNTAX: a member name on the way holds a lone surrogate. */
enum rc body_jsonpath_normalized(const struct body_json *, uint32_t node,
    struct buffer *out) must_check;

#endif
