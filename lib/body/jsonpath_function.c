/*
 * body/jsonpath_function.c - values of expressions and the functions of
 * RFC 9535 2.4.
 */
#include "lib/base/object.h"
#include "lib/body/jsonpath_eval.h"

/* Compiling a pattern of the document; PCRE2 copies repeated groups. */
#define COMPILE_UNITS		4096
#define COMPILE_BYTE_UNITS	64

/* ---- values --------------------------------------------------------------- */

void
jsonpath_node_value(const struct body_json *doc, uint32_t node,
    struct jsonpath_value *out)
{
	const struct body_json_node *n = &doc->nodes[node];

	*out = (struct jsonpath_value){
		.type = (enum body_json_type)n->type,
		.node = node,
		.escaped = n->escaped,
		.text = body_json_raw(doc, node),
	};
	if (out->type == BODY_JSON_STRING) {
		out->text.p++;
		out->text.len -= 2;
	}
}

static void
set_count(struct jsonpath_value *out, uint64_t count)
{
	*out = (struct jsonpath_value){
		.type = BODY_JSON_NUMBER,
		.counted = true,
		.count = count,
	};
}

/* The value of the one node; Nothing without one, or with several. */
static enum rc
value_of_query(struct jsonpath_eval *eval, uint16_t expr, uint32_t current,
    struct jsonpath_value *out)
{
	uint32_t first;
	uint64_t n;
	enum rc rc;

	rc = jsonpath_query_nodes(eval, expr, current, 2, &n, &first);
	if (rc == RC_OK && n == 1)
		jsonpath_node_value(eval->doc, first, out);
	return (rc);
}

static enum rc
call_count(struct jsonpath_eval *eval, uint16_t expr, uint32_t current,
    struct jsonpath_value *out)
{
	uint32_t first;
	uint64_t n;
	enum rc rc;

	rc = jsonpath_query_nodes(eval, expr, current, UINT64_MAX, &n, &first);
	if (rc == RC_OK)
		set_count(out, n);
	return (rc);
}

/* ---- length() ------------------------------------------------------------- */

/* Unicode scalar values of a string. */
static enum rc
characters(struct jsonpath_eval *eval, const struct jsonpath_value *v,
    uint64_t *n)
{
	const char *p = v->text.p, *end = v->text.p + v->text.len;
	char bytes[BODY_JSON_ESCAPE_BYTES];
	size_t used, len;

	for (*n = 0; p < end; p += used) {
		used = 1;
		if (v->escaped && *p == '\\') {
			used = body_json_escape_read(p, end, bytes, &len);
			if (used == 0)
				return (RC_SYNTAX);
			(*n)++;
		} else if (((unsigned char)*p & 0xc0) != 0x80) {
			(*n)++;
		}
	}
	return (jsonpath_charge(eval,
	    v->text.len / JSONPATH_BYTES_PER_UNIT));
}

static enum rc
call_length(struct jsonpath_eval *eval, uint16_t expr, uint32_t current,
    struct jsonpath_value *out)
{
	struct jsonpath_value v;
	uint64_t n = 0;
	uint32_t i;
	enum rc rc;

	if ((rc = jsonpath_value(eval, expr, current, &v)) != RC_OK ||
	    v.nothing)
		return (rc);
	if (v.type == BODY_JSON_STRING) {
		rc = characters(eval, &v, &n);
	} else if (v.type == BODY_JSON_ARRAY || v.type == BODY_JSON_OBJECT) {
		for (i = body_json_child(eval->doc, v.node); i != 0;
		    i = body_json_sibling(eval->doc, i))
			n++;
		rc = jsonpath_charge(eval, n);
	} else {
		return (RC_OK);		/* others have none */
	}
	set_count(out, n);
	return (rc);
}

/* ---- an expression's value ------------------------------------------------ */

enum rc
jsonpath_value(struct jsonpath_eval *eval, uint16_t expr, uint32_t current,
    struct jsonpath_value *out)
{
	const struct jsonpath_expr *e = &eval->path->exprs[expr];
	enum rc rc;

