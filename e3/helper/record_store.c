/*
 * helper/record_store.c - the only copy of an app's keys that is known to
 * exist is the file written here, so every step is chosen for what a crash
 * right after it leaves behind.
 *
 * A change, as relayctl and store_change.c drive it, and what kill -9 of any
 * process or loss of power leaves:
 *
 *   1 the engine makes version n+1      nothing is stored; the key is pending
 *     and returns it sealed             in the engine and seals nothing.  Gone
 *                                       with the engine; nobody was told.
 *   2 the record is written to          an unnamed leftover *.tmp, which no
 *     <app>.rec.<random>.tmp, fsync     reader takes for a record; removed at
 *                                       the next start.  Disk is at n.
 *   3 rename over <app>.rec             readers see n or n+1, never a part.
 *                                       Power loss may still undo the rename.
 *   4 fsync of the folder               n+1 is there for good.
 *   5 read back and compare             a disk that lies now lies to us, and
 *                                       not to the owner of the key.
 *   6 LoadRecords, the engine opens     after a crash n+1 is on disk without
 *     it, the key becomes active        anybody having been told.  It is
 *                                       loaded at the next start: its secret
 *                                       was never printed, so it opens no door.
 *   7 "ok" to relayctl, which prints    acknowledged: 4 came before, so every
 *                                       later start loads it.
 *   8 the copy to Redis                 repeated at each start and reconnect
 *                                       until Redis has it.
 *
 * Before 3 the file of version n gets a second name, <app>.prev.  If the engine
 * says in 6 that n+1 is not its work (only a foreign or broken relayctl sends
 * such a record), n takes its place again at once; if we die before that, the
 * next start names the record as refused and the operator has <app>.prev.
 *
 * So an acknowledged record is always on disk, and what is on disk without
 * having been acknowledged is harmless.  A failure from 3 on is reported as
 * "not known to be written" and the entry is read again from the disk, so that
 * the next compare sees the truth.
 *
 * Compare and set reads the file itself under a lock, not our table: a helper
 * whose master died drains beside its successor for up to 30 s, and both may
 * be asked to write.  Nothing here deletes a record: a damaged file stays for
 * the operator, and what a record of Redis replaces is linked to a name of its
 * own first.
 */
#include "e3/helper/record_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define RECORD_SUFFIX	".rec"
#define PREVIOUS_SUFFIX	".prev"
#define TMP_SUFFIX	".tmp"
#define RECORD_MODE	0600
#define RECORDS_MAX	1000000	/* an entry is 120 bytes: 120 MB, far beyond use */

struct record_store {
	unsigned		magic;
#define RECORD_STORE_MAGIC	0x72b04d1e
	char			*dir;		/* owned */
	int			lock;		/* owned: <dir>/lock */
	struct record_entry	*v;		/* owned, sorted by app */
	size_t			n;
	size_t			cap;
};

void
record_sha256(struct span record, uint8_t out[32])
{
	unsigned len = 0;

	ensure(EVP_Digest(record.p, record.len, out, &len, EVP_sha256(),
	    NULL) == 1);
	ensure(len == 32);
}

/* ---- the table ------------------------------------------------------------- */

/* Index of app, or of where it belongs. */
static size_t
position(const struct record_store *s, const char *app)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(s->v[mid].app, app) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return (low);
}

struct record_entry *
record_store_find(struct record_store *s, const char *app)
{
	size_t at;

	obj_check(s, RECORD_STORE_MAGIC);
	at = position(s, app);
	if (at == s->n || strcmp(s->v[at].app, app) != 0)
		return (NULL);
	return (&s->v[at]);
}

static struct record_entry *
find_or_add(struct record_store *s, const char *app)
{
	struct record_entry *e = record_store_find(s, app);
	size_t at;

	if (e != NULL)
		return (e);
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 64 : s->cap * 2;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	at = position(s, app);
	memmove(&s->v[at + 1], &s->v[at], (s->n - at) * sizeof(*s->v));
	s->n++;
	e = &s->v[at];
	memset(e, 0, sizeof(*e));
	(void)snprintf(e->app, sizeof(e->app), "%s", app);
	return (e);
}

size_t
record_store_count(const struct record_store *s)
{
	obj_check(s, RECORD_STORE_MAGIC);
	return (s->n);
}

struct record_entry *
record_store_at(struct record_store *s, size_t i)
{
	obj_check(s, RECORD_STORE_MAGIC);
	ensure(i < s->n);
	return (&s->v[i]);
}

/* ---- one file -------------------------------------------------------------- */

static enum rc
record_path(const struct record_store *s, const char *app, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s" RECORD_SUFFIX, s->dir, app);

	return (n < 0 || n >= PATH_MAX ? RC_LIMIT : RC_OK);
}

