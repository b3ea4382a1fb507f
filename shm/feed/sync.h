/*
 * shm/feed/sync.h - what the map holds against what Redis holds: the index of
 * all records by their keys (table.h), hints, full reads, the delete guard.
 * Context:   pure; relay-feed only.
 * Ownership: the creator owns the index; entries belong to it.
 *
 * The index keeps a hash per record, never its value: a full read holds only
 * values that differ.
 */
#ifndef RELAY_SHM_FEED_SYNC_H
#define RELAY_SHM_FEED_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/list.h"
#include "lib/base/string.h"
#include "shm/feed/table.h"

#define SYNC_HASH_BYTES		32
#define SYNC_PATH_BYTES		256
#define SYNC_REASON_BYTES	256

/* ---- hints ------------------------------------------------------------------------ */

enum sync_hint {
	SYNC_HINT_FIELD,	/* one record, see *table and *field */
	SYNC_HINT_REMOVED,	/* an HDEL in *table, but not of which field */
	SYNC_HINT_ALL,		/* compare everything */
	SYNC_HINT_ENGINES,	/* an engine came, left or drains */
	SYNC_HINT_OTHER		/* about a hash that is not read here */
};

/* A message of channel relay:updates.  *field: a view into payload. */
enum sync_hint sync_hint_update(struct span payload, enum table *table,
    struct span *field);

/* A keyspace notification: channel "__keyspace@0__:relay:relays", payload
 * the name of the command. */
enum sync_hint sync_hint_keyspace(struct span channel, struct span payload,
    enum table *table);

/* ---- changes --------------------------------------------------------------------- */

struct sync_change {
	STAILQ_ENTRY(sync_change)	link;
	bool				remove;
	struct span			key;	/* view into bytes */
	struct span			value;	/* view; empty for remove */
	uint8_t				hash[SYNC_HASH_BYTES];
	char				bytes[];
};
STAILQ_HEAD(sync_changes, sync_change);	/* one for a key at most */

/* ---- the index ------------------------------------------------------------------- */

struct sync_entry {
	struct sync_entry	*next;		/* of its bucket */
	bool			live;		/* in the map */
	bool			damaged;	/* ... where it cannot be read: to be
						   written again */
	uint8_t			hash[SYNC_HASH_BYTES];	/* of what is live */
	/* A value that was refused: not validated or logged again until it
	 * changes; told in relay:nodes as long as it stays. */
	bool			refused;
	uint8_t			refused_hash[SYNC_HASH_BYTES];
	char			*path, *reason;	/* owned; NULL unless refused */
	uint64_t		seen;		/* read that found it in Redis */
	uint64_t		settled;	/* read during which a hint did */
	size_t			len;
	char			key[];		/* len bytes and a NUL */
};

struct sync_index;

struct sync_index *sync_index_new(void);
void sync_index_free(struct sync_index **);

/* Of a relay its field counts, not its key: nodes that know no other tables
 * have the same digest. */
void sync_hash(struct span key, struct span value,
    uint8_t out[SYNC_HASH_BYTES]);

struct sync_entry *sync_find(struct sync_index *, struct span key);

/* The map holds this value of the key from now on; any refusal is over, and
 * any damage. */
void sync_set_live(struct sync_index *, struct span key,
    const uint8_t hash[SYNC_HASH_BYTES]);
void sync_set_refused(struct sync_index *, struct span key,
    const uint8_t hash[SYNC_HASH_BYTES], const char *path,
    const char *reason);
/* The map's record of the key cannot be read, or is there and should not be,
 * or is not there and should: whatever Redis has of it is written.  False: this
 * was known. */
bool sync_set_damaged(struct sync_index *, struct span key);
/* Neither in Redis nor in the map. */
void sync_set_gone(struct sync_index *, struct span key);

size_t sync_live_count(const struct sync_index *, enum table);
size_t sync_live_all(const struct sync_index *);
size_t sync_refused_count(const struct sync_index *);
size_t sync_damaged_count(const struct sync_index *);

/* Of all live records, whatever their order: equal on nodes that serve the
 * same records.  Hex, NUL terminated. */
void sync_digest(const struct sync_index *, char out[2 * SYNC_HASH_BYTES + 1]);

/* In no order; stops when cb returns false. */
typedef bool sync_each_cb(void *arg, const struct sync_entry *);
void sync_each(const struct sync_index *, sync_each_cb *, void *arg);

/* The same as it will be once these changes (one for a key) are live. */
void sync_digest_after(const struct sync_index *, const struct sync_changes *,
    char out[2 * SYNC_HASH_BYTES + 1]);

/* Note what Redis answered for a key (value NULL: it has none), unless the
 * index knows it as live and sound, or as refused already.  True when a change
 * was added. */
bool sync_note(struct sync_index *, struct sync_changes *, struct span key,
    const struct span *value);
void sync_changes_fini(struct sync_changes *);

/* ---- full read -------------------------------------------------------------------- */

/*
 * Every field of every hash is shown to sync_read_note; sync_read_end then adds
 * the removals.  A hint that arrives in between reads the newer value and is
 * applied at once: sync_settle makes the rest of this read leave that key
 * alone, or the read would bring its older value back.
 */
void sync_read_begin(struct sync_index *);
bool sync_read_note(struct sync_index *, struct sync_changes *,
    struct span key, struct span value);
void sync_settle(struct sync_index *, struct span key);

/* Drops settled changes, adds removals of live records that were not seen,
 * forgets refusals that were not seen.  Returns the number of removals. */
size_t sync_read_end(struct sync_index *, struct sync_changes *);
/* The read broke off: nothing is known about what it did not see. */
void sync_read_abort(struct sync_index *);

/* May a full read remove so many of a table's `live` records?  `single`: HDELs that
 * were announced since the last complete read; they are allowed as such. */
bool sync_may_remove(size_t live, size_t removals, size_t single,
    unsigned max_percent);

#endif
