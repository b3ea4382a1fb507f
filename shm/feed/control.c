/*
 * shm/feed/control.c - the feed's control socket.
 *
 * A change through it is answered once the map has it, so an answer may wait
 * for Redis: struct asked names its client by number, never by pointer: the
 * client may be gone by then.
 */
#include "shm/feed/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/egress_json.h"
#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/ipc/channel.h"
#include "shm/feed/apply.h"
#include "shm/feed/change.h"

#define CLIENTS_MAX	32	/* administrators, not traffic */
#define ANSWER_BYTES	1024

struct client {
	TAILQ_ENTRY(client)	link;
	struct feed_control	*control;	/* borrowed: owns us */
	struct ipc_channel	*channel;	/* owned */
	uint64_t		id;
};

/* Whom a change answers to. */
struct asked {
	struct feed_control	*control;	/* borrowed: ends after all changes */
	uint64_t		client;		/* its id */
};

struct feed_control {
	unsigned		magic;
#define FEED_CONTROL_MAGIC	0x0c7401fe
	struct feed		*feed;		/* borrowed: owns us */
	int			fd;		/* owned: listening */
	struct event		*ev;		/* owned */
	TAILQ_HEAD(, client)	clients;	/* owned */
	unsigned		n_clients;
	uint64_t		last_id;
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

/* ---- changes ---------------------------------------------------------------------------- */

static struct asked *
asked_by(struct client *c)
{
	struct asked *a = xcalloc(1, sizeof(*a));

	a->control = c->control;
	a->client = c->id;
	return (a);
}

/* The client that asked, or NULL; the asked ends. */
static struct client *
asked_end(struct asked *a)
{
	struct client *c = client_find(a->control, a->client);

	free(a);
	return (c);
}

static void
on_changed(void *arg, enum rc rc, const char *why)
{
	struct client *c = asked_end(arg);

	if (c == NULL)
		return;
	if (rc == RC_OK)
		answer_epoch(c);
	else
		answer_text(c, "failed", "%s", why);
}

static void
on_accepted(void *arg, enum rc rc, const char *why)
{
	struct client *c = asked_end(arg);

	if (c == NULL)
		return;
	if (rc == RC_OK)
		answer_text(c, "ok", "applied, %zu relays", sync_live_count(
		    c->control->feed->index, TABLE_RELAYS));
	else
		answer_text(c, "failed", "%s", why);
}

/* What a message says behind the verb: "<field>", or "<field> <SHA-256 of the
 * value that was seen, in hex>", or "<field> none". */
struct request {
	char	key[SHM_KEY_BYTES + 1];
	bool	compare;
	bool	had;			/* compare: a value was seen, */
	uint8_t	sha256[SYNC_HASH_BYTES];	/* with this hash */
};

static void
change(struct client *c, const struct request *q, const struct span *value)
{
	struct feed *f = c->control->feed;
	struct feed_change change = { .key = span_of(q->key), .value = value,
	    .compare = q->compare };
	struct buffer have;
	struct span seen;
	bool had = false;

	buffer_init(&have, 0, false);
	if (q->compare) {
		had = feed_have(f, change.key, &have) == RC_OK;
		seen.p = buffer_data(&have);
		seen.len = buffer_len(&have);
		change.have = had ? &seen : NULL;
	}
	if (q->compare && !feed_is_seen(had ? &have : NULL,
	    q->had ? q->sha256 : NULL))
		answer_text(c, "failed", "conflict");
	else
		feed_change(f->changes, &change, on_changed, asked_by(c));
	buffer_fini(&have);
}

/* ---- verbs --------------------------------------------------------------------------------- */

static bool
read_key(struct client *c, enum table t, struct span field,
    char key[SHM_KEY_BYTES + 1])
{
	char host[HOST_BYTES];

	(void)snprintf(key, SHM_KEY_BYTES + 1, "%s%.*s", table_form(t)->prefix,
	    field.len < HOST_BYTES ? (int)field.len : 0, field.p);
	switch (t) {
	case TABLE_RELAYS:
		if (span_copy(field, host, sizeof(host)) &&
		    host_is_canonical(host))
			return (true);
		answer_text(c, "failed", "not a host name in lower case, without "
		    "port and trailing dot");
		return (false);
	case TABLE_EGRESS:
		break;
	}
	if (egress_is_app(field))
		return (true);
	answer_text(c, "failed", "not an app id: app_ and 12 hex digits");
	return (false);
}

static bool
read_request(struct client *c, enum table t, struct span text,
    struct request *q)
{
	const char *sp = text.len == 0 ? NULL : memchr(text.p, ' ', text.len);
	struct span seen = { NULL, 0 };

