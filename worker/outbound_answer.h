/*
 * worker/outbound_answer.h - an egress record in the words of the SDKs that
 * poll for it.
 * Context:   pure.
 */
#ifndef RELAY_WORKER_OUTBOUND_ANSWER_H
#define RELAY_WORKER_OUTBOUND_ANSWER_H

#include "conf/egress_json.h"
#include "lib/base/buffer.h"

/* egress NULL: the app has no record.  Without a list of destinations the
 * answer names none: an SDK that polls has to be told which ones. */
void outbound_answer_write(const char *app, const struct egress *,
    struct buffer *out);

#endif
