/*
 * helper/record_write.c - the only copy of an app's keys that is known to
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
 * Before 2 the record that Redis has, as far as we know, is noted in <app>.base,
 * unless an earlier change waits for its copy: by that it is seen when another
 * machine went on from there without knowledge of ours.
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
#include "e3/helper/record_store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crash_point.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define RECORD_MODE	0600

/* ---- writing --------------------------------------------------------------- */

/* Steps 2 to 5 of the head comment; the points between them, where tests kill
 * us, are in file_write_atomic.  The entry is the disk's truth after. */
static enum rc
write_record(struct record_store *s, const struct rpc_record_head *head,
    struct span record)
{
	struct record_entry *e;
	uint8_t sha256[32];
	char path[PATH_MAX];
	enum rc rc, reread;

	if ((rc = record_store_path(s, head->app, path)) != RC_OK)
		return (rc);
	rc = file_write_atomic(path, record.p, record.len, RECORD_MODE);
	reread = record_store_refresh(s, head->app);
	if (rc != RC_OK)
		return (rc);
	if (reread != RC_OK)
		return (RC_IO);
	e = record_store_find(s, head->app);
	record_sha256(record, sha256);
	if (e == NULL || e->bytes != record.len ||
	    memcmp(e->sha256, sha256, sizeof(sha256)) != 0)
		return (RC_IO);
	crash_point("record.read-back");
	return (RC_OK);
}

/* Under the lock: the disk's own version of app into *version, 0 when there
 * is none.  RC_CORRUPT: a file that is no record. */
static enum rc
version_on_disk(struct record_store *s, const char *app, uint64_t *version)
{
	enum rc rc = record_store_refresh(s, app);
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

	if (record_store_path(s, app, from) != RC_OK)
		return (RC_LIMIT);
	(void)snprintf(to, sizeof(to), "%.*s" PREVIOUS_SUFFIX,
	    (int)(strlen(from) - strlen(RECORD_SUFFIX)), from);
	n = snprintf(tmp, sizeof(tmp), "%s.%016llx" TMP_SUFFIX, from,
	    (unsigned long long)random_u64());
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return (RC_LIMIT);
	if (crash_point_full("full.link") || link(from, tmp) < 0)
		return (RC_IO);
	crash_point("record.linked");
	if (rename(tmp, to) < 0) {
		(void)unlink(tmp);
		return (RC_IO);
	}
	/* rename does nothing when both are one file already. */
	(void)unlink(tmp);
	crash_point("record.kept");
	return (RC_OK);
}

/* ---- what it was made from --------------------------------------------------- */

/* What the entry is now, if there is none.  Without fsync: who loses it with the
 * power knows less of where ours came from, as before. */
static enum rc
write_base(struct record_store *s, struct record_entry *e, bool apart)
{
	uint64_t base = e->base != 0 ? e->base : e->version;
	const uint8_t *sha256 = e->base != 0 ? e->base_sha256 : e->sha256;
	char path[PATH_MAX], sum[2 * sizeof(e->sha256) + 1], text[128];
	enum rc rc;
	int n;

	hex_encode(sha256, sizeof(e->sha256), sum);
	n = snprintf(text, sizeof(text), "%llu %s%s", (unsigned long long)base,
	    sum, apart ? BASE_APART : "");
	rc = record_store_path_of(s, e->app, BASE_SUFFIX, path);
	if (rc == RC_OK)
		rc = file_replace(path, text, (size_t)n, RECORD_MODE);
	if (rc != RC_OK)
		return (rc);
	memmove(e->base_sha256, sha256, sizeof(e->base_sha256));
	e->base = base;
	e->base_apart = apart;
	return (RC_OK);
}

