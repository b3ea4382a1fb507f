/*
 * shm/feed/manage.c - see manage.h.
 *
 * A request goes through: read -> key_check (an engine) -> judge (against the
 * map, as it is then) -> feed_change (Redis, or the map) -> answered.  Who asked
 * is a number: the worker may be gone by then.
 */
#include "shm/feed/manage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/egress_json.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"
#include "lib/ipc/server.h"
#include "shm/feed/apply.h"
#include "shm/feed/change.h"
#include "shm/feed/change_text.h"
#include "shm/feed/key_check.h"

#define CLIENTS_MAX	1024	/* workers, those that drain included */
#define REQUESTS_MAX	64	/* at once, each with a record of 1 MiB at most */
#define REFUSALS_LOGGED	5	/* a second */
#define NODES_MAX	65536	/* a relay of 1 MiB has fewer */
#define REASON_BYTES	640	/* a fault's path and reason fit */

struct feed_manage {
	unsigned		magic;
#define FEED_MANAGE_MAGIC	0x2c95f0e3
	struct feed		*feed;		/* borrowed: owns us */
	struct ipc_server	*server;	/* owned */
	unsigned		n_requests;
};

struct request {
	struct feed_manage	*manage;	/* borrowed: ends after all requests */
	uint64_t		who;		/* the worker */
	pid_t			pid;		/* its, for the log */
	struct change_text	text;
	struct buffer		value;		/* owned: the new record */
	char			app[KEY_APP_BYTES];	/* the key's; "" before */
};

/* ---- answers ---------------------------------------------------------------------- */

static void
answer(struct request *q, unsigned status, const char *reason)
{
	struct body_json_writer w;
	struct buffer json;

	buffer_init(&json, 0, false);
	body_json_writer_init(&w, &json);
	body_json_open_object(&w, NULL);
	body_json_put_u64(&w, "id", q->text.id);
	body_json_put_u64(&w, "status", status);
	body_json_put_str(&w, "reason", reason);
	body_json_close_object(&w);
	ipc_server_answer(q->manage->server, q->who, "changed", (struct span){
	    buffer_data(&json), buffer_len(&json) }, -1);
	buffer_fini(&json);
}

static void
request_free(struct request *q)
{
	q->manage->n_requests--;
	change_text_fini(&q->text);
	buffer_fini(&q->value);
	free(q);
}

/* Every change that was made; of what was refused so many lines a second. */
static void
log_end(const struct request *q, unsigned status)
{
	static struct log_rate rate;
	char key[SHM_KEY_BYTES + 1];
	unsigned suppressed = 0;

	if (status != 200 && !log_rate_ok(&rate, REFUSALS_LOGGED, &suppressed))
		return;
	log_info("record managed op=%s key=\"%s\" app=%s status=%u pid=%ld "
	    "suppressed=%u", q->text.remove ? "delete" : "put",
	    apply_printable(span_of(q->text.key), key, sizeof(key)),
	    q->app[0] != '\0' ? q->app : "-", status, (long)q->pid, suppressed);
}

static void
request_end(struct request *q, unsigned status, const char *reason)
{
	log_end(q, status);
	answer(q, status, reason);
	request_free(q);
}

/* ---- whose records are they? -------------------------------------------------------- */

/* RC_OK: q's app owns this record, the one there is or the new one; RC_DENIED:
 * another; RC_CORRUPT: it cannot be read. */
static enum rc
check_owner(const struct request *q, const struct buffer *record)
{
	struct span field = table_field(span_of(q->text.key));
	struct relay *relay;
	enum rc rc;

	switch (table_of(span_of(q->text.key))) {
	case TABLE_EGRESS:
		return (span_eq_str(field, q->app) ? RC_OK : RC_DENIED);
	case TABLE_RELAYS:
		break;
	}
	rc = relay_json_parse((struct span){ buffer_data(record),
	    buffer_len(record) }, &relay, NULL);
	if (rc != RC_OK)
		return (RC_CORRUPT);
	rc = strcmp(relay->app, q->app) == 0 ? RC_OK : RC_DENIED;
	relay_unref(&relay);
	return (rc);
}

