/*
 * shm/map_struct.h - what the map's own files share: the object, LMDB's results.
 * Context:   shm/map.c and shm/map_walk.c only.
 */
#ifndef RELAY_SHM_MAP_STRUCT_H
#define RELAY_SHM_MAP_STRUCT_H

#include <sys/types.h>

#include <lmdb.h>

#include "shm/map.h"

struct shm_map {
	unsigned	magic;
#define SHM_MAP_MAGIC	0x4d7a10be
	enum shm_role	role;
	pid_t		pid;		/* an environment must not cross a fork */
	MDB_env		*env;		/* owned */
	MDB_dbi		dbi;
	MDB_txn		*reader;	/* owned; kept, reset between uses */
	bool		reading;	/* reader is renewed */
	MDB_txn		*writer;	/* owned; NULL outside a write */
	int		error;		/* LMDB's, of the last write that failed */
	struct buffer	scratch;	/* a record while it is put together */
};

enum rc shm_map_translate(int err) must_check;

/* False when the key is none of ours (a damaged page). */
bool shm_map_key_text(const MDB_val *, char out[SHM_KEY_BYTES + 1]);

#endif
