/*
 * body/iregexp.c - reads the grammar of RFC 9485, writes a PCRE2 pattern.
 *
 * Recursive descent; each function reads one rule of the ABNF.  What PCRE2
 * has beyond I-Regexp (\d, lazy quantifiers, back references, (?...)) does
 * not pass, so the pattern we write is regular.  ^ and $ outside brackets are
 * ordinary characters of the grammar; everybody takes them as the ends of the
 * text, the JSONPath compliance suite too, and so do we.
 *
 * PCRE2 counts how often it goes back, but does not tell the count, only
 * whether a limit was passed.  So we begin with a small limit and try again
 * with larger ones: what is charged stays within a small factor of what was
 * spent.  No JIT: it knows no such limits, and wants writable code pages.
 */
#include "lib/body/iregexp.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

#define GROUPS_MAX	64		/* inside each other: bounds our stack;
					   PCRE2's own limit is 250 */
#define QUANTITY_MAX	65535u		/* of PCRE2 */
#define REACH_MAX	(1u << 31)	/* stands for endless */

#define STEPS_FIRST	8u		/* most texts are decided in fewer */
#define STEPS_FACTOR	8u
#define STEP_UNITS	4u		/* a step back costs about 40 ns */
#define SCAN_PER_UNIT	32u		/* characters stepped over in 10 ns */
#define HEAP_KIB	16384u		/* to go back, some 100,000 rounds of a
					   repeated group: bounds depth as well */

struct iregexp {
	unsigned	magic;
#define IREGEXP_MAGIC	0x51ac07d3
	pcre2_code	*code;		/* owned */
	uint64_t	reach;		/* longest text it can match, or REACH_MAX */
	unsigned	width;		/* items in its largest bracket */
};

struct iregexp_scratch {
	pcre2_match_data	*data;		/* owned */
	pcre2_match_context	*limits;	/* owned */
};

/* ---- translate ------------------------------------------------------------ */

/* Every byte of I-Regexp becomes so many bytes at most: . is [^\n\r]. */
#define GROWTH	8

struct translator {
	const char	*p, *end;	/* what is left of the pattern */
	char		*out;		/* owned; room for GROWTH times as much */
	size_t		len;
	unsigned	groups;
	unsigned	width;
};

static enum rc i_regexp(struct translator *, uint64_t *reach);

static char
peek(const struct translator *t)
{
	return (t->p < t->end ? *t->p : '\0');
}

static bool
take(struct translator *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return (false);
	t->p++;
	return (true);
}

static void
put(struct translator *t, const char *bytes, size_t len)
{
	memcpy(t->out + t->len, bytes, len);
	t->len += len;
}

static void
put_text(struct translator *t, const char *text)
{
	put(t, text, strlen(text));
}

/* The bytes of the character at p, which is UTF-8. */
static size_t
character_bytes(const char *p)
{
	unsigned char c = (unsigned char)*p;

	return (c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4);
}

static uint32_t
code_point(const char *p, size_t len)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)p[0] & first[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return (c);
}

static uint64_t
reach_sum(uint64_t a, uint64_t b)
{
	return (a + b < REACH_MAX ? a + b : REACH_MAX);
}

/* "\p{" charProp "}" and its complement; the caller saw \p or \P. */
static enum rc
category_escape(struct translator *t)
{
	static const char *const second[] = {
		"Llmotu", "Mcen", "Ndlo", "Pcdefios", "Zlps", "Sckmo", "Ccfno",
	};
	const char *from = t->p, *letters = NULL;

	t->p += 2;
	if (!take(t, '{'))
		return (RC_SYNTAX);
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++)
		if (peek(t) == second[i][0])
			letters = second[i] + 1;
	if (letters == NULL)
		return (RC_SYNTAX);
	t->p++;
	if (peek(t) != '\0' && strchr(letters, peek(t)) != NULL)
		t->p++;
	if (!take(t, '}'))
		return (RC_SYNTAX);
	put(t, from, (size_t)(t->p - from));
	return (RC_OK);
}

/* SingleCharEsc; means the same to PCRE2, inside brackets too. */
static enum rc
character_escape(struct translator *t, uint32_t *c)
{
	static const char self[] = "()*+-.?[\\]^{|}", named[] = "nrt";
	static const char meant[] = "\n\r\t";
	const char *at;

	t->p++;
	if (peek(t) == '\0')
		return (RC_SYNTAX);
	if ((at = strchr(named, *t->p)) != NULL)
		*c = (unsigned char)meant[at - named];
	else if (strchr(self, *t->p) != NULL)
		*c = (unsigned char)*t->p;
	else
		return (RC_SYNTAX);
	put(t, t->p - 1, 2);
	t->p++;
	return (RC_OK);
}

static bool
is_category(const struct translator *t)
{
	return (t->end - t->p >= 2 && t->p[0] == '\\' &&
	    (t->p[1] == 'p' || t->p[1] == 'P'));
}

