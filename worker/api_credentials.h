/*
 * worker/api_credentials.h - what a request to the key API says of its caller
 * (spec/sdk-api.md 2): an API key in a field of its own or as Basic password,
 * or a client-side token.
 * Context:   pure.
 * Ownership: the secret is copied out of the head; fini wipes it.
 */
#ifndef RELAY_WORKER_API_CREDENTIALS_H
#define RELAY_WORKER_API_CREDENTIALS_H

#include "lib/base/buffer.h"
#include "lib/http/message_head.h"
#include "lib/rpc/sealed_record.h"

/* A client-side token is about 300 bytes; more is none of ours. */
#define API_TOKEN_BYTES_MAX	2048

enum api_scheme {
	API_SCHEME_NONE,	/* nothing was sent */
	API_SCHEME_KEY,		/* `api-key: KEY`, `Authorization: Basic` */
	API_SCHEME_TOKEN	/* `Authorization: Token TOKEN` */
};

struct api_credentials {
	enum api_scheme	scheme;
	char		app[RPC_APP_ID_BYTES];	/* the key must be of this app;
						   "": of any */
	struct buffer	secret;			/* sensitive */
};

void api_credentials_init(struct api_credentials *);
void api_credentials_fini(struct api_credentials *);

/*
 * Into an initialised, empty one.  The user name of Basic is an app id, which
 * the key has to be of, or a team, which says nothing.
 * RC_OK; RC_SYNTAX: a scheme that is not known, not readable, a field twice, or
 * fields that say different things: 401.
 */
enum rc api_credentials_read(const struct http_head *,
    struct api_credentials *) must_check;

#endif
