/*
 * shm/feed/engines_ask.h - asks Redis which engines are announced: every second,
 * and at once when a hint says so.
 * Context:   the loop's thread.
 * Ownership: feed.c owns it; it borrows the feed.
 *
 * relay:engines names them, relay:engine:<name> is what each one says, with a
 * time to live: one that is gone without a word leaves the list by itself.
 * Only a round that was answered whole changes the list.
 */
#ifndef RELAY_SHM_FEED_ENGINES_ASK_H
#define RELAY_SHM_FEED_ENGINES_ASK_H

#include "shm/feed/feed.h"

struct feed_engines *feed_engines_new(struct feed *);
void feed_engines_free(struct feed_engines **);

/* These take NULL: nobody asks. */

/* An engine came, left or drains: ask now. */
void feed_engines_hint(struct feed_engines *);
/* The link is lost, and with it what was asked. */
void feed_engines_down(struct feed_engines *);

#endif
