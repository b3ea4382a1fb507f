/*
 * worker/error_answer.h - every refusal: code, status, problem JSON
 * (design.md section 7; docs/errors.md has an entry for each).
 * Context:   pure; writes into the caller's buffer.
 */
#ifndef RELAY_WORKER_ERROR_ANSWER_H
#define RELAY_WORKER_ERROR_ANSWER_H

#include <stdbool.h>

#include "lib/base/buffer.h"

enum error_code {
	ERROR_BAD_REQUEST,
	ERROR_MALFORMED_BODY,
	ERROR_UNSUPPORTED_CONTENT_TYPE,
	ERROR_PAYLOAD_TOO_LARGE,
	ERROR_TOO_MANY_FIELDS,
	ERROR_URI_TOO_LONG,
	ERROR_HEADER_TOO_LARGE,
	ERROR_EXPECTATION_FAILED,
	ERROR_NOT_IMPLEMENTED,
	ERROR_HTTP_VERSION_NOT_SUPPORTED,
	ERROR_CLIENT_TIMEOUT,
	ERROR_UNAUTHORIZED,
	ERROR_PROXY_AUTHENTICATION,
	ERROR_FORBIDDEN_DESTINATION,
	ERROR_FORBIDDEN_IP,
	ERROR_FORBIDDEN,
	ERROR_DECRYPT_FORBIDDEN,
	ERROR_RELAY_NOT_FOUND,
	ERROR_RESOURCE_NOT_FOUND,
	ERROR_METHOD_NOT_ALLOWED,
	ERROR_CONFLICT,
	ERROR_MISDIRECTED_REQUEST,
	ERROR_DECRYPTION,
	ERROR_RATE_LIMITED,
	ERROR_OVERLOADED,
	ERROR_NOT_READY,
	ERROR_ENGINE_UNAVAILABLE,
	ERROR_SERVICE_UNAVAILABLE,
	ERROR_UPSTREAM_TLS,
	ERROR_UPSTREAM_PROTOCOL,
	ERROR_UNSEALABLE_RESPONSE,
	ERROR_REQUEST_TIMEOUT,
	ERROR_TUNNEL_LOOP,
	ERROR_INTERNAL,
	ERROR_CODES
};

struct error_info {
	enum error_code	code;
	const char	*name;		/* x-evervault-error-code */
	unsigned	status;
	const char	*title;
	bool		retry_after;	/* send Retry-After: 1 */
};
const struct error_info *error_info(enum error_code);

struct error_answer {
	enum error_code	code;
	const char	*detail;	/* a literal or our own text, never a
					   value of the message */
	const char	*ctx;		/* the transaction id */
	const char	*allow;		/* of a 405; NULL: what a relay takes */
	bool		cors;		/* a browser's script may read it */
	bool		inside;		/* of an egress tunnel: a 401 is no
					   question of the destination's */
	bool		close;		/* say Connection: close */
	bool		head_only;	/* the answer to HEAD */
};
/* Append a whole answer. */
void error_answer_put(struct buffer *, const struct error_answer *);

#endif
