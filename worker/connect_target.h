/*
 * worker/connect_target.h - what a request to the egress proxy asks for,
 * outside of any tunnel: from its head alone.
 * Context:   pure.
 */
#ifndef RELAY_WORKER_CONNECT_TARGET_H
#define RELAY_WORKER_CONNECT_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/host.h"
#include "lib/base/result.h"
#include "lib/http/message_head.h"

/*
 * The destination of a CONNECT: canonical host, and a port that is not 0.
 * RC_OK; RC_SYNTAX: *detail says what is wrong (a literal), host is "".
 */
enum rc connect_target_read(const struct http_head *, char host[HOST_BYTES],
    uint16_t *port, const char **detail) must_check;

/* Another method, with a target that a proxy without tunnels would take: an
 * absolute one of http. */
bool connect_target_is_plain(const struct http_head *);

/* Why another method is refused, in words for whoever set up the client; a
 * literal. */
const char *connect_target_advice(const struct http_head *);

#endif