/* CCchar: ASCII signs get a backslash, since PCRE2 gives some a meaning. */
static enum rc
bracket_character(struct translator *t, uint32_t *c)
{
	size_t len;

	if (t->p == t->end)
		return (RC_SYNTAX);
	if (*t->p == '\\')
		return (character_escape(t, c));
	if (*t->p == '-' || *t->p == '[' || *t->p == ']')
		return (RC_SYNTAX);
	len = character_bytes(t->p);
	*c = code_point(t->p, len);
	if ((*c > 0x20 && *c < '0') || (*c > '9' && *c < 'A') ||
	    (*c > 'Z' && *c < 'a') || (*c > 'z' && *c < 0x7f))
		put_text(t, "\\");
	put(t, t->p, len);
	t->p += len;
	return (RC_OK);
}

/* CCE1; a range that runs backwards stands for nothing (XSD refuses it). */
static enum rc
bracket_item(struct translator *t)
{
	uint32_t low, high;
	enum rc rc;

	if (is_category(t))
		return (category_escape(t));
	if ((rc = bracket_character(t, &low)) != RC_OK)
		return (rc);
	if (t->end - t->p < 2 || t->p[0] != '-' || t->p[1] == ']')
		return (RC_OK);
	put(t, t->p++, 1);
	if ((rc = bracket_character(t, &high)) != RC_OK)
		return (rc);
	return (low <= high ? RC_OK : RC_SYNTAX);
}

/* "[" [ "^" ] ( "-" / CCE1 ) *CCE1 [ "-" ] "]" */
static enum rc
bracket(struct translator *t)
{
	unsigned items = 0;
	enum rc rc;

	put(t, t->p++, 1);
	if (take(t, '^'))
		put_text(t, "^");
	while (items == 0 || peek(t) != ']') {
		items++;
		if (!take(t, '-')) {
			if ((rc = bracket_item(t)) != RC_OK)
				return (rc);
			continue;
		}
		put_text(t, "\\-");
		if (items > 1 && peek(t) != ']')
			return (RC_SYNTAX);
	}
	put(t, t->p++, 1);
	if (items > t->width)
		t->width = items;
	return (RC_OK);
}

static enum rc
group(struct translator *t, uint64_t *reach)
{
	enum rc rc;

	if (++t->groups > GROUPS_MAX)
		return (RC_LIMIT);
	t->p++;
	put_text(t, "(?:");
	if ((rc = i_regexp(t, reach)) != RC_OK)
		return (rc);
	if (!take(t, ')'))
		return (RC_SYNTAX);
	put_text(t, ")");
	t->groups--;
	return (RC_OK);
}

static enum rc
atom(struct translator *t, uint64_t *reach)
{
	uint32_t ignored;
	size_t len;

	*reach = 1;
	if (is_category(t))
		return (category_escape(t));
	switch (*t->p) {
	case '(':
		return (group(t, reach));
	case '[':
		return (bracket(t));
	case '\\':
		return (character_escape(t, &ignored));
	case '.':
		t->p++;
		put_text(t, "[^\\n\\r]");
		return (RC_OK);
	case '^':
	case '$':		/* PCRE2 repeats groups, but not these */
		put_text(t, "(?:");
		put(t, t->p++, 1);
		put_text(t, ")");
		return (RC_OK);
	case '*':
	case '+':
	case '?':
	case ']':
	case '{':
	case '}':
		return (RC_SYNTAX);
	default:
		len = character_bytes(t->p);
		put(t, t->p, len);
		t->p += len;
		return (RC_OK);
	}
}

/* QuantExact */
static enum rc
quantity(struct translator *t, uint64_t *out)
{
	const char *from = t->p;

	for (*out = 0; peek(t) >= '0' && peek(t) <= '9'; t->p++)
		if (*out <= QUANTITY_MAX)
			*out = *out * 10 + (uint64_t)(*t->p - '0');
	if (t->p == from)
		return (RC_SYNTAX);
	return (*out <= QUANTITY_MAX ? RC_OK : RC_LIMIT);
}

/* range-quantifier; *most: REACH_MAX without an end. */
static enum rc
range_quantifier(struct translator *t, uint64_t *most)
{
	const char *from = t->p++;
	uint64_t least;
	enum rc rc;

	if ((rc = quantity(t, &least)) != RC_OK)
		return (rc);
	*most = least;
	if (take(t, ',')) {
		*most = REACH_MAX;
		if (peek(t) != '}' && (rc = quantity(t, most)) != RC_OK)
			return (rc);
	}
	if (!take(t, '}') || least > *most)
		return (RC_SYNTAX);
	put(t, from, (size_t)(t->p - from));
	return (RC_OK);
}

/* atom [ quantifier ] */
static enum rc
piece(struct translator *t, uint64_t *reach)
{
	uint64_t most = 1;
	enum rc rc;

	if ((rc = atom(t, reach)) != RC_OK)
		return (rc);
	if (peek(t) == '{') {
		if ((rc = range_quantifier(t, &most)) != RC_OK)
			return (rc);
	} else if (peek(t) == '*' || peek(t) == '+' || peek(t) == '?') {
		most = *t->p == '?' ? 1 : REACH_MAX;
		put(t, t->p++, 1);
	}
	*reach = reach_sum(*reach * most, 0);	/* both are 31 bits */
	return (RC_OK);
}

