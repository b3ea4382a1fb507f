/*
 * shm/feed/feed.h - the state of relay-feed and what its parts do with it.
 * Context:   one per process, the loop's thread.
 *
 *   redis.c    Redis -> changes            sync.c    index, diff, delete guard
 *   control.c  feed.sock -> changes        apply.c   changes -> map
 *   change.c   changes that are waited for table.c   relays, egress
 *   manage.c   feed-worker.sock -> changes key_check.c  whose an API key is
 *   feed.c     decides, applies, tells     writer.c  reports, puts -> Redis
 *   engines.c  announcements -> map        engines_ask.c  Redis -> announcements
 *   rescue.c   the map at start            check.c   the map from time to time
 *   walk.c     a child for both            main.c    start and end
 */
#ifndef RELAY_SHM_FEED_FEED_H
#define RELAY_SHM_FEED_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "lib/base/timer.h"
#include "shm/feed/engines.h"
#include "shm/feed/sync.h"
#include "shm/map.h"

#define FEED_NODE_BYTES		256
/* A status must fit one control message (64 KiB): errors stop before. */
#define FEED_STATUS_BYTES	49152
#define FEED_WHY_BYTES		128

struct feed_changes;
struct feed_check;
struct feed_control;
struct feed_engines;
struct feed_manage;
struct key_check;
struct feed_redis;
struct feed_writer;

struct feed {
	unsigned		magic;
#define FEED_MAGIC		0x1feed0b5
	struct loop		*loop;		/* borrowed: main's */
	struct shm_map		*map;		/* owned */
	struct sync_index	*index;		/* owned */
	struct feed_redis	*redis;		/* owned; NULL: none configured */
	struct feed_writer	*writer;	/* owned; there is one if redis */
	struct feed_changes	*changes;	/* owned */
	struct feed_control	*control;	/* owned; NULL: no socket */
	struct feed_manage	*manage;	/* owned; NULL: no socket */
	struct key_check	*keys;		/* owned; NULL: no manage */
	struct engines		*engines;	/* owned: announced, as last heard;
						   kept while Redis is away */
	struct feed_engines	*engines_ask;	/* owned; NULL: they are not
						   to be used */
	struct feed_check	*check;		/* owned; NULL in tests */
	char			node[FEED_NODE_BYTES];
	unsigned		max_delete_percent;
	bool			synced;		/* a full read was applied */
	uint64_t		epoch;		/* of our last commit */
	uint64_t		applied_ms;	/* wall clock; 0: not yet */
	size_t			pending_delete;	/* removals the guard holds */
	bool			broken;		/* the map must be verified: exit */

	bool			engines_no_room; /* said so; tried every second */

	/* The map or its disk is full; retry_ms 0: it is not. */
	unsigned		retry_ms;	/* from one try to the next */
	uint64_t		tried_ms;	/* the last that counted */
	uint64_t		told_ms;	/* in the log */
	char			no_room[FEED_WHY_BYTES];
	struct timer		retry;		/* without Redis */
};

/* Take over an open map: index from its records.  RC_OK, RC_CORRUPT, RC_IO. */
enum rc feed_init(struct feed *, struct loop *, struct shm_map *) must_check;
void feed_fini(struct feed *);

/* Without Redis an empty map counts as synced.  RC_LIMIT: tried again by
 * itself. */
enum rc feed_start_alone(struct feed *) must_check;

/* As sync_note; what the index calls live must be readable in the map to count
 * as known. */
bool feed_note(struct feed *, struct sync_changes *, struct span key,
    const struct span *value);

/* This key's record is damaged: Redis is asked for it.  Said once. */
void feed_damaged(struct feed *, const char *key);

/* The list of engines changed, or what the map has of it was damaged: the map
 * gets the list. */
void feed_engines_write(struct feed *);
/* No engine that announces itself is to be used. */
void feed_engines_none(struct feed *);

/* Changes by hint or by control socket.  The list is emptied.  RC_LIMIT: no
 * room, the old map serves; with Redis retry_ms says when to read all again. */
enum rc feed_apply(struct feed *, struct sync_changes *) must_check;

/*
 * A full read is complete; the list is emptied.  single: HDELs announced since
 * the last one, by table; accept: an administrator said so, of as many removals as were
 * held back then.  False: the delete guard holds it, or it could not be
 * written; the old map serves.
 */
bool feed_read_done(struct feed *, struct sync_changes *,
    const size_t single[TABLES], bool accept);

/* A Redis link is away: one line when it goes, then one a minute.  *last_ms is
 * the caller's, 0 after it came up. */
void feed_log_down(uint64_t *last_ms, const char *what, bool was_up,
    const char *server, const char *why);

/* JSON for `status` and for relay:nodes; the buffer is empty before. */
void feed_status(struct feed *, struct buffer *out);
void feed_report(struct feed *, struct buffer *out);

#endif
