/*
 * worker/request_head.h - lines of a request's head towards the destination
 * that are the same for ingress and egress.
 * Context:   pure; writes into the caller's buffer.
 */
#ifndef RELAY_WORKER_REQUEST_HEAD_H
#define RELAY_WORKER_REQUEST_HEAD_H

#include "lib/base/buffer.h"
#include "lib/http/message_head.h"
#include "lib/http/uri.h"
#include "worker/judge.h"

/* The request line with the target as the client wrote it; absolute form
 * becomes origin form, with a path where it had none. */
void request_head_line(const struct http_head *, const struct http_target *,
    struct buffer *);

/* Options of the connection to the destination, rebuilt (RFC 9110 7.6.1). */
void request_head_connection(const struct judgement *, struct buffer *);

#endif
