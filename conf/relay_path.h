/*
 * conf/relay_path.h - path patterns of routes.
 * Context:   pure.
 */
#ifndef RELAY_CONF_RELAY_PATH_H
#define RELAY_CONF_RELAY_PATH_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/*
 * Append the normal form of a pattern: the form that paths of requests are
 * brought into before they are matched (lib/http/uri.h), so that `/%7Euser`
 * and `/caf\xc3\xa9` mean what they say.
 * RC_SYNTAX: no request can ever match it, or its meaning is open; *reason (a
 * literal) says why.  RC_LIMIT, RC_NOMEM from the buffer.
 */
enum rc relay_path_normalize(struct span pattern, struct buffer *out,
    const char **reason) must_check;

/*
 * A route's path pattern against a normalized path: `*` is one segment (an
 * empty one too: RFC 3986 3.3), `**` (only as the last segment) every
 * following segment, also none.
 */
bool relay_path_match(const char *pattern, struct span path);

#endif
