/*
 * scheme/client_token.h - the text form of a client-side token: what a browser
 * holds instead of an API key, for minutes (spec/sdk-api.md section 3.4).
 * Context:   pure but for the MAC; fuzzed.  Any thread.
 *
 *   base64url(header) . base64url(claims) . base64url(HMAC-SHA256)
 *
 * It looks like a JWT (RFC 7519) for those who decode it to see its end; we
 * take back nothing but what we print, byte for byte, so there is no JSON to
 * read and no algorithm to choose.
 */
#ifndef RELAY_SCHEME_CLIENT_TOKEN_H
#define RELAY_SCHEME_CLIENT_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/scheme/derive.h"

#define SCHEME_CLIENT_TOKEN_APP_BYTES	40	/* an app's id, with its NUL */
#define SCHEME_CLIENT_TOKEN_ID_BYTES	31	/* "client_side_token_", 12 hex, NUL */
#define SCHEME_CLIENT_TOKEN_ACTION	"api:decrypt"	/* the only one */
/* Of the text; the longest that is printed has some 550. */
#define SCHEME_CLIENT_TOKEN_CHARS_MAX	1024

struct scheme_client_token {
	char		app[SCHEME_CLIENT_TOKEN_APP_BYTES];	/* [a-z0-9_]+ */
	char		id[SCHEME_CLIENT_TOKEN_ID_BYTES];
	uint64_t	expires_ms;		/* since 1970 */
	bool		bound;			/* to one payload */
	uint8_t		payload[SCHEME_SECRET_BYTES];	/* its SHA-256, if so */
	/* when parsed: views of the text, and the MAC it carries */
	struct span	signed_part;
	uint8_t		mac[SCHEME_SECRET_BYTES];
};

/* A new id; id_make with our prefix. */
void scheme_client_token_name(struct scheme_client_token *);
/* Append the text.  key: what scheme_derive made for SCHEME_CLIENT_TOKEN_END.
 * RC_OK, RC_NOMEM. */
#define SCHEME_CLIENT_TOKEN_END	"relay client-side token 1"
enum rc scheme_client_token_print(const struct scheme_client_token *,
    const uint8_t key[SCHEME_SECRET_BYTES], struct buffer *out) must_check;
/* The whole of text is one: RC_OK, else RC_SYNTAX.  It may still be anybody's:
 * see _signed. */
enum rc scheme_client_token_parse(struct span text,
    struct scheme_client_token *) must_check;
/* RC_OK: its MAC is by this key; RC_DENIED: it is not; RC_NOMEM. */
enum rc scheme_client_token_signed(const struct scheme_client_token *,
    const uint8_t key[SCHEME_SECRET_BYTES]) must_check;

#endif
