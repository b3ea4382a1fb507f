/*
 * worker/trailer.h - trailer fields that may go on (RFC 9110 6.5).
 * Context:   pure.
 */
#ifndef RELAY_WORKER_TRAILER_H
#define RELAY_WORKER_TRAILER_H

#include "conf/relay_json.h"
#include "lib/base/buffer.h"
#include "lib/http/message_head.h"

enum trailer_direction { TRAILER_REQUEST, TRAILER_RESPONSE };

/*
 * Append the field lines of a trailer section that carry nothing the reader
 * had to know before the body: no framing, routing, authentication or content
 * description; nothing that the proxy itself says; and no field that the
 * route's header selectors are about, since it would pass them by.
 */
void trailer_write(const struct http_head *trailers,
    const struct relay_route *, enum trailer_direction, struct buffer *out);

#endif
