/*
 * worker/tunnel.c - two streams, each other's sink.
 */
#include "worker/tunnel.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "worker/conn.h"
#include "worker/exchange.h"
#include "worker/key_watch.h"
#include "worker/origin_pool.h"

#define ENDS_PER_S	20	/* log lines: one key may have thousands */

struct tunnel {
	unsigned		magic;
#define TUNNEL_MAGIC		0x60cd27e1
	struct conn		*conn;		/* borrowed: owns us */
	struct origin_conn	*origin;	/* owned */
	bool			client_eof;
	bool			origin_eof;
	bool			client_shut;	/* its end was passed on, and the */
	bool			origin_shut;	/* other's */
	bool			client_broke;
	bool			origin_broke;
	bool			orderly;	/* the origin gets a goodbye */
	uint64_t		moved;		/* bytes, when the timer was set */
	struct timer		idle;
	struct key_watch	*watch;		/* owned; NULL: no key */
	struct key_name		key;		/* of the client */
};

static void
on_origin_input(void *);
static void on_origin_eof(void *);
static void on_origin_error(void *, enum net_reason, const char *);

static const struct net_stream_ops origin_ops = {
	.on_input = on_origin_input,
	.on_drained = on_origin_input,
	.on_eof = on_origin_eof,
	.on_error = on_origin_error,
};

/* What fits goes on.  False: the conn is closed. */
static bool
move(struct tunnel *t, struct net_stream *from, struct net_stream *to)
{
	struct buffer *in = net_stream_input(from);
	enum rc rc;

	if (buffer_len(in) == 0 || !exchange_room(to))
		return (true);
	rc = net_stream_move(to, in, buffer_len(in));
	if (rc == RC_NOMEM) {
		conn_close(t->conn, CLOSE_NO_MEMORY);
		return (false);
	}
	if (rc != RC_OK)	/* it takes no more, and says so by its own event */
		buffer_clear(in);
	return (true);
}

/* The end of one side reaches the other behind its last byte. */
static void
pass_end(struct net_stream *from, bool eof, struct net_stream *to, bool *shut)
{
	if (!eof || *shut || buffer_len(net_stream_input(from)) != 0)
		return;
	*shut = true;
	net_stream_shutdown(to);
}

/* Both sides have what was said, and get a goodbye. */
static void
end(struct tunnel *t, enum close_reason why)
{
	t->orderly = true;
	conn_finish(t->conn, why);
}

/* The kernel has all that came from one side for the other. */
static bool
is_passed_on(struct net_stream *from, const struct net_stream *to)
{
	return (buffer_len(net_stream_input(from)) == 0 &&
	    net_stream_unsent(to) == 0);
}

/* Nothing is on its way: a goodbye is no lie. */
static bool
is_empty(const struct tunnel *t)
{
	struct net_stream *client = t->conn->stream, *origin = t->origin->stream;

	return (is_passed_on(client, origin) && is_passed_on(origin, client));
}

/* The other side gets what was said before, and must not take a broken end for
 * a good one. */
static void
end_broken(struct tunnel *t)
{
	struct net_stream *client = t->conn->stream, *origin = t->origin->stream;

	if (t->client_broke && (t->origin_broke || is_passed_on(client, origin)))
		conn_close(t->conn, CLOSE_CLIENT_BROKE);
	else if (t->origin_broke && is_passed_on(origin, client))
		conn_close(t->conn, CLOSE_TUNNEL_BROKE);
}

static void
pump(struct tunnel *t)
{
	struct net_stream *client = t->conn->stream, *origin = t->origin->stream;

	if (!move(t, client, origin) || !move(t, origin, client))
		return;
	if (t->client_broke || t->origin_broke) {
		end_broken(t);
		return;
	}
	pass_end(client, t->client_eof, origin, &t->client_shut);
	pass_end(origin, t->origin_eof, client, &t->origin_shut);
	if (t->client_shut && t->origin_shut && is_empty(t))
		end(t, CLOSE_TUNNEL_END);
}

static uint64_t
bytes_moved(const struct tunnel *t)
{
	return (net_stream_received_total(t->conn->stream) +
	    net_stream_received_total(t->origin->stream) +
	    net_stream_sent_total(t->conn->stream) +
	    net_stream_sent_total(t->origin->stream));
}

static void
watch(struct tunnel *t)
{
	t->moved = bytes_moved(t);
	timer_start_ms(&t->idle, t->conn->wrk->conf->tunnel_idle_ms);
}

static void
on_idle(void *arg)
{
	struct tunnel *t = arg;

	if (bytes_moved(t) != t->moved)
		watch(t);
	else if (is_empty(t))
		end(t, CLOSE_TUNNEL_IDLE);
	else
		conn_close(t->conn, CLOSE_TUNNEL_IDLE);
}

/* Neither side gets a goodbye: what was said was not all. */
static void
on_key_end(void *arg, const char *cause)
{
	static struct log_rate rate;
	struct tunnel *t = arg;
	unsigned suppressed;

	if (log_rate_ok(&rate, ENDS_PER_S, &suppressed))
		log_info("conn=%llu tunnel ended why=%s app=%s key=%s client=%s "
		    "cause=\"%s\" suppressed=%u",
		    (unsigned long long)t->conn->id,
		    conn_close_name(CLOSE_KEY_REVOKED), t->key.app, t->key.id,
		    t->conn->client, cause, suppressed);
	conn_close(t->conn, CLOSE_KEY_REVOKED);
}

/* ---- events ---- */

static void
on_origin_input(void *arg)
{
	pump(arg);
}

static void
on_origin_eof(void *arg)
{
	struct tunnel *t = arg;

	t->origin_eof = true;
	pump(t);
}

static void
on_origin_error(void *arg, enum net_reason reason, const char *why)
{
	struct tunnel *t = arg;

	(void)reason;
	(void)why;
	t->origin_broke = true;
	pump(t);
}

void
tunnel_on_client_input(struct tunnel *t)
{
	obj_check(t, TUNNEL_MAGIC);
	pump(t);
}

void
tunnel_on_client_drained(struct tunnel *t)
{
	obj_check(t, TUNNEL_MAGIC);
	pump(t);
}

void
tunnel_on_client_eof(struct tunnel *t)
{
	obj_check(t, TUNNEL_MAGIC);
	t->client_eof = true;
	pump(t);
}

void
tunnel_on_client_error(struct tunnel *t)
{
	obj_check(t, TUNNEL_MAGIC);
	t->client_broke = true;
	pump(t);
}

/* ---- life ---- */

struct tunnel *
tunnel_new(struct conn *c, struct origin_conn **origin,
    const struct key_name *key)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->magic = TUNNEL_MAGIC;
	t->conn = c;
	t->origin = *origin;
	*origin = NULL;
	t->client_eof = c->eof;
	t->key = *key;
	if (key->app[0] != '\0')
		t->watch = key_watch_start(c->wrk->key_watches, key, on_key_end,
		    t);
	timer_init(&t->idle, c->wrk->loop, on_idle, t);
	net_stream_set_ops(t->origin->stream, &origin_ops, t);
	return (t);
}

void
tunnel_start(struct tunnel *t)
{
	obj_check(t, TUNNEL_MAGIC);
	watch(t);
	pump(t);
}

void
tunnel_free(struct tunnel **tp)
{
	struct tunnel *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	obj_check(t, TUNNEL_MAGIC);
	timer_fini(&t->idle);
	key_watch_stop(&t->watch);
	if (t->orderly)
		origin_finish(&t->origin);
	else
		origin_drop(&t->origin);
	t->magic = 0;
	free(t);
}
