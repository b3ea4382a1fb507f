/*
 * helper/control.c - the verbs of the control socket.  What is under way knows
 * its client by number: who hung up meanwhile gets no answer, the change goes
 * on.
 */
#include "e3/helper/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e3/helper/confirm.h"
#include "e3/helper/reseal.h"
#include "e3/helper/statistics_file.h"
#include "e3/helper/store_change.h"
#include "lib/base/fd.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/server.h"

#define CLIENTS_MAX	32	/* operators and scripts of one machine */
#define DRAINS_MAX	8	/* who wait for SetDraining at once */
#define WORDS_MAX	3	/* of a verb's text */

struct control {
	unsigned		magic;
#define CONTROL_MAGIC		0x7ad91c53
	struct control_config	config;
	struct ipc_server	*server;	/* owned */
	struct store_changes	changes;
	struct confirms		confirms;
	struct reseal		*reseal;	/* owned */
	size_t			n_drains;
	uint64_t		drains[DRAINS_MAX];	/* in the order asked */
};

static void
answer(struct control *c, uint64_t who, const char *verb, const char *text)
{
	ipc_server_answer(c->server, who, verb, span_of(text), -1);
}

static void
fail(struct control *c, uint64_t who, const char *why)
{
	answer(c, who, "failed", why);
}

/* Words between single spaces; their number, 0 when there are too many. */
static size_t
split(struct span text, struct span words[WORDS_MAX])
{
	size_t n = 0;

	while (text.len != 0) {
		const char *space = memchr(text.p, ' ', text.len);
		size_t len = space == NULL ? text.len :
		    (size_t)(space - text.p);

		if (n == WORDS_MAX || len == 0)
			return (0);
		words[n++] = (struct span){ text.p, len };
		if (space == NULL)
			break;
		text = (struct span){ space + 1, text.len - len - 1 };
	}
	return (n);
}

static bool
get_app(struct span id, char app[RPC_APP_ID_BYTES])
{
	return (rpc_app_id_valid(id) && span_copy(id, app, RPC_APP_ID_BYTES));
}

/* How each of them ends: in a verb. */
static void
on_done(void *arg, uint64_t who, enum rc rc, const char *text)
{
	struct control *c = arg;

	obj_check(c, CONTROL_MAGIC);
	answer(c, who, rc == RC_OK ? "ok" : rc == RC_CONFLICT ? "conflict" :
	    rc == RC_MORE ? "partly" : "failed", text);
}

/* ---- store-record -------------------------------------------------------------- */

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
on_store(struct control *c, uint64_t who, const struct ucred *peer,
    struct span text, int fd)
{
	char app[RPC_APP_ID_BYTES];
	struct span words[WORDS_MAX];
	struct buffer record;
	uint64_t version;
	enum rc rc;

	if (split(text, words) != 2 || !get_app(words[0], app) ||
	    string_u64(words[1], &version) != RC_OK) {
		fail(c, who, "usage: store-record APPID VERSION, with a memfd");
		return;
	}
	log_info("control store-record app=%s version=%llu pid=%ld uid=%ld",
	    app, (unsigned long long)version, (long)peer->pid,
	    (long)peer->uid);
	buffer_init(&record, RPC_RECORD_BYTES_MAX, false);
	if (read_record(fd, &record) != RC_OK) {
		fail(c, who, "no record came with the message");
		goto out;
	}
	rc = store_change_begin(&c->changes, who, app, version, &record);
	if (rc != RC_OK)
		fail(c, who, rc == RC_LIMIT ? "too many changes wait" :
		    "not a record of this app and version");
out:
	buffer_fini(&record);
}

/* ---- confirm, reseal, drain, engines -------------------------------------------- */

static void
on_confirm(struct control *c, uint64_t who, struct span text)
{
	char app[RPC_APP_ID_BYTES];
	struct span words[WORDS_MAX];
	uint64_t version, timeout_ms;

	if (split(text, words) != 3 || !get_app(words[0], app) ||
	    string_u64(words[1], &version) != RC_OK ||
	    string_u64(words[2], &timeout_ms) != RC_OK)
		fail(c, who, "usage: confirm APPID VERSION TIMEOUT_MS");
	else if (confirm_begin(&c->confirms, who, app, version,
	    timeout_ms) != RC_OK)
		fail(c, who, "too many wait for confirmation");
}

static void
on_reseal(struct control *c, uint64_t who, const struct ucred *peer)
{
	log_info("control reseal pid=%ld uid=%ld", (long)peer->pid,
	    (long)peer->uid);
	if (reseal_begin(c->reseal, who) != RC_OK)
		fail(c, who, "too many wait for it");
}

static void
on_draining_set(void *arg, enum rc rc)
{
	struct control *c = arg;
	uint64_t who;

	obj_check(c, CONTROL_MAGIC);
	ensure(c->n_drains != 0);
	who = c->drains[0];
	memmove(&c->drains[0], &c->drains[1],
	    --c->n_drains * sizeof(c->drains[0]));
	if (rc == RC_OK)
		answer(c, who, "ok", "");
	else
		fail(c, who, "the engine does not confirm it");
}

static void
on_drain(struct control *c, uint64_t who, const struct ucred *peer,
    struct span text)
{
	bool on = span_eq_str(text, "on");

