/*
 * shm/map.c - the shared map on LMDB.
 *
 * One unnamed database.  The reader keeps one read transaction for the life of
 * the process and resets and renews it: its slot in lock.mdb is taken once.
 * MDB_NOTLS ties that slot to the transaction and not to the thread, so that
 * nothing of LMDB hides in thread-local storage.
 *
 * Writers sync: MDB_NOSYNC and its relatives are never set.
 */
#include "shm/map.h"
#include "shm/map_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "lib/base/object.h"

#define FOLDER_MODE	0750
#define DATA_MODE	0640
#define LOCK_MODE	0660	/* readers write their slot there */
/* Workers of two generations at the largest `workers`, and tools. */
#define READERS_MAX	2048
#define FREE_DBI	0	/* LMDB's own list of free pages */

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
	struct buffer	scratch;	/* a record while it is put together */
};

static enum rc
translate(int err)
{
	switch (err) {
	case MDB_SUCCESS:
		return (RC_OK);
	case MDB_NOTFOUND:
	case ENOENT:
		return (RC_NOTFOUND);
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case MDB_BAD_VALSIZE:
	case ENOSPC:
	case EDQUOT:
		return (RC_LIMIT);
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_TXN:
		return (RC_CORRUPT);
	case EACCES:
	case EPERM:
	case EROFS:
		return (RC_DENIED);
	case ENOMEM:
		return (RC_NOMEM);
	default:
		return (RC_IO);
	}
}

static enum rc
path_of(const char *folder, const char *name, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);

	return (n < 0 || n >= PATH_MAX ? RC_LIMIT : RC_OK);
}

/*
 * The file is there with exactly this mode, whatever the umask is, before LMDB
 * sees it: a reader never meets one it cannot open.  Not later: closing a
 * descriptor of lock.mdb drops LMDB's own fcntl locks on it.
 */
static enum rc
make_file(const char *folder, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	struct stat st;
	enum rc rc;
	int fd;

	if ((rc = path_of(folder, name, path)) != RC_OK)
		return (rc);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return (translate(errno));
	if (fstat(fd, &st) != 0 ||
	    ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0))
		rc = translate(errno);
	(void)close(fd);
	return (rc);
}

/* A folder that exists is left alone: the master may have given it a group
 * and the set-group-id bit. */
static enum rc
make_map(const char *folder)
{
	enum rc rc;

	if (mkdir(folder, FOLDER_MODE) == 0) {
		if (chmod(folder, FOLDER_MODE) != 0)
			return (translate(errno));
	} else if (errno != EEXIST) {
		return (translate(errno));
	}
	if ((rc = make_file(folder, "lock.mdb", LOCK_MODE)) != RC_OK)
		return (rc);
	return (make_file(folder, "data.mdb", DATA_MODE));
}

/* LMDB would create lock.mdb for a reader too; with this it never does. */
static enum rc
find_map(const char *folder)
{
	char path[PATH_MAX];
	struct stat st;
	enum rc rc;

	if ((rc = path_of(folder, "data.mdb", path)) != RC_OK)
		return (rc);
	if (stat(path, &st) != 0)
		return (translate(errno));
	return (st.st_size == 0 ? RC_NOTFOUND : RC_OK);
}

static enum rc
open_env(struct shm_map *m, const char *folder, size_t bytes)
{
	unsigned flags = MDB_NOTLS | (m->role == SHM_READER ? MDB_RDONLY : 0);
	MDB_txn *txn = NULL;
	int err;

	if ((err = mdb_env_create(&m->env)) != 0 ||
	    (err = mdb_env_set_mapsize(m->env, bytes)) != 0 ||
	    (err = mdb_env_set_maxreaders(m->env, READERS_MAX)) != 0 ||
	    (err = mdb_env_open(m->env, folder, flags, DATA_MODE)) != 0)
		return (translate(err));
	/* The unnamed database always exists: a read transaction opens it. */
	if ((err = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn)) != 0)
		return (translate(err));
	if ((err = mdb_dbi_open(txn, NULL, 0, &m->dbi)) != 0) {
		mdb_txn_abort(txn);
		return (translate(err));
	}
	return (translate(mdb_txn_commit(txn)));
}

enum rc
shm_map_open_sized(const char *folder, enum shm_role role, size_t bytes,
    struct shm_map **out)
{
	struct shm_map *m = xcalloc(1, sizeof(*m));
	enum rc rc;

