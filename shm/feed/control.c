/*
 * shm/feed/control.c - the feed's control socket.
 *
 * A change through it is answered once the map has it, so an answer may wait
 * for Redis: struct wait.  A wait names its client by number, never by pointer:
 * the client may be gone by then.
 */
#include "shm/feed/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/body/json_write.h"
#include "lib/ipc/channel.h"
#include "shm/feed/apply.h"
#include "shm/feed/redis.h"
#include "shm/feed/writer.h"

#define CLIENTS_MAX	32	/* administrators, not traffic */
#define WAITS_MAX	256
#define WAIT_MS		5000
#define ANSWER_BYTES	1024

struct client {
	TAILQ_ENTRY(client)	link;
	struct feed_control	*control;	/* borrowed: owns us */
	struct ipc_channel	*channel;	/* owned */
	uint64_t		id;
};

enum wait_kind { WAIT_PUT, WAIT_RM, WAIT_ACCEPT };

struct wait {
	TAILQ_ENTRY(wait)	link;
	uint64_t		id;
	uint64_t		client;		/* its id */
	enum wait_kind		kind;
	bool			written;	/* Redis has it */
	uint64_t		deadline_ms;
	uint8_t			hash[SYNC_HASH_BYTES];	/* WAIT_PUT */
	char			host[HOST_BYTES];
};

struct feed_control {
	unsigned		magic;
#define FEED_CONTROL_MAGIC	0x0c7401fe
	struct feed		*feed;		/* borrowed: owns us */
	int			fd;		/* owned: listening */
	struct event		*ev;		/* owned */
	TAILQ_HEAD(, client)	clients;	/* owned */
	unsigned		n_clients;
	TAILQ_HEAD(, wait)	waits;		/* owned */
	unsigned		n_waits;
	uint64_t		last_id;
	struct timer		deadline;
	struct log_rate		accept_rate;
};

/* ---- answers ------------------------------------------------------------------------ */

static struct client *
client_find(struct feed_control *fc, uint64_t id)
{
	struct client *c;

	TAILQ_FOREACH(c, &fc->clients, link)
		if (c->id == id)
			return (c);
	return (NULL);
}

/* A client that does not read its answers loses them. */
static void
answer(struct client *c, const char *verb, struct span text, int fd)
{
	if (ipc_channel_send(c->channel, verb, text, fd) != RC_OK)
		log_info("control answer lost client=%llu",
		    (unsigned long long)c->id);
}