	if (!on && !span_eq_str(text, "off")) {
		fail(c, who, "usage: drain on|off");
		return;
	}
	log_info("control drain=%s pid=%ld uid=%ld", on ? "on" : "off",
	    (long)peer->pid, (long)peer->uid);
	if (c->n_drains == DRAINS_MAX ||
	    engine_set_draining(c->config.engine, on, on_draining_set,
	    c) != RC_OK) {
		fail(c, who, "the engine is not ready");
		return;
	}
	c->drains[c->n_drains++] = who;
}

static void
on_engines(struct control *c, uint64_t who)
{
	struct body_json_writer w;
	struct buffer json;

	buffer_init(&json, IPC_MESSAGE_BYTES, false);
	body_json_writer_init(&w, &json);
	announce_put(c->config.announce, &w, NULL);
	ipc_server_answer(c->server, who, "engines", (struct span){
	    buffer_data(&json), buffer_len(&json) }, -1);
	buffer_fini(&json);
}

static void
on_status(struct control *c, uint64_t who)
{
	struct buffer json;

	buffer_init(&json, IPC_MESSAGE_BYTES, false);
	control_status(c, &json);
	ipc_server_answer(c->server, who, "status", (struct span){
	    buffer_data(&json), buffer_len(&json) }, -1);
	buffer_fini(&json);
}

static void
on_message(void *arg, uint64_t who, const struct ucred *peer,
    struct span verb, struct span text, int fd)
{
	struct control *c = arg;

	obj_check(c, CONTROL_MAGIC);
	if (span_eq_str(verb, "store-record"))
		on_store(c, who, peer, text, fd);
	else if (span_eq_str(verb, "confirm"))
		on_confirm(c, who, text);
	else if (span_eq_str(verb, "reseal"))
		on_reseal(c, who, peer);
	else if (span_eq_str(verb, "drain"))
		on_drain(c, who, peer, text);
	else if (span_eq_str(verb, "engines"))
		on_engines(c, who);
	else if (span_eq_str(verb, "status"))
		on_status(c, who);
	else
		fail(c, who, "unknown verb");
	fd_close(&fd);
}

/* ---- life -------------------------------------------------------------------------- */

static const struct ipc_server_ops server_ops = { .on_message = on_message };
static const struct reseal_ops reseal_ops = { .on_done = on_done };

struct control *
control_new(struct loop *loop, const struct control_config *config)
{
	struct control *c = xcalloc(1, sizeof(*c));
	struct reseal_config reseal = {
		.store = config->store,
		.engine = config->engine,
		.replica = config->replica,
		.turn = config->turn,
		.require_replica = config->require_replica,
	};

	c->magic = CONTROL_MAGIC;
	c->config = *config;
	c->changes = (struct store_changes){
		.loop = loop,
		.store = config->store,
		.engine = config->engine,
		.replica = config->replica,
		.turn = config->turn,
		.require_replica = config->require_replica,
		.on_done = on_done,
		.arg = c,
	};
	store_changes_init(&c->changes);
	c->confirms = (struct confirms){
		.loop = loop,
		.store = config->store,
		.replica = config->replica,
		.name = config->name,
		.on_done = on_done,
		.arg = c,
	};
	confirms_init(&c->confirms);
	c->reseal = reseal_new(loop, &reseal, &reseal_ops, c);
	c->server = ipc_server_new(loop, config->fd, CLIENTS_MAX, &server_ops,
	    c);
	return (c);
}

void
control_free(struct control **cp)
{
	struct control *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, CONTROL_MAGIC);
	reseal_free(&c->reseal);
	confirms_fini(&c->confirms);
	store_changes_fini(&c->changes);
	ipc_server_free(&c->server);
	c->magic = 0;
	free(c);
}

void
control_kick(struct control *c)
{
	obj_check(c, CONTROL_MAGIC);
	store_changes_kick(&c->changes);
	reseal_kick(c->reseal);
	confirms_kick(&c->confirms);
}

void
control_drain(struct control *c)
{
	obj_check(c, CONTROL_MAGIC);
	ipc_server_close_door(c->server);
	reseal_drain(c->reseal);
}

bool
control_is_idle(const struct control *c)
{
	obj_check(c, CONTROL_MAGIC);
	return (c->changes.n == 0 && !reseal_is_running(c->reseal));
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

static void
put_rehearsed(const struct control *c, struct body_json_writer *w)
{
	uint64_t ms;

	if (statistics_rehearsed(c->config.state_dir, &ms))
		body_json_put_u64(w, "rehearsed_ms", ms);
}

/* Up alone is not enough: one that hangs has its link for a while. */
static const char *
engine_word(const struct engine *e)
{
	if (!engine_is_up(e))
		return ("down");
	return (engine_is_loaded(e) && !engine_answers(e) ? "silent" : "up");
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
	    engine_state(f->engine) == ENGINE_READY &&
	    engine_answers(f->engine));
	body_json_put_str(&w, "engine", engine_word(f->engine));
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
	body_json_put_bool(&w, "resealing", reseal_is_running(c->reseal));
	put_rehearsed(c, &w);
	body_json_put_str(&w, "name", f->name);
	body_json_put_u64(&w, "disagree", announce_disagree(f->announce));
	announce_put(f->announce, &w, "engines");
	body_json_put_raw(&w, "statistics", engine_statistics(f->engine));
	body_json_close_object(&w);
}
