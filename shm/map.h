/*
 * shm/map.h - the shared map (LMDB; this folder is its only user): one writer
 * (relay-feed), many readers (workers), on files in a state folder.
 * Context:   one environment per process, opened after exec, never across a
 *            fork.  A transaction never outlives one callback.
 *
 * Keys are "<hash>/<field>", e.g. "relays/shop.example.com"; "sync/state" is
 * written with each complete sync, "engines/<name>" whenever the engines that
 * announce themselves change.  The transaction id is the change counter:
 * a reader that sees the same id as before need not look further.
 *
 * Permissions (design.md section 3): folder 0750, data.mdb 0640, lock.mdb
 * 0660.  Size 4 GiB, sparse.
 */
#ifndef RELAY_SHM_MAP_H
#define RELAY_SHM_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "shm/record.h"

#define SHM_MAP_FOLDER	"map"	/* below state_dir */
#define SHM_MAP_BYTES	((size_t)4 << 30)
#define SHM_KEY_BYTES	384	/* "relays/" + 255 + room; LMDB's limit is 511 */
#define SHM_RELAYS	"relays/"
#define SHM_ENGINES	"engines/"
#define SHM_EGRESS	"egress/"

struct shm_map;

enum shm_role { SHM_READER, SHM_WRITER };

/* RC_OK; RC_NOTFOUND (a reader, and there is no map yet); RC_CORRUPT (not an
 * LMDB map or wrong version); RC_DENIED; RC_IO.  The writer creates. */
enum rc shm_map_open(const char *folder, enum shm_role, struct shm_map **)
    must_check;
void shm_map_close(struct shm_map **);

/* ---- reading ---- */

/* Begin (renew) the process's one read transaction.  *epoch: the id of the
 * newest committed transaction it sees.  RC_OK, RC_IO. */
enum rc shm_map_begin(struct shm_map *, uint64_t *epoch) must_check;
void shm_map_end(struct shm_map *);

/* Views valid until shm_map_end.  RC_OK, RC_NOTFOUND, RC_CORRUPT.  Inside a
 * write, this and shm_map_each see that write's own changes, and views are
 * valid until the next change. */
enum rc shm_map_get(struct shm_map *, const char *key, struct shm_record *)
    must_check;

/* Every record whose key begins with prefix, in key order; stops when cb
 * returns false.  A record that fails its checksum is given with payload
 * empty and rc RC_CORRUPT. */
typedef bool shm_each_cb(void *arg, const char *key, enum rc,
    const struct shm_record *);
enum rc shm_map_each(struct shm_map *, const char *prefix, shm_each_cb *,
    void *arg) must_check;

/* ---- writing: the feed only ---- */

/* Also drops stale readers first (mdb_reader_check). */
enum rc shm_map_write_begin(struct shm_map *) must_check;
/* revision is set to the transaction's id.  RC_OK, RC_LIMIT (map full,
 * record too long), RC_IO. */
enum rc shm_map_put(struct shm_map *, const char *key, enum shm_kind,
    struct span payload) must_check;
/* RC_NOTFOUND when there is no such key. */
enum rc shm_map_delete(struct shm_map *, const char *key) must_check;
/* Durable (fsync) when this returns RC_OK; RC_LIMIT: the disk, a quota or the
 * map is full, and the map is as before. */
enum rc shm_map_write_commit(struct shm_map *, uint64_t *epoch) must_check;
void shm_map_write_abort(struct shm_map *);
/* Why the last write that failed did: a text for people. */
const char *shm_map_why(const struct shm_map *);

/*
 * ---- a map that may be damaged (map_walk.c) ----
 * These may die by a signal (a file that was cut short), or exit with
 * SHM_EXIT_CORRUPT (LMDB met what cannot be): call them in a child.
 */
#define SHM_EXIT_CORRUPT	3

/* Inside a read: walk all pages and records, a damaged record given to cb as
 * shm_map_each does.  RC_OK: the pages are sound.  RC_CORRUPT: the file must
 * not be used. */
enum rc shm_map_verify(struct shm_map *, shm_each_cb *, void *arg) must_check;

/* What can be read of a file that was moved aside: its sound records, in key
 * order, to the first page that cannot; backward: from the other end.  RC_OK:
 * that was all (or cb returned false); RC_CORRUPT, RC_IO. */
enum rc shm_map_salvage(const char *file, bool backward, shm_each_cb *,
    void *arg) must_check;

#endif
