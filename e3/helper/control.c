/*
 * helper/control.c - clients of the control socket.  A change knows its client
 * by id: who hung up meanwhile gets no answer, the change goes on.
 */
#include "e3/helper/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e3/helper/store_change.h"
#include "lib/base/fd.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/ipc/channel.h"

#define CLIENTS_MAX	32	/* operators and scripts of one machine */
#define ACCEPTS_PER_WAKE 8

struct client {
	unsigned		magic;
#define CONTROL_CLIENT_MAGIC	0x41f0d92b
	TAILQ_ENTRY(client)	link;
	struct control		*control;	/* borrowed: owns us */
	struct ipc_channel	*channel;	/* owned */
	uint64_t		id;
	struct ucred		peer;
};

struct control {
	unsigned		magic;
#define CONTROL_MAGIC		0x7ad91c53
	struct loop		*loop;		/* borrowed: main's */
	struct control_config	config;
	struct event		*ev_accept;	/* owned; NULL: none */
	uint64_t		last_id;
	unsigned		n_clients;
	TAILQ_HEAD(, client)	clients;
	struct store_changes	changes;
};

static void
client_free(struct client *cl)
{
	TAILQ_REMOVE(&cl->control->clients, cl, link);
	cl->control->n_clients--;
	ipc_channel_free(&cl->channel);
	cl->magic = 0;
	free(cl);
}

/* cl may be gone after. */
static void
answer(struct client *cl, const char *verb, struct span text)
{
	if (ipc_channel_send(cl->channel, verb, text, -1) != RC_OK)
		client_free(cl);
}

static void
fail(struct client *cl, const char *why)
{
	answer(cl, "failed", span_of(why));
}

/* ---- store-record -------------------------------------------------------------- */

static void
on_change_done(void *arg, uint64_t who, enum rc rc, const char *why)
{
	struct control *c = arg;
	struct client *cl;

	obj_check(c, CONTROL_MAGIC);
	TAILQ_FOREACH(cl, &c->clients, link)
		if (cl->id == who)
			break;
	if (cl == NULL)
		return;
	if (rc == RC_OK)
		answer(cl, "ok", SPAN_LIT(""));
	else if (rc == RC_CONFLICT)
		answer(cl, "conflict", span_of(why));
	else if (rc == RC_MORE)
		answer(cl, "partly", span_of(why));
	else
		fail(cl, why);
}

/* "APPID VERSION" */
static enum rc
parse_store(struct span text, char app[RPC_APP_ID_BYTES], uint64_t *version)
{
	const char *space = text.len == 0 ? NULL :
	    memchr(text.p, ' ', text.len);
	struct span id, number;

	if (space == NULL)
		return (RC_SYNTAX);
	id = (struct span){ text.p, (size_t)(space - text.p) };
	number = (struct span){ space + 1, text.len - id.len - 1 };
	if (!rpc_app_id_valid(id) || !span_copy(id, app, RPC_APP_ID_BYTES))
		return (RC_SYNTAX);
	return (string_u64(number, version));
}

/* The record out of what came with the message.  Only a regular file or memfd
 * is read: a pipe could make us wait. */
static enum rc
read_record(int fd, struct buffer *record)
{
	struct stat st;
	char *room;
	size_t size;
	ssize_t n;
	enum rc rc;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return (RC_SYNTAX);
	if (st.st_size <= 0 || st.st_size > RPC_RECORD_BYTES_MAX)
		return (RC_LIMIT);
	size = (size_t)st.st_size;
	if ((rc = buffer_reserve(record, size, &room)) != RC_OK)
		return (rc);
	do {
		n = pread(fd, room, size, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 || (size_t)n != size)
		return (RC_IO);
	buffer_commit(record, size);
	return (RC_OK);
}

static void
on_store(struct client *cl, struct span text, int fd)
{
	char app[RPC_APP_ID_BYTES];
	struct buffer record;
	uint64_t version;
	enum rc rc;

	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	if (parse_store(text, app, &version) != RC_OK) {
		fail(cl, "usage: store-record APPID VERSION, with a memfd");
		goto out;
	}
	log_info("control store-record app=%s version=%llu pid=%ld uid=%ld",
	    app, (unsigned long long)version, (long)cl->peer.pid,
	    (long)cl->peer.uid);
	if (read_record(fd, &record) != RC_OK) {
		fail(cl, "no record came with the message");
		goto out;
	}
	rc = store_change_begin(&cl->control->changes, cl->id, app, version,
	    &record);
	if (rc != RC_OK)		/* else cl may be gone */
		fail(cl, rc == RC_LIMIT ? "too many changes wait" :
		    "not a record of this app and version");
out:
	buffer_fini(&record);
}

/* ---- clients --------------------------------------------------------------------- */

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct client *cl = arg;
	struct buffer json;

	obj_check(cl, CONTROL_CLIENT_MAGIC);
	if (span_eq_str(verb, "store-record")) {
		on_store(cl, text, fd);
	} else if (span_eq_str(verb, "status")) {
		buffer_init(&json, IPC_MESSAGE_BYTES, false);
		control_status(cl->control, &json);
		answer(cl, "status", (struct span){ buffer_data(&json),
		    buffer_len(&json) });
		buffer_fini(&json);
	} else
		fail(cl, "unknown verb");
	fd_close(&fd);
}

