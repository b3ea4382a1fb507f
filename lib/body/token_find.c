/*
 * body/token_find.c - a fast search for bytes that may begin a token, then the
 * reader of the grammar from there.
 *
 * A byte is what it is only outside of an escape: the 'e' of \u000e or %2e
 * begins nothing, and a backslash that is escaped escapes nothing.  That is
 * told by a few bytes before the place and by the number of backslashes before
 * those, so that is what stays of a text that is gone.
 */
#include "lib/body/token_find.h"

#include <endian.h>
#include <string.h>

#include "lib/base/object.h"

/* ---- bytes that may begin a token ----------------------------------------- */

/* GCC's vectors: the compiler makes of them what the machine has. */
typedef unsigned char vector __attribute__((vector_size(16)));

#define BLOCK	64			/* bytes searched at once */
#define BEHIND	2			/* and looked at behind them */

/* Up to two escapes: their first byte, and what the next one is when they
 * stand for an 'e'. */
struct leads {
	unsigned char	a, a_next;
	unsigned char	b, b_next;
};

static struct leads
leads_of(unsigned escapes)
{
	/* No text has this pair; in other bytes it costs time only. */
	struct leads l = { 0xff, 0xff, 0xff, 0xff };

	if ((escapes & BODY_TOKEN_BACKSLASH) != 0) {
		l.a = '\\';
		l.a_next = 'u';
	} else if ((escapes & BODY_TOKEN_REFERENCE) != 0) {
		l.a = '&';
		l.a_next = '#';
	}
	if ((escapes & BODY_TOKEN_PERCENT) != 0) {
		l.b = '%';
		l.b_next = '6';
	}
	return (l);
}

static inline vector
load(const char *p)
{
	vector v;

	memcpy(&v, p, sizeof(v));
	return (v);
}

/* 0xff where "ev:" may begin, each character as itself or escaped. */
static inline vector
marks(const char *p, const struct leads *l)
{
	vector c0 = load(p), c1 = load(p + 1), c2 = load(p + 2);
	vector lead1 = (vector)(c1 == l->a) | (vector)(c1 == l->b);
	vector lead2 = (vector)(c2 == l->a) | (vector)(c2 == l->b);
	vector ev = (vector)(c1 == 'v') & ((vector)(c2 == ':') | lead2);

	return (((vector)(c0 == 'e') & (ev | lead1)) |
	    ((vector)(c0 == l->a) & (vector)(c1 == l->a_next)) |
	    ((vector)(c0 == l->b) & (vector)(c1 == l->b_next)));
}

/* Of most blocks this says that they have none, in half the time: "ev", or an
 * escape behind the first byte. */
static inline vector
hints(const char *p, const struct leads *l)
{
	vector c0 = load(p), c1 = load(p + 1);

	return (((vector)(c0 == 'e') & (vector)(c1 == 'v')) |
	    (vector)(c1 == l->a) | (vector)(c1 == l->b));
}

static inline bool
block_has_hint(const char *p, const struct leads *l)
{
	vector all = hints(p, l) | hints(p + 16, l) | hints(p + 32, l) |
	    hints(p + 48, l);
	uint64_t words[2];

	memcpy(words, &all, sizeof(words));
	return ((words[0] | words[1]) != 0);
}

/* As marks, of one byte; what the end cuts may be anything. */
static bool
may_begin(const char *p, const char *end, const struct leads *l)
{
	size_t left = (size_t)(end - p);
	unsigned char c0 = (unsigned char)p[0];
	unsigned char c1 = left > 1 ? (unsigned char)p[1] : 0;
	unsigned char c2 = left > 2 ? (unsigned char)p[2] : 0;

	if (c0 == 'e')
		return (left == 1 || c1 == l->a || c1 == l->b || (c1 == 'v' &&
		    (left == 2 || c2 == ':' || c2 == l->a || c2 == l->b)));
	if (c0 == '\\' && l->a == '\\')		/* other letters are many */
		return (memcmp(p, "\\u0065", left < 6 ? left : 6) == 0);
	return ((c0 == l->a && (left == 1 || c1 == l->a_next)) ||
	    (c0 == l->b && (left == 1 || c1 == l->b_next)));
}

/* The first of 16 bytes; NULL: none of them. */
static const char *
mark_in(const char *p, const char *end, const struct leads *l)
{
	vector m = marks(p, l);
	uint64_t words[2];

	memcpy(words, &m, sizeof(words));
	for (unsigned i = 0; i < 2; i++) {
		uint64_t word = le64toh(words[i]);

		while (word != 0) {
			int at = __builtin_ctzll(word) / 8;

			if (may_begin(p + 8 * i + at, end, l))
				return (p + 8 * i + at);
			word &= ~((uint64_t)0xff << (8 * at));
		}
	}
	return (NULL);
}

/* The first byte that may begin a token, or the end. */
static const char *
next_mark(const char *p, const char *end, const struct leads *l)
{
	const char *at, *last;

	if (p == end || may_begin(p, end, l))
		return (p);
	while ((size_t)(end - p) >= BLOCK + BEHIND) {
		last = p + BLOCK;
		if (!block_has_hint(p, l)) {
			p = last;
			continue;
		}
		for (; p != last; p += sizeof(vector))
			if ((at = mark_in(p, end, l)) != NULL)
				return (at);
		/* The next block's hints do not tell of its first byte. */
		if (may_begin(p, end, l))
			return (p);
	}
	while (p != end && !may_begin(p, end, l))
		p++;
	return (p);
}

/* ---- what stands before a byte ----------------------------------------------- */

/* The window from the finder's `at` on. */
struct view {
	const char	*from;
	const char	*end;
};

