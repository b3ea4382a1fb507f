/*
 * shm/record.h - a value in the map: header, payload, checksum.
 * Context:   pure; fuzzed (the map is foreign once its file was damaged).
 *
 *   magic u32 | format u16 | kind u16 | revision u64 | length u32 | crc32 u32
 *   then payload; all little-endian.  crc32 covers everything but itself.
 */
#ifndef RELAY_SHM_RECORD_H
#define RELAY_SHM_RECORD_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

#define SHM_RECORD_HEAD_BYTES	24
#define SHM_RECORD_BYTES_MAX	(16u << 20)

enum shm_kind {
	SHM_KIND_RELAY = 1,	/* payload: relay JSON as it came */
	SHM_KIND_SYNC = 2,	/* payload: see shm/map.h */
	SHM_KIND_ENGINE = 3,	/* payload: {"address", "state"} of an engine that
				   announced itself */
	SHM_KIND_EGRESS = 4	/* payload: egress JSON as it came */
};

struct shm_record {
	enum shm_kind	kind;
	uint64_t	revision;	/* transaction that wrote it */
	struct span	payload;	/* view */
};

enum rc shm_record_write(struct buffer *, const struct shm_record *)
    must_check;
/* RC_OK, RC_CORRUPT. */
enum rc shm_record_read(const void *, size_t len, struct shm_record *)
    must_check;

#endif
