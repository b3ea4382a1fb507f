/*
 * worker/feed_client.c - see feed_client.h; the protocol is that of
 * shm/feed/manage.h.
 *
 * A change that could not be sent waits for a connection.  One that was sent
 * when the connection went is not sent again: it may have been carried out.
 */
#include "worker/feed_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"
#include "lib/ipc/channel.h"

#define CHANGES_MAX	64	/* the queue of a channel; people and scripts */
#define RETRY_MS	100	/* a feed that starts again is there in a moment */
#define API_KEY_MAX	1024	/* longer is no key */
#define ANSWER_NODES	8	/* an object with three members has 4 */

struct change {
	TAILQ_ENTRY(change)	link;
	uint64_t		id;
	uint64_t		deadline_ms;
	unsigned		at_deadline;	/* status */
	bool			sent;
	struct buffer		text;		/* owned; sensitive; empty once sent */
	int			fd;		/* owned: the record; -1: none, or
						   sent */
	feed_change_cb		*cb;
	void			*arg;		/* borrowed: cancels us when it goes */
};

struct feed_client {
	unsigned		magic;
#define FEED_CLIENT_MAGIC	0x7e44b0d1
	struct loop		*loop;		/* borrowed */
	char			*path;		/* owned */
	struct ipc_channel	*channel;	/* owned; NULL: not connected */
	TAILQ_HEAD(, change)	changes;	/* owned; the oldest first */
	unsigned		n_changes;
	uint64_t		last_id;
	bool			told;		/* that it cannot be reached */
	struct timer		retry;
	struct timer		deadline;
};

/* ---- changes -------------------------------------------------------------------- */

static void
deadline_arm(struct feed_client *fc)
{
	const struct change *c = TAILQ_FIRST(&fc->changes);
	uint64_t now = clock_mono_ms();

	if (c == NULL)
		timer_stop(&fc->deadline);
	else		/* all wait equally long: the first is the oldest */
		timer_start_ms(&fc->deadline,
		    c->deadline_ms > now ? c->deadline_ms - now : 0);
}

static void
change_free(struct feed_client *fc, struct change *c)
{
	TAILQ_REMOVE(&fc->changes, c, link);
	fc->n_changes--;
	buffer_fini(&c->text);
	fd_close(&c->fd);
	free(c);
	deadline_arm(fc);
}

static void
change_end(struct feed_client *fc, struct change *c, unsigned status,
    struct span reason)
{
	feed_change_cb *cb = c->cb;
	void *arg = c->arg;

	change_free(fc, c);
	cb(arg, status, reason);
}

static struct change *
change_find(struct feed_client *fc, uint64_t id)
{
	struct change *c;

	TAILQ_FOREACH(c, &fc->changes, link)
		if (c->id == id)
			return (c);
	return (NULL);
}

static void
on_deadline(void *arg)
{
	struct feed_client *fc = arg;
	uint64_t now = clock_mono_ms();
	struct change *c;

	while ((c = TAILQ_FIRST(&fc->changes)) != NULL && c->deadline_ms <= now)
		change_end(fc, c, c->at_deadline, c->at_deadline != 503 ?
		    SPAN_LIT("") : c->sent ?
		    SPAN_LIT("no answer in time: it may be carried out yet") :
		    SPAN_LIT("the feed cannot be reached"));
	deadline_arm(fc);
}

/* ---- the connection --------------------------------------------------------------- */

struct answer {
	uint64_t	id, status;
	struct buffer	reason;		/* owned */
};

static enum rc
answer_read(struct span text, struct answer *a)
{
	struct body_json doc = { .nodes = NULL };
	uint32_t id, status, reason;
	enum rc rc;

	rc = body_json_read(&doc, text.p, text.len, ANSWER_NODES, NULL);
	if (rc != RC_OK)
		return (rc);
	rc = RC_SYNTAX;
	if (doc.nodes[0].type == BODY_JSON_OBJECT &&
	    (id = body_json_member(&doc, 0, "id")) != 0 &&
	    (status = body_json_member(&doc, 0, "status")) != 0 &&
	    (reason = body_json_member(&doc, 0, "reason")) != 0 &&
	    doc.nodes[reason].type == BODY_JSON_STRING &&
	    string_u64(body_json_raw(&doc, id), &a->id) == RC_OK &&
	    string_u64(body_json_raw(&doc, status), &a->status) == RC_OK &&
	    a->status <= 599)
		rc = body_json_unescape(body_json_raw(&doc, reason), &a->reason);
	body_json_fini(&doc);
	return (rc);
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct feed_client *fc = arg;
	struct answer a = { .id = 0 };
	struct change *c = NULL;

	obj_check(fc, FEED_CLIENT_MAGIC);
	fd_close(&fd);
	buffer_init(&a.reason, 0, false);
	if (span_eq_str(verb, "changed") && answer_read(text, &a) == RC_OK)
		c = change_find(fc, a.id);
	if (c != NULL && c->sent)	/* else it was cancelled, or too late */
		change_end(fc, c, (unsigned)a.status, (struct span){
		    buffer_data(&a.reason), buffer_len(&a.reason) });
	buffer_fini(&a.reason);
}

/* A callback may begin or cancel others: begin anew after each. */
static void
end_sent(struct feed_client *fc)
{
	struct change *c;

	do {
		TAILQ_FOREACH(c, &fc->changes, link)
			if (c->sent)
				break;
		if (c != NULL)
			change_end(fc, c, 503, SPAN_LIT("the feed went away: it "
			    "may be carried out yet"));
	} while (c != NULL);
}

