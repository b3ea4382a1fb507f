/*
 * shm/feed/rescue.c - a map that cannot be used is never believed, and never
 * thrown away: without Redis it is the only copy of what it holds.
 *
 * A record that is damaged in a sound file is no reason for this: apply_load
 * marks it, and it alone is written again.
 */
#include "shm/feed/rescue.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "shm/feed/apply.h"
#include "shm/feed/engines.h"
#include "shm/feed/walk.h"

struct rescue {
	char	data[PATH_MAX], lock[PATH_MAX], bad[PATH_MAX];
	char	*why;			/* borrowed */
	size_t	why_size;
};

static enum rc failed(struct rescue *, enum rc, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

static enum rc
failed(struct rescue *r, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->why, r->why_size, fmt, ap);
	va_end(ap);
	return (rc);
}

static enum rc
set_paths(struct rescue *r, const char *folder)
{
	unsigned long long now = (unsigned long long)clock_wall_ms();

	if (snprintf(r->data, PATH_MAX, "%s/data.mdb", folder) >= PATH_MAX ||
	    snprintf(r->lock, PATH_MAX, "%s/lock.mdb", folder) >= PATH_MAX ||
	    snprintf(r->bad, PATH_MAX, "%s/data.mdb.bad-%llu", folder, now) >=
	    PATH_MAX)
		return (failed(r, RC_LIMIT, "%s: path too long", folder));
	return (RC_OK);
}

/* ---- is it sound? -------------------------------------------------------------------- */

static bool
any_record(void *arg, const char *key, enum rc rc, const struct shm_record *rec)
{
	(void)arg;
	(void)key;
	(void)rc;
	(void)rec;
	return (true);
}

static enum rc
verify_main(void *arg, int out)
{
	struct shm_map *map;
	uint64_t epoch;
	enum rc rc;

	(void)out;
	if ((rc = shm_map_open(arg, SHM_READER, &map)) != RC_OK)
		return (rc);
	if ((rc = shm_map_begin(map, &epoch)) == RC_OK) {
		rc = shm_map_verify(map, any_record, NULL);
		shm_map_end(map);
	}
	shm_map_close(&map);
	return (rc);
}

/* RC_OK: use it; RC_NOTFOUND: there never was one; RC_CORRUPT.  A map that is
 * empty, or gone from beside its lock file, was taken from its readers. */
static enum rc
inspect(struct rescue *r, char *folder)
{
	struct walk walk;
	struct stat st;
	enum rc rc;

	if (stat(r->data, &st) != 0 || st.st_size == 0)
		return (stat(r->lock, &st) != 0 ? RC_NOTFOUND : RC_CORRUPT);
	if ((rc = walk_begin(&walk, verify_main, folder)) == RC_OK)
		rc = walk_end(&walk);
	return (rc == RC_NOTFOUND ? RC_IO : rc);
}

/* ---- out of the way --------------------------------------------------------------------- */

static enum rc
remove_lock(struct rescue *r)
{
	if (unlink(r->lock) != 0 && errno != ENOENT)
		return (failed(r, RC_IO, "%s: %s", r->lock, strerror(errno)));
	return (RC_OK);
}

/*
 * The lock file goes too, and first: if we die in between, the bad map is found
 * again, but a new map must never meet the old lock file, which knows the old
 * map's transactions.  A worker that starts in between makes one: it goes last,
 * too.  Workers that still have the old map keep theirs.
 */
static enum rc
move_aside(struct rescue *r)
{
	struct stat st;
	enum rc rc;

	if ((rc = remove_lock(r)) != RC_OK)
		return (rc);
	if (stat(r->data, &st) == 0 && st.st_size == 0)
		(void)unlink(r->data);		/* nothing to keep */
	if (rename(r->data, r->bad) == 0)
		log_error("map damaged: moved to %s", r->bad);
	else if (errno == ENOENT)
		log_error("map %s was emptied or removed", r->data);
	else
		return (failed(r, RC_IO, "%s: %s", r->data, strerror(errno)));
	return (remove_lock(r));
}

/* The new map could not be made: the next start finds what this one found. */
static void
move_back(struct rescue *r)
{
	struct stat st;

	if (stat(r->bad, &st) != 0)
		return;
	(void)unlink(r->lock);
	if (rename(r->bad, r->data) != 0)
		log_error("map stays in %s errno=%d", r->bad, errno);
}

/* ---- what can be read ----------------------------------------------------------------------- */

/* One record in the pipe: this, the key, the payload. */
struct frame {
	uint32_t	key_len, payload_len;
};

/* What is found: records that are not written yet, and engines. */
struct found {
	struct sync_index	*index;		/* owned */
	struct sync_changes	records;	/* owned */
	struct engines		*engines;	/* owned */
};

struct salvage {
	const char	*file;
	bool		backward;
	int		out;
};

static bool
key_is(const char *key, const char *prefix)
{
	return (strncmp(key, prefix, strlen(prefix)) == 0);
}

static bool
send_record(void *arg, const char *key, enum rc rc, const struct shm_record *rec)
{
	const struct salvage *s = arg;
	struct frame f;

	(void)rc;
	if (!(rec->kind == SHM_KIND_RELAY && key_is(key, SHM_RELAYS)) &&
	    !(rec->kind == SHM_KIND_EGRESS && key_is(key, SHM_EGRESS)) &&
	    !(rec->kind == SHM_KIND_ENGINE && key_is(key, SHM_ENGINES)))
		return (true);
	f.key_len = (uint32_t)strlen(key);
	f.payload_len = (uint32_t)rec->payload.len;
	return (fd_write_all(s->out, &f, sizeof(f)) == RC_OK &&
	    fd_write_all(s->out, key, f.key_len) == RC_OK &&
	    fd_write_all(s->out, rec->payload.p, rec->payload.len) == RC_OK);
}