enum rc
record_store_note_apart(struct record_store *s, const char *app)
{
	struct record_entry *e;
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (record_store_lock(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = record_store_refresh(s, app);
	if (rc == RC_OK && (e = record_store_find(s, app)) != NULL &&
	    !e->base_apart)
		rc = write_base(s, e, true);
	if (record_store_lock(s, F_UNLCK) != RC_OK)
		return (RC_IO);
	return (rc == RC_OK ? RC_OK : RC_IO);
}

static enum rc
sync_folder(const struct record_store *s)
{
	int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return (RC_IO);
	r = fsync(fd);
	fd_close(&fd);
	return (r < 0 ? RC_IO : RC_OK);
}

static enum rc
remove_base(struct record_store *s, struct record_entry *e)
{
	char path[PATH_MAX];

	if (record_store_path_of(s, e->app, BASE_SUFFIX, path) != RC_OK ||
	    (unlink(path) < 0 && errno != ENOENT))
		return (RC_IO);
	e->base = 0;
	e->base_apart = false;
	return (RC_OK);
}

enum record_kin
record_kin_of(const struct record_entry *e, uint64_t version,
    const uint8_t sha256[32])
{
	const uint8_t *ours = version == e->version ? e->sha256 :
	    e->base != 0 && version == e->base ? e->base_sha256 : NULL;

	if (e->base_apart)
		return (memcmp(e->sha256, sha256, 32) == 0 ? RECORD_KIN :
		    RECORD_KIN_APART);
	if (ours != NULL)
		return (memcmp(ours, sha256, 32) == 0 ? RECORD_KIN :
		    RECORD_KIN_APART);
	return (e->base != 0 && e->base < e->version && version > e->base ?
	    RECORD_KIN_UNSURE : RECORD_KIN);
}

static enum rc
copied_locked(struct record_store *s, const char *app, uint64_t version)
{
	struct record_entry *e;

	if (record_store_refresh(s, app) != RC_OK ||
	    (e = record_store_find(s, app)) == NULL || e->base == 0 ||
	    version < e->version)
		return (RC_OK);
	return (remove_base(s, e));
}

enum rc
record_store_copied(struct record_store *s, const char *app, uint64_t version)
{
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (record_store_lock(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = copied_locked(s, app, version);
	if (record_store_lock(s, F_UNLCK) != RC_OK)
		return (RC_IO);
	return (rc);
}

/* ---- changes ------------------------------------------------------------------- */

static enum rc
put_locked(struct record_store *s, const struct rpc_record_head *head,
    struct span record)
{
	struct record_entry *e;
	uint64_t version;
	enum rc rc;

	rc = version_on_disk(s, head->app, &version);
	if (rc == RC_CORRUPT)
		return (RC_CONFLICT);
	if (rc != RC_OK)
		return (rc);
	if (version == UINT64_MAX || head->version != version + 1)
		return (RC_CONFLICT);
	e = record_store_find(s, head->app);
	if (version != 0 && e->base == 0 &&
	    (rc = write_base(s, e, false)) != RC_OK)
		return (rc);
	if (version != 0 && (rc = keep_previous(s, head->app)) != RC_OK)
		return (rc);
	return (write_record(s, head, record));
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

	if (record_store_path(s, e->app, from) != RC_OK ||
	    aside_path(s, e, "old", to) != RC_OK)
		return (RC_LIMIT);
	if (link(from, to) < 0 && errno != ENOENT)
		return (RC_IO);
	log_warn("record of redis replaces ours app=%s version=%llu kept=%s",
	    e->app, (unsigned long long)e->version, strrchr(to, '/') + 1);
	return (RC_OK);
}

enum rc
record_store_keep_theirs(struct record_store *s, const char *app,
    uint64_t version, struct span record)
{
	struct record_entry theirs = { .version = version };
	char path[PATH_MAX];
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (!span_copy(span_of(app), theirs.app, sizeof(theirs.app)) ||
	    aside_path(s, &theirs, "old", path) != RC_OK ||
	    (rc = file_write_atomic(path, record.p, record.len,
	    RECORD_MODE)) != RC_OK)
		return (RC_IO);
	log_error("record of redis may have been made apart from ours app=%s "
	    "version=%llu kept=%s", app, (unsigned long long)version,
	    strrchr(path, '/') + 1);
	return (RC_OK);
}

static enum rc
undo_locked(struct record_store *s, const char *app)
{
	struct record_entry *e = record_store_find(s, app);
	char path[PATH_MAX], previous[PATH_MAX], aside[PATH_MAX];
	enum rc rc;
	int r;

	if (e == NULL || record_store_path(s, app, path) != RC_OK ||
	    aside_path(s, e, "refused", aside) != RC_OK)
		return (RC_IO);
	(void)snprintf(previous, sizeof(previous), "%.*s" PREVIOUS_SUFFIX,
	    (int)(strlen(path) - strlen(RECORD_SUFFIX)), path);
	/* A link first: at no moment is there no file of this app. */
	if (link(path, aside) < 0)
		return (RC_IO);
	r = e->version > 1 ? rename(previous, path) : unlink(path);
	if (r < 0)
		return (RC_IO);
	rc = sync_folder(s);
	log_warn("record undone app=%s aside=%s", app, strrchr(aside, '/') + 1);
	if (record_store_refresh(s, app) == RC_NOTFOUND)
		record_store_forget(s, app);
	return (rc);
}

enum rc
record_store_undo(struct record_store *s, const char *app)
{
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (record_store_lock(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = undo_locked(s, app);
	if (record_store_lock(s, F_UNLCK) != RC_OK)
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
	/* What Redis has not been seen to hold is kept for good.  What it has may
	 * be replaced by one made without knowledge of it, beyond a fork: then
	 * this is its last copy. */
	if (e != NULL && (!e->replicated || broken))
		rc = keep_old(s, e);
	else if (e != NULL)
		rc = keep_previous(s, e->app);
	else
		rc = RC_OK;
	if (rc == RC_OK)
		rc = write_record(s, head, record);
	if (rc == RC_OK && copied_locked(s, head->app, head->version) != RC_OK)
		log_warn("record base not removed app=%s", head->app);
	return (rc);
}

/* ---- the two ways in ------------------------------------------------------ */

typedef enum rc write_cb(struct record_store *, const struct rpc_record_head *,
    struct span record);

/* Under the lock that every helper of this folder takes. */
static enum rc
write_locked(struct record_store *s, struct span record, write_cb *cb)
{
	struct rpc_record_head head;
	enum rc rc;

	obj_check(s, RECORD_STORE_MAGIC);
	if (record.len > RPC_RECORD_BYTES_MAX ||
	    rpc_record_head_read(record, &head) != RC_OK)
		return (RC_SYNTAX);
	if (record_store_lock(s, F_WRLCK) != RC_OK)
		return (RC_IO);
	rc = cb(s, &head, record);
	if (record_store_lock(s, F_UNLCK) != RC_OK)
		return (RC_IO);
	return (rc);
}

enum rc
record_store_put(struct record_store *s, struct span record)
{
	return (write_locked(s, record, put_locked));
}

enum rc
record_store_take(struct record_store *s, struct span record)
{
	return (write_locked(s, record, take_locked));
}
