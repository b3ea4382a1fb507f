/*
 * body/jsonpath_filter.c - the grammar of filter selectors (RFC 9535 2.3.5)
 * and the typing of functions (2.4.3).
 *
 * An expression becomes a tree of small records that name each other by
 * number.  What is kept is well-typed: whoever evaluates it asks no more.
 */
#include "lib/base/object.h"
#include "lib/body/iregexp.h"
#include "lib/body/jsonpath_private.h"

/* What an operand of an expression is (RFC 9535 2.4.1). */
enum operand_type {
	OPERAND_LITERAL,
	OPERAND_SINGULAR,	/* a query for at most one node */
	OPERAND_NODES,		/* any other query */
	OPERAND_VALUE,		/* a function that gives a value */
	OPERAND_LOGICAL		/* a function that gives true or false */
};

struct operand {
	enum operand_type	type;
	uint16_t		expr;
};

enum parameter { PARAMETER_VALUE, PARAMETER_NODES };

#define PARAMETERS_MAX	2

static const struct function {
	const char		*name;
	enum jsonpath_expr_kind	kind;
	enum operand_type	result;
	enum parameter		parameters[PARAMETERS_MAX];
	unsigned		n;
} functions[] = {
	{ "length", JSONPATH_LENGTH, OPERAND_VALUE, { PARAMETER_VALUE }, 1 },
	{ "count", JSONPATH_COUNT, OPERAND_VALUE, { PARAMETER_NODES }, 1 },
	{ "match", JSONPATH_MATCH, OPERAND_LOGICAL,
	    { PARAMETER_VALUE, PARAMETER_VALUE }, 2 },
	{ "search", JSONPATH_SEARCH, OPERAND_LOGICAL,
	    { PARAMETER_VALUE, PARAMETER_VALUE }, 2 },
	{ "value", JSONPATH_VALUE, OPERAND_VALUE, { PARAMETER_NODES }, 1 },
};

static enum rc logical_expr(struct jsonpath_parser *, uint16_t *out);
static enum rc operand(struct jsonpath_parser *, struct operand *out);

static enum rc
enter(struct jsonpath_parser *p)
{
	if (++p->nesting > JSONPATH_NESTING_MAX)
		return (jsonpath_fail(p, RC_LIMIT, "nested too deep"));
	return (RC_OK);
}

static void
leave(struct jsonpath_parser *p)
{
	p->nesting--;
}

/* Each record stands for at least one byte of text: there is room. */
static uint16_t
keep_expr(struct jsonpath_parser *p, struct jsonpath_expr expr)
{
	struct body_jsonpath *path = p->path;

	ensure(path->n_exprs < p->text.len);
	path->exprs[path->n_exprs] = expr;
	return ((uint16_t)path->n_exprs++);
}

static uint16_t
keep_pair(struct jsonpath_parser *p, enum jsonpath_expr_kind kind,
    uint16_t left, uint16_t right)
{
	return (keep_expr(p, (struct jsonpath_expr){
		.kind = kind, .left = left, .right = right }));
}

static uint16_t
keep_literal(struct jsonpath_parser *p, enum body_json_type type,
    struct span text)
{
	return (keep_expr(p, (struct jsonpath_expr){
		.kind = JSONPATH_LITERAL, .type = type, .text = text }));
}

/* ---- literals ------------------------------------------------------------ */

static bool
is_digit(char c)
{
	return (c >= '0' && c <= '9');
}

static enum rc
digits(struct jsonpath_parser *p)
{
	if (!is_digit(jsonpath_peek(p)))
		return (jsonpath_fail(p, RC_SYNTAX, "a digit is missing"));
	while (is_digit(jsonpath_peek(p)))
		p->pos++;
	return (RC_OK);
}

/* (int / "-0") [ frac ] [ exp ] */
static enum rc
number(struct jsonpath_parser *p)
{
	enum rc rc;

	(void)jsonpath_take(p, '-');
	if (!jsonpath_take(p, '0') && (rc = digits(p)) != RC_OK)
		return (rc);
	if (jsonpath_take(p, '.') && (rc = digits(p)) != RC_OK)
		return (rc);
	if (!jsonpath_take(p, 'e') && !jsonpath_take(p, 'E'))
		return (RC_OK);
	if (!jsonpath_take(p, '-'))
		(void)jsonpath_take(p, '+');
	return (digits(p));
}

static enum rc
literal(struct jsonpath_parser *p, struct operand *out)
{
	enum body_json_type type = BODY_JSON_STRING;
	struct span text = { NULL, 0 };
	size_t from = p->pos;
	enum rc rc;

	out->type = OPERAND_LITERAL;
	if (jsonpath_peek(p) == '\'' || jsonpath_peek(p) == '"') {
		rc = jsonpath_string(p, &text);
	} else {
		type = BODY_JSON_NUMBER;
		rc = number(p);
		if (rc == RC_OK)
			text = jsonpath_keep(p, p->text.p + from,
			    p->pos - from);
	}
	if (rc == RC_OK)
		out->expr = keep_literal(p, type, text);
	return (rc);
}

/* ---- functions ----------------------------------------------------------- */

