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
#include "shm/map_struct.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/object.h"

#define FOLDER_MODE	0750
#define DATA_MODE	0640
#define LOCK_MODE	0660	/* readers write their slot there */
/* Workers of two generations at the largest `workers`, and tools. */
#define READERS_MAX	2048
#define LOCK_BYTES	(READERS_MAX * 64 + 4096)	/* a slot is 64 */
#define PROBE_BYTES	65536	/* more than a disk that was just filled has */

enum rc
shm_map_translate(int err)
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
	case EFBIG:
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
 * descriptor of lock.mdb drops LMDB's own fcntl locks on it.  A new one has its
 * blocks from the start if there are any: a slot taken on a full disk would end
 * its reader by SIGBUS.
 */
static enum rc
make_file(const char *folder, const char *name, mode_t mode, off_t bytes)
{
	char path[PATH_MAX];
	struct stat st;
	enum rc rc;
	int fd;

	if ((rc = path_of(folder, name, path)) != RC_OK)
		return (rc);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return (shm_map_translate(errno));
	if (fstat(fd, &st) != 0 ||
	    ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0))
		rc = shm_map_translate(errno);
	else if (st.st_size == 0 && bytes > 0)
		(void)posix_fallocate(fd, 0, bytes);
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
			return (shm_map_translate(errno));
	} else if (errno != EEXIST) {
		return (shm_map_translate(errno));
	}
	if ((rc = make_file(folder, "lock.mdb", LOCK_MODE,
	    LOCK_BYTES)) != RC_OK)
		return (rc);
	return (make_file(folder, "data.mdb", DATA_MODE, 0));
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
		return (shm_map_translate(errno));
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
		return (shm_map_translate(err));
	/* The unnamed database always exists: a read transaction opens it. */
	if ((err = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn)) != 0)
		return (shm_map_translate(err));
	if ((err = mdb_dbi_open(txn, NULL, 0, &m->dbi)) != 0) {
		mdb_txn_abort(txn);
		return (shm_map_translate(err));
	}
	return (shm_map_translate(mdb_txn_commit(txn)));
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
		return (shm_map_translate(err) == RC_NOTFOUND ? RC_IO :
		    shm_map_translate(err));
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
		return (shm_map_translate(err));
	return (shm_record_read(v.mv_data, v.mv_size, out));
}

bool
shm_map_key_text(const MDB_val *k, char out[SHM_KEY_BYTES + 1])
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
		return (shm_map_translate(err));
	if (want.len > 0) {
		k = key_val(prefix);
		op = MDB_SET_RANGE;
	}
	while ((err = mdb_cursor_get(cur, &k, &v, op)) == 0) {
		op = MDB_NEXT;
		if (!has_prefix(&k, want))
			break;
		if (!shm_map_key_text(&k, key)) {
			err = MDB_CORRUPTED;
			break;
		}
		rc = shm_record_read(v.mv_data, v.mv_size, &r);
		if (!cb(arg, key, rc, &r))
			break;
	}
	mdb_cursor_close(cur);
	return (err == MDB_NOTFOUND ? RC_OK : shm_map_translate(err));
}

/* ---- writing ---------------------------------------------------------------- */

/*
 * LMDB says EIO of a write that was cut short, and what cuts writes short is a
 * disk or a quota that is full.  Asked by writing: free blocks say nothing of a
 * quota.
 */
static bool
no_room(MDB_env *env)
{
	static const char probe[PROBE_BYTES];
	const char *folder;
	char path[PATH_MAX];
	ssize_t n = -1;
	int fd, err = 0;

	if (mdb_env_get_path(env, &folder) != 0 ||
	    path_of(folder, "room", path) != RC_OK)
		return (false);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    S_IRUSR | S_IWUSR);
	if (fd < 0)
		return (shm_map_translate(errno) == RC_LIMIT);
	n = write(fd, probe, sizeof(probe));
	if (n < 0 || fdatasync(fd) != 0)
		err = errno;
	(void)close(fd);
	(void)unlink(path);
	return (err != 0 ? shm_map_translate(err) == RC_LIMIT :
	    n < (ssize_t)sizeof(probe));
}

/* The result of a step of a write; why it failed is kept for shm_map_why. */
static enum rc
write_result(struct shm_map *m, int err)
{
	if (err == EIO && no_room(m->env))
		err = ENOSPC;
	if (err != 0 && err != MDB_NOTFOUND)
		m->error = err;
	return (shm_map_translate(err));
}

const char *
shm_map_why(const struct shm_map *m)
{
	obj_check(m, SHM_MAP_MAGIC);
	return (mdb_strerror(m->error));
}

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
		return (write_result(m, err));
	err = mdb_txn_begin(m->env, NULL, 0, &m->writer);
	if (err == MDB_MAP_RESIZED &&
	    (err = mdb_env_set_mapsize(m->env, 0)) == 0)
		err = mdb_txn_begin(m->env, NULL, 0, &m->writer);
	if (err != 0)
		m->writer = NULL;
	return (write_result(m, err));
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
	return (write_result(m, mdb_put(m->writer, m->dbi, &k, &v, 0)));
}

enum rc
shm_map_delete(struct shm_map *m, const char *key)
{
	MDB_val k = key_val(key);

	obj_check(m, SHM_MAP_MAGIC);
	ensure(m->writer != NULL);
	return (write_result(m, mdb_del(m->writer, m->dbi, &k, NULL)));
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
		return (write_result(m, err));
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
