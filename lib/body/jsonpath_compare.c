/*
 * body/jsonpath_compare.c - comparison of values (RFC 9535 2.3.5.2.2).
 *
 * Nothing is decoded into memory: strings are compared run by run between
 * their escapes, by Unicode scalar values (UTF-8 sorts the same), numbers
 * digit by digit.  A double would take 9007199254740993 for its neighbour, and
 * leave a value unsealed or seal another one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/jsonpath_eval.h"

static enum rc nodes_equal(struct jsonpath_eval *, uint32_t, uint32_t,
    bool *out);

static enum jsonpath_relation
relation_of(int order)
{
	return (order < 0 ? JSONPATH_LESS : order > 0 ? JSONPATH_GREATER :
	    JSONPATH_EQUAL);
}

/* ---- strings -------------------------------------------------------------- */

struct text_reader {
	const char	*p, *end;	/* not yet in the run */
	bool		escaped;
	struct span	run;		/* decoded, not yet compared */
	char		small[BODY_JSON_ESCAPE_BYTES];
};

static struct text_reader
read_text(struct span text, bool escaped)
{
	return ((struct text_reader){
		.p = text.p,
		.end = text.p + text.len,
		.escaped = escaped,
	});
}

/* Have a run, unless the text is at its end. */
static enum rc
next_run(struct text_reader *r)
{
	const char *at = NULL;
	size_t used;

	if (r->run.len != 0 || r->p == r->end)
		return (RC_OK);
	if (r->escaped)
		at = memchr(r->p, '\\', (size_t)(r->end - r->p));
	if (at != r->p) {
		used = (size_t)((at == NULL ? r->end : at) - r->p);
		r->run = (struct span){ r->p, used };
	} else {
		used = body_json_escape_read(r->p, r->end, r->small,
		    &r->run.len);
		if (used == 0)
			return (RC_SYNTAX);
		r->run.p = r->small;
	}
	r->p += used;
	return (RC_OK);
}

static enum rc
compare_texts(struct jsonpath_eval *eval, struct text_reader *a,
    struct text_reader *b, int *order)
{
	size_t n;
	enum rc rc;

	for (;;) {
		if ((rc = next_run(a)) != RC_OK || (rc = next_run(b)) != RC_OK)
			return (rc);
		if (a->run.len == 0 || b->run.len == 0) {
			*order = (a->run.len != 0) - (b->run.len != 0);
			return (RC_OK);
		}
		n = a->run.len < b->run.len ? a->run.len : b->run.len;
		rc = jsonpath_charge(eval, 1 + n / JSONPATH_BYTES_PER_UNIT);
		if (rc != RC_OK)
			return (rc);
		if ((*order = memcmp(a->run.p, b->run.p, n)) != 0)
			return (RC_OK);
		a->run.p += n;
		a->run.len -= n;
		b->run.p += n;
		b->run.len -= n;
	}
}

static enum rc
compare_strings(struct jsonpath_eval *eval, const struct jsonpath_value *a,
    const struct jsonpath_value *b, int *order)
{
	struct text_reader x = read_text(a->text, a->escaped);
	struct text_reader y = read_text(b->text, b->escaped);

	return (compare_texts(eval, &x, &y, order));
}

/* ---- numbers -------------------------------------------------------------- */

#define EXPONENT_MAX	(INT64_C(1) << 58)	/* beyond it all are the same */

/* 0.DIGITS x 10^exponent, the first digit not being zero. */
struct decimal {
	bool		minus;
	struct span	whole;
	struct span	fraction;
	size_t		first;		/* significant digit of both together */
	size_t		n;		/* significant ones; 0: the number is 0 */
	int64_t		exponent;
};

static char
digit_at(const struct decimal *d, size_t i)
{
	return (i < d->whole.len ? d->whole.p[i] :
	    d->fraction.p[i - d->whole.len]);
}

static struct span
take_digits(const char **p, const char *end)
{
	const char *from = *p;

	while (*p < end && **p >= '0' && **p <= '9')
		(*p)++;
	return ((struct span){ from, (size_t)(*p - from) });
}

/* Behind the e. */
static int64_t
read_exponent(const char *p, const char *end)
{
	bool minus = p < end && *p == '-';
	int64_t value = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && value < EXPONENT_MAX; p++)
		value = value * 10 + (*p - '0');
	value = value < EXPONENT_MAX ? value : EXPONENT_MAX;
	return (minus ? -value : value);
}