static bool
fits(enum operand_type given, enum parameter wanted)
{
	switch (wanted) {
	case PARAMETER_VALUE:
		return (given == OPERAND_LITERAL || given == OPERAND_SINGULAR ||
		    given == OPERAND_VALUE);
	case PARAMETER_NODES:
		return (given == OPERAND_SINGULAR || given == OPERAND_NODES);
	}
	return (false);
}

/* There is no "," or ")" where one should be. */
static enum rc
bad_arguments(struct jsonpath_parser *p)
{
	switch (jsonpath_peek(p)) {
	case ',':
	case ')':
		return (jsonpath_invalid(p, "wrong number of arguments"));
	case '=':
	case '!':
	case '<':
	case '>':
	case '&':
	case '|':
		return (jsonpath_invalid(p, "an argument has the wrong type"));
	default:
		return (jsonpath_fail(p, RC_SYNTAX,
		    "a parenthesis is not closed"));
	}
}

/*
 * Behind the name and its parenthesis.  No function of RFC 9535 takes a
 * LogicalType, so an argument is an operand and never an expression.
 * *last: where the last one begins.
 */
static enum rc
arguments(struct jsonpath_parser *p, const struct function *f,
    struct operand *out, size_t *last)
{
	enum rc rc;

	for (unsigned i = 0; i < f->n; i++) {
		jsonpath_skip_blank(p);
		if (i > 0) {
			if (!jsonpath_take(p, ','))
				return (bad_arguments(p));
			jsonpath_skip_blank(p);
		}
		*last = p->pos;
		if ((rc = operand(p, &out[i])) != RC_OK)
			return (rc);
		if (!fits(out[i].type, f->parameters[i]))
			return (jsonpath_invalid(p,
			    "an argument has the wrong type"));
	}
	jsonpath_skip_blank(p);
	if (!jsonpath_take(p, ')'))
		return (bad_arguments(p));
	return (RC_OK);
}

/* A literal pattern is compiled once, with the path. */
static enum rc
pattern(struct jsonpath_parser *p, struct jsonpath_expr *call, size_t offset)
{
	const struct jsonpath_expr *given = &p->path->exprs[call->right];
	struct body_jsonpath_fault *doubt = &p->path->doubt;
	enum rc rc = RC_SYNTAX;

	if (given->kind != JSONPATH_LITERAL)
		return (RC_OK);
	if (given->type == BODY_JSON_STRING)
		rc = iregexp_compile(given->text, call->kind == JSONPATH_MATCH ?
		    IREGEXP_MATCH : IREGEXP_SEARCH, &call->pattern);
	if (rc == RC_SYNTAX && doubt->reason == NULL) {
		doubt->offset = offset;
		doubt->reason = "not an I-Regexp (RFC 9485): it matches nothing";
	}
	if (rc == RC_OK || rc == RC_SYNTAX)
		return (RC_OK);
	p->pos = offset;
	return (jsonpath_fail(p, rc, "the pattern is too large"));
}

static enum rc
call(struct jsonpath_parser *p, const struct function *f, struct operand *out)
{
	struct operand given[PARAMETERS_MAX] = { { OPERAND_LITERAL, 0 } };
	struct jsonpath_expr expr = { .kind = f->kind };
	size_t last = 0;
	enum rc rc;

	if ((rc = enter(p)) != RC_OK)
		return (rc);
	p->pos++;
	if ((rc = arguments(p, f, given, &last)) != RC_OK)
		return (rc);
	leave(p);
	expr.left = given[0].expr;
	expr.right = given[1].expr;
	if (f->result == OPERAND_LOGICAL &&
	    (rc = pattern(p, &expr, last)) != RC_OK)
		return (rc);
	out->type = f->result;
	out->expr = keep_expr(p, expr);
	return (RC_OK);
}

/* true, false, null, or a function. */
static enum rc
word(struct jsonpath_parser *p, struct operand *out)
{
	static const struct {
		const char		*text;
		enum body_json_type	type;
	} words[] = {
		{ "true", BODY_JSON_TRUE },
		{ "false", BODY_JSON_FALSE },
		{ "null", BODY_JSON_NULL },
	};
	struct span name = { p->text.p + p->pos, 0 };
	char c;

	while (((c = jsonpath_peek(p)) >= 'a' && c <= 'z') ||
	    (name.len != 0 && (c == '_' || is_digit(c)))) {
		p->pos++;
		name.len++;
	}
	if (c == '(') {
		for (size_t i = 0; i < sizeof(functions) /
		    sizeof(functions[0]); i++)
			if (span_eq_str(name, functions[i].name))
				return (call(p, &functions[i], out));
		return (jsonpath_invalid(p, "unknown function"));
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq_str(name, words[i].text)) {
			out->type = OPERAND_LITERAL;
			out->expr = keep_literal(p, words[i].type, name);
			return (RC_OK);
		}
	return (jsonpath_fail(p, RC_SYNTAX, "an operand is missing"));
}

/* ---- expressions --------------------------------------------------------- */