/* The name of the relay that a record is a custom domain of: evervaultDomain. */
static enum rc
read_main_name(struct span value, struct buffer *name)
{
	struct body_json doc = { .nodes = NULL };
	uint32_t node;
	enum rc rc;

	rc = body_json_read(&doc, value.p, value.len, NODES_MAX, NULL);
	if (rc != RC_OK)
		return (rc);
	node = body_json_member(&doc, 0, "evervaultDomain");
	rc = node == 0 || doc.nodes[node].type != BODY_JSON_STRING ? RC_SYNTAX :
	    body_json_unescape(body_json_raw(&doc, node), name);
	body_json_fini(&doc);
	return (rc);
}

/* A new custom domain may reach what its relay may.  NULL: it is of none. */
static void
read_main(const struct request *q, struct span value, struct relay **out)
{
	struct buffer name, key, have;

	*out = NULL;
	buffer_init(&name, 0, false);
	buffer_init(&key, 0, false);
	buffer_init(&have, 0, false);
	if (read_main_name(value, &name) == RC_OK &&
	    feed_have(q->manage->feed, table_key(TABLE_RELAYS, (struct span){
	    buffer_data(&name), buffer_len(&name) }, &key), &have) == RC_OK &&
	    relay_json_parse((struct span){ buffer_data(&have),
	    buffer_len(&have) }, out, NULL) == RC_OK &&
	    strcmp((*out)->app, q->app) != 0)
		relay_unref(out);
	buffer_fini(&name);
	buffer_fini(&key);
	buffer_fini(&have);
}

/* It may reach what is private, and that is more than the app's could before:
 * a name behind the walls, or another port there. */
static bool
relay_opens(const struct request *q, struct span value, struct span have)
{
	struct relay *r = NULL, *was = NULL;
	bool opens;

	if (have.len == 0)
		read_main(q, value, &was);
	else
		(void)!relay_json_parse(have, &was, NULL);
	opens = relay_json_parse(value, &r, NULL) != RC_OK || (!r->guarded &&
	    (was == NULL || was->guarded || strcmp(r->host, was->host) != 0 ||
	    r->port != was->port));
	relay_unref(&r);
	relay_unref(&was);
	return (opens);
}

static bool
egress_opens(const struct request *q, struct span value, struct span have,
    size_t *at)
{
	struct span app = table_field(span_of(q->text.key));
	struct egress *e = NULL, *was = NULL;
	struct relay_fault fault;
	bool opens;

	*at = 0;
	if (have.len != 0)
		(void)!egress_json_parse(app, have, &was, &fault);
	opens = egress_json_parse(app, value, &e, &fault) != RC_OK ||
	    egress_adds_internal(e, was, at);
	egress_unref(&e);
	egress_unref(&was);
	return (opens);
}

/* An app's key may not open what lies behind the operator's walls.  A record
 * that cannot be read has nothing internal. */
static bool
opens_walls(const struct request *q, struct span value, struct span have,
    char reason[REASON_BYTES])
{
	size_t at;

	switch (table_of(span_of(q->text.key))) {
	case TABLE_EGRESS:
		if (!egress_opens(q, value, have, &at))
			return (false);
		(void)snprintf(reason, REASON_BYTES, "destinations[%zu].internal: "
		    "the operator alone sets it", at);
		return (true);
	case TABLE_RELAYS:
		break;
	}
	if (!relay_opens(q, value, have))
		return (false);
	(void)snprintf(reason, REASON_BYTES, "internal: the operator alone sets it, "
	    "and says where a relay that has it leads");
	return (true);
}

/* What is wrong with a put, or 0. */
static unsigned
judge_new(const struct request *q, const struct buffer *have,
    char reason[REASON_BYTES])
{
	struct span value = { buffer_data(&q->value), buffer_len(&q->value) };
	struct relay_fault fault;

	if (apply_check(span_of(q->text.key), value, &fault) != RC_OK) {
		(void)snprintf(reason, REASON_BYTES, "%s%s%s", fault.path,
		    fault.path[0] != '\0' ? ": " : "", fault.reason);
		return (422);
	}
	if (check_owner(q, &q->value) != RC_OK) {
		(void)snprintf(reason, REASON_BYTES, "the record names another app");
		return (403);
	}
	if (opens_walls(q, value, (struct span){ buffer_data(have),
	    buffer_len(have) }, reason))
		return (403);
	return (0);
}

