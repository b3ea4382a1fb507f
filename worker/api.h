/*
 * worker/api.h - the key API that SDKs call: from a parsed head to the queued
 * answer.  docs/api.md has every endpoint.
 * Context:   the loop's thread.
 * Ownership: the conn owns its api_call; the worker owns what calls share.
 *
 *   AUTH -> COLLECT -> WORK      an API key: asked about before the body
 *   COLLECT -> AUTH -> WORK      a client-side token: good for one payload
 *
 * There is no destination: the engines answer, or the map does.
 */
#ifndef RELAY_WORKER_API_H
#define RELAY_WORKER_API_H

#include <stdint.h>

struct api;
struct api_call;
struct conn;
struct worker;

/* What all calls of a worker share.  Every call is gone before it is freed. */
struct api *api_new(struct worker *);
void api_shared_free(struct api **);

/* The conn's head is a whole request, on a listener of kind API, API_TLS or
 * CA; nothing points into the head after.  Never NULL: a request that cannot
 * be served is refused by api_start. */
struct api_call *api_begin(struct conn *);
/* The head is consumed: read the body from the conn's stream. */
void api_start(struct api_call *);
/* Whatever state it is in; its engine calls are cancelled. */
void api_free(struct api_call **);

/* ---- events of the conn ---- */
void api_on_client_input(struct api_call *);
void api_on_client_drained(struct api_call *);
void api_on_client_eof(struct api_call *);

/* Bytes of bodies that it holds; NULL holds none. */
uint64_t api_held(const struct api_call *);

#endif
