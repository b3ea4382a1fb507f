/*
 * redis/reply_bounds.h - reads the length headers of RESP2 before hiredis does:
 * its reader allocates whatever size a peer announces.
 * Context:   pure; fuzzed.  One per connection, fed every byte in order.
 * Ownership: the caller embeds the struct; it owns no heap.
 */
#ifndef RELAY_REDIS_REPLY_BOUNDS_H
#define RELAY_REDIS_REPLY_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"

#define REDIS_BULK_BYTES_MAX	(16u << 20)	/* the longest value we take */
#define REDIS_ELEMENTS_MAX	(1u << 20)	/* of all arrays of one reply */
#define REDIS_REPLY_BYTES_MAX	(128u << 20)	/* a piece of HSCAN fits well */
#define REDIS_LINE_BYTES_MAX	(64u << 10)	/* status, error, number */
#define REDIS_DEPTH_MAX		7		/* as hiredis' own stack */

struct redis_reply_bounds {
	uint8_t		state;		/* private to reply_bounds.c */
	uint8_t		type;		/* first byte of the line being read */
	uint8_t		depth;		/* arrays we are inside of */
	uint8_t		digits;		/* of the length being read */
	bool		negative;
	uint64_t	number;
	uint64_t	skip;		/* bytes of a bulk string, CRLF too */
	uint32_t	line;		/* bytes of this line */
	uint32_t	elements;	/* announced in this reply */
	uint64_t	bytes;		/* of this reply */
	uint64_t	left[REDIS_DEPTH_MAX];	/* elements still to come */
};

void redis_reply_bounds_init(struct redis_reply_bounds *);

/*
 * RC_OK      these bytes may be given to the reader
 * RC_LIMIT   a size above a limit was announced: drop the connection
 * RC_SYNTAX  not RESP2: likewise
 */
enum rc redis_reply_bounds_feed(struct redis_reply_bounds *, const char *,
    size_t len) must_check;

#endif
