/*
 * worker/feed_client.h - changes of records (relays, egress) on behalf of the
 * key API: a worker has no right to write, the feed does it.
 * Context:   the loop's thread; connects on first use, again when lost.
 * Ownership: the creator owns the client; who waits holds an id.
 *
 * The feed authenticates the API key with the engine itself, and checks that
 * the key may manage, that its app owns the record (the old one and the new
 * one), and that the record is valid.
 */
#ifndef RELAY_WORKER_FEED_CLIENT_H
#define RELAY_WORKER_FEED_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/loop.h"
#include "lib/base/string.h"

#define FEED_CHANGE_MS		5000	/* then 503: it may be carried out yet */
#define FEED_SHA256_BYTES	32

struct feed_client;

struct feed_change {
	const char	*hash;		/* "relays" or "egress" */
	struct span	field;		/* host; app id */
	bool		remove;
	struct span	value;		/* the new record; not with remove */
	/* SHA-256 of the record that this one replaces (as it is in the map,
	 * byte for byte), FEED_SHA256_BYTES; NULL: there is none, create. */
	const uint8_t	*expect;
	struct span	api_key;	/* the caller's own; wiped after sending */
};

/*
 * The end of a change, from the loop.  status: 200, live in the map; 401 the
 * key; 403 the key may not, another app's record, or a field that is the
 * operator's: reason says which; 404 nothing to replace or remove; 409 it is not
 * what was expected; 422 reason says what is wrong with the record
 * ("path: reason"); 503 not now.  reason: a view, for people, maybe
 * empty; it holds no value.
 */
typedef void feed_change_cb(void *arg, unsigned status, struct span reason);

/* socket_path: "<run_dir>/feed-worker.sock", copied. */
struct feed_client *feed_client_new(struct loop *, const char *socket_path);
/* No callback comes any more. */
void feed_client_free(struct feed_client **);

/* Never calls back before it returns; the callback comes once.  0: too many
 * changes wait, none comes. */
uint64_t feed_change(struct feed_client *, const struct feed_change *,
    feed_change_cb *, void *arg) must_check;
/* No callback comes after this (the change may still be carried out); 0 and
 * answered ids are ignored. */
void feed_change_cancel(struct feed_client *, uint64_t id);

#endif