/*
 * The file of app as it is now.  RC_OK with the record in out; RC_NOTFOUND;
 * RC_CORRUPT: there, but not a record of this app; RC_IO, RC_NOMEM.
 */
static enum rc
read_file(const struct record_store *s, const char *app, struct buffer *out,
    struct rpc_record_head *head)
{
	struct span record;
	char path[PATH_MAX];
	enum rc rc;

	if ((rc = record_path(s, app, path)) != RC_OK)
		return (rc);
	if ((rc = file_read(path, out)) != RC_OK)
		return (rc == RC_LIMIT ? RC_CORRUPT : rc);
	record = (struct span){ buffer_data(out), buffer_len(out) };
	if (rpc_record_head_read(record, head) != RC_OK ||
	    strcmp(head->app, app) != 0)
		return (RC_CORRUPT);
	return (RC_OK);
}

/* Make the entry say what the disk has.  What others know of it stays only
 * while the bytes do. */
static enum rc
refresh(struct record_store *s, const char *app)
{
	struct record_entry *e;
	struct rpc_record_head head;
	struct buffer b;
	uint8_t sha256[32];
	enum rc rc;

	buffer_init(&b, RPC_RECORD_BYTES_MAX, false);
	rc = read_file(s, app, &b, &head);
	if (rc == RC_NOTFOUND)
		goto out;
	e = find_or_add(s, app);
	if (rc != RC_OK) {
		e->damaged = true;
		e->version = e->active = 0;
		e->replicated = false;
		goto out;
	}
	record_sha256((struct span){ buffer_data(&b), buffer_len(&b) }, sha256);
	if (e->version != head.version ||
	    memcmp(e->sha256, sha256, sizeof(sha256)) != 0) {
		e->active = 0;
		e->refused = e->replicated = e->forked = false;
	}
	e->damaged = false;
	e->version = head.version;
	e->bytes = buffer_len(&b);
	memcpy(e->sha256, sha256, sizeof(sha256));
out:
	buffer_fini(&b);
	return (rc);
}

enum rc
record_store_read(struct record_store *s, const struct record_entry *e,
    struct buffer *out)
{
	struct rpc_record_head head;
	struct buffer b;
	uint8_t sha256[32];
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	buffer_init(&b, RPC_RECORD_BYTES_MAX, false);
	if ((rc = read_file(s, e->app, &b, &head)) != RC_OK) {
		if (rc == RC_NOTFOUND)
			rc = RC_CORRUPT;	/* somebody removed it */
		goto out;
	}
	record_sha256((struct span){ buffer_data(&b), buffer_len(&b) }, sha256);
	if (memcmp(sha256, e->sha256, sizeof(sha256)) != 0)
		rc = RC_CORRUPT;
	else
		rc = buffer_append(out, buffer_data(&b), buffer_len(&b));
out:
	buffer_fini(&b);
	return (rc);
}

/* ---- opening --------------------------------------------------------------- */

static bool
ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	return (len > tail && strcmp(name + len - tail, suffix) == 0);
}

/* "<app>.rec" -> app; false for any other name. */
static bool
app_of_name(const char *name, char app[RPC_APP_ID_BYTES])
{
	struct span id;

	if (!ends_with(name, RECORD_SUFFIX))
		return (false);
	id = (struct span){ name, strlen(name) - strlen(RECORD_SUFFIX) };
	return (rpc_app_id_valid(id) && span_copy(id, app, RPC_APP_ID_BYTES));
}

/* What a write left behind that was cut off (step 2): never a record. */
static void
remove_leftover(const struct record_store *s, const char *name)
{
	char path[PATH_MAX];
	int n;

	if (strncmp(name, "app_", 4) != 0 ||
	    strstr(name, RECORD_SUFFIX ".") == NULL)
		return;
	n = snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	if (n < 0 || (size_t)n >= sizeof(path) || unlink(path) < 0)
		return;
	log_info("record leftover removed file=%s", name);
}

static enum rc
read_folder(struct record_store *s)
{
	char app[RPC_APP_ID_BYTES];
	struct dirent *d;
	enum rc rc;
	DIR *dir;

	if ((dir = opendir(s->dir)) == NULL)
		return (RC_IO);
	while (errno = 0, (d = readdir(dir)) != NULL) {
		if (ends_with(d->d_name, TMP_SUFFIX)) {
			remove_leftover(s, d->d_name);
			continue;
		}
		if (!app_of_name(d->d_name, app))
			continue;
		if (s->n == RECORDS_MAX) {
			closedir(dir);
			return (RC_LIMIT);
		}
		rc = refresh(s, app);
		if (rc != RC_OK)
			log_error("record unreadable app=%s why=%s; the file "
			    "is left as it is", app, rc_name(rc));
	}
	rc = errno == 0 ? RC_OK : RC_IO;
	closedir(dir);
	return (rc);
}