static void answer_text(struct client *, const char *verb, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

static void
answer_text(struct client *c, const char *verb, const char *fmt, ...)
{
	char text[ANSWER_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	answer(c, verb, span_of(text), -1);
}

static void
answer_epoch(struct client *c)
{
	answer_text(c, "ok", "%llu",
	    (unsigned long long)c->control->feed->epoch);
}

static void
answer_fault(struct client *c, const struct relay_fault *fault)
{
	if (fault->path[0] != '\0')
		answer_text(c, "failed", "%s: %s", fault->path, fault->reason);
	else
		answer_text(c, "failed", "%s", fault->reason);
}

/* `ok` with the bytes in a memfd: they may be longer than a message. */
static void
answer_bytes(struct client *c, const char *name, struct span bytes)
{
	int fd = fd_memory(name, bytes.p, bytes.len);

	if (fd < 0) {
		answer_text(c, "failed", "no memory");
		return;
	}
	answer(c, "ok", SPAN_LIT(""), fd);
	fd_close(&fd);
}

/* ---- waiting --------------------------------------------------------------------------- */

static void
deadline_arm(struct feed_control *fc)
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
wait_new(struct client *c, enum wait_kind kind, const char *host)
{
	struct feed_control *fc = c->control;
	struct wait *w;

	if (fc->n_waits == WAITS_MAX)
		return (NULL);
	w = xcalloc(1, sizeof(*w));
	w->id = ++fc->last_id;
	w->client = c->id;
	w->kind = kind;
	w->deadline_ms = clock_mono_ms() + WAIT_MS;
	(void)snprintf(w->host, sizeof(w->host), "%s", host);
	TAILQ_INSERT_TAIL(&fc->waits, w, link);
	fc->n_waits++;
	deadline_arm(fc);
	return (w);
}

static void
wait_free(struct feed_control *fc, struct wait *w)
{
	TAILQ_REMOVE(&fc->waits, w, link);
	fc->n_waits--;
	free(w);
	deadline_arm(fc);
}

static void
wait_failed(struct feed_control *fc, struct wait *w, const char *text)
{
	struct client *c = client_find(fc, w->client);

	if (c != NULL)
		answer_text(c, "failed", "%s", text);
	wait_free(fc, w);
}

static void
wait_ok(struct feed_control *fc, struct wait *w)
{
	struct client *c = client_find(fc, w->client);

	if (c != NULL)
		answer_epoch(c);
	wait_free(fc, w);
}

static void
on_deadline(void *arg)
{
	struct feed_control *fc = arg;
	uint64_t now = clock_mono_ms();
	struct wait *w;

	while ((w = TAILQ_FIRST(&fc->waits)) != NULL && w->deadline_ms <= now)
		wait_failed(fc, w, w->kind == WAIT_ACCEPT ?
		    "the full read did not end in 5 s: see status" :
		    w->written ? "written to Redis, but not live after 5 s" :
		    "no answer from Redis after 5 s");
	deadline_arm(fc);
}

/* Is the change that w waits for in the map? */
static bool
wait_is_live(const struct wait *w, const struct sync_entry *e)
{
	if (w->kind == WAIT_RM)
		return (e == NULL || !e->live);
	return (w->kind == WAIT_PUT && e != NULL && e->live && !e->damaged &&
	    memcmp(e->hash, w->hash, sizeof(w->hash)) == 0);
}

void
feed_control_wake(struct feed_control *fc)
{
	struct wait *w, *next;

	obj_check(fc, FEED_CONTROL_MAGIC);
	TAILQ_FOREACH_SAFE(w, &fc->waits, link, next)
		if (w->written && wait_is_live(w,
		    sync_find(fc->feed->index, span_of(w->host))))
			wait_ok(fc, w);
}

void
feed_control_written(struct feed_control *fc, uint64_t id, enum rc rc,
    const char *code)
{
	struct wait *w;
	char text[64];

	obj_check(fc, FEED_CONTROL_MAGIC);
	TAILQ_FOREACH(w, &fc->waits, link)
		if (w->id == id)
			break;
	if (w == NULL)
		return;			/* its deadline has passed */
	if (rc != RC_OK) {
		(void)snprintf(text, sizeof(text), "Redis: %s",
		    code[0] != '\0' ? code : rc_name(rc));
		wait_failed(fc, w, text);
		return;
	}
	w->written = true;
	feed_control_wake(fc);
}

void
feed_control_read_done(struct feed_control *fc, bool applied)
{
	struct wait *w, *next;
	struct client *c;

	obj_check(fc, FEED_CONTROL_MAGIC);
	TAILQ_FOREACH_SAFE(w, &fc->waits, link, next) {
		if (w->kind != WAIT_ACCEPT)
			continue;
		c = client_find(fc, w->client);
		if (c != NULL && applied)
			answer_text(c, "ok", "applied, %zu relays",
			    sync_live_count(fc->feed->index));
		else if (c != NULL)
			answer_text(c, "failed",
			    "the full read was not applied: see the log");
		wait_free(fc, w);
	}
}

/* ---- verbs --------------------------------------------------------------------------------- */

static bool
host_word(struct client *c, struct span text, char host[HOST_BYTES])
{
	if (span_copy(text, host, HOST_BYTES) && host_is_canonical(host))
		return (true);
	answer_text(c, "failed", "not a host name in lower case, without port "
	    "and trailing dot");
	return (false);
}

/* The document of relay-put.  Only a memfd: reading one cannot block. */
static enum rc
read_document(int fd, struct buffer *out)
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

/* Without Redis the map is written at once. */
static void
change_alone(struct client *c, const char *host, const struct span *value)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct feed *f = c->control->feed;
	enum rc rc;

	(void)feed_note(f, &list, span_of(host), value);
	rc = feed_apply(f, &list);
	if (rc == RC_OK)
		answer_epoch(c);
	else
		answer_text(c, "failed", "map not written: %s",
		    rc == RC_LIMIT ? shm_map_why(f->map) : rc_name(rc));
}

static void
change(struct client *c, enum wait_kind kind, const char *host,
    const struct span *value)
{
	struct feed_control *fc = c->control;
	struct wait *w;

	if (fc->feed->redis == NULL) {
		change_alone(c, host, value);
		return;
	}
	if ((w = wait_new(c, kind, host)) == NULL) {
		answer_text(c, "failed", "too many changes are waiting");
		return;
	}
	if (value != NULL)
		sync_hash(span_of(host), *value, w->hash);
	if (feed_writer_put(fc->feed->writer, w->id, span_of(host), value) !=
	    RC_OK)
		wait_failed(fc, w, "Redis is down");
}

static void
verb_put(struct client *c, struct span text, int fd)
{
	char host[HOST_BYTES];
	struct relay_fault fault;
	struct buffer doc;
	struct span value;
	enum rc rc;

	if (!host_word(c, text, host))
		return;
	buffer_init(&doc, RELAY_JSON_BYTES_MAX + 1, false);
	if ((rc = read_document(fd, &doc)) != RC_OK) {
		answer_text(c, "failed", rc == RC_LIMIT ?
		    "the document is longer than %u bytes" :
		    "no document came with it (limit %u bytes)",
		    RELAY_JSON_BYTES_MAX);
		goto out;
	}
	value.p = buffer_data(&doc);
	value.len = buffer_len(&doc);
	if (apply_check(span_of(host), value, &fault) != RC_OK)
		answer_fault(c, &fault);
	else
		change(c, WAIT_PUT, host, &value);
out:
	buffer_fini(&doc);
}

static void
verb_rm(struct client *c, struct span text)
{
	const struct sync_entry *e;
	char host[HOST_BYTES];

	if (!host_word(c, text, host))
		return;
	e = sync_find(c->control->feed->index, span_of(host));
	/* A record that was refused is in Redis all the same. */
	if (e == NULL || (!e->live && !e->refused))
		answer_text(c, "failed", "not-found");
	else
		change(c, WAIT_RM, host, NULL);
}

static void
verb_get(struct client *c, struct span text)
{
	struct shm_map *map = c->control->feed->map;
	char host[HOST_BYTES], key[SHM_KEY_BYTES];
	struct shm_record r;
	uint64_t epoch;
	enum rc rc;

	if (!host_word(c, text, host))
		return;
	(void)snprintf(key, sizeof(key), "relays/%s", host);
	if ((rc = shm_map_begin(map, &epoch)) != RC_OK) {
		answer_text(c, "failed", "%s", rc_name(rc));
		return;
	}
	rc = shm_map_get(map, key, &r);
	if (rc == RC_OK)
		answer_bytes(c, "relay", r.payload);
	else
		answer_text(c, "failed", rc == RC_NOTFOUND ? "not-found" : "%s",
		    rc_name(rc));
	shm_map_end(map);
}

static bool
list_one(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct body_json_writer *w = arg;

	if (rc != RC_OK)
		return (true);		/* status names it */
	body_json_open_object(w, NULL);
	body_json_put_str(w, "host", key + sizeof("relays/") - 1);
	body_json_put_u64(w, "revision", r->revision);
	body_json_put_u64(w, "bytes", r->payload.len);
	body_json_close_object(w);
	return (true);
}

static void
verb_list(struct client *c)
{
	struct shm_map *map = c->control->feed->map;
	struct body_json_writer w;
	struct buffer json;
	uint64_t epoch;
	enum rc rc;

	buffer_init(&json, 0, false);
	body_json_writer_init(&w, &json);
	body_json_open_array(&w, NULL);
	if ((rc = shm_map_begin(map, &epoch)) == RC_OK) {
		rc = shm_map_each(map, "relays/", list_one, &w);
		shm_map_end(map);
	}
	body_json_close_array(&w);
	if (rc == RC_OK)
		answer_bytes(c, "relays", (struct span){ buffer_data(&json),
		    buffer_len(&json) });
	else
		answer_text(c, "failed", "%s", rc_name(rc));
	buffer_fini(&json);
}

static void
verb_accept(struct client *c)
{
	struct feed *f = c->control->feed;
	struct wait *w;

	if (f->redis == NULL || f->pending_delete == 0) {
		answer_text(c, "ok", "nothing is held back");
		return;
	}
	if ((w = wait_new(c, WAIT_ACCEPT, "")) == NULL)
		answer_text(c, "failed", "too many changes are waiting");
	else if (feed_redis_accept(f->redis) != RC_OK)
		wait_failed(c->control, w, "Redis is down");
}

static void
verb_status(struct client *c)
{
	struct buffer json;

	buffer_init(&json, 0, false);
	feed_status(c->control->feed, &json);
	answer(c, "status", (struct span){ buffer_data(&json),
	    buffer_len(&json) }, -1);
	buffer_fini(&json);
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct client *c = arg;

	if (span_eq_str(verb, "relay-put"))
		verb_put(c, text, fd);
	else if (span_eq_str(verb, "relay-get"))
		verb_get(c, text);
	else if (span_eq_str(verb, "relay-list"))
		verb_list(c);
	else if (span_eq_str(verb, "relay-rm"))
		verb_rm(c, text);
	else if (span_eq_str(verb, "sync-accept"))
		verb_accept(c);
	else if (span_eq_str(verb, "status"))
		verb_status(c);
	else
		answer_text(c, "failed", "unknown verb");
	fd_close(&fd);
}

/* ---- clients ---------------------------------------------------------------------------------- */

static void
client_free(struct client *c)
{
	TAILQ_REMOVE(&c->control->clients, c, link);
	c->control->n_clients--;
	ipc_channel_free(&c->channel);
	free(c);
}

static void
on_eof(void *arg)
{
	client_free(arg);
}

static const struct ipc_channel_ops client_ops = {
	.on_message = on_message,
	.on_eof = on_eof,
};

static void
client_new(struct feed_control *fc, int fd)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct client *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
	    fc->n_clients == CLIENTS_MAX) {
		log_warn("control connection refused clients=%u",
		    fc->n_clients);
		(void)close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->control = fc;
	c->id = ++fc->last_id;
	c->channel = ipc_channel_new(fc->feed->loop, fd, &client_ops, c);
	TAILQ_INSERT_TAIL(&fc->clients, c, link);
	fc->n_clients++;
	log_info("control connection client=%llu pid=%ld uid=%ld",
	    (unsigned long long)c->id, (long)peer.pid, (long)peer.uid);
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct feed_control *fc = arg;
	unsigned suppressed;
	int fd;

	(void)what;
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		client_new(fc, fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED &&
	    log_rate_ok(&fc->accept_rate, 1, &suppressed))
		log_warn("control accept failed errno=%d suppressed=%u", errno,
		    suppressed);
}

