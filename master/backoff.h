/*
 * master/backoff.h - how long to wait before a role that ended is started
 * again.
 * Context:   pure.
 */
#ifndef RELAY_MASTER_BACKOFF_H
#define RELAY_MASTER_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS	100	/* a single crash is hardly noticed */
#define BACKOFF_MAX_MS		1000	/* back within a second; a start each
					   second does not eat a core */
#define BACKOFF_RESET_MS	30000	/* who lived so long was healthy */

/* previous_ms: the last wait of this role, 0 for none yet. */
unsigned backoff_next_ms(unsigned previous_ms, uint64_t lived_ms);

#endif
