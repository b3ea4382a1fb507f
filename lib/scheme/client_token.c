/*
 * scheme/client_token.c - claims printed, and read back by the same words.
 *
 * What was read is printed again and compared with what came: one form of
 * each token, whatever a reader of numbers or base64 lets pass.
 */
#include "lib/scheme/client_token.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

/* {"alg":"HS256","typ":"JWT"} */
#define HEADER		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
#define APP_PREFIX	"app_"
#define ID_PREFIX	"client_side_token_"
#define MAC_CHARS	43	/* base64url of 32 bytes, as of the payload's hash */
#define CLAIMS_MAX	512	/* bytes of JSON: a third more as text */
#define DIGITS_MAX	20

/* ---- print ---- */

/* There are no teams: one for each app, by the name it has for SDKs elsewhere. */
static const char *
team_of(const char *app)
{
	return (strncmp(app, APP_PREFIX, sizeof(APP_PREFIX) - 1) == 0 ?
	    app + sizeof(APP_PREFIX) - 1 : app);
}

/* The claims as JSON; nothing in them needs escaping. */
static size_t
put_claims(const struct scheme_client_token *t, char out[CLAIMS_MAX])
{
	char hash[MAC_CHARS + 1] = "";
	int n;

	if (t->bound)
		base64url_encode(t->payload, sizeof(t->payload), hash);
	n = snprintf(out, CLAIMS_MAX, "{\"version\":1,\"app_uuid\":\"%s\","
	    "\"team_uuid\":\"team_%s\",\"jti\":\"%s\",\"exp\":%" PRIu64 ","
	    "\"action\":\"" SCHEME_CLIENT_TOKEN_ACTION "\",\"resource\":null,"
	    "\"hashed_body\":%s%s%s,\"client_ip\":null}", t->app,
	    team_of(t->app), t->id, t->expires_ms, t->bound ? "\"" : "",
	    t->bound ? hash : "null", t->bound ? "\"" : "");
	ensure(n > 0 && n < CLAIMS_MAX);
	return ((size_t)n);
}

/* Header and claims, as they are signed: their length. */
static size_t
put_signed_part(const struct scheme_client_token *t,
    char out[SCHEME_CLIENT_TOKEN_CHARS_MAX])
{
	char claims[CLAIMS_MAX];
	size_t n = put_claims(t, claims);

	_Static_assert(sizeof(HEADER) + CLAIMS_MAX * 4 / 3 + 4 + MAC_CHARS + 1 <=
	    SCHEME_CLIENT_TOKEN_CHARS_MAX, "every token fits");
	memcpy(out, HEADER, sizeof(HEADER) - 1);
	base64url_encode(claims, n, out + sizeof(HEADER) - 1);
	return (strlen(out));
}

void
scheme_client_token_name(struct scheme_client_token *t)
{
	_Static_assert(sizeof(ID_PREFIX) + 12 == sizeof(t->id), "an id fits");
	id_make(ID_PREFIX, t->id);
}

enum rc
scheme_client_token_print(const struct scheme_client_token *t,
    const uint8_t key[SCHEME_SECRET_BYTES], struct buffer *out)
{
	char text[SCHEME_CLIENT_TOKEN_CHARS_MAX];
	uint8_t mac[SCHEME_SECRET_BYTES];
	struct span part = { text, put_signed_part(t, text) };
	enum rc rc;

	if ((rc = scheme_hmac(key, &part, 1, mac)) != RC_OK)
		return (rc);
	text[part.len] = '.';
	base64url_encode(mac, sizeof(mac), text + part.len + 1);
	rc = buffer_append(out, text, part.len + 1 + MAC_CHARS);
	secret_wipe(text, sizeof(text));
	return (rc);
}

/* ---- parse ---- */

static bool
skip(struct span *in, const char *words)
{
	size_t n = strlen(words);

	if (in->len < n || memcmp(in->p, words, n) != 0)
		return (false);
	in->p += n;
	in->len -= n;
	return (true);
}

/* Up to a character of `stop`, into out[size]. */
static bool
take(struct span *in, char stop, char *out, size_t size)
{
	const char *end = memchr(in->p, stop, in->len);
	struct span word = { in->p, end != NULL ? (size_t)(end - in->p) : 0 };

	if (end == NULL || !span_copy(word, out, size))
		return (false);
	in->p += word.len;
	in->len -= word.len;
	return (true);
}