	memset(q, 0, sizeof(*q));
	if (sp != NULL) {
		seen.p = sp + 1;
		seen.len = text.len - (size_t)(sp + 1 - text.p);
		text.len = (size_t)(sp - text.p);
		q->compare = true;
		q->had = !span_eq_str(seen, "none");
	}
	if (!read_key(c, t, text, q->key))
		return (false);
	if (!q->had || hex_decode(seen, q->sha256, sizeof(q->sha256)) == RC_OK)
		return (true);
	answer_text(c, "failed", "not a SHA-256 in hex, nor none");
	return (false);
}

static void
verb_put(struct client *c, enum table t, struct span text, int fd)
{
	struct request q;
	struct relay_fault fault;
	struct buffer doc;
	struct span value;
	enum rc rc;

	if (!read_request(c, t, text, &q))
		return;
	buffer_init(&doc, RELAY_JSON_BYTES_MAX + 1, false);
	if ((rc = feed_change_document(fd, &doc)) != RC_OK) {
		answer_text(c, "failed", rc == RC_LIMIT ?
		    "the document is longer than %u bytes" :
		    "no document came with it (limit %u bytes)",
		    RELAY_JSON_BYTES_MAX);
		goto out;
	}
	value.p = buffer_data(&doc);
	value.len = buffer_len(&doc);
	if (apply_check(span_of(q.key), value, &fault) != RC_OK)
		answer_fault(c, &fault);
	else
		change(c, &q, &value);
out:
	buffer_fini(&doc);
}

static void
verb_rm(struct client *c, enum table t, struct span text)
{
	const struct sync_entry *e;
	struct request q;

	if (!read_request(c, t, text, &q))
		return;
	e = sync_find(c->control->feed->index, span_of(q.key));
	/* A record that was refused is in Redis all the same. */
	if (e == NULL || (!e->live && !e->refused))
		answer_text(c, "failed", "not-found");
	else
		change(c, &q, NULL);
}

static void
verb_get(struct client *c, enum table t, struct span text)
{
	struct shm_map *map = c->control->feed->map;
	struct request q;
	struct shm_record r;
	uint64_t epoch;
	enum rc rc;

	if (!read_request(c, t, text, &q))
		return;
	if ((rc = shm_map_begin(map, &epoch)) != RC_OK) {
		answer_text(c, "failed", "%s", rc_name(rc));
		return;
	}
	rc = shm_map_get(map, q.key, &r);
	if (rc == RC_OK)
		answer_bytes(c, table_form(t)->record, r.payload);
	else
		answer_text(c, "failed", rc == RC_NOTFOUND ? "not-found" : "%s",
		    rc_name(rc));
	shm_map_end(map);
}

static bool
list_one(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct body_json_writer *w = arg;
	struct span name = span_of(key);

	if (rc != RC_OK)
		return (true);		/* status names it */
	body_json_open_object(w, NULL);
	body_json_put_string(w, table_form(table_of(name))->field,
	    table_field(name));
	body_json_put_u64(w, "revision", r->revision);
	body_json_put_u64(w, "bytes", r->payload.len);
	body_json_close_object(w);
	return (true);
}

static void
verb_list(struct client *c, enum table t)
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
		rc = shm_map_each(map, table_form(t)->prefix, list_one, &w);
		shm_map_end(map);
	}
	body_json_close_array(&w);
	if (rc == RC_OK)
		answer_bytes(c, table_form(t)->name, (struct span){ buffer_data(&json),
		    buffer_len(&json) });
	else
		answer_text(c, "failed", "%s", rc_name(rc));
	buffer_fini(&json);
}

static void
verb_accept(struct client *c)
{
	struct feed *f = c->control->feed;

	if (f->redis == NULL || f->pending_delete == 0)
		answer_text(c, "ok", "nothing is held back");
	else
		feed_change_accept(f->changes, on_accepted, asked_by(c));
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

/* "relay-put" and the like: which table, and what with it. */
static bool
record_verb(struct span verb, enum table *table, struct span *what)
{
	for (unsigned t = 0; t < TABLES; t++) {
		const char *record = table_form((enum table)t)->record;
		size_t len = strlen(record);

		if (verb.len <= len || verb.p[len] != '-' ||
		    memcmp(verb.p, record, len) != 0)
			continue;
		*table = (enum table)t;
		what->p = verb.p + len + 1;
		what->len = verb.len - len - 1;
		return (true);
	}
	return (false);
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct client *c = arg;
	struct span what = verb;
	enum table t;
	bool record = record_verb(verb, &t, &what);

	if (record && span_eq_str(what, "put"))
		verb_put(c, t, text, fd);
	else if (record && span_eq_str(what, "get"))
		verb_get(c, t, text);
	else if (record && span_eq_str(what, "list"))
		verb_list(c, t);
	else if (record && span_eq_str(what, "rm"))
		verb_rm(c, t, text);
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

	*fcp = NULL;
	if (fc == NULL)
		return;
	obj_check(fc, FEED_CONTROL_MAGIC);
	while ((c = TAILQ_FIRST(&fc->clients)) != NULL)
		client_free(c);
	event_free(fc->ev);
	fd_close(&fc->fd);
	fc->magic = 0;
	free(fc);
}