/* text is a number of RFC 8259. */
static struct decimal
read_decimal(struct span text)
{
	const char *p = text.p, *end = text.p + text.len;
	struct decimal d = { .fraction = { "", 0 } };
	size_t total;

	if (p < end && *p == '-') {
		d.minus = true;
		p++;
	}
	d.whole = take_digits(&p, end);
	if (p < end && *p == '.') {
		p++;
		d.fraction = take_digits(&p, end);
	}
	if (p < end)
		d.exponent = read_exponent(p + 1, end);
	total = d.whole.len + d.fraction.len;
	while (d.first < total && digit_at(&d, d.first) == '0')
		d.first++;
	for (d.n = total - d.first; d.n > 0; d.n--)
		if (digit_at(&d, d.first + d.n - 1) != '0')
			break;
	d.exponent += (int64_t)d.whole.len - (int64_t)d.first;
	return (d);
}

/* Without the sign. */
static int
compare_sizes(const struct decimal *a, const struct decimal *b)
{
	if (a->n == 0 || b->n == 0)
		return ((a->n != 0) - (b->n != 0));
	if (a->exponent != b->exponent)
		return (a->exponent < b->exponent ? -1 : 1);
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		char x = digit_at(a, a->first + i);
		char y = digit_at(b, b->first + i);

		if (x != y)
			return (x < y ? -1 : 1);
	}
	return ((a->n > b->n) - (a->n < b->n));
}

#define COUNT_DIGITS	24

static struct span
number_text(const struct jsonpath_value *v, char room[COUNT_DIGITS])
{
	int len;

	if (!v->counted)
		return (v->text);
	len = snprintf(room, COUNT_DIGITS, "%" PRIu64, v->count);
	return ((struct span){ room, (size_t)len });
}

static enum rc
compare_numbers(struct jsonpath_eval *eval, const struct jsonpath_value *a,
    const struct jsonpath_value *b, int *order)
{
	char a_digits[COUNT_DIGITS], b_digits[COUNT_DIGITS];
	struct span a_text = number_text(a, a_digits);
	struct span b_text = number_text(b, b_digits);
	struct decimal x = read_decimal(a_text), y = read_decimal(b_text);

	if (x.n == 0 && y.n == 0)
		*order = 0;		/* 0 and -0.0 are one */
	else if (x.minus != y.minus && x.n != 0 && y.n != 0)
		*order = x.minus ? -1 : 1;
	else if (x.n != 0 ? x.minus : y.minus)
		*order = compare_sizes(&y, &x);
	else
		*order = compare_sizes(&x, &y);
	return (jsonpath_charge(eval, (a_text.len + b_text.len) /
	    JSONPATH_BYTES_PER_UNIT));
}

/* ---- arrays and objects --------------------------------------------------- */

static enum rc
arrays_equal(struct jsonpath_eval *eval, uint32_t a, uint32_t b, bool *out)
{
	uint32_t i = body_json_child(eval->doc, a);
	uint32_t j = body_json_child(eval->doc, b);
	enum rc rc;

	*out = true;
	while (*out && i != 0 && j != 0) {
		if ((rc = nodes_equal(eval, i, j, out)) != RC_OK)
			return (rc);
		i = body_json_sibling(eval->doc, i);
		j = body_json_sibling(eval->doc, j);
	}
	*out = *out && i == j;		/* both at their end */
	return (RC_OK);
}

static enum rc
members_equal(struct jsonpath_eval *eval, uint32_t i, uint32_t j, bool *out)
{
	const struct body_json_node *a = &eval->doc->nodes[i];
	const struct body_json_node *b = &eval->doc->nodes[j];
	const char *text = eval->doc->doc;
	struct text_reader x = read_text((struct span){ text + a->key_start + 1,
	    a->key_end - a->key_start - 2 }, a->key_escaped);
	struct text_reader y = read_text((struct span){ text + b->key_start + 1,
	    b->key_end - b->key_start - 2 }, b->key_escaped);
	int order;
	enum rc rc;

	if ((rc = jsonpath_charge(eval, 1)) != RC_OK ||
	    (rc = compare_texts(eval, &x, &y, &order)) != RC_OK)
		return (rc);
	*out = false;
	return (order == 0 ? nodes_equal(eval, i, j, out) : RC_OK);
}

