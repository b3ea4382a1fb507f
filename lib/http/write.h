/*
 * http/write.h - heads that we send.
 * Context:   pure; writes into the caller's buffer.
 */
#ifndef RELAY_HTTP_WRITE_H
#define RELAY_HTTP_WRITE_H

#include "lib/base/buffer.h"
#include "lib/http/message_head.h"

/* "GET /x HTTP/1.1\r\n".  Spans must come from a parsed head or be ours. */
void http_write_request_line(struct buffer *, struct span method,
    struct span target);
/* "HTTP/1.1 200 OK\r\n"; an empty reason is written as the standard one, or
 * stays empty for a status we have no words for (http_reason gives ""). */
void http_write_status_line(struct buffer *, unsigned status,
    struct span reason);
const char *http_reason(unsigned status);

/* ensure()s that the name is a token and the value passes http_value_valid,
 * above all that no CR, LF or NUL is in them: check what did not come from a
 * parsed head, e.g. opened text, before. */
void http_write_field(struct buffer *, struct span name, struct span value);
void http_write_field_str(struct buffer *, const char *name,
    const char *value);
void http_write_length(struct buffer *, uint64_t length);
void http_write_end(struct buffer *);		/* the empty line */

#endif
