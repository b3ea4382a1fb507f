/*
 * shm/feed/check.c - the map against what the index says is in it.
 *
 * The child has the index as it was when it was forked.  If it sees the
 * transaction that the index belongs to, each record must be in both; with a
 * newer one only checksums count, and the next walk sees the rest.  What it
 * does not like it names, key by key, each with a NUL behind it.
 */
#include "shm/feed/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "shm/feed/walk.h"

#define REST_MS		200	/* between walks, at least, */
#define REST_TIMES	9	/* and so many times what the last one took */

struct feed_check {
	unsigned	magic;
#define FEED_CHECK_MAGIC	0x51c8e2d7
	struct feed	*feed;		/* borrowed: owns us */
	char		*folder;	/* owned */
	uint64_t	interval_ms;
	struct walk	walk;		/* pid 0: none runs */
	struct event	*ev;		/* owned: its output; NULL: none runs */
	bool		wanted;		/* once more, soon */
	uint64_t	walks;		/* that ended */
	uint64_t	t_begin_ms, t_rested_ms;
	struct timer	timer;		/* the next walk */
	size_t		n;		/* bytes of key */
	char		key[SHM_KEY_BYTES + 1];
};

/* ---- in the child ----------------------------------------------------------------- */

struct survey {
	struct feed	*feed;
	struct shm_map	*map;
	int		out;
	bool		same;		/* index and map are of one moment */
	size_t		live;		/* records that are in both */
};

static bool
name_key(const struct survey *s, const char *key)
{
	return (fd_write_all(s->out, key, strlen(key) + 1) == RC_OK);
}

static bool
on_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct survey *s = arg;
	const struct table_form *t = table_form(table_of(span_of(key)));
	const struct sync_entry *e;
	bool good = rc == RC_OK;

	if (strncmp(key, t->prefix, strlen(t->prefix)) == 0) {
		e = sync_find(s->feed->index, span_of(key));
		if (e != NULL && e->live)
			s->live++;
		else if (s->same)
			good = false;
		good = good && r->kind == t->kind;
	} else if (strncmp(key, SHM_ENGINES, sizeof(SHM_ENGINES) - 1) == 0) {
		good = good && r->kind == SHM_KIND_ENGINE;
	}
	return (good || name_key(s, key));
}

/* In the index and not in the map. */
static bool
name_missing(void *arg, const struct sync_entry *e)
{
	struct survey *s = arg;
	char key[SHM_KEY_BYTES + 1];
	struct shm_record r;

	if (!e->live || !table_map_key((struct span){ e->key, e->len }, key) ||
	    shm_map_get(s->map, key, &r) != RC_NOTFOUND)
		return (true);
	return (name_key(s, key));
}

static enum rc
survey_records(struct survey *s)
{
	uint64_t epoch;
	enum rc rc;

	if ((rc = shm_map_begin(s->map, &epoch)) != RC_OK)
		return (rc);
	s->same = epoch == s->feed->epoch;
	rc = shm_map_verify(s->map, on_record, s);
	if (rc == RC_OK && s->same &&
	    s->live < sync_live_all(s->feed->index))
		sync_each(s->feed->index, name_missing, s);
	shm_map_end(s->map);
	return (rc);
}

static enum rc
survey_main(void *arg, int out)
{
	struct feed_check *c = arg;
	struct survey s = { .feed = c->feed, .out = out };
	enum rc rc;

	rc = shm_map_open(c->folder, SHM_READER, &s.map);
	if (rc != RC_OK)	/* emptied, or gone: nobody else may do that */
		return (rc == RC_NOTFOUND ? RC_CORRUPT : rc);
	rc = survey_records(&s);
	shm_map_close(&s.map);
	return (rc);
}

/* ---- here ---------------------------------------------------------------------------- */

static void
arm(struct feed_check *c)
{
	uint64_t now = clock_mono_ms();

	timer_start_ms(&c->timer, !c->wanted ? c->interval_ms :
	    c->t_rested_ms > now ? c->t_rested_ms - now : 0);
}

static void
finish(struct feed_check *c)
{
	uint64_t took_ms;
	enum rc rc;

	event_free(c->ev);
	c->ev = NULL;
	c->walks++;
	rc = walk_end(&c->walk);
	took_ms = clock_mono_ms() - c->t_begin_ms;
	c->t_rested_ms = c->t_begin_ms + took_ms +
	    (took_ms * REST_TIMES > REST_MS ? took_ms * REST_TIMES : REST_MS);
	log_debug("map walked rc=%s took_ms=%llu", rc_name(rc),
	    (unsigned long long)took_ms);
	if (rc == RC_CORRUPT) {
		log_error("map damaged: starting again to replace it");
		c->feed->broken = true;
		loop_stop(c->feed->loop);
		return;
	}
	if (rc != RC_OK)
		log_warn("map not checked rc=%s", rc_name(rc));
	arm(c);
}

/* A child that lies about keys is our own bug: too long a one ends its say. */
static void
take_keys(struct feed_check *c, const char *p, size_t len)
{
	for (; len > 0; p++, len--) {
		ensure(c->n < sizeof(c->key));
		c->key[c->n++] = *p;
		if (*p != '\0')
			continue;
		c->n = 0;
		feed_damaged(c->feed, c->key);
	}
}

static void
on_output(evutil_socket_t fd, short what, void *arg)
{
	struct feed_check *c = arg;
	char buf[4096];
	ssize_t n;

	(void)what;
	n = read(fd, buf, sizeof(buf));
	if (n > 0)
		take_keys(c, buf, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		finish(c);
}

static void
on_timer(void *arg)
{
	struct feed_check *c = arg;

	c->wanted = false;
	c->n = 0;
	c->t_begin_ms = clock_mono_ms();
	if (walk_begin(&c->walk, survey_main, c) != RC_OK) {
		log_warn("map not checked errno=%d", errno);
		arm(c);
		return;
	}
	ensure(fd_nonblock(c->walk.fd) == RC_OK);
	c->ev = event_new(loop_base(c->feed->loop), c->walk.fd,
	    EV_READ | EV_PERSIST, on_output, c);
	ensure(c->ev != NULL && event_add(c->ev, NULL) == 0);
}

void
feed_check_want(struct feed_check *c)
{
	obj_check(c, FEED_CHECK_MAGIC);
	if (c->wanted)
		return;
	c->wanted = true;
	if (c->ev == NULL)	/* else finish begins it: this one may have
				   passed where the damage is */
		arm(c);
}

uint64_t
feed_check_count(const struct feed_check *c)
{
	obj_check(c, FEED_CHECK_MAGIC);
	return (c->walks);
}

struct feed_check *
feed_check_new(struct feed *f, const char *folder, unsigned interval_s)
{
	struct feed_check *c = xcalloc(1, sizeof(*c));

	c->magic = FEED_CHECK_MAGIC;
	c->feed = f;
	c->folder = xstrdup(folder);
	c->interval_ms = (uint64_t)interval_s * 1000;
	c->walk.fd = -1;
	timer_init(&c->timer, f->loop, on_timer, c);
	arm(c);
	return (c);
}

/* A child that still walks ends by itself; who collects it is init. */
void
feed_check_free(struct feed_check **cp)
{
	struct feed_check *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, FEED_CHECK_MAGIC);
	if (c->ev != NULL)
		event_free(c->ev);
	fd_close(&c->walk.fd);
	timer_fini(&c->timer);
	free(c->folder);
	c->magic = 0;
	free(c);
}
