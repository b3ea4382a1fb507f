/*
 * shm/feed/engines.h - engines that announce themselves: what is believed of an
 * announcement, and the map's records of them.
 * Context:   relay-feed only.  Reading is pure and fuzzed (anybody who may
 *            write to Redis wrote it); the map's part waits for the disk.
 * Ownership: the owner embeds the list, or holds it on the heap: it is large.
 *
 * An announcement is JSON with "address" and "state" and more that concerns
 * nobody here.  A record has those two alone, so that it changes rarely.
 */
#ifndef RELAY_SHM_FEED_ENGINES_H
#define RELAY_SHM_FEED_ENGINES_H

#include "lib/base/host.h"
#include "lib/base/string.h"
#include "shm/map.h"

#define ENGINES_MAX		256	/* each worker has links to each */
#define ENGINE_NAME_BYTES	129
#define ENGINE_ADDRESS_BYTES	(HOST_BYTES + 8)	/* host:65535 */
#define ENGINE_TEXT_BYTES_MAX	2048	/* an announcement has some 300 */

struct engine_entry {
	char	name[ENGINE_NAME_BYTES];	/* "<e3.conf's name>@<host>" */
	char	address[ENGINE_ADDRESS_BYTES];	/* as in relay.conf's engine */
	bool	draining;
};

struct engines {
	size_t			n;
	struct engine_entry	v[ENGINES_MAX];
};

/* Printable, and short enough. */
bool engine_name_ok(struct span);

/*
 * The announcement's address and state; *out's name is left alone.
 * RC_OK; RC_NOTFOUND: it has no address, it is for its own machine;
 * RC_SYNTAX: it cannot be used.
 */
enum rc engine_read(struct span text, struct engine_entry *out) must_check;

/* RC_OK; RC_LIMIT: there are ENGINES_MAX. */
enum rc engines_add(struct engines *, const struct engine_entry *) must_check;

/* Of a record's key and payload; left out is what cannot be read, and a name
 * that is there already. */
void engines_add_record(struct engines *, const char *key, struct span payload);
/* The map's engines, those that can be read.  RC_OK, RC_CORRUPT, RC_IO. */
enum rc engines_load(struct shm_map *, struct engines *) must_check;

struct engines_result {
	size_t		put, removed;
	uint64_t	epoch;		/* 0: nothing was written */
};

/* The map has these engines and no others, in one transaction; not touched if
 * it has them.  As apply_changes on failure. */
enum rc engines_apply(struct shm_map *, const struct engines *,
    struct engines_result *) must_check;

#endif