struct feed_control *
feed_control_new(struct feed *f, int fd)
{
	struct feed_control *fc = xcalloc(1, sizeof(*fc));

	fc->magic = FEED_CONTROL_MAGIC;
	fc->feed = f;
	fc->fd = fd;
	TAILQ_INIT(&fc->clients);
	TAILQ_INIT(&fc->waits);
	timer_init(&fc->deadline, f->loop, on_deadline, fc);
	ensure(fd_nonblock(fd) == RC_OK);
	fc->ev = event_new(loop_base(f->loop), fd, EV_READ | EV_PERSIST,
	    on_accept, fc);
	ensure(fc->ev != NULL && event_add(fc->ev, NULL) == 0);
	return (fc);
}

void
feed_control_free(struct feed_control **fcp)
{
	struct feed_control *fc = *fcp;
	struct client *c;
	struct wait *w;

	*fcp = NULL;
	if (fc == NULL)
		return;
	obj_check(fc, FEED_CONTROL_MAGIC);
	while ((w = TAILQ_FIRST(&fc->waits)) != NULL)
		wait_free(fc, w);
	while ((c = TAILQ_FIRST(&fc->clients)) != NULL)
		client_free(c);
	event_free(fc->ev);
	timer_fini(&fc->deadline);
	fd_close(&fc->fd);
	fc->magic = 0;
	free(fc);
}