/*
 * The member of b that equals member i and is not another one's partner, from
 * `*at` on and round: most objects have their members in one order, so *at is
 * most often the one.  *at is behind it then.
 */
static enum rc
find_partner(struct jsonpath_eval *eval, uint32_t i, uint32_t b, uint32_t *at,
    bool *found)
{
	uint32_t first = body_json_child(eval->doc, b), from, j;
	enum rc rc;

	from = j = *at == 0 ? first : *at;
	do {
		*found = false;
		if (!jsonpath_set_has(&eval->paired, j) &&
		    (rc = members_equal(eval, i, j, found)) != RC_OK)
			return (rc);
		if (*found) {
			jsonpath_set_add(&eval->paired, j);
			*at = body_json_sibling(eval->doc, j);
			return (RC_OK);
		}
		if ((rc = jsonpath_charge(eval, 1)) != RC_OK)
			return (rc);
		j = body_json_sibling(eval->doc, j);
		j = j == 0 ? first : j;
	} while (j != from);
	return (RC_OK);
}

static uint64_t
count_children(const struct body_json *doc, uint32_t node)
{
	uint64_t n = 0;

	for (node = body_json_child(doc, node); node != 0;
	    node = body_json_sibling(doc, node))
		n++;
	return (n);
}

/* Names may occur twice: each member needs a partner of its own.  Equality is
 * transitive, so it does not matter which one it takes. */
static enum rc
objects_equal(struct jsonpath_eval *eval, uint32_t a, uint32_t b, bool *out)
{
	uint64_t n = count_children(eval->doc, a);
	uint32_t i, at = 0;
	enum rc rc;

	if ((rc = jsonpath_charge(eval, n)) != RC_OK)
		return (rc);
	*out = n == count_children(eval->doc, b);
	if (!*out || n == 0)
		return (RC_OK);
	if (eval->paired.words == NULL && (rc = jsonpath_set_init(&eval->paired,
	    eval->doc->n)) != RC_OK)
		return (rc);
	for (i = body_json_child(eval->doc, a); i != 0 && *out;
	    i = body_json_sibling(eval->doc, i))
		if ((rc = find_partner(eval, i, b, &at, out)) != RC_OK)
			return (rc);
	for (i = body_json_child(eval->doc, b); i != 0;
	    i = body_json_sibling(eval->doc, i))
		jsonpath_set_remove(&eval->paired, i);
	return (RC_OK);
}

/* Recursion is as deep as the document at most. */
static enum rc
nodes_equal(struct jsonpath_eval *eval, uint32_t i, uint32_t j, bool *out)
{
	struct jsonpath_value a, b;
	enum jsonpath_relation relation;
	enum rc rc;

	jsonpath_node_value(eval->doc, i, &a);
	jsonpath_node_value(eval->doc, j, &b);
	rc = jsonpath_compare(eval, &a, &b, &relation);
	*out = rc == RC_OK && relation == JSONPATH_EQUAL;
	return (rc);
}

/* ---- any two values ------------------------------------------------------- */

enum rc
jsonpath_compare(struct jsonpath_eval *eval, const struct jsonpath_value *a,
    const struct jsonpath_value *b, enum jsonpath_relation *out)
{
	bool equal = true;
	int order = 0;
	enum rc rc;

	*out = JSONPATH_UNRELATED;
	if ((rc = jsonpath_charge(eval, 1)) != RC_OK)
		return (rc);
	if (a->nothing || b->nothing) {
		if (a->nothing && b->nothing)
			*out = JSONPATH_EQUAL;
		return (RC_OK);
	}
	if (a->type != b->type)
		return (RC_OK);
	switch (a->type) {
	case BODY_JSON_STRING:
		rc = compare_strings(eval, a, b, &order);
		break;
	case BODY_JSON_NUMBER:
		rc = compare_numbers(eval, a, b, &order);
		break;
	case BODY_JSON_ARRAY:
		if (a->node != b->node)
			rc = arrays_equal(eval, a->node, b->node, &equal);
		break;
	case BODY_JSON_OBJECT:
		if (a->node != b->node)
			rc = objects_equal(eval, a->node, b->node, &equal);
		break;
	case BODY_JSON_NULL:
	case BODY_JSON_FALSE:
	case BODY_JSON_TRUE:
		break;
	}
	if (rc == RC_OK && equal)
		*out = relation_of(order);
	return (rc);
}