	*out = NULL;
	m->magic = SHM_MAP_MAGIC;
	m->role = role;
	m->pid = getpid();
	buffer_init(&m->scratch, SHM_RECORD_HEAD_BYTES + SHM_RECORD_BYTES_MAX,
	    false);
	rc = role == SHM_WRITER ? make_map(folder) : find_map(folder);
	if (rc == RC_OK)
		rc = open_env(m, folder, bytes);
	if (rc != RC_OK) {
		shm_map_close(&m);
		return (rc);
	}
	*out = m;
	return (RC_OK);
}

enum rc
shm_map_open(const char *folder, enum shm_role role, struct shm_map **out)
{
	return (shm_map_open_sized(folder, role, SHM_MAP_BYTES, out));
}

void
shm_map_close(struct shm_map **mp)
{
	struct shm_map *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->pid == getpid());
	if (m->writer != NULL)
		mdb_txn_abort(m->writer);
	if (m->reader != NULL)
		mdb_txn_abort(m->reader);
	if (m->env != NULL)
		mdb_env_close(m->env);
	buffer_fini(&m->scratch);
	m->magic = 0;
	free(m);
}

/* ---- reading -------------------------------------------------------------- */

static int
begin_or_renew(struct shm_map *m)
{
	if (m->reader == NULL)
		return (mdb_txn_begin(m->env, NULL, MDB_RDONLY, &m->reader));
	return (mdb_txn_renew(m->reader));
}

enum rc
shm_map_begin(struct shm_map *m, uint64_t *epoch)
{
	int err;

	obj_check(m, SHM_MAP_MAGIC);
	ensure(!m->reading);
	*epoch = 0;
	err = begin_or_renew(m);
	if (err == MDB_MAP_RESIZED) {
		/* Another version of the feed grew the file: follow. */
		if ((err = mdb_env_set_mapsize(m->env, 0)) == 0)
			err = begin_or_renew(m);
	}
	if (err != 0)
		return (translate(err) == RC_NOTFOUND ? RC_IO : translate(err));
	m->reading = true;
	*epoch = mdb_txn_id(m->reader);
	return (RC_OK);
}

void
shm_map_end(struct shm_map *m)
{
	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->reading);
	m->reading = false;
	mdb_txn_reset(m->reader);
}

/* The open write sees its own changes; else the read transaction. */
static MDB_txn *
current(struct shm_map *m)
{
	obj_check(m, SHM_MAP_MAGIC);
	if (m->writer != NULL)
		return (m->writer);
	ensure(m->reading);
	return (m->reader);
}

static MDB_val
key_val(const char *key)
{
	size_t len = strlen(key);

	ensure(len > 0 && len <= SHM_KEY_BYTES);
	/* LMDB takes a plain pointer but does not write through it. */
	return ((MDB_val){ .mv_size = len,
	    .mv_data = (void *)(uintptr_t)key });
}

enum rc
shm_map_get(struct shm_map *m, const char *key, struct shm_record *out)
{
	MDB_val k = key_val(key), v;
	int err;

	memset(out, 0, sizeof(*out));
	if ((err = mdb_get(current(m), m->dbi, &k, &v)) != 0)
		return (translate(err));
	return (shm_record_read(v.mv_data, v.mv_size, out));
}

/* False when the key is none of ours (a damaged page). */
static bool
key_text(const MDB_val *k, char out[SHM_KEY_BYTES + 1])
{
	struct span s = { k->mv_data, k->mv_size };

	return (s.len > 0 && span_copy(s, out, SHM_KEY_BYTES + 1));
}

static bool
has_prefix(const MDB_val *k, struct span prefix)
{
	return (k->mv_size >= prefix.len &&
	    memcmp(k->mv_data, prefix.p, prefix.len) == 0);
}

enum rc
shm_map_each(struct shm_map *m, const char *prefix, shm_each_cb *cb, void *arg)
{
	struct span want = span_of(prefix);
	char key[SHM_KEY_BYTES + 1];
	struct shm_record r;
	MDB_cursor *cur = NULL;
	MDB_val k = { 0, NULL }, v;
	MDB_cursor_op op = MDB_FIRST;
	enum rc rc;
	int err;

	if ((err = mdb_cursor_open(current(m), m->dbi, &cur)) != 0)
		return (translate(err));
	if (want.len > 0) {
		k = key_val(prefix);
		op = MDB_SET_RANGE;
	}
	while ((err = mdb_cursor_get(cur, &k, &v, op)) == 0) {
		op = MDB_NEXT;
		if (!has_prefix(&k, want))
			break;
		if (!key_text(&k, key)) {
			err = MDB_CORRUPTED;
			break;
		}
		rc = shm_record_read(v.mv_data, v.mv_size, &r);
		if (!cb(arg, key, rc, &r))
			break;
	}
	mdb_cursor_close(cur);
	return (err == MDB_NOTFOUND ? RC_OK : translate(err));
}

