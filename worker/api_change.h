/*
 * worker/api_change.h - a change of configuration that a call asks for: carried
 * out by the feed, in the caller's name (worker/feed_client.h).
 * Context:   the loop's thread; worker/api*.c alone.
 */
#ifndef RELAY_WORKER_API_CHANGE_H
#define RELAY_WORKER_API_CHANGE_H

#include "lib/base/buffer.h"

struct api_call;

struct api_change {
	const char		*hash;	/* "relays", "egress" */
	const char		*field;	/* host name, app */
	const struct buffer	*value;	/* NULL: remove */
	const struct buffer	*was;	/* the record that is replaced, byte for
					   byte; NULL: there must be none */
};

/* Once the change is live `then` comes, from the loop; else the call fails.
 * Nothing of the change is looked at after this returned. */
void api_change(struct api_call *, const struct api_change *,
    void (*then)(struct api_call *));

#endif