/* A literal, a query or a function. */
static enum rc
operand(struct jsonpath_parser *p, struct operand *out)
{
	struct jsonpath_expr expr = { .kind = JSONPATH_QUERY };
	char c = jsonpath_peek(p);
	bool singular;
	enum rc rc;

	if (c == '\'' || c == '"' || c == '-' || is_digit(c))
		return (literal(p, out));
	if (c != '@' && c != '$')
		return (word(p, out));
	p->pos++;
	expr.query.absolute = c == '$';
	if ((rc = jsonpath_segments(p, &expr.query, &singular)) != RC_OK)
		return (rc);
	out->type = singular ? OPERAND_SINGULAR : OPERAND_NODES;
	out->expr = keep_expr(p, expr);
	return (RC_OK);
}

static bool
comparison_op(struct jsonpath_parser *p, enum jsonpath_expr_kind *out)
{
	char c = jsonpath_peek(p);
	bool equals = p->text.len - p->pos > 1 &&
	    p->text.p[p->pos + 1] == '=';

	if (c == '<')
		*out = equals ? JSONPATH_LE : JSONPATH_LT;
	else if (c == '>')
		*out = equals ? JSONPATH_GE : JSONPATH_GT;
	else if (equals && (c == '=' || c == '!'))
		*out = c == '=' ? JSONPATH_EQ : JSONPATH_NE;
	else
		return (false);
	p->pos += equals ? 2 : 1;
	return (true);
}

/* comparison-expr, or test-expr without its "!". */
static enum rc
comparison_or_test(struct jsonpath_parser *p, bool test_only, uint16_t *out)
{
	enum jsonpath_expr_kind kind;
	struct operand left, right;
	size_t behind;
	enum rc rc;

	if ((rc = operand(p, &left)) != RC_OK)
		return (rc);
	*out = left.expr;
	behind = p->pos;
	jsonpath_skip_blank(p);
	if (test_only || !comparison_op(p, &kind)) {
		p->pos = behind;
		if (left.type == OPERAND_VALUE)
			return (jsonpath_invalid(p, "a value must be compared"));
		if (left.type == OPERAND_LITERAL)
			return (jsonpath_fail(p, RC_SYNTAX,
			    "a value must be compared"));
		return (RC_OK);
	}
	jsonpath_skip_blank(p);
	if ((rc = operand(p, &right)) != RC_OK)
		return (rc);
	if (left.type == OPERAND_LOGICAL || right.type == OPERAND_LOGICAL)
		return (jsonpath_invalid(p,
		    "true and false of a function cannot be compared"));
	if (left.type == OPERAND_NODES || right.type == OPERAND_NODES)
		return (jsonpath_fail(p, RC_SYNTAX,
		    "only single values can be compared"));
	*out = keep_pair(p, kind, left.expr, right.expr);
	return (RC_OK);
}

/* paren-expr, comparison-expr or test-expr. */
static enum rc
basic_expr(struct jsonpath_parser *p, uint16_t *out)
{
	bool not = jsonpath_take(p, '!');
	enum rc rc;

	if (not)
		jsonpath_skip_blank(p);
	if (jsonpath_take(p, '(')) {
		if ((rc = logical_expr(p, out)) != RC_OK)
			return (rc);
		jsonpath_skip_blank(p);
		if (!jsonpath_take(p, ')'))
			return (jsonpath_fail(p, RC_SYNTAX,
			    "a parenthesis is not closed"));
	} else if ((rc = comparison_or_test(p, not, out)) != RC_OK) {
		return (rc);
	}
	if (not)
		*out = keep_pair(p, JSONPATH_NOT, *out, 0);
	return (RC_OK);
}

/* && or ||, with the blank around it. */
static bool
logical_op(struct jsonpath_parser *p, char c)
{
	size_t before = p->pos;

	jsonpath_skip_blank(p);
	if (jsonpath_take(p, c) && jsonpath_take(p, c)) {
		jsonpath_skip_blank(p);
		return (true);
	}
	p->pos = before;
	return (false);
}

static enum rc
logical_and_expr(struct jsonpath_parser *p, uint16_t *out)
{
	uint16_t right;
	enum rc rc;

	if ((rc = basic_expr(p, out)) != RC_OK)
		return (rc);
	while (logical_op(p, '&')) {
		if ((rc = basic_expr(p, &right)) != RC_OK)
			return (rc);
		*out = keep_pair(p, JSONPATH_AND, *out, right);
	}
	return (RC_OK);
}

/* logical-or-expr: && binds closer. */
static enum rc
logical_expr(struct jsonpath_parser *p, uint16_t *out)
{
	uint16_t right;
	enum rc rc;

	if ((rc = enter(p)) != RC_OK)
		return (rc);
	jsonpath_skip_blank(p);
	if ((rc = logical_and_expr(p, out)) != RC_OK)
		return (rc);
	while (logical_op(p, '|')) {
		if ((rc = logical_and_expr(p, &right)) != RC_OK)
			return (rc);
		*out = keep_pair(p, JSONPATH_OR, *out, right);
	}
	leave(p);
	return (RC_OK);
}

enum rc
jsonpath_filter(struct jsonpath_parser *p, uint16_t *out)
{
	p->pos++;
	return (logical_expr(p, out));
}
