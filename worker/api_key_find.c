/*
 * worker/api_key_find.c - which fields of a head carry an API key.
 *
 * Two mistakes are possible: a key that reaches the origin, and an app's own
 * credentials that do not.  Only Basic can be either; what cannot be decided
 * counts as a key and is refused.
 */
#include "worker/api_key.h"

#include <string.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define APP_PREFIX	"app_"
#define APP_HEX_DIGITS	12
#define KEY_PREFIX	"ev:key:"	/* of every secret that the engine makes */

static bool
starts_with(struct span s, const char *prefix)
{
	size_t n = strlen(prefix);

	return (s.len >= n && memcmp(s.p, prefix, n) == 0);
}

static bool
is_app_id(struct span s)
{
	size_t n = strlen(APP_PREFIX);

	if (s.len != n + APP_HEX_DIGITS || !starts_with(s, APP_PREFIX))
		return (false);
	for (; n < s.len; n++)
		if (hex_value(s.p[n]) < 0)
			return (false);
	return (true);
}

/* The credentials behind this scheme (RFC 9110 11.4).  RC_NOTFOUND: another
 * one. */
static enum rc
scheme_text(struct span value, const char *scheme, struct span *text)
{
	size_t n = strlen(scheme);

	if (value.len < n || !span_eq_case((struct span){ value.p, n }, scheme))
		return (RC_NOTFOUND);
	if (value.len > n && value.p[n] != ' ' && value.p[n] != '\t')
		return (RC_NOTFOUND);
	*text = span_trim((struct span){ value.p + n, value.len - n });
	return (RC_OK);
}

/*
 * Authorization as a carrier of a key; app and key are views into out.
 * RC_NOTFOUND: it belongs to the origin.  RC_SYNTAX: it is Basic, but a more
 * patient reader may see another text than we do.
 */
static enum rc
basic_key(struct span value, const char *relay_app, struct buffer *out,
    struct span *app, struct span *key)
{
	const char *colon;
	struct span text;
	size_t n, room;
	char *at;

	if (scheme_text(value, "Basic", &text) != RC_OK)
		return (RC_NOTFOUND);
	room = text.len / 4 * 3 + 3;
	if (buffer_reserve(out, room, &at) != RC_OK ||
	    base64_decode(text, false, at, room, &n) != RC_OK)
		return (RC_SYNTAX);
	buffer_commit(out, n);
	if ((colon = memchr(at, ':', n)) == NULL)
		return (RC_SYNTAX);
	*app = (struct span){ at, (size_t)(colon - at) };
	*key = (struct span){ colon + 1, n - app->len - 1 };
	if (is_app_id(*app) || span_eq_str(*app, relay_app) ||
	    starts_with(*key, KEY_PREFIX))
		return (RC_OK);
	buffer_clear(out);	/* the origin's own user */
	return (RC_NOTFOUND);
}

bool
api_key_field(const struct http_field *f, const char *relay_app)
{
	struct span app, key;
	struct buffer decoded;
	enum rc rc;

	if (f->id == HTTP_FIELD_API_KEY)
		return (true);
	if (f->id != HTTP_FIELD_AUTHORIZATION)
		return (false);
	buffer_init(&decoded, 0, true);
	rc = basic_key(f->value, relay_app, &decoded, &app, &key);
	buffer_fini(&decoded);
	return (rc != RC_NOTFOUND);
}

/* One more field carries this key: it must be the one that others carry. */
static enum rc
found_add(struct api_key_found *found, const struct http_field *f,
    struct span key)
{
	if (key.len == 0)
		return (RC_SYNTAX);
	if (found->field == NULL) {
		found->field = f;
		found->key = key;
		return (RC_OK);
	}
	return (key.len == found->key.len &&
	    secret_equal(key.p, found->key.p, key.len) ? RC_OK : RC_SYNTAX);
}

