/*
 * shm/map_walk.c - reading a map of which nothing is known: is it sound, and
 * what of it can be read.
 *
 * LMDB has no checksums of pages.  Keys that rise and counts that fit are what
 * can be asked of a tree; rising keys also end a walk over pages that point in
 * a circle.
 */
#include "shm/map.h"
#include "shm/map_struct.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/object.h"

#define FREE_DBI	0	/* LMDB's own list of free pages */

/* LMDB found a page that contradicts itself and would abort, which a sandboxed
 * child cannot. */
static void
on_assert(MDB_env *env, const char *what)
{
	(void)env;
	(void)what;
	_exit(SHM_EXIT_CORRUPT);
}

static enum rc
verify_records(struct shm_map *m, shm_each_cb *cb, void *arg)
{
	char key[SHM_KEY_BYTES + 1], before[SHM_KEY_BYTES + 1] = "";
	struct shm_record r;
	MDB_cursor *cur = NULL;
	MDB_stat st;
	MDB_val k, v;
	size_t n = 0;
	enum rc rc;
	int err;

	if ((err = mdb_stat(m->reader, m->dbi, &st)) != 0 ||
	    (err = mdb_cursor_open(m->reader, m->dbi, &cur)) != 0)
		return (shm_map_translate(err));
	while ((err = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
		if (!shm_map_key_text(&k, key) || strcmp(before, key) >= 0) {
			err = MDB_CORRUPTED;
			break;
		}
		memcpy(before, key, sizeof(before));
		n++;
		rc = shm_record_read(v.mv_data, v.mv_size, &r);
		if (!cb(arg, key, rc, &r)) {
			mdb_cursor_close(cur);
			return (RC_IO);
		}
	}
	mdb_cursor_close(cur);
	if (err != MDB_NOTFOUND)
		return (shm_map_translate(err));
	return (n == st.ms_entries ? RC_OK : RC_CORRUPT);
}

/* A list of free pages that names a page outside the file, or one of the two
 * meta pages, would have the next write destroy live data. */
static enum rc
verify_free_pages(struct shm_map *m)
{
	MDB_cursor *cur = NULL;
	MDB_envinfo info;
	MDB_val k, v;
	uint64_t last_id = 0, id;
	size_t n, page;
	int err;

	if ((err = mdb_env_info(m->env, &info)) != 0 ||
	    (err = mdb_cursor_open(m->reader, FREE_DBI, &cur)) != 0)
		return (shm_map_translate(err));
	while ((err = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
		if (k.mv_size != sizeof(id) || v.mv_size < sizeof(n))
			goto bad;
		memcpy(&id, k.mv_data, sizeof(id));
		memcpy(&n, v.mv_data, sizeof(n));
		if (id <= last_id || n > v.mv_size / sizeof(page) - 1)
			goto bad;
		last_id = id;
		for (size_t i = 1; i <= n; i++) {
			memcpy(&page, (char *)v.mv_data + i * sizeof(page),
			    sizeof(page));
			if (page < 2 || page > info.me_last_pgno)
				goto bad;
		}
	}
	mdb_cursor_close(cur);
	return (err == MDB_NOTFOUND ? RC_OK : shm_map_translate(err));
bad:
	mdb_cursor_close(cur);
	return (RC_CORRUPT);
}

enum rc
shm_map_verify(struct shm_map *m, shm_each_cb *cb, void *arg)
{
	enum rc rc;

	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->reading);
	if (mdb_env_set_assert(m->env, on_assert) != 0)
		return (RC_IO);
	if ((rc = verify_records(m, cb, arg)) != RC_OK)
		return (rc);
	return (verify_free_pages(m));
}

/* ---- what can be read ----------------------------------------------------------- */

static enum rc
salvage_records(MDB_cursor *cur, bool backward, shm_each_cb *cb, void *arg)
{
	char key[SHM_KEY_BYTES + 1], before[SHM_KEY_BYTES + 1] = "";
	MDB_cursor_op op = backward ? MDB_LAST : MDB_FIRST;
	struct shm_record r;
	MDB_val k, v;
	int err, order;

	while ((err = mdb_cursor_get(cur, &k, &v, op)) == 0) {
		if (!shm_map_key_text(&k, key))
			return (RC_CORRUPT);
		order = strcmp(key, before);
		if (before[0] != '\0' && (backward ? order >= 0 : order <= 0))
			return (RC_CORRUPT);
		memcpy(before, key, sizeof(before));
		op = backward ? MDB_PREV : MDB_NEXT;
		if (shm_record_read(v.mv_data, v.mv_size, &r) == RC_OK &&
		    !cb(arg, key, RC_OK, &r))
			return (RC_OK);
	}
	return (err == MDB_NOTFOUND ? RC_OK : shm_map_translate(err));
}

/* Without a lock file: nobody writes this one any more. */
enum rc
shm_map_salvage(const char *file, bool backward, shm_each_cb *cb, void *arg)
{
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	MDB_cursor *cur = NULL;
	MDB_dbi dbi;
	enum rc rc;
	int err;

	if ((err = mdb_env_create(&env)) != 0)
		return (shm_map_translate(err));
	if ((err = mdb_env_set_assert(env, on_assert)) != 0 ||
	    (err = mdb_env_open(env, file, MDB_NOSUBDIR | MDB_RDONLY |
	    MDB_NOLOCK | MDB_NOTLS, 0)) != 0 ||
	    (err = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn)) != 0 ||
	    (err = mdb_dbi_open(txn, NULL, 0, &dbi)) != 0 ||
	    (err = mdb_cursor_open(txn, dbi, &cur)) != 0) {
		rc = shm_map_translate(err);
		goto out;
	}
	rc = salvage_records(cur, backward, cb, arg);
	mdb_cursor_close(cur);
out:
	if (txn != NULL)
		mdb_txn_abort(txn);
	mdb_env_close(env);
	return (rc);
}
