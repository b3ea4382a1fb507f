/*
 * shm/feed/change.c - see change.h.
 *
 * A change through Redis waits twice: for the answer of the write, and until
 * the record has come back by hint and is in the map.
 */
#include "shm/feed/change.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "conf/relay_json.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "shm/feed/redis.h"
#include "shm/feed/writer.h"

#define WAITS_MAX	256
#define WAIT_MS		5000
#define WHY_BYTES	256

enum wait_kind { WAIT_PUT, WAIT_RM, WAIT_ACCEPT };

struct wait {
	TAILQ_ENTRY(wait)	link;
	uint64_t		id;
	enum wait_kind		kind;
	bool			written;	/* Redis has it */
	uint64_t		deadline_ms;
	uint8_t			hash[SYNC_HASH_BYTES];	/* WAIT_PUT */
	feed_change_cb		*cb;
	void			*arg;		/* the caller's */
	size_t			len;
	char			key[];		/* len bytes */
};

struct feed_changes {
	unsigned		magic;
#define FEED_CHANGES_MAGIC	0x6f20d3b1
	struct feed		*feed;		/* borrowed: owns us */
	TAILQ_HEAD(, wait)	waits;		/* owned */
	unsigned		n_waits;
	uint64_t		last_id;
	struct timer		deadline;
};

/* ---- waiting ------------------------------------------------------------------ */

static void
deadline_arm(struct feed_changes *fc)
{
	const struct wait *w = TAILQ_FIRST(&fc->waits);
	uint64_t now = clock_mono_ms();

	if (w == NULL)
		timer_stop(&fc->deadline);
	else		/* all wait equally long: the first is the oldest */
		timer_start_ms(&fc->deadline,
		    w->deadline_ms > now ? w->deadline_ms - now : 0);
}

static struct wait *
wait_new(struct feed_changes *fc, enum wait_kind kind, struct span key,
    feed_change_cb *cb, void *arg)
{
	struct wait *w;

	if (fc->n_waits == WAITS_MAX) {
		cb(arg, RC_LIMIT, "too many changes are waiting");
		return (NULL);
	}
	w = xcalloc(1, sizeof(*w) + key.len);
	w->id = ++fc->last_id;
	w->kind = kind;
	w->deadline_ms = clock_mono_ms() + WAIT_MS;
	w->cb = cb;
	w->arg = arg;
	w->len = key.len;
	if (key.len > 0)
		memcpy(w->key, key.p, key.len);
	TAILQ_INSERT_TAIL(&fc->waits, w, link);
	fc->n_waits++;
	deadline_arm(fc);
	return (w);
}

/* The wait ends before its callback runs: that may ask for the next change. */
static void
wait_end(struct feed_changes *fc, struct wait *w, enum rc rc, const char *why)
{
	feed_change_cb *cb = w->cb;
	void *arg = w->arg;

	TAILQ_REMOVE(&fc->waits, w, link);
	fc->n_waits--;
	free(w);
	deadline_arm(fc);
	cb(arg, rc, why);
}

static void
on_deadline(void *arg)
{
	struct feed_changes *fc = arg;
	uint64_t now = clock_mono_ms();
	struct wait *w;

	while ((w = TAILQ_FIRST(&fc->waits)) != NULL && w->deadline_ms <= now)
		wait_end(fc, w, RC_TIMEOUT, w->kind == WAIT_ACCEPT ?
		    "the full read did not end in 5 s: see status" :
		    w->written ? "written to Redis, but not live after 5 s" :
		    "no answer from Redis after 5 s");
	deadline_arm(fc);
}

/* Is the change that w waits for in the map? */
static bool
wait_is_live(struct feed_changes *fc, const struct wait *w)
{
	const struct sync_entry *e;

	if (!w->written || w->kind == WAIT_ACCEPT)
		return (false);
	e = sync_find(fc->feed->index, (struct span){ w->key, w->len });
	if (w->kind == WAIT_RM)
		return (e == NULL || !e->live);
	return (e != NULL && e->live && !e->damaged &&
	    memcmp(e->hash, w->hash, sizeof(w->hash)) == 0);
}

/* A callback may end or begin others: begin anew after each. */
void
feed_changes_wake(struct feed_changes *fc)
{
	struct wait *w;

	obj_check(fc, FEED_CHANGES_MAGIC);
	do {
		TAILQ_FOREACH(w, &fc->waits, link)
			if (wait_is_live(fc, w))
				break;
		if (w != NULL)
			wait_end(fc, w, RC_OK, NULL);
	} while (w != NULL);
}

static void
write_failed(struct feed_changes *fc, struct wait *w, enum rc rc,
    const char *code)
{
	char why[WHY_BYTES];

	if (rc == RC_CONFLICT) {
		wait_end(fc, w, rc, "it was changed by somebody else");
		return;
	}
	(void)snprintf(why, sizeof(why), "Redis: %s", code[0] != '\0' ? code :
	    rc_name(rc));
	wait_end(fc, w, rc, why);
}

void
feed_changes_written(struct feed_changes *fc, uint64_t id, enum rc rc,
    const char *code)
{
	struct wait *w;

	obj_check(fc, FEED_CHANGES_MAGIC);
	TAILQ_FOREACH(w, &fc->waits, link)
		if (w->id == id)
			break;
	if (w == NULL)
		return;			/* its deadline has passed */
	if (rc != RC_OK) {
		write_failed(fc, w, rc, code);
		return;
	}
	w->written = true;
	feed_changes_wake(fc);
}

