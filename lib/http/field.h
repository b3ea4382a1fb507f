/*
 * http/field.h - header fields: names we know, lookups, list values
 * (RFC 9110 section 5).
 * Context:   pure.
 */
#ifndef RELAY_HTTP_FIELD_H
#define RELAY_HTTP_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/string.h"

/* Fields that some rule of ours looks at; all others are HTTP_FIELD_OTHER. */
enum http_field_id {
	HTTP_FIELD_OTHER = 0,
	HTTP_FIELD_ACCEPT_ENCODING,
	HTTP_FIELD_API_KEY,		/* Api-Key, X-Evervault-Api-Key */
	HTTP_FIELD_AUTHORIZATION,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_CONTENT_ENCODING,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_CONTENT_TYPE,
	HTTP_FIELD_DIGEST,		/* Digest, Content-Digest, Repr-Digest, Content-MD5 */
	HTTP_FIELD_ETAG,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_FORWARDED,
	HTTP_FIELD_HOST,
	HTTP_FIELD_KEEP_ALIVE,
	HTTP_FIELD_PROXY_AUTHENTICATE,
	HTTP_FIELD_PROXY_AUTHORIZATION,
	HTTP_FIELD_PROXY_CONNECTION,
	HTTP_FIELD_RANGE,
	HTTP_FIELD_TE,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_VIA,
	HTTP_FIELD_X_EVERVAULT_CTX,
	HTTP_FIELD_X_EVERVAULT_ERROR_CODE,
	HTTP_FIELD_X_FORWARDED		/* -For, -Host, -Proto */
};

struct http_field {
	enum http_field_id	id;
	struct span		name;	/* view, case as received */
	struct span		value;	/* view, outer white space trimmed */
};

enum http_field_id http_field_lookup(struct span name);

/* A token character (RFC 9110 5.6.2); a value byte (VCHAR, obs-text, SP,
 * HTAB: no CR, LF, NUL, other controls). */
bool http_is_tchar(unsigned char);
bool http_value_valid(struct span);

/*
 * Walk a comma separated list (RFC 9110 5.6.1): *list shrinks from the front,
 * *item is the next element trimmed, empty elements are skipped.  Quoted
 * strings may hold commas.  False at the end.
 */
bool http_list_next(struct span *list, struct span *item);

/* The list has an element equal to `token`, ASCII case folded. */
bool http_list_has(struct span list, const char *token);

/* "application/json; charset=utf-8" -> type "application/json" (view, not
 * folded) and charset ("" when absent).  RC_SYNTAX when it is no media type. */
enum rc http_media_type(struct span value, struct span *type,
    struct span *charset) must_check;

/* application/json or any +json suffix (RFC 6839). */
bool http_media_is_json(struct span type);

#endif