/* At most `size` bytes of the alphabet of URLs, unpadded. */
static bool
decode(struct span in, void *out, size_t size, size_t *n)
{
	char text[SCHEME_CLIENT_TOKEN_CHARS_MAX];

	if (in.len > sizeof(text))
		return (false);
	for (size_t i = 0; i < in.len; i++)
		text[i] = in.p[i] == '-' ? '+' : in.p[i] == '_' ? '/' :
		    in.p[i] == '+' || in.p[i] == '/' || in.p[i] == '=' ? '!' :
		    in.p[i];
	return (base64_decode((struct span){ text, in.len }, false, out, size,
	    n) == RC_OK);
}

static bool
app_valid(const char *app)
{
	return (*app != '\0' && app[strspn(app,
	    "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0');
}

static bool
id_valid(const char *id)
{
	return (strlen(id) == SCHEME_CLIENT_TOKEN_ID_BYTES - 1 &&
	    strncmp(id, ID_PREFIX, sizeof(ID_PREFIX) - 1) == 0 &&
	    strspn(id + sizeof(ID_PREFIX) - 1, "0123456789abcdef") == 12);
}

/* Enough of the claims to print them again. */
static bool
take_claims(struct span in, struct scheme_client_token *t)
{
	char digits[DIGITS_MAX + 1], hash[MAC_CHARS + 1] = "";
	size_t n = 0;

	if (!skip(&in, "{\"version\":1,\"app_uuid\":\"") ||
	    !take(&in, '"', t->app, sizeof(t->app)) ||
	    !app_valid(t->app) ||
	    !skip(&in, "\",\"team_uuid\":\"team_") ||
	    !skip(&in, team_of(t->app)) ||
	    !skip(&in, "\",\"jti\":\"") ||
	    !take(&in, '"', t->id, sizeof(t->id)) || !id_valid(t->id) ||
	    !skip(&in, "\",\"exp\":") ||
	    !take(&in, ',', digits, sizeof(digits)) ||
	    string_u64(span_of(digits), &t->expires_ms) != RC_OK ||
	    !skip(&in, ",\"action\":\"" SCHEME_CLIENT_TOKEN_ACTION "\","
	    "\"resource\":null,\"hashed_body\":"))
		return (false);
	t->bound = skip(&in, "\"");
	if (!t->bound)
		return (true);
	return (take(&in, '"', hash, sizeof(hash)) && decode(span_of(hash),
	    t->payload, sizeof(t->payload), &n) && n == sizeof(t->payload));
}

enum rc
scheme_client_token_parse(struct span text, struct scheme_client_token *t)
{
	char claims[CLAIMS_MAX], again[SCHEME_CLIENT_TOKEN_CHARS_MAX];
	struct span in = text, mac;
	size_t n;

	memset(t, 0, sizeof(*t));
	if (text.len > SCHEME_CLIENT_TOKEN_CHARS_MAX || !skip(&in, HEADER) ||
	    in.len < MAC_CHARS + 1)
		return (RC_SYNTAX);
	mac = (struct span){ text.p + text.len - MAC_CHARS, MAC_CHARS };
	t->signed_part = (struct span){ text.p, text.len - MAC_CHARS - 1 };
	in.len -= MAC_CHARS + 1;
	if (mac.p[-1] != '.' || !decode(mac, t->mac, sizeof(t->mac), &n) ||
	    n != sizeof(t->mac) || !decode(in, claims, sizeof(claims), &n) ||
	    !take_claims((struct span){ claims, n }, t))
		return (RC_SYNTAX);
	n = put_signed_part(t, again);
	return (span_eq(t->signed_part, (struct span){ again, n }) ? RC_OK :
	    RC_SYNTAX);
}

enum rc
scheme_client_token_signed(const struct scheme_client_token *t,
    const uint8_t key[SCHEME_SECRET_BYTES])
{
	uint8_t mac[SCHEME_SECRET_BYTES];
	enum rc rc;

	if ((rc = scheme_hmac(key, &t->signed_part, 1, mac)) != RC_OK)
		return (rc);
	rc = secret_equal(mac, t->mac, sizeof(mac)) ? RC_OK : RC_DENIED;
	secret_wipe(mac, sizeof(mac));
	return (rc);
}
