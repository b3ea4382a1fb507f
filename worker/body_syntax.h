/*
 * worker/body_syntax.h - can this message's body be read by the selectors of
 * these actions?  Requests and responses alike.
 * Context:   pure.
 */
#ifndef RELAY_WORKER_BODY_SYNTAX_H
#define RELAY_WORKER_BODY_SYNTAX_H

#include "conf/relay_json.h"
#include "lib/http/content_coding.h"
#include "lib/http/framing.h"
#include "worker/rewrite.h"

/*
 * RC_OK: *out is how to read it; REWRITE_NONE when the message has no body or
 * no action selects anything in one.  *coding is to be undone first: identity
 * when there is none, or when the body is not read.  Else a mismatch, *why a
 * literal: RC_UNSUPPORTED (content type or coding), RC_LIMIT (longer than
 * max_bytes).
 */
enum rc body_syntax_judge(const struct http_head *, const struct http_framing *,
    const struct relay_action *, size_t n_actions, uint64_t max_bytes,
    enum rewrite_syntax *out, enum http_coding *coding, const char **why)
    must_check;

#endif