/* What speaks against replacing what there is, or 0. */
static unsigned
judge_old(const struct request *q, enum rc found, const struct buffer *have,
    char reason[REASON_BYTES])
{
	enum rc owner;

	reason[0] = '\0';
	if (found == RC_NOTFOUND)
		return (q->text.had || q->text.remove ? 404 : 0);
	owner = found == RC_OK ? check_owner(q, have) : RC_CORRUPT;
	if (owner == RC_DENIED) {
		(void)snprintf(reason, REASON_BYTES, "it is another app's");
		return (403);
	}
	if (owner != RC_OK) {
		(void)snprintf(reason, REASON_BYTES,
		    "the record there is cannot be read");
		return (503);
	}
	return (feed_is_seen(have, q->text.had ? q->text.seen : NULL) ? 0 : 409);
}

static void
on_changed(void *arg, enum rc rc, const char *why)
{
	struct request *q = arg;

	request_end(q, rc == RC_OK ? 200 : rc == RC_CONFLICT ? 409 : 503,
	    why == NULL ? "" : why);
}

static void
judge(struct request *q)
{
	struct feed *f = q->manage->feed;
	struct feed_change change = { .key = span_of(q->text.key),
	    .compare = true };
	struct span value = { buffer_data(&q->value), buffer_len(&q->value) };
	char reason[REASON_BYTES];
	struct buffer have;
	struct span seen;
	unsigned status;
	enum rc found;

	buffer_init(&have, 0, false);
	found = feed_have(f, change.key, &have);
	if ((status = judge_old(q, found, &have, reason)) == 0 &&
	    !q->text.remove)
		status = judge_new(q, &have, reason);
	seen = (struct span){ buffer_data(&have), buffer_len(&have) };
	change.have = found == RC_OK ? &seen : NULL;
	change.value = q->text.remove ? NULL : &value;
	if (status != 0)
		request_end(q, status, reason);
	else
		feed_change(f->changes, &change, on_changed, q);
	buffer_fini(&have);
}

static void
on_key(void *arg, enum rc rc, const char *app)
{
	struct request *q = arg;

	if (app != NULL)
		(void)snprintf(q->app, sizeof(q->app), "%s", app);
	if (rc == RC_OK)
		judge(q);
	else if (rc == RC_NOTFOUND)
		request_end(q, 401, "");
	else if (rc == RC_DENIED)
		request_end(q, 403, "the key's scopes do not include manage");
	else
		request_end(q, 503, "no engine could be asked");
}

/* ---- requests -------------------------------------------------------------------------- */

/* The record of a put; a delete has none. */
static bool
read_value(struct request *q, int fd)
{
	if (q->text.remove)
		return (true);
	return (feed_change_document(fd, &q->value) == RC_OK);
}

static void
request_new(struct feed_manage *m, uint64_t who, pid_t pid, struct span text,
    int fd)
{
	struct request *q = xcalloc(1, sizeof(*q));
	struct span key;

	q->manage = m;
	q->who = who;
	q->pid = pid;
	m->n_requests++;
	buffer_init(&q->value, RELAY_JSON_BYTES_MAX + 1, false);
	if (change_text_read(text, &q->text) != RC_OK || !read_value(q, fd)) {
		request_end(q, 422, "not a change, or longer than a record may be");
		return;
	}
	key = (struct span){ buffer_data(&q->text.api_key),
	    buffer_len(&q->text.api_key) };
	if (m->n_requests > REQUESTS_MAX ||
	    key_check(m->feed->keys, key, on_key, q) != RC_OK)
		request_end(q, 503, "too many changes are waiting");
	else
		buffer_clear(&q->text.api_key);		/* wiped */
}

static void
on_message(void *arg, uint64_t who, const struct ucred *peer, struct span verb,
    struct span text, int fd)
{
	struct feed_manage *m = arg;

	obj_check(m, FEED_MANAGE_MAGIC);
	if (span_eq_str(verb, "change"))
		request_new(m, who, peer->pid, text, fd);
	else
		log_debug("worker's message ignored");
	fd_close(&fd);
}

static const struct ipc_server_ops server_ops = {
	.on_message = on_message,
};

struct feed_manage *
feed_manage_new(struct feed *f, int fd)
{
	struct feed_manage *m = xcalloc(1, sizeof(*m));

	ensure(f->keys != NULL);
	m->magic = FEED_MANAGE_MAGIC;
	m->feed = f;
	m->server = ipc_server_new(f->loop, fd, CLIENTS_MAX, &server_ops, m);
	return (m);
}

void
feed_manage_free(struct feed_manage **mp)
{
	struct feed_manage *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	obj_check(m, FEED_MANAGE_MAGIC);
	ensure(m->n_requests == 0);	/* their checks and changes have ended */
	ipc_server_free(&m->server);
	m->magic = 0;
	free(m);
}
