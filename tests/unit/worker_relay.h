/*
 * worker_relay.h - relays and message heads from text, for tests of what
 * worker/ decides by them.
 * Context:   tests; a text that cannot be parsed fails the test.
 */
#ifndef RELAY_TESTS_WORKER_RELAY_H
#define RELAY_TESTS_WORKER_RELAY_H

#include "conf/relay_json.h"
#include "lib/http/message_head.h"

/* members: of the relay, without its app. */
struct relay *relay_of(const char *members);

/* The caller finis the head; it holds views of the text. */
void request_head_of(struct http_head *, const char *text);
void response_head_of(struct http_head *, const char *text);
void trailers_of(struct http_head *, const char *text);

#endif
