/*
 * shm/feed/check.h - the map walked from time to time, and when somebody met
 * damage in it: a record that cannot be read is written again from Redis, a
 * file that cannot be used ends the feed, whose next start replaces it.
 * Context:   the loop's thread; the walk is a child's.
 * Ownership: the feed owns it; it borrows the feed.
 */
#ifndef RELAY_SHM_FEED_CHECK_H
#define RELAY_SHM_FEED_CHECK_H

#include "shm/feed/feed.h"

/* folder: the map's.  The first walk comes after the first interval. */
struct feed_check *feed_check_new(struct feed *, const char *folder,
    unsigned interval_s);
void feed_check_free(struct feed_check **);

/* A worker died of the map, or found a record damaged: walk it soon.  However
 * often this is called, walks take a tenth of the time at most. */
void feed_check_want(struct feed_check *);

/* Walks that came to their end. */
uint64_t feed_check_count(const struct feed_check *);

#endif