static void
on_eof(void *arg)
{
	struct client *cl = arg;

	obj_check(cl, CONTROL_CLIENT_MAGIC);
	client_free(cl);
}

static const struct ipc_channel_ops channel_ops = {
	.on_message = on_message,
	.on_eof = on_eof,
};

static void
client_new(struct control *c, int fd)
{
	struct client *cl = xcalloc(1, sizeof(*cl));
	socklen_t len = sizeof(cl->peer);

	cl->magic = CONTROL_CLIENT_MAGIC;
	cl->control = c;
	cl->id = ++c->last_id;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cl->peer, &len) < 0)
		cl->peer = (struct ucred){ .pid = -1, .uid = (uid_t)-1,
		    .gid = (gid_t)-1 };
	cl->channel = ipc_channel_new(c->loop, fd, &channel_ops, cl);
	TAILQ_INSERT_TAIL(&c->clients, cl, link);
	c->n_clients++;
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct control *c = arg;
	int fd;

	(void)what;
	obj_check(c, CONTROL_MAGIC);
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (c->n_clients == CLIENTS_MAX) {
			log_warn("control client refused why=too-many");
			close(fd);
			continue;
		}
		client_new(c, fd);
	}
}

/* ---- life -------------------------------------------------------------------------- */

struct control *
control_new(struct loop *loop, const struct control_config *config)
{
	struct control *c = xcalloc(1, sizeof(*c));

	c->magic = CONTROL_MAGIC;
	c->loop = loop;
	c->config = *config;
	TAILQ_INIT(&c->clients);
	c->changes = (struct store_changes){
		.loop = loop,
		.store = config->store,
		.engine = config->engine,
		.replica = config->replica,
		.turn = config->turn,
		.require_replica = config->require_replica,
		.on_done = on_change_done,
		.arg = c,
	};
	store_changes_init(&c->changes);
	if (config->fd < 0)
		return (c);
	if (fd_nonblock(config->fd) != RC_OK)
		fatal(1, "control socket: cannot make it non-blocking");
	c->ev_accept = event_new(loop_base(loop), config->fd,
	    EV_READ | EV_PERSIST, on_accept, c);
	ensure(c->ev_accept != NULL);
	ensure(event_add(c->ev_accept, NULL) == 0);
	return (c);
}

void
control_free(struct control **cp)
{
	struct control *c = *cp;
	struct client *cl;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, CONTROL_MAGIC);
	store_changes_fini(&c->changes);
	while ((cl = TAILQ_FIRST(&c->clients)) != NULL)
		client_free(cl);
	control_drain(c);
	c->magic = 0;
	free(c);
}

void
control_kick(struct control *c)
{
	obj_check(c, CONTROL_MAGIC);
	store_changes_kick(&c->changes);
}

void
control_drain(struct control *c)
{
	obj_check(c, CONTROL_MAGIC);
	if (c->ev_accept != NULL)
		event_free(c->ev_accept);
	c->ev_accept = NULL;
	fd_close(&c->config.fd);
}

bool
control_is_idle(const struct control *c)
{
	obj_check(c, CONTROL_MAGIC);
	return (c->changes.n == 0);
}

/* ---- status -------------------------------------------------------------------------- */

struct counts {
	uint64_t	damaged;
	uint64_t	refused;
	uint64_t	forked;
};

static struct counts
count(const struct control *c)
{
	struct counts n = { 0, 0, 0 };

	for (size_t i = 0; i < record_store_count(c->config.store); i++) {
		const struct record_entry *e =
		    record_store_at(c->config.store, i);

		n.damaged += e->damaged ? 1 : 0;
		n.refused += e->refused ? 1 : 0;
		n.forked += e->forked ? 1 : 0;
	}
	return (n);
}

void
control_status(const struct control *c, struct buffer *out)
{
	const struct control_config *f = &c->config;
	struct counts n = count(c);
	size_t pending = f->replica == NULL ? 0 : replica_pending(f->replica);
	struct body_json_writer w;

	obj_check(c, CONTROL_MAGIC);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_bool(&w, "ready",
	    engine_state(f->engine) == ENGINE_READY);
	body_json_put_str(&w, "engine",
	    engine_is_up(f->engine) ? "up" : "down");
	body_json_put_str(&w, "engine_state",
	    engine_state_name(engine_state(f->engine)));
	body_json_put_str(&w, "redis", f->replica == NULL ? "unset" :
	    replica_is_up(f->replica) ? "up" : "down");
	body_json_put_u64(&w, "records", record_store_count(f->store));
	body_json_put_u64(&w, "damaged", n.damaged);
	body_json_put_u64(&w, "refused", n.refused);
	body_json_put_u64(&w, "forked", n.forked);
	body_json_put_bool(&w, "replicated",
	    f->replica != NULL && pending == 0);
	body_json_put_u64(&w, "pending_replication", pending);
	body_json_put_raw(&w, "statistics", engine_statistics(f->engine));
	body_json_close_object(&w);
}