static void
on_eof(void *arg)
{
	struct feed_client *fc = arg;

	obj_check(fc, FEED_CLIENT_MAGIC);
	ipc_channel_free(&fc->channel);
	end_sent(fc);
	if (!TAILQ_EMPTY(&fc->changes))
		timer_start_ms(&fc->retry, RETRY_MS);
}

static const struct ipc_channel_ops channel_ops = {
	.on_message = on_message,
	.on_eof = on_eof,
};

/* A Unix socket connects at once, or not. */
static int
connect_now(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (-1);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
		fd_close(&fd);
	return (fd);
}

static bool
connected(struct feed_client *fc)
{
	int fd;

	if (fc->channel != NULL)
		return (true);
	if ((fd = connect_now(fc->path)) < 0) {
		if (!fc->told)
			log_warn("feed not reached errno=%d: the key API cannot "
			    "change records", errno);
		fc->told = true;
		return (false);
	}
	fc->told = false;
	fc->channel = ipc_channel_new(fc->loop, fd, &channel_ops, fc);
	return (true);
}

/* False: it waits for room, or for another connection. */
static bool
send_one(struct feed_client *fc, struct change *c)
{
	if (ipc_channel_send(fc->channel, "change", (struct span){
	    buffer_data(&c->text), buffer_len(&c->text) }, c->fd) != RC_OK)
		return (false);
	c->sent = true;
	buffer_fini(&c->text);		/* wiped */
	buffer_init(&c->text, 0, true);
	fd_close(&c->fd);
	return (true);
}

static void
send_all(struct feed_client *fc)
{
	struct change *c;

	TAILQ_FOREACH(c, &fc->changes, link) {
		if (c->sent || c->at_deadline != 503)
			continue;
		if (!connected(fc) || !send_one(fc, c)) {
			timer_start_ms(&fc->retry, RETRY_MS);
			return;
		}
	}
}

static void
on_retry(void *arg)
{
	send_all(arg);
}

/* ---- what is asked ------------------------------------------------------------------ */

static void
write_text(const struct feed_change *f, uint64_t id, struct buffer *out)
{
	char hex[2 * FEED_SHA256_BYTES + 1];
	struct body_json_writer w;

	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_u64(&w, "id", id);
	body_json_put_str(&w, "op", f->remove ? "delete" : "put");
	body_json_put_str(&w, "hash", f->hash);
	body_json_put_string(&w, "field", f->field);
	if (f->expect != NULL) {
		hex_encode(f->expect, FEED_SHA256_BYTES, hex);
		body_json_put_str(&w, "expect", hex);
	} else
		body_json_put_raw(&w, "expect", SPAN_LIT("null"));
	body_json_put_string(&w, "apiKey", f->api_key);
	body_json_close_object(&w);
}

uint64_t
feed_change(struct feed_client *fc, const struct feed_change *f,
    feed_change_cb *cb, void *arg)
{
	struct change *c;

	obj_check(fc, FEED_CLIENT_MAGIC);
	if (fc->n_changes == CHANGES_MAX)
		return (0);
	c = xcalloc(1, sizeof(*c));
	c->id = ++fc->last_id;
	c->at_deadline = 503;
	c->deadline_ms = clock_mono_ms() + FEED_CHANGE_MS;
	c->cb = cb;
	c->arg = arg;
	c->fd = -1;
	buffer_init(&c->text, 0, true);
	fc->n_changes++;
	if (f->api_key.len > API_KEY_MAX) {
		c->at_deadline = 401;
		c->deadline_ms = 0;	/* said from the loop */
		TAILQ_INSERT_HEAD(&fc->changes, c, link);
		deadline_arm(fc);
		return (c->id);
	}
	write_text(f, c->id, &c->text);
	if (!f->remove)			/* refused without one */
		c->fd = fd_memory("record", f->value.p, f->value.len);
	TAILQ_INSERT_TAIL(&fc->changes, c, link);
	deadline_arm(fc);
	send_all(fc);
	return (c->id);
}

void
feed_change_cancel(struct feed_client *fc, uint64_t id)
{
	struct change *c;

	obj_check(fc, FEED_CLIENT_MAGIC);
	if (id != 0 && (c = change_find(fc, id)) != NULL)
		change_free(fc, c);
}

/* ---- life ------------------------------------------------------------------------------ */

struct feed_client *
feed_client_new(struct loop *loop, const char *socket_path)
{
	struct feed_client *fc = xcalloc(1, sizeof(*fc));

	fc->magic = FEED_CLIENT_MAGIC;
	fc->loop = loop;
	fc->path = xstrdup(socket_path);
	TAILQ_INIT(&fc->changes);
	timer_init(&fc->retry, loop, on_retry, fc);
	timer_init(&fc->deadline, loop, on_deadline, fc);
	return (fc);
}

void
feed_client_free(struct feed_client **fcp)
{
	struct feed_client *fc = *fcp;
	struct change *c;

	*fcp = NULL;
	if (fc == NULL)
		return;
	obj_check(fc, FEED_CLIENT_MAGIC);
	ipc_channel_free(&fc->channel);
	while ((c = TAILQ_FIRST(&fc->changes)) != NULL)
		change_free(fc, c);
	timer_fini(&fc->retry);
	timer_fini(&fc->deadline);
	free(fc->path);
	fc->magic = 0;
	free(fc);
}
