/*
 * shm/feed/apply.h - changes into the map: validate, one write transaction,
 * then the index.
 * Context:   relay-feed's loop; commits wait for the disk.
 */
#ifndef RELAY_SHM_FEED_APPLY_H
#define RELAY_SHM_FEED_APPLY_H

#include <stdbool.h>

#include "conf/relay_json.h"
#include "shm/feed/sync.h"
#include "shm/map.h"

struct apply_result {
	size_t		put;		/* records written */
	size_t		removed;
	size_t		unchanged;	/* the map held these bytes already */
	size_t		refused;
	uint64_t	epoch;		/* 0: nothing was written */
};

/* Fill an empty index from the map; records that cannot be read are in it as
 * damaged.  *synced: it holds sync/state.  RC_OK, RC_CORRUPT, RC_IO. */
enum rc apply_load(struct shm_map *, struct sync_index *, bool *synced)
    must_check;

/* Can the map's record of this key be read?  Also true when nobody knows. */
bool apply_readable(struct shm_map *, struct span key);

/* Is the field what its table wants (a canonical host, an app id) and the value
 * a record that works here?  RC_OK, or a reason in *fault. */
enum rc apply_check(struct span key, struct span value,
    struct relay_fault *fault) must_check;

/*
 * Invalid records are taken out of the list, noted in the index and logged;
 * what they would replace stays.  All others go in one transaction; on failure
 * (RC_LIMIT: map or disk full, RC_IO, RC_CORRUPT) map and index are as before.
 * source: "redis" or "empty" after a complete sync, written to sync/state with
 * the digest when that changes; NULL otherwise.
 */
enum rc apply_changes(struct shm_map *, struct sync_index *,
    struct sync_changes *, const char *source, struct apply_result *)
    must_check;

/* Foreign text for a log line: bytes that are not printable ASCII, and the
 * double quote, become '?'; cut at size - 1.  Returns out. */
const char *apply_printable(struct span, char *out, size_t size);

#endif
