/*
 * shm/map_private.h - opening a map of another size, for tests that fill one.
 * Context:   shm/ and its unit tests only.
 */
#ifndef RELAY_SHM_MAP_PRIVATE_H
#define RELAY_SHM_MAP_PRIVATE_H

#include "shm/map.h"

/* As shm_map_open; bytes in place of SHM_MAP_BYTES. */
enum rc shm_map_open_sized(const char *folder, enum shm_role, size_t bytes,
    struct shm_map **) must_check;

#endif
