/*
 * ctl/status_view.h - the status JSON of relayd, read.
 * Context:   pure.
 */
#ifndef RELAY_CTL_STATUS_VIEW_H
#define RELAY_CTL_STATUS_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/*
 * Is everything that relayd runs at work: at least one worker, every child
 * ready (draining ones do not count), the feed synced, the engine ready?
 * RC_OK; RC_AGAIN with why[why_size] naming the first thing that is not;
 * RC_SYNTAX: not such a document.
 */
enum rc status_ready(struct span json, char *why, size_t why_size) must_check;

/* The table and lines for people, one screen.  now_ms: on the wall's clock.
 * RC_OK or RC_SYNTAX. */
enum rc status_text(struct span json, uint64_t now_ms, struct buffer *out)
    must_check;

#endif
