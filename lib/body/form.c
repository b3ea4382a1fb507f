/*
 * body/form.c - forms: pairs between '&', a name and a value around the first
 * '=' (WHATWG URL 5.1).
 *
 * Names are compared while they are decoded, so looking for one allocates
 * nothing.  Text is measured first and written second, so a buffer's limit
 * leaves nothing half added.
 */
#include "lib/body/form.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

/* ---- pairs --------------------------------------------------------------- */

/* Where c stands first, or the length. */
static size_t
find(struct span s, char c)
{
	const char *at = s.len == 0 ? NULL : memchr(s.p, c, s.len);

	return (at == NULL ? s.len : (size_t)(at - s.p));
}

static void
drop(struct span *s, size_t len)
{
	s->p += len;
	s->len -= len;
}

bool
body_form_next(struct span *rest, struct body_form_pair *pair)
{
	struct span text;

	while (rest->len != 0 && rest->p[0] == '&')
		drop(rest, 1);
	if (rest->len == 0)
		return (false);
	text = (struct span){ rest->p, find(*rest, '&') };
	drop(rest, text.len < rest->len ? text.len + 1 : text.len);
	pair->name = (struct span){ text.p, find(text, '=') };
	pair->bare = pair->name.len == text.len;
	drop(&text, pair->name.len + (pair->bare ? 0 : 1));
	pair->value = text;
	return (true);
}

/* ---- decoding ------------------------------------------------------------ */

/* The byte at the front of a text that is not empty, decoded; returns how much
 * of the text stands for it. */
static size_t
decode_one(struct span s, char *out)
{
	int high, low;

	*out = s.p[0] == '+' ? ' ' : s.p[0];
	if (s.p[0] != '%' || s.len < 3)
		return (1);
	high = hex_value(s.p[1]);
	low = hex_value(s.p[2]);
	if (high < 0 || low < 0)
		return (1);
	*out = (char)(high << 4 | low);
	return (3);
}

static size_t
decoded_len(struct span raw)
{
	size_t len;
	char c;

	for (len = 0; raw.len != 0; len++)
		drop(&raw, decode_one(raw, &c));
	return (len);
}

enum rc
body_form_decode(struct span raw, struct buffer *out)
{
	size_t len = decoded_len(raw);
	char *to;
	enum rc rc;

	if (len == 0)
		return (RC_OK);
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	while (raw.len != 0)
		drop(&raw, decode_one(raw, to++));
	buffer_commit(out, len);
	return (RC_OK);
}

bool
body_form_is(struct span raw, struct span decoded)
{
	char c;

	for (; raw.len != 0 && decoded.len != 0; drop(&decoded, 1)) {
		drop(&raw, decode_one(raw, &c));
		if (c != decoded.p[0])
			return (false);
	}
	return (raw.len == 0 && decoded.len == 0);
}

/* The text does not stand for itself. */
static bool
is_escaped(struct span raw)
{
	size_t used;
	char c;

	for (; raw.len != 0; drop(&raw, used)) {
		used = decode_one(raw, &c);
		if (c != raw.p[0] || used != 1)
			return (true);
	}
	return (false);
}

/* ---- selection ----------------------------------------------------------- */

/* Pairs there are at most: each but the last ends with '&'. */
static size_t
pairs_max(struct span body)
{
	size_t n = 1, at;

	for (; (at = find(body, '&')) < body.len; n++)
		drop(&body, at + 1);
	return (n);
}

static enum rc
make_room(struct body_slots *out, struct span body, size_t max_fields)
{
	size_t cap = pairs_max(body);

	if (cap > max_fields)
		cap = max_fields;
	if ((out->v = calloc(cap, sizeof(*out->v))) == NULL)
		return (RC_NOMEM);
	out->cap = cap;
	return (RC_OK);
}

static bool
find_name(struct span raw, const struct span *names, size_t n, uint16_t *out)
{
	for (size_t i = 0; i < n; i++) {
		/* Decoding never makes a text longer. */
		if (raw.len < names[i].len || !body_form_is(raw, names[i]))
			continue;
		*out = (uint16_t)i;
		return (true);
	}
	return (false);
}

static struct body_slot
slot_of(const struct body_form_pair *pair, const char *body, uint16_t index)
{
	size_t start = (size_t)(pair->value.p - body);

	return ((struct body_slot){
		.start = start,
		.end = start + pair->value.len,
		.type = BODY_VALUE_STRING,
		.escaped = is_escaped(pair->value),
		.empty = pair->value.len == 0,
		.bare = pair->bare,
		.selection = index,
	});
}

enum rc
body_form_select(struct span body, const struct span *names, size_t n,
    size_t max_fields, struct body_slots *out)
{
	struct span rest = body;
	struct body_form_pair pair;
	uint16_t index;
	enum rc rc = RC_OK;

	memset(out, 0, sizeof(*out));
	ensure(n <= UINT16_MAX);
	while (body_form_next(&rest, &pair)) {
		if (!find_name(pair.name, names, n, &index))
			continue;
		if (out->n >= max_fields) {
			rc = RC_LIMIT;
			break;
		}
		/* Once, at the first match: most forms have none. */
		if (out->v == NULL &&
		    (rc = make_room(out, body, max_fields)) != RC_OK)
			break;
		out->v[out->n++] = slot_of(&pair, body.p, index);
	}
	if (rc != RC_OK)
		body_slots_fini(out);
	return (rc);
}

/* ---- encoding ------------------------------------------------------------ */

/* What the serializer leaves as it is. */
static bool
is_plain(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '*' || c == '-' || c == '.' ||
	    c == '_');
}

static size_t
encoded_len(struct span text)
{
	size_t len = text.len;

	for (size_t i = 0; i < text.len; i++)
		len += is_plain(text.p[i]) || text.p[i] == ' ' ? 0u : 2u;
	return (len);
}

enum rc
body_form_insert(struct span text, struct buffer *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = encoded_len(text);
	char *to;
	enum rc rc;

	if (len == 0)
		return (RC_OK);
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (is_plain(text.p[i]) || c == ' ') {
			*to++ = c == ' ' ? '+' : (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	buffer_commit(out, len);
	return (RC_OK);
}
