/*
 * body/token_scan.c - the grammar of an encrypted string
 * (spec/ciphertext.md section 8):
 *   ev:(debug:)?(version:)?(type:)?<16>:<44>:<any>:$
 *
 * No part of it can be read in two ways, so a token is read once from its
 * start; and as base64 holds no colon, what failed there is never read again
 * in full from a later one.
 */
#include "lib/body/token_scan.h"

#include <string.h>

#include "lib/body/json_text.h"

#define IV_CHARS	16
#define KEY_CHARS	44

struct reader {
	const char	*p;
	const char	*end;
	bool		json;
	bool		escaped;	/* an escape was read */
};

/* The next character, -1 when there is none of one byte; *len bytes are its
 * text. */
static int
look(const struct reader *r, size_t *len)
{
	char out[BODY_JSON_ESCAPE_BYTES];
	size_t n;

	*len = 1;
	if (r->p == r->end)
		return (-1);
	if (!r->json || *r->p != '\\')
		return ((unsigned char)*r->p);
	*len = body_json_escape_read(r->p, r->end, out, &n);
	if (*len != 0)
		return (n == 1 ? (unsigned char)out[0] : -1);
	*len = 1;
	return ('\\');
}

static void
step(struct reader *r, size_t len)
{
	r->escaped |= r->json && *r->p == '\\';
	r->p += len;
}

static bool
skip(struct reader *r, const char *literal)
{
	struct reader try = *r;
	size_t len;

	for (; *literal != '\0'; literal++) {
		if (look(&try, &len) != (unsigned char)*literal)
			return (false);
		step(&try, len);
	}
	*r = try;
	return (true);
}

static void
skip_one_of(struct reader *r, const char *const *literals, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (skip(r, literals[i]))
			return;
}

/* The standard alphabet; old tokens keep their padding. */
static bool
is_base64(int c)
{
	return ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=');
}

/* A base64 part and the colon behind it; want 0: any length.  Of a part that
 * is too long no more than that is read. */
static bool
skip_part(struct reader *r, size_t want)
{
	size_t n = 0, len;

	while ((want == 0 || n <= want) && is_base64(look(r, &len))) {
		step(r, len);
		n++;
	}
	return ((want == 0 || n == want) && skip(r, ":"));
}

/* One token, from its first character to behind its last. */
static bool
read_token(struct reader *r)
{
	static const char *const versions[] = {
		"RFVC:", "T1JL:", "Tk9D:", "TENZ:", "QlJV:", "QkTC:", "S0lS:"
	};
	static const char *const types[] = {
		"string:", "number:", "boolean:"
	};

	if ((size_t)(r->end - r->p) < BODY_TOKEN_BYTES_MIN || !skip(r, "ev:"))
		return (false);
	(void)skip(r, "debug:");
	skip_one_of(r, versions, sizeof(versions) / sizeof(versions[0]));
	skip_one_of(r, types, sizeof(types) / sizeof(types[0]));
	return (skip_part(r, IV_CHARS) && skip_part(r, KEY_CHARS) &&
	    skip_part(r, 0) && skip(r, "$"));
}

bool
body_token_whole(struct span text)
{
	struct reader r = { .p = text.p, .end = text.p + text.len };

	return (text.len >= BODY_TOKEN_BYTES_MIN && read_token(&r) &&
	    r.p == r.end);
}

/* Where a token may begin: at an 'e', or at an escape. */
static const char *
next_start(const char *p, const char *end, bool json)
{
	if (!json)
		return (memchr(p, 'e', (size_t)(end - p)));
	while (p != end && *p != 'e' && *p != '\\')
		p++;
	return (p == end ? NULL : p);
}

bool
body_token_next(struct span text, enum body_token_form form, size_t from,
    struct body_token *out)
{
	struct reader r = { .end = text.p + text.len,
	    .json = form == BODY_TOKEN_JSON };
	const char *at = text.p + from;
	size_t len;

	while (text.len - from >= BODY_TOKEN_BYTES_MIN &&
	    (at = next_start(at, r.end, r.json)) != NULL) {
		r.p = at;
		r.escaped = false;
		if (read_token(&r)) {
			out->start = (size_t)(at - text.p);
			out->end = (size_t)(r.p - text.p);
			out->escaped = r.escaped;
			return (true);
		}
		r.p = at;
		(void)look(&r, &len);
		at += len;
	}
	return (false);
}

enum rc
body_token_append(struct span text, const struct body_token *token,
    struct buffer *out)
{
	struct reader r = { .p = text.p + token->start,
	    .end = text.p + token->end, .json = token->escaped };
	size_t len, n = 0;
	enum rc rc;
	char *to;

	if (!token->escaped)
		return (buffer_append(out, r.p, token->end - token->start));
	if ((rc = buffer_reserve(out, token->end - token->start, &to)) != RC_OK)
		return (rc);
	for (; r.p != r.end; r.p += len)
		to[n++] = (char)look(&r, &len);
	buffer_commit(out, n);
	return (RC_OK);
}