void
feed_changes_read_done(struct feed_changes *fc, bool applied)
{
	struct wait *w;

	obj_check(fc, FEED_CHANGES_MAGIC);
	do {
		TAILQ_FOREACH(w, &fc->waits, link)
			if (w->kind == WAIT_ACCEPT)
				break;
		if (w != NULL)
			wait_end(fc, w, applied ? RC_OK : RC_CONFLICT, applied ?
			    NULL : "the full read was not applied: see the log");
	} while (w != NULL);
}

/* ---- documents ------------------------------------------------------------------ */

enum rc
feed_change_document(int fd, struct buffer *out)
{
	struct stat st;
	ssize_t n;
	char *mem;
	enum rc rc;

	if (fd < 0 || fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) != 0)
		return (RC_SYNTAX);
	if (st.st_size < 0 || st.st_size > RELAY_JSON_BYTES_MAX)
		return (RC_LIMIT);
	if ((rc = buffer_reserve(out, (size_t)st.st_size + 1, &mem)) != RC_OK)
		return (rc);
	n = pread(fd, mem, (size_t)st.st_size, 0);
	if (n != st.st_size)
		return (RC_IO);
	buffer_commit(out, (size_t)n);
	return (RC_OK);
}

/* ---- what there is ------------------------------------------------------------- */

enum rc
feed_have(struct feed *f, struct span key, struct buffer *out)
{
	char name[SHM_KEY_BYTES + 1];
	struct shm_record r;
	uint64_t epoch;
	enum rc rc;

	if (!table_map_key(key, name))
		return (RC_NOTFOUND);
	if ((rc = shm_map_begin(f->map, &epoch)) != RC_OK)
		return (rc);
	if ((rc = shm_map_get(f->map, name, &r)) == RC_OK)
		rc = buffer_append(out, r.payload.p, r.payload.len);
	shm_map_end(f->map);
	return (rc);
}

bool
feed_is_seen(const struct buffer *have, const uint8_t sha256[SYNC_HASH_BYTES])
{
	uint8_t sum[SYNC_HASH_BYTES];

	if (have == NULL || sha256 == NULL)
		return (have == NULL && sha256 == NULL);
	ensure(EVP_Digest(buffer_data(have), buffer_len(have), sum, NULL,
	    EVP_sha256(), NULL) == 1);
	return (memcmp(sum, sha256, sizeof(sum)) == 0);
}

/* ---- changes --------------------------------------------------------------------- */

/* Without Redis the map is written at once. */
static void
change_alone(struct feed *f, const struct feed_change *c, feed_change_cb *cb,
    void *arg)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	char why[WHY_BYTES];
	enum rc rc;

	(void)feed_note(f, &list, c->key, c->value);
	if ((rc = feed_apply(f, &list)) == RC_OK) {
		cb(arg, RC_OK, NULL);
		return;
	}
	(void)snprintf(why, sizeof(why), "map not written: %s",
	    rc == RC_LIMIT ? shm_map_why(f->map) : rc_name(rc));
	cb(arg, rc, why);
}

void
feed_change(struct feed_changes *fc, const struct feed_change *c,
    feed_change_cb *cb, void *arg)
{
	struct wait *w;

	obj_check(fc, FEED_CHANGES_MAGIC);
	if (fc->feed->redis == NULL) {
		change_alone(fc->feed, c, cb, arg);
		return;
	}
	w = wait_new(fc, c->value != NULL ? WAIT_PUT : WAIT_RM, c->key, cb, arg);
	if (w == NULL)
		return;
	if (c->value != NULL)
		sync_hash(c->key, *c->value, w->hash);
	if (feed_writer_put(fc->feed->writer, w->id, c) != RC_OK)
		wait_end(fc, w, RC_UNAVAILABLE, "Redis is down");
}

void
feed_change_accept(struct feed_changes *fc, feed_change_cb *cb, void *arg)
{
	struct wait *w;

	obj_check(fc, FEED_CHANGES_MAGIC);
	w = wait_new(fc, WAIT_ACCEPT, (struct span){ NULL, 0 }, cb, arg);
	if (w != NULL && feed_redis_accept(fc->feed->redis) != RC_OK)
		wait_end(fc, w, RC_UNAVAILABLE, "Redis is down");
}

/* ---- life -------------------------------------------------------------------------- */

struct feed_changes *
feed_changes_new(struct feed *f)
{
	struct feed_changes *fc = xcalloc(1, sizeof(*fc));

	fc->magic = FEED_CHANGES_MAGIC;
	fc->feed = f;
	TAILQ_INIT(&fc->waits);
	timer_init(&fc->deadline, f->loop, on_deadline, fc);
	return (fc);
}

void
feed_changes_free(struct feed_changes **fcp)
{
	struct feed_changes *fc = *fcp;
	struct wait *w;

	*fcp = NULL;
	if (fc == NULL)
		return;
	obj_check(fc, FEED_CHANGES_MAGIC);
	while ((w = TAILQ_FIRST(&fc->waits)) != NULL)
		wait_end(fc, w, RC_CANCELLED, "the feed ends");
	timer_fini(&fc->deadline);
	fc->magic = 0;
	free(fc);
}
