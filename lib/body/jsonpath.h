/*
 * body/jsonpath.h - RFC 9535 JSONPath on a body_json index.
 * Context:   pure.  A compiled path is immutable and may be shared.
 *
 * The whole of RFC 9535, with I-Regexp (RFC 9485) in match() and search().
 * Where it leaves a choice: numbers compare exactly, digit by digit, never as
 * doubles; a name selects every member of that name; two objects are equal if
 * each member of one has its own equal in the other.
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
	bool		well_formed;	/* the grammar holds, but an integer or a
					   type does not (RFC 9535 2.1) */
};

/* RC_OK; RC_SYNTAX: not well-formed or not valid; RC_LIMIT: text, segments,
 * filters nested too deep, or a pattern too large.  *fault (may be NULL) is
 * set on failure. */
enum rc body_jsonpath_compile(struct span text, struct body_jsonpath **out,
    struct body_jsonpath_fault *) must_check;
void body_jsonpath_free(struct body_jsonpath **);

/* What is valid but can hardly be meant, or NULL: a literal pattern that is no
 * I-Regexp, such as \d, is false for every value (RFC 9535 2.4.6).  Who relies
 * on the path to find secrets should refuse it. */
const struct body_jsonpath_fault *body_jsonpath_doubt(
    const struct body_jsonpath *);

struct body_nodelist {
	uint32_t	*nodes;		/* owned; indexes, in the order and with
					   the duplicates RFC 9535 says */
	size_t		n;
	size_t		cap;
};
void body_nodelist_fini(struct body_nodelist *);

/*
 * Append every selected node.  max: most nodes in the list, and in the list
 * behind each segment on the way: `$..*..*` multiplies.
 * RC_OK; RC_LIMIT: max, or more work than JSONPATH_SELECT_WORK (some seconds);
 * RC_SYNTAX: a filter had to read a text with a lone surrogate; RC_NOMEM.
 */
enum rc body_jsonpath_select(const struct body_jsonpath *,
    const struct body_json *, size_t max, struct body_nodelist *out) must_check;

/* Append the normalized path of a node (RFC 9535 2.7), e.g. $['a'][0].
 * RC_SYNTAX: a member name on the way holds a lone surrogate. */
enum rc body_jsonpath_normalized(const struct body_json *, uint32_t node,
    struct buffer *out) must_check;

#endif