/* Exclusive between helpers, held for one write. */
static enum rc
lock_set(const struct record_store *s, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	int r;

	do {
		r = fcntl(s->lock, F_OFD_SETLKW, &lock);
	} while (r < 0 && errno == EINTR);
	return (r < 0 ? RC_IO : RC_OK);
}

static int
open_lock(const char *dir)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/lock", dir);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	return (open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
}

enum rc
record_store_open(const char *dir, struct record_store **out, char *why,
    size_t why_size)
{
	struct record_store *s = xcalloc(1, sizeof(*s));
	enum rc rc = RC_IO;

	*out = NULL;
	s->magic = RECORD_STORE_MAGIC;
	s->dir = xstrdup(dir);
	s->lock = -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		(void)snprintf(why, why_size, "cannot make %s: %s", dir,
		    strerror(errno));
		goto out;
	}
	if ((s->lock = open_lock(dir)) < 0 ||
	    lock_set(s, F_WRLCK) != RC_OK) {
		(void)snprintf(why, why_size, "cannot write below %s: %s", dir,
		    strerror(errno));
		goto out;
	}
	rc = read_folder(s);
	if (lock_set(s, F_UNLCK) != RC_OK && rc == RC_OK)
		rc = RC_IO;
	if (rc != RC_OK)
		(void)snprintf(why, why_size, "cannot read %s: %s", dir,
		    rc == RC_LIMIT ? "too many records" : strerror(errno));
out:
	if (rc == RC_OK)
		*out = s;
	else
		record_store_free(&s);
	return (rc);
}

void
record_store_free(struct record_store **sp)
{
	struct record_store *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, RECORD_STORE_MAGIC);
	fd_close(&s->lock);
	free(s->v);
	free(s->dir);
	s->magic = 0;
	free(s);
}

/* ---- writing --------------------------------------------------------------- */

/* Steps 2 to 5 of the head comment.  The entry is the disk's truth after. */
static enum rc
write_record(struct record_store *s, const struct rpc_record_head *head,
    struct span record)
{
	struct record_entry *e;
	uint8_t sha256[32];
	char path[PATH_MAX];
	enum rc rc, reread;

	if ((rc = record_path(s, head->app, path)) != RC_OK)
		return (rc);
	rc = file_write_atomic(path, record.p, record.len, RECORD_MODE);
	reread = refresh(s, head->app);
	if (rc != RC_OK)
		return (rc);
	if (reread != RC_OK)
		return (RC_IO);
	e = record_store_find(s, head->app);
	record_sha256(record, sha256);
	if (e == NULL || e->bytes != record.len ||
	    memcmp(e->sha256, sha256, sizeof(sha256)) != 0)
		return (RC_IO);
	return (RC_OK);
}

/* Under the lock: the disk's own version of app into *version, 0 when there
 * is none.  RC_CORRUPT: a file that is no record. */
static enum rc
version_on_disk(struct record_store *s, const char *app, uint64_t *version)
{
	enum rc rc = refresh(s, app);
	const struct record_entry *e = record_store_find(s, app);

	*version = e == NULL ? 0 : e->version;
	if (rc == RC_NOTFOUND)
		/* It was here and is gone: nobody of ours deletes, so refuse
		 * to write version 1 over whatever happened. */
		return (e == NULL ? RC_OK : RC_CORRUPT);
	return (rc);
}

/* <app>.prev becomes a second name of the file of app, in one step. */
static enum rc
keep_previous(const struct record_store *s, const char *app)
{
	char from[PATH_MAX], tmp[PATH_MAX], to[PATH_MAX];
	int n;

	if (record_path(s, app, from) != RC_OK)
		return (RC_LIMIT);
	(void)snprintf(to, sizeof(to), "%.*s" PREVIOUS_SUFFIX,
	    (int)(strlen(from) - strlen(RECORD_SUFFIX)), from);
	n = snprintf(tmp, sizeof(tmp), "%s.%016llx" TMP_SUFFIX, from,
	    (unsigned long long)random_u64());
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return (RC_LIMIT);
	if (link(from, tmp) < 0)
		return (RC_IO);
	if (rename(tmp, to) < 0) {
		(void)unlink(tmp);
		return (RC_IO);
	}
	/* rename does nothing when both are one file already. */
	(void)unlink(tmp);
	return (RC_OK);
}

static enum rc
put_locked(struct record_store *s, const struct rpc_record_head *head,
    struct span record)
{
	uint64_t version;
	enum rc rc;

	rc = version_on_disk(s, head->app, &version);
	if (rc == RC_CORRUPT)
		return (RC_CONFLICT);
	if (rc != RC_OK)
		return (rc);
	if (version == UINT64_MAX || head->version != version + 1)
		return (RC_CONFLICT);
	if (version != 0 && (rc = keep_previous(s, head->app)) != RC_OK)
		return (rc);
	return (write_record(s, head, record));
}