static enum rc
salvage_main(void *arg, int out)
{
	struct salvage *s = arg;

	s->out = out;
	return (shm_map_salvage(s->file, s->backward, send_record, s));
}

/* Exactly len bytes behind what is in the buffer; false: the child ended. */
static bool
read_more(int fd, struct buffer *b, size_t len)
{
	ssize_t n;
	char *mem;

	if (buffer_reserve(b, len + 1, &mem) != RC_OK)
		return (false);
	while (len > 0) {
		n = read(fd, mem, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (false);
		buffer_commit(b, (size_t)n);
		mem += n;
		len -= (size_t)n;
	}
	return (true);
}

/* A record that an earlier pass brought is no change. */
static void
take_record(struct found *found, const char *key, struct span payload)
{
	if (key_is(key, SHM_ENGINES))
		engines_add_record(found->engines, key, payload);
	else if (key_is(key, SHM_RELAYS) || key_is(key, SHM_EGRESS))
		(void)sync_note(found->index, &found->records, span_of(key),
		    &payload);
}

static bool
receive_record(int fd, struct buffer *b, struct found *found)
{
	char key[SHM_KEY_BYTES + 1];
	struct span payload;
	struct frame f;

	buffer_clear(b);
	if (!read_more(fd, b, sizeof(f)))
		return (false);
	memcpy(&f, buffer_data(b), sizeof(f));
	buffer_clear(b);
	if (f.key_len > SHM_KEY_BYTES ||
	    f.payload_len > SHM_RECORD_BYTES_MAX ||
	    !read_more(fd, b, (size_t)f.key_len + f.payload_len))
		return (false);
	payload.p = buffer_data(b) + f.key_len;
	payload.len = f.payload_len;
	if (span_copy((struct span){ buffer_data(b), f.key_len }, key,
	    sizeof(key)))
		take_record(found, key, payload);
	return (true);
}

/* RC_OK: written; *complete: every page could be read. */
static enum rc
salvage_pass(struct rescue *r, bool backward, struct shm_map *map,
    struct found *found, bool *complete)
{
	struct salvage s = { .file = r->bad, .backward = backward };
	struct engines_result engines;
	struct apply_result res;
	struct walk walk;
	struct buffer b;
	enum rc rc;

	if ((rc = walk_begin(&walk, salvage_main, &s)) != RC_OK)
		return (rc);
	buffer_init(&b, SHM_KEY_BYTES + SHM_RECORD_BYTES_MAX + 1, false);
	while (receive_record(walk.fd, &b, found))
		;
	buffer_fini(&b);
	*complete = walk_end(&walk) == RC_OK;
	rc = apply_changes(map, found->index, &found->records, NULL, &res);
	sync_changes_fini(&found->records);
	return (rc != RC_OK ? rc : engines_apply(map, found->engines, &engines));
}

/* From one end to the first page that cannot be read, then from the other. */
static enum rc
salvage(struct rescue *r, struct shm_map *map)
{
	struct found found = {
		.index = sync_index_new(),
		.records = STAILQ_HEAD_INITIALIZER(found.records),
		.engines = xcalloc(1, sizeof(*found.engines)),
	};
	bool complete = false;
	struct stat st;
	enum rc rc = RC_OK;

	if (stat(r->bad, &st) == 0) {
		rc = salvage_pass(r, false, map, &found, &complete);
		if (rc == RC_OK && !complete)
			rc = salvage_pass(r, true, map, &found, &complete);
	}
	if (rc == RC_OK)
		log_error("map made anew relays=%zu egress=%zu engines=%zu: those "
		    "that could be read; Redis has the others, or relayctl relay "
		    "put and egress set",
		    sync_live_count(found.index, TABLE_RELAYS),
		    sync_live_count(found.index, TABLE_EGRESS),
		    found.engines->n);
	sync_index_free(&found.index);
	free(found.engines);
	return (rc);
}

/* ---- the order of things ---------------------------------------------------------------------- */

static enum rc
make_anew(struct rescue *r, const char *folder, struct shm_map **out)
{
	enum rc rc;

	if ((rc = move_aside(r)) != RC_OK)
		return (rc);
	if ((rc = shm_map_open(folder, SHM_WRITER, out)) == RC_OK)
		rc = salvage(r, *out);
	if (rc == RC_OK)
		return (RC_OK);
	shm_map_close(out);
	move_back(r);
	return (failed(r, rc, "map in %s, made anew: %s", folder,
	    rc_name(rc)));
}

enum rc
rescue_open(const char *folder, struct shm_map **out, bool *replaced, char *why,
    size_t why_size)
{
	struct rescue r = { .why = why, .why_size = why_size };
	char path[PATH_MAX];
	enum rc rc;

	*out = NULL;
	*replaced = false;
	if ((rc = set_paths(&r, folder)) != RC_OK)
		return (rc);
	(void)snprintf(path, sizeof(path), "%s", folder);
	rc = inspect(&r, path);
	if (rc == RC_CORRUPT) {
		rc = make_anew(&r, folder, out);
		*replaced = rc == RC_OK;
		return (rc);
	}
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return (failed(&r, rc, "map in %s cannot be checked", folder));
	if ((rc = shm_map_open(folder, SHM_WRITER, out)) != RC_OK)
		return (failed(&r, rc, "map in %s: %s", folder, rc_name(rc)));
	return (RC_OK);
}