	*out = (struct jsonpath_value){ .nothing = true };
	if ((rc = jsonpath_charge(eval, 1)) != RC_OK)
		return (rc);
	switch (e->kind) {
	case JSONPATH_LITERAL:
		*out = (struct jsonpath_value){ .type = e->type,
			.text = e->text };
		return (RC_OK);
	case JSONPATH_QUERY:
		return (value_of_query(eval, expr, current, out));
	case JSONPATH_VALUE:
		return (value_of_query(eval, e->left, current, out));
	case JSONPATH_COUNT:
		return (call_count(eval, e->left, current, out));
	case JSONPATH_LENGTH:
		return (call_length(eval, e->left, current, out));
	case JSONPATH_OR:
	case JSONPATH_AND:
	case JSONPATH_NOT:
	case JSONPATH_EQ:
	case JSONPATH_NE:
	case JSONPATH_LT:
	case JSONPATH_LE:
	case JSONPATH_GT:
	case JSONPATH_GE:
	case JSONPATH_MATCH:
	case JSONPATH_SEARCH:
		break;
	}
	ensure(false);			/* not an expression with a value */
	return (RC_OK);
}

/* ---- match() and search() ------------------------------------------------- */

/* The decoded text: a view of the value's own, or of what it fills. */
static enum rc
decoded(struct jsonpath_eval *eval, const struct jsonpath_value *v,
    struct buffer *room, struct span *out)
{
	struct span raw = { v->text.p - 1, v->text.len + 2 };
	enum rc rc;

	*out = v->text;
	if (!v->escaped)
		return (RC_OK);
	rc = jsonpath_charge(eval, raw.len / JSONPATH_BYTES_PER_UNIT);
	if (rc == RC_OK)
		rc = body_json_unescape(raw, room);
	if (rc == RC_OK)
		*out = (struct span){ buffer_len(room) == 0 ? "" :
		    buffer_data(room), buffer_len(room) };
	return (rc);
}

/* A pattern that is no literal; most often the same one for all nodes. */
static enum rc
compile(struct jsonpath_eval *eval, uint16_t expr,
    const struct jsonpath_value *v, const struct iregexp **out)
{
	enum jsonpath_expr_kind kind = eval->path->exprs[expr].kind;
	struct jsonpath_memo *memo = &eval->memo[expr];
	struct buffer room;
	struct span text;
	enum rc rc;

	if (memo->pattern.p == v->text.p && memo->pattern.len == v->text.len) {
		*out = memo->compiled;
		return (RC_OK);
	}
	memo->pattern = (struct span){ NULL, 0 };
	iregexp_free(&memo->compiled);
	buffer_init(&room, 0, true);
	rc = jsonpath_charge(eval, COMPILE_UNITS +
	    v->text.len * COMPILE_BYTE_UNITS);
	if (rc == RC_OK)
		rc = decoded(eval, v, &room, &text);
	if (rc != RC_OK)
		goto out;
	rc = iregexp_compile(text, kind == JSONPATH_MATCH ? IREGEXP_MATCH :
	    IREGEXP_SEARCH, &memo->compiled);
	if (rc == RC_SYNTAX)		/* NULL then: it matches nothing */
		rc = RC_OK;
	if (rc != RC_OK)
		goto out;
	memo->pattern = v->text;
	*out = memo->compiled;
out:
	buffer_fini(&room);
	return (rc);
}

static enum rc
run(struct jsonpath_eval *eval, const struct iregexp *pattern,
    const struct jsonpath_value *subject, bool *out)
{
	struct buffer room;
	struct span text;
	enum rc rc = RC_OK;

	if (eval->scratch == NULL &&
	    (rc = iregexp_scratch_new(&eval->scratch)) != RC_OK)
		return (rc);
	buffer_init(&room, 0, true);
	if ((rc = decoded(eval, subject, &room, &text)) == RC_OK)
		rc = iregexp_run(pattern, eval->scratch, text, &eval->work,
		    out);
	buffer_fini(&room);
	return (rc);
}

enum rc
jsonpath_matches(struct jsonpath_eval *eval, uint16_t expr, uint32_t current,
    bool *out)
{
	const struct jsonpath_expr *e = &eval->path->exprs[expr];
	const struct iregexp *pattern = e->pattern;
	struct jsonpath_value subject, given;
	enum rc rc;

	*out = false;
	if ((rc = jsonpath_value(eval, e->left, current, &subject)) != RC_OK ||
	    (rc = jsonpath_value(eval, e->right, current, &given)) != RC_OK)
		return (rc);
	if (subject.nothing || subject.type != BODY_JSON_STRING ||
	    given.nothing || given.type != BODY_JSON_STRING)
		return (RC_OK);
	if (eval->path->exprs[e->right].kind != JSONPATH_LITERAL &&
	    (rc = compile(eval, expr, &given, &pattern)) != RC_OK)
		return (rc);
	if (pattern == NULL)
		return (RC_OK);
	return (run(eval, pattern, &subject, out));
}