/* The k-th byte before p, from 1; -1 where the text begins or is gone. */
static int
byte_before(const struct body_token_finder *f, const struct view *v,
    const char *p, size_t k)
{
	size_t here = (size_t)(p - v->from);

	if (k <= here)
		return ((unsigned char)*(p - k));
	k -= here;
	return (k <= f->n ? (unsigned char)f->before[f->n - k] : -1);
}

/* An odd number of backslashes ends k bytes before p. */
static bool
odd_before(const struct body_token_finder *f, const struct view *v,
    const char *p, size_t k)
{
	size_t n = 0;

	while (byte_before(f, v, p, k + n + 1) == '\\')
		n++;
	if (k + n == (size_t)(p - v->from) + f->n && f->odd)
		n++;
	return (n % 2 != 0);
}

static bool
hex_before(const struct body_token_finder *f, const struct view *v,
    const char *p, size_t k)
{
	int c = byte_before(f, v, p, k);

	return (c >= 0 && hex_value((char)c) >= 0);
}

/* The byte at p is the last of an escape, or a backslash that is escaped. */
static bool
in_escape(const struct body_token_finder *f, const struct view *v, const char *p)
{
	if (*p == '\\')
		return (odd_before(f, v, p, 0));
	if (*p != 'e')
		return (false);
	if ((f->escapes & BODY_TOKEN_PERCENT) != 0 && hex_before(f, v, p, 1) &&
	    byte_before(f, v, p, 2) == '%')
		return (true);
	return ((f->escapes & BODY_TOKEN_BACKSLASH) != 0 &&
	    hex_before(f, v, p, 1) && hex_before(f, v, p, 2) &&
	    hex_before(f, v, p, 3) && byte_before(f, v, p, 4) == 'u' &&
	    byte_before(f, v, p, 5) == '\\' && !odd_before(f, v, p, 5));
}

static bool
quote_before(const struct body_token_finder *f, const struct view *v,
    const char *p)
{
	return (byte_before(f, v, p, 1) == '"' && !odd_before(f, v, p, 1));
}

/* All before p is decided. */
static void
settle(struct body_token_finder *f, const struct view *v, const char *p)
{
	char before[BODY_TOKEN_BEFORE];
	size_t here = (size_t)(p - v->from), n = 0;
	bool odd, quoted = quote_before(f, v, p);

	if (here >= sizeof(before)) {
		n = sizeof(before);
		memcpy(before, p - n, n);
	} else while (n < sizeof(before) && n < here + f->n) {
		n++;
		before[sizeof(before) - n] = (char)byte_before(f, v, p, n);
	}
	odd = odd_before(f, v, p, n);
	memcpy(f->before, before + sizeof(before) - n, n);
	f->n = (unsigned)n;
	f->odd = odd;
	f->quoted = quoted;
	f->at += here;
}

/* ---- candidates --------------------------------------------------------------- */

void
body_token_finder_init(struct body_token_finder *f, unsigned escapes,
    size_t max, size_t at)
{
	*f = (struct body_token_finder){ .escapes = escapes, .max = max,
	    .at = at };
}

static struct view
view_of(const struct body_token_finder *f, struct span window, size_t base)
{
	ensure(base <= f->at && f->at - base <= window.len);
	/* An empty window may have no bytes to point to. */
	if (window.len == 0)
		window.p = "";
	return ((struct view){ window.p + (f->at - base),
	    window.p + window.len });
}

/* Read on in the candidate at p. */
static enum body_token_step
read_on(struct body_token_finder *f, const char *p, const char *end, bool whole)
{
	enum body_token_step step;
	size_t used;

	step = body_token_read(&f->reader, p + f->read, end, &used);
	f->read += used;
	if (step == BODY_TOKEN_DONE)
		return (f->read <= f->max ? BODY_TOKEN_DONE : BODY_TOKEN_NO);
	if (step == BODY_TOKEN_MORE && (whole || (size_t)(end - p) >= f->max))
		return (BODY_TOKEN_NO);
	return (step);
}

static const char *
open_next(struct body_token_finder *f, const struct view *v, const char *p,
    const struct leads *l)
{
	while ((p = next_mark(p, v->end, l)) != v->end && in_escape(f, v, p))
		p++;
	f->open = p != v->end;
	f->read = 0;
	body_token_reader_init(&f->reader, f->escapes);
	return (p);
}

bool
body_token_find(struct body_token_finder *f, struct span window, size_t base,
    bool whole, struct body_token *out)
{
	const struct leads leads = leads_of(f->escapes);
	const struct view v = view_of(f, window, base);
	enum body_token_step step = BODY_TOKEN_MORE;
	const char *p = v.from;

	for (;;) {
		if (!f->open)
			p = open_next(f, &v, p, &leads);
		if (!f->open)
			break;
		step = read_on(f, p, v.end, whole);
		if (step != BODY_TOKEN_NO)
			break;
		f->open = false;
		p++;
	}
	if (step != BODY_TOKEN_DONE) {
		settle(f, &v, p);
		return (false);
	}
	out->quoted = quote_before(f, &v, p);
	out->escape = (enum body_token_escape)f->reader.escape;
	out->start = f->at + (size_t)(p - v.from);
	out->end = out->start + f->read;
	f->open = false;
	settle(f, &v, p + f->read);
	return (true);
}

void
body_token_finder_pass(struct body_token_finder *f, struct span window,
    size_t base, size_t to)
{
	const struct view v = view_of(f, window, base);

	ensure(to >= f->at && to - base <= window.len);
	f->open = false;
	settle(f, &v, v.from + (to - f->at));
}

bool
body_token_next(struct span text, unsigned escapes, size_t from,
    struct body_token *out)
{
	struct body_token_finder f;

	body_token_finder_init(&f, escapes, SIZE_MAX, from);
	return (body_token_find(&f, text, 0, true, out));
}
