/*
 * shm/feed/change_text.h - what a worker asks for, read; fuzzed.
 * Context:   pure.
 * Ownership: the caller embeds the struct, change_text_fini wipes it.
 */
#ifndef RELAY_SHM_FEED_CHANGE_TEXT_H
#define RELAY_SHM_FEED_CHANGE_TEXT_H

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "shm/feed/sync.h"

#define CHANGE_TEXT_KEY_MAX	1024	/* of an API key: more is refused */

struct change_text {
	uint64_t	id;
	char		key[SHM_KEY_BYTES + 1];	/* of the map */
	bool		remove;
	bool		had;			/* a record was seen, with this */
	uint8_t		seen[SYNC_HASH_BYTES];	/* SHA-256 */
	struct buffer	api_key;		/* owned; sensitive */
};

/* RC_OK, or RC_SYNTAX: not a request of ours; *id then is what it said, or 0. */
enum rc change_text_read(struct span json, struct change_text *) must_check;
void change_text_fini(struct change_text *);

#endif