enum rc
record_store_put(struct record_store *s, struct span record)
{
	struct rpc_record_head head;
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (record.len > RPC_RECORD_BYTES_MAX ||
	    rpc_record_head_read(record, &head) != RC_OK)
		return (RC_SYNTAX);
	if (lock_set(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = put_locked(s, &head, record);
	if (lock_set(s, F_UNLCK) != RC_OK)
		return (RC_IO);
	return (rc);
}

/* <dir>/<app>.<version>.<random>.<suffix>: never meets a file kept before. */
static enum rc
aside_path(const struct record_store *s, const struct record_entry *e,
    const char *suffix, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s.%llu.%016llx.%s", s->dir, e->app,
	    (unsigned long long)e->version, (unsigned long long)random_u64(),
	    suffix);

	return (n < 0 || n >= PATH_MAX ? RC_LIMIT : RC_OK);
}

/* A second name for the file that is about to be replaced. */
static enum rc
keep_old(const struct record_store *s, const struct record_entry *e)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (record_path(s, e->app, from) != RC_OK ||
	    aside_path(s, e, "old", to) != RC_OK)
		return (RC_LIMIT);
	if (link(from, to) < 0 && errno != ENOENT)
		return (RC_IO);
	log_warn("record of redis replaces ours app=%s version=%llu kept=%s",
	    e->app, (unsigned long long)e->version, strrchr(to, '/') + 1);
	return (RC_OK);
}

static void
forget(struct record_store *s, const char *app)
{
	size_t at = position(s, app);

	memmove(&s->v[at], &s->v[at + 1], (s->n - at - 1) * sizeof(*s->v));
	s->n--;
}

static enum rc
undo_locked(struct record_store *s, const char *app)
{
	struct record_entry *e = record_store_find(s, app);
	char path[PATH_MAX], previous[PATH_MAX], aside[PATH_MAX];
	int fd, r;

	if (e == NULL || record_path(s, app, path) != RC_OK ||
	    aside_path(s, e, "refused", aside) != RC_OK)
		return (RC_IO);
	(void)snprintf(previous, sizeof(previous), "%.*s" PREVIOUS_SUFFIX,
	    (int)(strlen(path) - strlen(RECORD_SUFFIX)), path);
	/* A link first: at no moment is there no file of this app. */
	if (link(path, aside) < 0)
		return (RC_IO);
	r = e->version > 1 ? rename(previous, path) : unlink(path);
	if (r < 0 || (fd = open(s->dir, O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC)) < 0)
		return (RC_IO);
	r = fsync(fd);
	fd_close(&fd);
	log_warn("record undone app=%s aside=%s", app, strrchr(aside, '/') + 1);
	if (refresh(s, app) == RC_NOTFOUND)
		forget(s, app);
	return (r < 0 ? RC_IO : RC_OK);
}

enum rc
record_store_undo(struct record_store *s, const char *app)
{
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (lock_set(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = undo_locked(s, app);
	if (lock_set(s, F_UNLCK) != RC_OK)
		return (RC_IO);
	return (rc);
}

static enum rc
take_locked(struct record_store *s, const struct rpc_record_head *head,
    struct span record)
{
	const struct record_entry *e;
	bool broken;
	uint64_t version;
	enum rc rc;

	rc = version_on_disk(s, head->app, &version);
	if (rc != RC_OK && rc != RC_CORRUPT)
		return (rc);
	e = record_store_find(s, head->app);
	broken = e != NULL && (rc == RC_CORRUPT || e->damaged || e->refused);
	if (e != NULL && !broken && head->version <= version)
		return (RC_CONFLICT);
	if (e != NULL && !e->replicated &&
	    (rc = keep_old(s, e)) != RC_OK)
		return (rc);
	return (write_record(s, head, record));
}

enum rc
record_store_take(struct record_store *s, struct span record)
{
	struct rpc_record_head head;
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (record.len > RPC_RECORD_BYTES_MAX ||
	    rpc_record_head_read(record, &head) != RC_OK)
		return (RC_SYNTAX);
	if (lock_set(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = take_locked(s, &head, record);
	if (lock_set(s, F_UNLCK) != RC_OK)
		return (RC_IO);
	return (rc);
}

void
record_store_checksum(const struct record_store *s, uint8_t out[32])
{
	struct rpc_checksum *sum = rpc_checksum_new();

	obj_check(s, RECORD_STORE_MAGIC);
	for (size_t i = 0; i < s->n; i++) {
		const struct record_entry *e = &s->v[i];

		if (!e->damaged && !e->refused)
			rpc_checksum_add(sum, e->app, e->version, e->sha256);
	}
	rpc_checksum_end(&sum, out);
}
