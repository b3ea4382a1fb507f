/*
 * body/jsonpath_filter.c - the grammar of filter selectors (RFC 9535 2.3.5)
 * and the typing of functions (2.4.3).  A filter is judged, not kept: this
 * version carries none out.
 */
#include "lib/body/jsonpath_private.h"

/* What an operand of an expression is (RFC 9535 2.4.1). */
enum operand {
	OPERAND_LITERAL,
	OPERAND_SINGULAR,	/* a query for at most one node */
	OPERAND_NODES,		/* any other query, or a function of nodes */
	OPERAND_VALUE,		/* a function that gives a value */
	OPERAND_LOGICAL		/* a function that gives true or false */
};

enum parameter { PARAMETER_VALUE, PARAMETER_NODES };

#define PARAMETERS_MAX	2

static const struct function {
	const char	*name;
	enum operand	result;
	enum parameter	parameters[PARAMETERS_MAX];
	unsigned	n;
} functions[] = {
	{ "length", OPERAND_VALUE, { PARAMETER_VALUE }, 1 },
	{ "count", OPERAND_VALUE, { PARAMETER_NODES }, 1 },
	{ "match", OPERAND_LOGICAL, { PARAMETER_VALUE, PARAMETER_VALUE }, 2 },
	{ "search", OPERAND_LOGICAL, { PARAMETER_VALUE, PARAMETER_VALUE }, 2 },
	{ "value", OPERAND_VALUE, { PARAMETER_NODES }, 1 },
};

static enum rc logical_expr(struct jsonpath_parser *);
static enum rc operand(struct jsonpath_parser *, enum operand *);

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

/* ---- operands ------------------------------------------------------------ */

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

static bool
fits(enum operand given, enum parameter wanted)
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

/*
 * Behind the name and its parenthesis.  No function of RFC 9535 takes a
 * LogicalType, so an argument is an operand and never an expression.
 */
static enum rc
arguments(struct jsonpath_parser *p, const struct function *f)
{
	enum operand given;
	enum rc rc;

	for (unsigned i = 0; i < f->n; i++) {
		jsonpath_skip_blank(p);
		if (i > 0) {
			if (!jsonpath_take(p, ','))
				return (jsonpath_fail(p, RC_SYNTAX,
				    "wrong number of arguments"));
			jsonpath_skip_blank(p);
		}
		if ((rc = operand(p, &given)) != RC_OK)
			return (rc);
		if (!fits(given, f->parameters[i]))
			return (jsonpath_fail(p, RC_SYNTAX,
			    "an argument has the wrong type"));
	}
	jsonpath_skip_blank(p);
	if (!jsonpath_take(p, ')'))
		return (jsonpath_fail(p, RC_SYNTAX, "wrong number of arguments"));
	return (RC_OK);
}

/* true, false, null, or a function. */
static enum rc
word(struct jsonpath_parser *p, enum operand *out)
{
	struct span name = { p->text.p + p->pos, 0 };
	const struct function *f = NULL;
	char c;
	enum rc rc;

	while (((c = jsonpath_peek(p)) >= 'a' && c <= 'z') ||
	    (name.len != 0 && (c == '_' || is_digit(c)))) {
		p->pos++;
		name.len++;
	}
	*out = OPERAND_LITERAL;
	if (c != '(') {
		if (span_eq_str(name, "true") || span_eq_str(name, "false") ||
		    span_eq_str(name, "null"))
			return (RC_OK);
		return (jsonpath_fail(p, RC_SYNTAX, "an operand is missing"));
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (span_eq_str(name, functions[i].name))
			f = &functions[i];
	if (f == NULL)
		return (jsonpath_fail(p, RC_SYNTAX, "unknown function"));
	if ((rc = enter(p)) != RC_OK)
		return (rc);
	p->pos++;
	*out = f->result;
	rc = arguments(p, f);
	leave(p);
	return (rc);
}

/* A literal, a query or a function. */
static enum rc
operand(struct jsonpath_parser *p, enum operand *out)
{
	char c = jsonpath_peek(p);
	struct span ignored;
	bool singular;
	enum rc rc;

	*out = OPERAND_LITERAL;
	if (c == '\'' || c == '"')
		return (jsonpath_string(p, &ignored));
	if (c == '-' || is_digit(c))
		return (number(p));
	if (c != '@' && c != '$')
		return (word(p, out));
	p->pos++;
	rc = jsonpath_segments(p, false, &singular);
	*out = singular ? OPERAND_SINGULAR : OPERAND_NODES;
	return (rc);
}

/* ---- expressions --------------------------------------------------------- */

static bool
comparison_op(struct jsonpath_parser *p)
{
	size_t before = p->pos;
	bool found;

	if (jsonpath_take(p, '=') || jsonpath_take(p, '!')) {
		found = jsonpath_take(p, '=');
	} else {
		found = jsonpath_take(p, '<') || jsonpath_take(p, '>');
		if (found)
			(void)jsonpath_take(p, '=');
	}
	if (!found)
		p->pos = before;
	return (found);
}

/* comparison-expr, or test-expr without its "!". */
static enum rc
comparison_or_test(struct jsonpath_parser *p, bool test_only)
{
	enum operand left, right;
	size_t behind;
	enum rc rc;

	if ((rc = operand(p, &left)) != RC_OK)
		return (rc);
	behind = p->pos;
	jsonpath_skip_blank(p);
	if (test_only || !comparison_op(p)) {
		p->pos = behind;
		if (left == OPERAND_LITERAL || left == OPERAND_VALUE)
			return (jsonpath_fail(p, RC_SYNTAX,
			    "a value must be compared"));
		return (RC_OK);
	}
	jsonpath_skip_blank(p);
	if ((rc = operand(p, &right)) != RC_OK)
		return (rc);
	if (!fits(left, PARAMETER_VALUE) || !fits(right, PARAMETER_VALUE))
		return (jsonpath_fail(p, RC_SYNTAX,
		    "only single values can be compared"));
	return (RC_OK);
}

static enum rc
basic_expr(struct jsonpath_parser *p)
{
	bool not = jsonpath_take(p, '!');
	enum rc rc;

	if (not)
		jsonpath_skip_blank(p);
	if (!jsonpath_take(p, '('))
		return (comparison_or_test(p, not));
	if ((rc = logical_expr(p)) != RC_OK)
		return (rc);
	jsonpath_skip_blank(p);
	if (!jsonpath_take(p, ')'))
		return (jsonpath_fail(p, RC_SYNTAX,
		    "a parenthesis is not closed"));
	return (RC_OK);
}

/* && or ||: which one binds closer does not matter to a judge. */
static bool
logical_op(struct jsonpath_parser *p)
{
	size_t before = p->pos;
	char c;

	jsonpath_skip_blank(p);
	c = jsonpath_peek(p);
	if ((c == '&' || c == '|') && jsonpath_take(p, c) &&
	    jsonpath_take(p, c))
		return (true);
	p->pos = before;
	return (false);
}

static enum rc
logical_expr(struct jsonpath_parser *p)
{
	enum rc rc;

	if ((rc = enter(p)) != RC_OK)
		return (rc);
	do {
		jsonpath_skip_blank(p);
		if ((rc = basic_expr(p)) != RC_OK)
			return (rc);
	} while (logical_op(p));
	leave(p);
	return (RC_OK);
}

enum rc
jsonpath_filter(struct jsonpath_parser *p)
{
	p->pos++;
	return (logical_expr(p));
}
