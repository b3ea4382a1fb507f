/*
 * worker/key_watch.h - what lives long on an API key ends with it: blind tunnels
 * and connections that switched protocols, which ask for nothing any more.
 * Context:   the loop's thread.
 * Ownership: who lives on the key owns its watch.
 *
 * A key is asked about by its id, once however many watch it: when
 * engine_pool_keys_seen says that keys changed, and once a minute in any case.
 * A few are asked about at a time, the next as answers come.  While no engine
 * can say, nothing ends.
 */
#ifndef RELAY_WORKER_KEY_WATCH_H
#define RELAY_WORKER_KEY_WATCH_H

#include "lib/base/loop.h"
#include "worker/api_key.h"

struct key_watch;
struct key_watches;

/* Which key, and what it has to be good for.  No secret. */
struct key_name {
	char		app[RPC_APP_ID_BYTES];	/* "": no key was asked for */
	char		id[API_KEY_ID_BYTES];
	enum api_scope	scope;
};

/* Of a good answer. */
void key_name_set(struct key_name *, const struct api_key_answer *,
    enum api_scope);

/* How often we look whether keys changed. */
#define KEY_WATCH_LOOK_MS	1000
/* However sure we are that they did not. */
#define KEY_WATCH_AGAIN_MS	60000
/* Keys asked about at once: a small part of API_KEY_ASKED_MAX, the rest is for
 * requests. */
#define KEY_WATCH_ASKED_MAX	16

/* The keys and the pool are borrowed and outlive it. */
struct key_watches *key_watches_new(struct loop *, struct api_keys *,
    struct engine_pool *);
/* Every watch was stopped. */
void key_watches_free(struct key_watches **);

/*
 * The key has ended; cause: a text for the log.  Comes once, from the loop; it
 * may stop this watch and others.
 */
typedef void key_watch_cb(void *arg, const char *cause);

/* The name is copied; its app is not "". */
struct key_watch *key_watch_start(struct key_watches *,
    const struct key_name *, key_watch_cb *, void *arg);
/* No callback comes after this; NULL is ignored. */
void key_watch_stop(struct key_watch **);

#endif
