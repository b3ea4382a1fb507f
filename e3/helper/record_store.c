/*
 * helper/record_store.c - the table of records and the files under it.  How a
 * record is written, and why in that order: record_write.c.
 */
#include "e3/helper/record_store_private.h"

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

#define BASE_BYTES_MAX	128
#define BASE_SUM_CHARS	64	/* SHA-256 */
#define RECORDS_MAX	1000000	/* an entry is 120 bytes: 120 MB, far beyond use */

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

size_t
record_store_after(const struct record_store *s, const char *app)
{
	size_t at;

	obj_check(s, RECORD_STORE_MAGIC);
	at = position(s, app);
	return (at < s->n && strcmp(s->v[at].app, app) == 0 ? at + 1 : at);
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

void
record_store_forget(struct record_store *s, const char *app)
{
	size_t at = position(s, app);

	memmove(&s->v[at], &s->v[at + 1], (s->n - at - 1) * sizeof(*s->v));
	s->n--;
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

enum rc
record_store_path_of(const struct record_store *s, const char *app,
    const char *suffix, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s", s->dir, app, suffix);

	return (n < 0 || n >= PATH_MAX ? RC_LIMIT : RC_OK);
}

enum rc
record_store_path(const struct record_store *s, const char *app, char path[PATH_MAX])
{
	return (record_store_path_of(s, app, RECORD_SUFFIX, path));
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

	if ((rc = record_store_path(s, app, path)) != RC_OK)
		return (rc);
	if ((rc = file_read(path, out)) != RC_OK)
		return (rc == RC_LIMIT ? RC_CORRUPT : rc);
	record = (struct span){ buffer_data(out), buffer_len(out) };
	if (rpc_record_head_read(record, head) != RC_OK ||
	    strcmp(head->app, app) != 0)
		return (RC_CORRUPT);
	return (RC_OK);
}

/* Of a file that cannot be read nothing is known: then ours was made from some
 * version 1 that is none of Redis'. */
static void
read_base(const struct record_store *s, struct record_entry *e)
{
	struct span version = { NULL, 0 }, sum = { NULL, 0 };
	struct buffer b;
	char path[PATH_MAX];
	const char *space;
	enum rc rc;

	e->base = 1;
	e->base_apart = false;
	memset(e->base_sha256, 0, sizeof(e->base_sha256));
	if (record_store_path_of(s, e->app, BASE_SUFFIX, path) != RC_OK)
		return;
	buffer_init(&b, BASE_BYTES_MAX, false);
	rc = file_read(path, &b);
	space = rc != RC_OK || buffer_len(&b) == 0 ? NULL :
	    memchr(buffer_data(&b), ' ', buffer_len(&b));
	if (space != NULL) {
		version = (struct span){ buffer_data(&b),
		    (size_t)(space - buffer_data(&b)) };
		sum = (struct span){ space + 1, buffer_len(&b) - version.len - 1 };
		e->base_apart = sum.len == BASE_SUM_CHARS + sizeof(BASE_APART) - 1 &&
		    memcmp(sum.p + BASE_SUM_CHARS, BASE_APART,
		    sizeof(BASE_APART) - 1) == 0;
		if (e->base_apart)
			sum.len = BASE_SUM_CHARS;
	}
	if (rc == RC_NOTFOUND)
		e->base = 0;
	else if (space == NULL || string_u64(version, &e->base) != RC_OK ||
	    e->base == 0 || hex_decode(sum, e->base_sha256,
	    sizeof(e->base_sha256)) != RC_OK)
		e->base = 1;
	buffer_fini(&b);
}

/* Make the entry say what the disk has.  What others know of it stays only
 * while the bytes do. */
enum rc
record_store_refresh(struct record_store *s, const char *app)
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
		/* That Redis holds another one is no affair of these bytes. */
		e->active = 0;
		e->refused = e->replicated = e->asked = false;
	}
	e->damaged = false;
	read_base(s, e);
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
	    (strstr(name, RECORD_SUFFIX ".") == NULL &&
	    strstr(name, BASE_SUFFIX ".") == NULL))
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
		rc = record_store_refresh(s, app);
		if (rc != RC_OK)
			log_error("record unreadable app=%s why=%s; the file "
			    "is left as it is", app, rc_name(rc));
	}
	rc = errno == 0 ? RC_OK : RC_IO;
	closedir(dir);
	return (rc);
}

/* Exclusive between helpers, held for one write. */
enum rc
record_store_lock(const struct record_store *s, short type)
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
	    record_store_lock(s, F_WRLCK) != RC_OK) {
		(void)snprintf(why, why_size, "cannot write below %s: %s", dir,
		    strerror(errno));
		goto out;
	}
	rc = read_folder(s);
	if (record_store_lock(s, F_UNLCK) != RC_OK && rc == RC_OK)
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
