/*
 * http/field.c - field names, comma lists and media types.
 *
 * Names are looked up once, while the head is parsed; every rule after that
 * compares an id.  The table is keyed by length, then by first letter: a name
 * we do not know costs one or two byte compares.
 */
#include "lib/http/field.h"

#include <string.h>

#include "lib/http/class_private.h"

#define KNOWN_LEN_MAX	22	/* x-evervault-error-code */
#define KNOWN_PER_LEN	4

struct known {
	const char		*name;	/* lower case; NULL ends the row */
	enum http_field_id	id;
};

static const struct known by_length[KNOWN_LEN_MAX + 1][KNOWN_PER_LEN] = {
	[2] = { { "te", HTTP_FIELD_TE } },
	[3] = { { "via", HTTP_FIELD_VIA } },
	[4] = { { "host", HTTP_FIELD_HOST }, { "etag", HTTP_FIELD_ETAG } },
	[5] = { { "range", HTTP_FIELD_RANGE } },
	[6] = { { "expect", HTTP_FIELD_EXPECT },
	    { "digest", HTTP_FIELD_DIGEST } },
	[7] = { { "upgrade", HTTP_FIELD_UPGRADE },
	    { "trailer", HTTP_FIELD_TRAILER },
	    { "api-key", HTTP_FIELD_API_KEY } },
	[9] = { { "forwarded", HTTP_FIELD_FORWARDED } },
	[10] = { { "connection", HTTP_FIELD_CONNECTION },
	    { "keep-alive", HTTP_FIELD_KEEP_ALIVE } },
	[11] = { { "repr-digest", HTTP_FIELD_DIGEST },
	    { "content-md5", HTTP_FIELD_DIGEST } },
	[12] = { { "content-type", HTTP_FIELD_CONTENT_TYPE } },
	[13] = { { "authorization", HTTP_FIELD_AUTHORIZATION } },
	[14] = { { "content-length", HTTP_FIELD_CONTENT_LENGTH },
	    { "content-digest", HTTP_FIELD_DIGEST } },
	[15] = { { "accept-encoding", HTTP_FIELD_ACCEPT_ENCODING },
	    { "x-forwarded-for", HTTP_FIELD_X_FORWARDED },
	    { "x-evervault-ctx", HTTP_FIELD_X_EVERVAULT_CTX } },
	[16] = { { "content-encoding", HTTP_FIELD_CONTENT_ENCODING },
	    { "x-forwarded-host", HTTP_FIELD_X_FORWARDED },
	    { "proxy-connection", HTTP_FIELD_PROXY_CONNECTION } },
	[17] = { { "transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING },
	    { "x-forwarded-proto", HTTP_FIELD_X_FORWARDED } },
	[18] = { { "proxy-authenticate", HTTP_FIELD_PROXY_AUTHENTICATE } },
	[19] = { { "proxy-authorization", HTTP_FIELD_PROXY_AUTHORIZATION },
	    { "x-evervault-api-key", HTTP_FIELD_API_KEY } },
	[22] = { { "x-evervault-error-code",
	    HTTP_FIELD_X_EVERVAULT_ERROR_CODE } },
};

static char
lower(char c)
{
	return (c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
}

enum http_field_id
http_field_lookup(struct span name)
{
	const struct known *k;
	size_t i;

	if (name.len == 0 || name.len > KNOWN_LEN_MAX)
		return (HTTP_FIELD_OTHER);
	for (k = by_length[name.len]; k->name != NULL; k++) {
		for (i = 0; i < name.len && lower(name.p[i]) == k->name[i]; i++)
			continue;
		if (i == name.len)
			return (k->id);
	}
	return (HTTP_FIELD_OTHER);
}

bool
http_is_tchar(unsigned char c)
{
	return (HTTP_CLASS(c, CLASS_TOKEN));
}

bool
http_value_valid(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!HTTP_CLASS(s.p[i], CLASS_VALUE))
			return (false);
	return (true);
}

static void
advance(struct span *s, size_t n)
{
	if (n > s->len)
		n = s->len;
	s->p += n;
	s->len -= n;
}

/* Bytes of the quoted string that s begins with, both quotes counted; the
 * rest of s when the closing quote is missing. */
static size_t
quoted_length(struct span s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return (i + 1);
	}
	return (s.len);
}

