/*
 * Pairs cover the form, in order and without a gap; what decodes means what
 * it is compared to; every name that stands there is found; any text put in
 * as a value comes out again.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/form.h"

#define NAMES_MAX	32

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* Nothing but '&' between two pairs; '=' behind a name that is not bare. */
static const char *
check_pair(const char *at, const char *end, const struct body_form_pair *p)
{
	while (at < end && *at == '&')
		at++;
	ensure(p->name.p == at);
	at += p->name.len;
	ensure(p->name.len == 0 || (memchr(p->name.p, '=', p->name.len) == NULL &&
	    memchr(p->name.p, '&', p->name.len) == NULL));
	if (!p->bare)
		ensure(*at++ == '=');
	ensure(p->value.p == at);
	ensure(p->value.len == 0 ||
	    memchr(p->value.p, '&', p->value.len) == NULL);
	ensure(!p->bare || (p->value.len == 0 && p->name.len != 0));
	at += p->value.len;
	ensure(at == end || *at == '&');
	return (at);
}

static void
check_round_trip(struct span text)
{
	struct buffer raw, back;

	buffer_init(&raw, 0, true);
	buffer_init(&back, 0, true);
	ensure(body_form_insert(text, &raw) == RC_OK);
	ensure(body_form_decode(view(&raw), &back) == RC_OK);
	ensure(span_eq(view(&back), text));
	ensure(body_form_is(view(&raw), text));
	buffer_fini(&raw);
	buffer_fini(&back);
}

static void
check_slot(const struct body_slot *s, struct span body,
    const struct body_form_pair *pair)
{
	struct buffer text;

	buffer_init(&text, 0, true);
	ensure(body.p + s->start == pair->value.p);
	ensure(s->end - s->start == pair->value.len);
	ensure(s->empty == (pair->value.len == 0) && s->bare == pair->bare);
	ensure(body_form_decode(pair->value, &text) == RC_OK);
	ensure(s->escaped == !span_eq(view(&text), pair->value));
	buffer_fini(&text);
}

/* names[0..n) are those of the first pairs: the slots are these pairs, and
 * later ones of the same names. */
static void
check_selection(struct span body, const struct buffer *decoded, size_t n)
{
	struct span names[NAMES_MAX], rest = body;
	struct body_form_pair pair;
	struct body_slots slots;
	size_t at = 0, i;

	for (i = 0; i < n; i++)
		names[i] = view(&decoded[i]);
	ensure(body_form_select(body, names, n, SIZE_MAX, &slots) == RC_OK);
	for (size_t k = 0; body_form_next(&rest, &pair); k++) {
		for (i = 0; i < n && !body_form_is(pair.name, names[i]); i++)
			continue;
		ensure(i <= k);
		if (i == n)
			continue;
		ensure(at < slots.n && slots.v[at].selection == i);
		check_slot(&slots.v[at++], body, &pair);
	}
	ensure(at == slots.n && at >= n);
	body_slots_fini(&slots);
	if (at != 0)
		ensure(body_form_select(body, names, n, at - 1, &slots) ==
		    RC_LIMIT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span body = { (const char *)data, len }, rest = body;
	const char *at = body.p, *end = body.p + len;
	struct buffer decoded[NAMES_MAX];
	struct body_form_pair pair;
	size_t n = 0;

	check_round_trip(body);
	while (body_form_next(&rest, &pair)) {
		at = check_pair(at, end, &pair);
		if (n == NAMES_MAX)
			continue;
		buffer_init(&decoded[n], 0, true);
		ensure(body_form_decode(pair.name, &decoded[n]) == RC_OK);
		ensure(body_form_is(pair.name, view(&decoded[n])));
		n++;
	}
	for (; at < end; at++)
		ensure(*at == '&');
	check_selection(body, decoded, n);
	while (n != 0)
		buffer_fini(&decoded[--n]);
	return (0);
}
