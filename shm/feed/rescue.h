/*
 * shm/feed/rescue.h - the map at start: walked by a child, opened when it is
 * sound, else moved aside and made anew with what of it can be read.
 * Context:   relay-feed's start, before its loop runs; waits for children.
 */
#ifndef RELAY_SHM_FEED_RESCUE_H
#define RELAY_SHM_FEED_RESCUE_H

#include <stdbool.h>
#include <stddef.h>

#include "shm/map.h"

/*
 * *replaced: there was another map before, whose readers must be replaced.
 * RC_OK, or not and `why`: the folder is then as it was found.
 */
enum rc rescue_open(const char *folder, struct shm_map **, bool *replaced,
    char *why, size_t why_size) must_check;

#endif