/* The names of HTTP_FIELD_API_KEY may each come once. */
static bool
is_repeated(const struct http_head *head, const struct http_field *f)
{
	const struct http_field *end = head->fields + head->n_fields;

	for (const struct http_field *g = f + 1; g < end; g++)
		if (g->id == f->id && (f->id == HTTP_FIELD_AUTHORIZATION ||
		    g->name.len == f->name.len))
			return (true);
	return (false);
}

static enum rc
found_authorization(struct api_key_found *found, const struct http_head *head,
    const struct http_field *f, const char *relay_app, struct buffer *decoded)
{
	struct span key, app;
	enum rc rc;

	rc = basic_key(f->value, relay_app, decoded, &app, &key);
	if (rc == RC_NOTFOUND)
		return (RC_OK);
	/* Also beside one that is not ours: which would the origin take?  And
	 * nothing is decoded behind what found points to. */
	if (http_head_count(head, HTTP_FIELD_AUTHORIZATION) > 1)
		return (RC_SYNTAX);
	if (rc == RC_OK && !span_eq_str(app, relay_app))
		return (RC_DENIED);
	if (rc == RC_OK)
		found->app = app;
	return (rc == RC_OK ? found_add(found, f, key) : rc);
}

enum rc
api_key_find(const struct http_head *head, const char *relay_app,
    struct buffer *decoded, struct api_key_found *found)
{
	enum rc rc = RC_OK;

	ensure(decoded->sensitive);
	buffer_clear(decoded);
	memset(found, 0, sizeof(*found));
	for (size_t i = 0; rc == RC_OK && i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (f->id == HTTP_FIELD_AUTHORIZATION)
			rc = found_authorization(found, head, f, relay_app,
			    decoded);
		else if (f->id == HTTP_FIELD_API_KEY)
			rc = is_repeated(head, f) ? RC_SYNTAX :
			    found_add(found, f, f->value);
	}
	if (rc == RC_OK && found->field == NULL)
		rc = RC_NOTFOUND;
	if (rc != RC_OK) {
		buffer_clear(decoded);
		memset(found, 0, sizeof(*found));
	}
	return (rc);
}

/* user is empty unless it is Basic. */
static enum rc
proxy_key(struct span value, struct buffer *decoded, struct span *user,
    struct span *key)
{
	const char *colon;
	struct span text;
	size_t n, room;
	char *at;

	*user = SPAN_LIT("");
	*key = value;
	if (scheme_text(value, "Bearer", key) == RC_OK)
		return (RC_OK);
	if (scheme_text(value, "Basic", &text) != RC_OK)
		return (RC_OK);		/* the key itself, without a scheme */
	room = text.len / 4 * 3 + 3;
	if (buffer_reserve(decoded, room, &at) != RC_OK ||
	    base64_decode(text, false, at, room, &n) != RC_OK)
		return (RC_SYNTAX);
	buffer_commit(decoded, n);
	if ((colon = memchr(at, ':', n)) == NULL)
		return (RC_SYNTAX);
	*user = (struct span){ at, (size_t)(colon - at) };
	*key = (struct span){ colon + 1, n - user->len - 1 };
	return (RC_OK);
}

enum rc
api_key_find_proxy(const struct http_head *head, struct buffer *decoded,
    struct api_key_found *found)
{
	const struct http_field *f = http_head_field(head,
	    HTTP_FIELD_PROXY_AUTHORIZATION);
	enum rc rc;

	ensure(decoded->sensitive);
	buffer_clear(decoded);
	memset(found, 0, sizeof(*found));
	if (f == NULL)
		return (RC_NOTFOUND);
	if (http_head_count(head, HTTP_FIELD_PROXY_AUTHORIZATION) != 1)
		return (RC_SYNTAX);
	found->field = f;
	rc = proxy_key(f->value, decoded, &found->app, &found->key);
	return (rc == RC_OK && found->key.len == 0 ? RC_SYNTAX : rc);
}
