/*
 * shm/feed/change.h - changes that somebody waits for: written to Redis (or,
 * without it, to the map), answered once the map has them.
 * Context:   the loop's thread.
 * Ownership: feed.c owns the list; it borrows the feed.
 */
#ifndef RELAY_SHM_FEED_CHANGE_H
#define RELAY_SHM_FEED_CHANGE_H

#include <stdint.h>

#include "shm/feed/feed.h"

struct feed_changes;

struct feed_change {
	struct span		key;	/* of the map */
	const struct span	*value;	/* checked by apply_check; NULL: remove */
	/* Redis must have this value now (*have; NULL: none), or the change is
	 * in conflict.  Whoever asks for it has compared the map already. */
	bool			compare;
	const struct span	*have;
};

/*
 * RC_OK: live, or gone; why is NULL.  Else why says it to people: RC_CONFLICT,
 * RC_TIMEOUT, RC_LIMIT (no room, or too many wait), RC_DENIED (Redis refused),
 * RC_UNAVAILABLE, RC_IO, RC_CORRUPT, RC_CANCELLED.
 */
typedef void feed_change_cb(void *arg, enum rc, const char *why);

struct feed_changes *feed_changes_new(struct feed *);
/* Each that waits gets RC_CANCELLED. */
void feed_changes_free(struct feed_changes **);

/* The record that came with a message, appended.  Only a memfd: reading one
 * cannot block.  RC_OK; RC_SYNTAX: there is none; RC_LIMIT, RC_NOMEM, RC_IO. */
enum rc feed_change_document(int fd, struct buffer *out) must_check;

/* What the map has of the key, appended.  RC_OK, RC_NOTFOUND, RC_CORRUPT,
 * RC_IO. */
enum rc feed_have(struct feed *, struct span key, struct buffer *out)
    must_check;
/* Is that (NULL: nothing) what somebody saw?  sha256: of the value, NULL: there
 * was none. */
bool feed_is_seen(const struct buffer *have,
    const uint8_t sha256[SYNC_HASH_BYTES]);

/* cb comes once, maybe before this returns. */
void feed_change(struct feed_changes *, const struct feed_change *,
    feed_change_cb *, void *arg);
/* A full read that applies what the delete guard holds; the same. */
void feed_change_accept(struct feed_changes *, feed_change_cb *, void *arg);

/* The map changed: answer those whose record is live (or gone) now. */
void feed_changes_wake(struct feed_changes *);
/* feed_writer_put finished.  code: the error's first word, "" without. */
void feed_changes_written(struct feed_changes *, uint64_t id, enum rc,
    const char *code);
/* A full read asked for by feed_change_accept ended. */
void feed_changes_read_done(struct feed_changes *, bool applied);

#endif