/* ---- writing ---------------------------------------------------------------- */

enum rc
shm_map_write_begin(struct shm_map *m)
{
	int dead, err;

	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->role == SHM_WRITER && m->writer == NULL);
	ensure(m->pid == getpid());
	/* A reader that was killed inside a transaction pins every page
	 * freed since, until the map is full. */
	if ((err = mdb_reader_check(m->env, &dead)) != 0)
		return (translate(err));
	err = mdb_txn_begin(m->env, NULL, 0, &m->writer);
	if (err == MDB_MAP_RESIZED &&
	    (err = mdb_env_set_mapsize(m->env, 0)) == 0)
		err = mdb_txn_begin(m->env, NULL, 0, &m->writer);
	if (err != 0)
		m->writer = NULL;
	return (translate(err));
}

enum rc
shm_map_put(struct shm_map *m, const char *key, enum shm_kind kind,
    struct span payload)
{
	struct shm_record r = { .kind = kind, .payload = payload };
	MDB_val k = key_val(key), v;
	enum rc rc;

	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->writer != NULL);
	r.revision = mdb_txn_id(m->writer);
	buffer_clear(&m->scratch);
	if ((rc = shm_record_write(&m->scratch, &r)) != RC_OK)
		return (rc);
	v.mv_size = buffer_len(&m->scratch);
	v.mv_data = buffer_data(&m->scratch);
	return (translate(mdb_put(m->writer, m->dbi, &k, &v, 0)));
}

enum rc
shm_map_delete(struct shm_map *m, const char *key)
{
	MDB_val k = key_val(key);

	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->writer != NULL);
	return (translate(mdb_del(m->writer, m->dbi, &k, NULL)));
}

enum rc
shm_map_write_commit(struct shm_map *m, uint64_t *epoch)
{
	MDB_txn *txn;
	uint64_t id;
	int err;

	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->writer != NULL);
	*epoch = 0;
	txn = m->writer;
	m->writer = NULL;		/* freed by LMDB, also on failure */
	id = mdb_txn_id(txn);
	if ((err = mdb_txn_commit(txn)) != 0)
		return (translate(err));
	*epoch = id;
	return (RC_OK);
}

void
shm_map_write_abort(struct shm_map *m)
{
	obj_check(m, SHM_MAP_MAGIC);
	if (m->writer != NULL)
		mdb_txn_abort(m->writer);
	m->writer = NULL;
}

/* ---- verifying -------------------------------------------------------------- */

/* Keys must rise: that also ends a walk over pages that point in a circle. */
static enum rc
verify_records(struct shm_map *m, uint64_t *records)
{
	char key[SHM_KEY_BYTES + 1], before[SHM_KEY_BYTES + 1] = "";
	struct shm_record r;
	MDB_cursor *cur = NULL;
	MDB_stat st;
	MDB_val k, v;
	int err;

	if ((err = mdb_stat(m->reader, m->dbi, &st)) != 0 ||
	    (err = mdb_cursor_open(m->reader, m->dbi, &cur)) != 0)
		return (translate(err));
	while ((err = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
		if (!key_text(&k, key) || strcmp(before, key) >= 0 ||
		    shm_record_read(v.mv_data, v.mv_size, &r) != RC_OK) {
			err = MDB_CORRUPTED;
			break;
		}
		memcpy(before, key, sizeof(before));
		++*records;
	}
	mdb_cursor_close(cur);
	if (err != MDB_NOTFOUND)
		return (translate(err));
	return (*records == st.ms_entries ? RC_OK : RC_CORRUPT);
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
		return (translate(err));
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
	return (err == MDB_NOTFOUND ? RC_OK : translate(err));
bad:
	mdb_cursor_close(cur);
	return (RC_CORRUPT);
}

enum rc
shm_map_verify(const char *folder, uint64_t *records)
{
	struct shm_map *m = NULL;
	uint64_t epoch;
	enum rc rc;

	*records = 0;
	if ((rc = shm_map_open(folder, SHM_READER, &m)) != RC_OK)
		return (rc);
	if ((rc = shm_map_begin(m, &epoch)) == RC_OK)
		rc = verify_records(m, records);
	if (rc == RC_OK)
		rc = verify_free_pages(m);
	if (m->reading)
		shm_map_end(m);
	shm_map_close(&m);
	return (rc);
}
