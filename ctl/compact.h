/*
 * ctl/compact.h - a JSON value without the white space between its tokens.
 * Context:   pure.
 */
#ifndef RELAY_CTL_COMPACT_H
#define RELAY_CTL_COMPACT_H

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/* raw is a valid JSON value; nothing inside its strings changes. */
void json_compact(struct span raw, struct buffer *out);

#endif
