/*
 * helper/statistics_file.h - the engine's last statistics as a file, for tools
 * that read files.
 * Context:   the loop's thread.
 * Ownership: the creator owns it; the engine is borrowed and outlives it.
 */
#ifndef RELAY_E3_HELPER_STATISTICS_FILE_H
#define RELAY_E3_HELPER_STATISTICS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "e3/helper/engine.h"
#include "lib/base/loop.h"

struct statistics_file;

/* Replaced every 5 s while the engine answers; never removed: `written_ms` in
 * it tells how old it is. */
struct statistics_file *statistics_file_new(struct loop *, const char *path,
    const char *state_dir, struct engine *);
void statistics_file_free(struct statistics_file **);

/* When relayctl restore --rehearse last succeeded here, by the clock on the wall:
 * it leaves that in state_dir.  False: never. */
bool statistics_rehearsed(const char *state_dir, uint64_t *ms);

/* Write no more: a successor does. */
void statistics_file_stop(struct statistics_file *);

#endif
