/*
 * shm/feed/feed.h - the state of relay-feed and what its parts do with it.
 * Context:   one per process, the loop's thread.
 *
 *   redis.c    Redis -> changes            sync.c    index, diff, delete guard
 *   control.c  feed.sock -> changes        apply.c   changes -> map
 *   feed.c     decides, applies, tells     writer.c  reports, puts -> Redis
 *   main.c     start and end
 */
#ifndef RELAY_SHM_FEED_FEED_H
#define RELAY_SHM_FEED_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "shm/feed/sync.h"
#include "shm/map.h"

#define FEED_NODE_BYTES		256
/* A status must fit one control message (64 KiB): errors stop before. */
#define FEED_STATUS_BYTES	49152

struct feed_control;
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
	struct feed_control	*control;	/* owned; NULL: no socket */
	char			node[FEED_NODE_BYTES];
	unsigned		max_delete_percent;
	bool			synced;		/* a full read was applied */
	uint64_t		epoch;		/* of our last commit */
	uint64_t		applied_ms;	/* wall clock; 0: not yet */
	size_t			pending_delete;	/* removals the guard holds */
	bool			broken;		/* the map must be verified: exit */
};

/* Take over an open map: index from its records.  RC_OK, RC_CORRUPT, RC_IO. */
enum rc feed_init(struct feed *, struct loop *, struct shm_map *) must_check;
void feed_fini(struct feed *);

/* Without Redis an empty map counts as synced. */
enum rc feed_start_alone(struct feed *) must_check;

/* Changes by hint or by control socket.  The list is emptied. */
enum rc feed_apply(struct feed *, struct sync_changes *) must_check;

/*
 * A full read is complete; the list is emptied.  single: HDELs announced since
 * the last one; accept: an administrator said so, of as many removals as were
 * held back then.  False: the delete guard holds it, or it could not be
 * written; the old map serves.
 */
bool feed_read_done(struct feed *, struct sync_changes *, size_t single,
    bool accept);

/* A Redis link is away: one line when it goes, then one a minute.  *last_ms is
 * the caller's, 0 after it came up. */
void feed_log_down(uint64_t *last_ms, const char *what, bool was_up,
    const char *server, const char *why);

/* JSON for `status` and for relay:nodes; the buffer is empty before. */
void feed_status(struct feed *, struct buffer *out);
void feed_report(struct feed *, struct buffer *out);

#endif
