/*
 * http/framing.h - how long the body is, settled once (RFC 9112 section 6).
 * Context:   pure.
 *
 * Anything two readers could judge differently is refused: Content-Length with
 * Transfer-Encoding, two Content-Length values (even equal ones in one list),
 * a sign or white space in the number, Transfer-Encoding in HTTP/1.0, any
 * coding list but exactly `chunked`.
 */
#ifndef RELAY_HTTP_FRAMING_H
#define RELAY_HTTP_FRAMING_H

#include <stdint.h>

#include "lib/http/message_head.h"

enum http_body_kind {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,	/* exactly ->length bytes, may be 0 */
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_CLOSE	/* responses only */
};

struct http_framing {
	enum http_body_kind	kind;
	uint64_t		length;		/* bytes, HTTP_BODY_LENGTH only */
	const char		*detail;	/* literal: why it was refused */
};

/* RC_OK; RC_SYNTAX: 400 and close; RC_UNSUPPORTED: a transfer coding we do
 * not know, 501 and close. */
enum rc http_framing_request(const struct http_head *, struct http_framing *)
    must_check;

/* `to` is the method of the request answered: HEAD, and 2xx to CONNECT, have
 * no body; nor have 1xx, 204, 304.  RC_SYNTAX: answer 502. */
enum rc http_framing_response(const struct http_head *, enum http_method to,
    struct http_framing *) must_check;

#endif
