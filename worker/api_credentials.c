/* worker/api_credentials.c - every field that can carry a secret is looked
 * at; two of them must carry the same one. */
#include "worker/api_credentials.h"

#include <string.h>

#include "lib/base/secret.h"

#define APP_PREFIX	"app_"

void
api_credentials_init(struct api_credentials *c)
{
	memset(c, 0, sizeof(*c));
	buffer_init(&c->secret, 0, true);
}

void
api_credentials_fini(struct api_credentials *c)
{
	buffer_fini(&c->secret);
}

static enum rc
add(struct api_credentials *c, enum api_scheme scheme, struct span secret)
{
	size_t n = buffer_len(&c->secret);

	if (secret.len == 0)
		return (RC_SYNTAX);
	if (c->scheme == API_SCHEME_NONE) {
		c->scheme = scheme;
		return (buffer_append(&c->secret, secret.p, secret.len));
	}
	if (c->scheme != scheme || n != secret.len ||
	    !secret_equal(buffer_data(&c->secret), secret.p, n))
		return (RC_SYNTAX);
	return (RC_OK);
}

/* "SCHEME rest" in any case, with the rest trimmed (RFC 9110 11.4). */
static bool
is_scheme(struct span value, const char *scheme, struct span *rest)
{
	size_t n = strlen(scheme);

	if (value.len <= n || (value.p[n] != ' ' && value.p[n] != '\t') ||
	    !span_eq_case((struct span){ value.p, n }, scheme))
		return (false);
	*rest = span_trim((struct span){ value.p + n, value.len - n });
	return (true);
}

/* USER:KEY; the key may hold colons, a user name cannot (RFC 7617 2). */
static enum rc
add_user_and_key(struct api_credentials *c, struct span text)
{
	const char *colon = memchr(text.p, ':', text.len);
	struct span user;

	if (colon == NULL)
		return (RC_SYNTAX);
	user = (struct span){ text.p, (size_t)(colon - text.p) };
	if (user.len >= strlen(APP_PREFIX) &&
	    memcmp(user.p, APP_PREFIX, strlen(APP_PREFIX)) == 0 &&
	    !span_copy(user, c->app, sizeof(c->app)))
		return (RC_SYNTAX);
	return (add(c, API_SCHEME_KEY, (struct span){ colon + 1,
	    text.len - user.len - 1 }));
}

static enum rc
add_basic(struct api_credentials *c, struct span coded)
{
	struct buffer text;
	size_t room = coded.len / 4 * 3 + 3, n = 0;
	char *at;
	enum rc rc;

	buffer_init(&text, 0, true);
	if ((rc = buffer_reserve(&text, room, &at)) != RC_OK)
		goto out;
	if (base64_decode(coded, false, at, room, &n) != RC_OK || n == 0) {
		rc = RC_SYNTAX;
		goto out;
	}
	buffer_commit(&text, n);
	rc = add_user_and_key(c, (struct span){ at, n });
out:
	buffer_fini(&text);
	return (rc);
}

static enum rc
add_authorization(struct api_credentials *c, struct span value)
{
	struct span rest;

	if (is_scheme(value, "Basic", &rest))
		return (add_basic(c, rest));
	if (is_scheme(value, "Token", &rest))
		return (rest.len > API_TOKEN_BYTES_MAX ? RC_SYNTAX :
		    add(c, API_SCHEME_TOKEN, rest));
	return (RC_SYNTAX);
}

enum rc
api_credentials_read(const struct http_head *head, struct api_credentials *c)
{
	enum rc rc = RC_OK;

	if (http_head_count(head, HTTP_FIELD_AUTHORIZATION) > 1)
		return (RC_SYNTAX);
	for (size_t i = 0; rc == RC_OK && i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (f->id == HTTP_FIELD_API_KEY)
			rc = add(c, API_SCHEME_KEY, f->value);
		else if (f->id == HTTP_FIELD_AUTHORIZATION)
			rc = add_authorization(c, f->value);
	}
	return (rc);
}