/* branch *( "|" branch ) */
static enum rc
i_regexp(struct translator *t, uint64_t *reach)
{
	uint64_t branch = 0, one;
	enum rc rc;

	for (*reach = 0; t->p < t->end && *t->p != ')';) {
		if (take(t, '|')) {
			put_text(t, "|");
			branch = 0;
			continue;
		}
		if ((rc = piece(t, &one)) != RC_OK)
			return (rc);
		branch = reach_sum(branch, one);
		if (branch > *reach)
			*reach = branch;
	}
	return (RC_OK);
}

/* ---- compile -------------------------------------------------------------- */

static enum rc
translate(struct translator *t, struct span text, enum iregexp_kind kind,
    struct iregexp *re)
{
	enum rc rc;

	*t = (struct translator){
		.p = text.p,
		.end = text.p + text.len,
		.out = xcalloc(text.len + 2, GROWTH),
		.width = 1,
	};
	/* One attempt that walks on: its steps are counted together, those of
	 * PCRE2's own search anew from each place. */
	put_text(t, kind == IREGEXP_SEARCH ? "(?s:.)*?(?:" : "(?:");
	if ((rc = i_regexp(t, &re->reach)) != RC_OK)
		return (rc);
	if (t->p != t->end)
		return (RC_SYNTAX);
	put_text(t, ")");
	re->width = t->width;
	return (RC_OK);
}

enum rc
iregexp_compile(struct span text, enum iregexp_kind kind, struct iregexp **out)
{
	uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED |
	    PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
	struct translator t = { .out = NULL };
	struct iregexp *re = NULL;
	PCRE2_SIZE offset;
	int error = 0;
	enum rc rc;

	*out = NULL;
	if (text.len > IREGEXP_BYTES_MAX)
		return (RC_LIMIT);
	re = xcalloc(1, sizeof(*re));
	re->magic = IREGEXP_MAGIC;
	if ((rc = translate(&t, text, kind, re)) != RC_OK)
		goto out;
	if (kind == IREGEXP_MATCH)
		options |= PCRE2_ENDANCHORED;
	re->code = pcre2_compile((PCRE2_SPTR)t.out, t.len, options, &error,
	    &offset, NULL);
	if (re->code == NULL) {
		/* The grammar was ours to judge: what is left is size. */
		rc = error == PCRE2_ERROR_HEAP_FAILED ? RC_NOMEM : RC_LIMIT;
		goto out;
	}
	*out = re;
	re = NULL;
out:
	free(t.out);
	iregexp_free(&re);
	return (rc);
}

void
iregexp_free(struct iregexp **re)
{
	if (*re == NULL)
		return;
	obj_check(*re, IREGEXP_MAGIC);
	pcre2_code_free((*re)->code);
	free(*re);
	*re = NULL;
}

/* ---- run ------------------------------------------------------------------ */

enum rc
iregexp_scratch_new(struct iregexp_scratch **out)
{
	struct iregexp_scratch *s = xcalloc(1, sizeof(*s));

	s->data = pcre2_match_data_create(1, NULL);
	s->limits = pcre2_match_context_create(NULL);
	*out = s;
	if (s->data == NULL || s->limits == NULL) {
		iregexp_scratch_free(out);
		return (RC_NOMEM);
	}
	(void)pcre2_set_heap_limit(s->limits, HEAP_KIB);
	return (RC_OK);
}

void
iregexp_scratch_free(struct iregexp_scratch **s)
{
	if (*s == NULL)
		return;
	pcre2_match_data_free((*s)->data);
	pcre2_match_context_free((*s)->limits);
	free(*s);
	*s = NULL;
}

/* The most a step can cost: between two steps PCRE2 runs over no more text
 * than the pattern can match, and looks through a bracket at each character. */
static uint64_t
step_units(const struct iregexp *re, size_t len)
{
	uint64_t run = len < re->reach ? len : re->reach;

	return (STEP_UNITS + run * re->width / SCAN_PER_UNIT);
}

enum rc
iregexp_run(const struct iregexp *re, struct iregexp_scratch *s,
    struct span text, uint64_t *work, bool *found)
{
	uint64_t units;
	uint32_t steps;
	int result;

	obj_check(re, IREGEXP_MAGIC);
	*found = false;
	units = step_units(re, text.len);
	for (steps = STEPS_FIRST;; steps *= STEPS_FACTOR) {
		if (units > *work / steps || steps > UINT32_MAX / STEPS_FACTOR) {
			*work = 0;
			return (RC_LIMIT);
		}
		*work -= units * steps;
		(void)pcre2_set_match_limit(s->limits, steps);
		result = pcre2_match(re->code, (PCRE2_SPTR)text.p, text.len, 0,
		    PCRE2_NO_UTF_CHECK, s->data, s->limits);
		if (result != PCRE2_ERROR_MATCHLIMIT)
			break;
	}
	*found = result >= 0;
	if (result >= 0 || result == PCRE2_ERROR_NOMATCH)
		return (RC_OK);
	return (result == PCRE2_ERROR_NOMEMORY ? RC_NOMEM : RC_LIMIT);
}