bool
http_list_next(struct span *list, struct span *item)
{
	size_t i;

	while (list->len != 0) {
		for (i = 0; i < list->len && list->p[i] != ',';) {
			if (list->p[i] == '"')
				i += quoted_length((struct span){
				    list->p + i, list->len - i });
			else
				i++;
		}
		*item = span_trim((struct span){ list->p, i });
		advance(list, i + 1);
		if (item->len != 0)
			return (true);
	}
	return (false);
}

bool
http_list_has(struct span list, const char *token)
{
	struct span item;

	while (http_list_next(&list, &item))
		if (span_eq_case(item, token))
			return (true);
	return (false);
}

/* Take the token at the front of s; its length may be 0. */
static struct span
take_token(struct span *s)
{
	struct span t = { s->p, 0 };

	while (t.len < s->len && HTTP_CLASS(t.p[t.len], CLASS_TOKEN))
		t.len++;
	advance(s, t.len);
	return (t);
}

/* A quoted parameter value, without its quotes.  An escape inside would need
 * a copy, and no charset has one: refused. */
static enum rc
take_quoted(struct span *s, struct span *value)
{
	size_t n = quoted_length(*s);

	if (n < 2 || s->p[n - 1] != '"' || memchr(s->p, '\\', n) != NULL)
		return (RC_SYNTAX);
	*value = (struct span){ s->p + 1, n - 2 };
	advance(s, n);
	return (RC_OK);
}

/* `name=value` at the front of s (RFC 9110 5.6.6: no white space around =). */
static enum rc
take_parameter(struct span *s, struct span *name, struct span *value)
{
	*name = take_token(s);
	if (name->len == 0 || s->len == 0 || s->p[0] != '=')
		return (RC_SYNTAX);
	advance(s, 1);
	if (s->len != 0 && s->p[0] == '"')
		return (take_quoted(s, value));
	*value = take_token(s);
	return (value->len != 0 ? RC_OK : RC_SYNTAX);
}

enum rc
http_media_type(struct span value, struct span *type, struct span *charset)
{
	struct span s = span_trim(value), name, text, top, sub;
	bool seen = false;

	*type = *charset = (struct span){ NULL, 0 };
	if (!http_value_valid(s))
		return (RC_SYNTAX);
	top = take_token(&s);
	if (top.len == 0 || s.len == 0 || s.p[0] != '/')
		return (RC_SYNTAX);
	advance(&s, 1);
	sub = take_token(&s);
	if (sub.len == 0)
		return (RC_SYNTAX);
	for (s = span_trim(s); s.len != 0; s = span_trim(s)) {
		if (s.p[0] != ';')
			return (RC_SYNTAX);
		advance(&s, 1);
		s = span_trim(s);
		if (s.len == 0 || s.p[0] == ';')
			continue;	/* an empty parameter is allowed */
		if (take_parameter(&s, &name, &text) != RC_OK)
			return (RC_SYNTAX);
		if (!span_eq_case(name, "charset"))
			continue;
		/* Readers disagree on which of two counts. */
		if (seen)
			return (RC_SYNTAX);
		seen = true;
		*charset = text;
	}
	*type = (struct span){ top.p, top.len + 1 + sub.len };
	return (RC_OK);
}

bool
http_media_is_json(struct span type)
{
	static const char suffix[] = "+json";
	size_t n = sizeof(suffix) - 1;

	if (span_eq_case(type, "application/json"))
		return (true);
	return (type.len > n && span_eq_case(
	    (struct span){ type.p + type.len - n, n }, suffix));
}
