/*
 * redis/client.c - one connection: greeting, pipeline, push messages.
 *
 *   CONNECTING -> GREETING (AUTH, SELECT, CLIENT SETNAME, PING) -> UP -> DOWN
 *
 * Bytes go through reply_bounds.c before hiredis' reader sees them; it builds
 * struct redis_value by the functions of value.c.  Replies come in order, so
 * each command is one entry of a queue.
 */
#include "lib/redis/client.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/base/timer.h"
#include "lib/net/stream.h"
#include "lib/redis/value_private.h"

#define HEARTBEAT_MS	10000	/* silence after which PING is asked */
#define PING_MS		5000
#define COMMANDL_MAX	16
#define ARGC_MAX	4096	/* ours choose it; keeps int arithmetic safe */

enum client_state {
	CLIENT_CONNECTING,	/* TCP, TLS */
	CLIENT_GREETING,	/* its own commands are under way */
	CLIENT_UP,
	CLIENT_DOWN		/* only close is left */
};

struct call {
	TAILQ_ENTRY(call)	link;
	redis_reply_cb		*cb;
	void			*arg;
	uint64_t		deadline_ms;
	size_t			replies;	/* still to come: SUBSCRIBE of
						   n channels is answered n times */
};

struct redis_client {
	unsigned			magic;
#define REDIS_CLIENT_MAGIC		0x2ed15c11
	enum client_state		state;
	struct net_addr			addr;
	SSL_CTX				*ctx;		/* a reference */
	char				*server_name;	/* owned */
	char				*user;		/* owned */
	char				*password;	/* owned, wiped */
	char				*client_name;	/* owned */
	int				db;
	const struct redis_client_ops	*ops;		/* borrowed: static */
	void				*arg;		/* borrowed: our owner */
	struct net_stream		*stream;	/* owned; NULL when down */
	redisReader			*reader;	/* owned */
	struct redis_reply_bounds	bounds;
	TAILQ_HEAD(call_head, call)	calls;		/* owned entries */
	struct timer			connect_timer;
	struct timer			call_timer;	/* earliest deadline */
	uint64_t			call_timer_ms;	/* when it fires */
	struct timer			heartbeat;
	uint64_t			input_ms;	/* last bytes from there */
	bool				subscribed;
	unsigned			depth;		/* callbacks on the stack */
	bool				closed;		/* free when depth is 0 */
};

/* ---- end of life --------------------------------------------------------------- */

static void
client_destroy(struct redis_client *c)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&c->calls)) != NULL) {
		TAILQ_REMOVE(&c->calls, call, link);
		free(call);
	}
	timer_fini(&c->connect_timer);
	timer_fini(&c->call_timer);
	timer_fini(&c->heartbeat);
	net_stream_close(&c->stream);
	if (c->reader != NULL)
		redisReaderFree(c->reader);
	SSL_CTX_free(c->ctx);
	if (c->password != NULL)
		secret_wipe(c->password, strlen(c->password));
	free(c->password);
	free(c->server_name);
	free(c->user);
	free(c->client_name);
	c->magic = 0;
	free(c);
}

/* Around everything that calls out: the owner may close us from in there. */
static void
client_enter(struct redis_client *c)
{
	c->depth++;
}

static void
client_leave(struct redis_client *c)
{
	if (--c->depth == 0 && c->closed)
		client_destroy(c);
}

static void
client_quiesce(struct redis_client *c)
{
	c->state = CLIENT_DOWN;
	timer_stop(&c->connect_timer);
	timer_stop(&c->call_timer);
	timer_stop(&c->heartbeat);
	net_stream_close(&c->stream);
}

void
redis_client_close(struct redis_client **cp)
{
	struct redis_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, REDIS_CLIENT_MAGIC);
	client_quiesce(c);
	c->closed = true;
	if (c->depth == 0)
		client_destroy(c);
}

/* The caller holds client_enter.  The first command is told first_rc. */
static void
client_fail(struct redis_client *c, enum rc first_rc, const char *why)
{
	struct call *call;

	if (c->state == CLIENT_DOWN)
		return;
	client_quiesce(c);
	while (!c->closed && (call = TAILQ_FIRST(&c->calls)) != NULL) {
		TAILQ_REMOVE(&c->calls, call, link);
		if (call->cb != NULL)
			call->cb(call->arg, first_rc, NULL);
		first_rc = RC_UNAVAILABLE;
		free(call);
	}
	if (!c->closed)
		c->ops->on_down(c->arg, why);
}

/* ---- commands --------------------------------------------------------------------- */

static void
call_timer_arm(struct redis_client *c, uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();

	if (timer_running(&c->call_timer) && c->call_timer_ms <= deadline_ms)
		return;
	c->call_timer_ms = deadline_ms;
	timer_start_ms(&c->call_timer, deadline_ms > now ? deadline_ms - now : 0);
}

/* Fires at the earliest deadline there was when it was armed; that command
 * may be answered long since. */
static void
on_call_timer(void *arg)
{
	struct redis_client *c = arg;
	struct call *call;
	uint64_t now = clock_mono_ms(), next = UINT64_MAX;

	TAILQ_FOREACH(call, &c->calls, link) {
		if (call->deadline_ms <= now) {
			client_enter(c);
			client_fail(c, RC_TIMEOUT, "a command timed out");
			client_leave(c);
			return;
		}
		if (call->deadline_ms < next)
			next = call->deadline_ms;
	}
	if (next != UINT64_MAX)
		call_timer_arm(c, next);
}

static bool
is_subscribe(struct span word)
{
	return (span_eq_case(word, "subscribe") ||
	    span_eq_case(word, "psubscribe"));
}

/* Write one command and queue its call. */
static enum rc
client_send(struct redis_client *c, unsigned timeout_ms, redis_reply_cb *cb,
    void *arg, size_t argc, const struct span *argv)
{
	const char **words;
	size_t *lens;
	char *text = NULL;
	struct call *call;
	enum rc rc;
	int len;

	ensure(argc > 0 && argc <= ARGC_MAX);
	words = xcalloc(argc, sizeof(*words));
	lens = xcalloc(argc, sizeof(*lens));
	for (size_t i = 0; i < argc; i++) {
		words[i] = argv[i].len > 0 ? argv[i].p : "";
		lens[i] = argv[i].len;
	}
	len = redisFormatCommandArgv(&text, (int)argc, words, lens);
	free(words);
	free(lens);
	if (len < 0)
		return (RC_UNAVAILABLE);
	rc = net_stream_write(c->stream, text, (size_t)len);
	secret_wipe(text, (size_t)len);		/* it may be AUTH */
	redisFreeCommand(text);
	if (rc != RC_OK)
		return (RC_UNAVAILABLE);
	call = xcalloc(1, sizeof(*call));
	call->cb = cb;
	call->arg = arg;
	call->deadline_ms = clock_mono_ms() + timeout_ms;
	call->replies = 1;
	if (is_subscribe(argv[0])) {
		c->subscribed = true;
		call->replies = argc - 1;
	}
	TAILQ_INSERT_TAIL(&c->calls, call, link);
	call_timer_arm(c, call->deadline_ms);
	return (RC_OK);
}

enum rc
redis_command(struct redis_client *c, unsigned timeout_ms, redis_reply_cb *cb,
    void *arg, size_t argc, const struct span *argv)
{
	obj_check(c, REDIS_CLIENT_MAGIC);
	if (c->state != CLIENT_UP)
		return (RC_UNAVAILABLE);
	return (client_send(c, timeout_ms, cb, arg, argc, argv));
}

enum rc
redis_commandl(struct redis_client *c, unsigned timeout_ms, redis_reply_cb *cb,
    void *arg, ...)
{
	struct span words[COMMANDL_MAX];
	const char *word;
	size_t n = 0;
	va_list ap;

	va_start(ap, arg);
	while ((word = va_arg(ap, const char *)) != NULL) {
		ensure(n < COMMANDL_MAX);
		words[n++] = span_of(word);
	}
	va_end(ap);
	return (redis_command(c, timeout_ms, cb, arg, n, words));
}

/* ---- greeting -------------------------------------------------------------------- */

/* A refusal as text; the server's own words stay out (see client.h). */
static void
client_refused(struct redis_client *c, const char *command,
    const struct redis_value *v)
{
	char code[REDIS_CODE_BYTES], why[64];

	redis_value_error_code(v, code);
	(void)snprintf(why, sizeof(why), "%s refused: %s", command,
	    code[0] != '\0' ? code : "?");
	client_fail(c, RC_UNAVAILABLE, why);
}

static void
on_auth(void *arg, enum rc rc, const struct redis_value *v)
{
	if (rc == RC_OK && v->type == REDIS_ERROR)
		client_refused(arg, "AUTH", v);
}

static void
on_select(void *arg, enum rc rc, const struct redis_value *v)
{
	if (rc == RC_OK && v->type == REDIS_ERROR)
		client_refused(arg, "SELECT", v);
}

/* The last of the greeting.  An ACL that forbids PING still means a server
 * that knows us; NOAUTH, LOADING, MASTERDOWN mean one that cannot be used. */
static void
on_hello(void *arg, enum rc rc, const struct redis_value *v)
{
	struct redis_client *c = arg;

	if (rc != RC_OK)
		return;
	if (v->type == REDIS_ERROR && !redis_value_is_error(v, "NOPERM")) {
		client_refused(c, "PING", v);
		return;
	}
	timer_stop(&c->connect_timer);
	timer_start_ms(&c->heartbeat, HEARTBEAT_MS);
	c->state = CLIENT_UP;
	c->ops->on_up(c->arg);
}

static bool
greet(struct redis_client *c, redis_reply_cb *cb, size_t argc,
    const struct span *argv)
{
	return (client_send(c, PING_MS, cb, c, argc, argv) == RC_OK);
}

static bool
greet_all(struct redis_client *c)
{
	struct span w[3];
	char db[16];
	size_t n = 0;

	if (c->password != NULL) {
		w[n++] = SPAN_LIT("AUTH");
		if (c->user != NULL)
			w[n++] = span_of(c->user);
		w[n++] = span_of(c->password);
		if (!greet(c, on_auth, n, w))
			return (false);
	}
	if (c->db > 0) {
		(void)snprintf(db, sizeof(db), "%d", c->db);
		w[0] = SPAN_LIT("SELECT");
		w[1] = span_of(db);
		if (!greet(c, on_select, 2, w))
			return (false);
	}
	if (c->client_name != NULL) {
		w[0] = SPAN_LIT("CLIENT");
		w[1] = SPAN_LIT("SETNAME");
		w[2] = span_of(c->client_name);
		/* A help for people only: a refusal changes nothing. */
		if (!greet(c, NULL, 3, w))
			return (false);
	}
	w[0] = SPAN_LIT("PING");
	return (greet(c, on_hello, 1, w));
}

static void
on_ready(void *arg)
{
	struct redis_client *c = arg;

	client_enter(c);
	c->state = CLIENT_GREETING;
	c->input_ms = clock_mono_ms();
	if (!greet_all(c))
		client_fail(c, RC_UNAVAILABLE, "cannot write");
	client_leave(c);
}

static void
on_heartbeat(void *arg)
{
	struct redis_client *c = arg;

	timer_start_ms(&c->heartbeat, HEARTBEAT_MS);
	if (clock_mono_ms() - c->input_ms >= HEARTBEAT_MS / 2)
		/* Failure is a dead stream: its on_error is on the way. */
		(void)!redis_commandl(c, PING_MS, NULL, NULL, "PING",
		    (char *)NULL);
}

/* ---- replies ------------------------------------------------------------------------ */

/* ["message", channel, payload] or ["pmessage", pattern, channel, payload]. */
static bool
deliver_push(struct redis_client *c, const struct redis_value *v)
{
	if (v->type != REDIS_ARRAY || v->n < 3 ||
	    v->items[0].type != REDIS_STRING)
		return (false);
	if (v->n == 3 && span_eq_str(v->items[0].text, "message")) {
		c->ops->on_message(c->arg, SPAN_LIT(""), v->items[1].text,
		    v->items[2].text);
		return (true);
	}
	if (v->n == 4 && span_eq_str(v->items[0].text, "pmessage")) {
		c->ops->on_message(c->arg, v->items[1].text, v->items[2].text,
		    v->items[3].text);
		return (true);
	}
	return (false);
}

static void
deliver(struct redis_client *c, const struct redis_value *v)
{
	struct call *call;

	if (c->subscribed && deliver_push(c, v))
		return;
	if ((call = TAILQ_FIRST(&c->calls)) == NULL) {
		client_fail(c, RC_UNAVAILABLE, "a reply nobody asked for");
		return;
	}
	/* An error answers all of a SUBSCRIBE at once. */
	if (v->type != REDIS_ERROR && --call->replies > 0)
		return;
	TAILQ_REMOVE(&c->calls, call, link);
	if (call->cb != NULL)
		call->cb(call->arg, RC_OK, v);
	free(call);
}

static void
read_replies(struct redis_client *c)
{
	void *v;

	while (c->state != CLIENT_DOWN) {
		v = NULL;
		if (redisReaderGetReply(c->reader, &v) != REDIS_OK) {
			client_fail(c, RC_UNAVAILABLE, "reply broken");
			return;
		}
		if (v == NULL)
			return;
		deliver(c, v);
		redis_value_free(v);
	}
}

static void
on_input(void *arg)
{
	struct redis_client *c = arg;
	struct buffer *in = net_stream_input(c->stream);
	enum rc rc;

	client_enter(c);
	c->input_ms = clock_mono_ms();
	rc = redis_reply_bounds_feed(&c->bounds, buffer_data(in),
	    buffer_len(in));
	if (rc == RC_LIMIT)
		client_fail(c, RC_UNAVAILABLE, "reply above a size limit");
	else if (rc != RC_OK)
		client_fail(c, RC_UNAVAILABLE, "reply broken");
	else if (redisReaderFeed(c->reader, buffer_data(in),
	    buffer_len(in)) != REDIS_OK)
		client_fail(c, RC_UNAVAILABLE, "no memory for a reply");
	if (c->state != CLIENT_DOWN) {
		buffer_consume(in, buffer_len(in));
		read_replies(c);
	}
	client_leave(c);
}

/* ---- the stream's other events ---------------------------------------------------- */

static void
client_lost(struct redis_client *c, const char *why)
{
	client_enter(c);
	client_fail(c, RC_UNAVAILABLE, why);
	client_leave(c);
}

static void
on_eof(void *arg)
{
	client_lost(arg, "closed by the server");
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	char text[256];		/* why dies with the stream */

	(void)snprintf(text, sizeof(text), "%s: %s", net_reason_name(reason),
	    why);
	client_lost(arg, text);
}

static void
on_drained(void *arg)
{
	(void)arg;	/* commands are small; timeouts bound what waits */
}

static void
on_connect_timer(void *arg)
{
	struct redis_client *c = arg;

	client_lost(c, c->state == CLIENT_CONNECTING ? "connect timed out" :
	    "greeting timed out");
}

static const struct net_stream_ops stream_ops = {
	.on_ready = on_ready,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_error = on_error,
};

static char *
copy_set(const char *text)
{
	return (text == NULL || text[0] == '\0' ? NULL : xstrdup(text));
}

struct redis_client *
redis_client_open(struct loop *loop, const struct redis_client_config *cfg,
    const struct redis_client_ops *ops, void *arg)
{
	struct redis_client *c = xcalloc(1, sizeof(*c));
	struct net_stream_connect to = { 0 };

	c->magic = REDIS_CLIENT_MAGIC;
	c->ops = ops;
	c->arg = arg;
	c->addr = *cfg->addr;
	c->db = cfg->db;
	c->server_name = copy_set(cfg->server_name);
	c->user = copy_set(cfg->user);
	c->password = copy_set(cfg->password);
	c->client_name = copy_set(cfg->client_name);
	if (cfg->ctx != NULL && SSL_CTX_up_ref(cfg->ctx) == 1)
		c->ctx = cfg->ctx;
	ensure(c->ctx == cfg->ctx);
	TAILQ_INIT(&c->calls);
	redis_reply_bounds_init(&c->bounds);
	c->reader = redis_value_reader();
	timer_init(&c->connect_timer, loop, on_connect_timer, c);
	timer_init(&c->call_timer, loop, on_call_timer, c);
	timer_init(&c->heartbeat, loop, on_heartbeat, c);
	timer_start_ms(&c->connect_timer, cfg->connect_ms);
	to.addr = &c->addr;
	to.ctx = c->ctx;
	to.server_name = c->server_name;
	c->stream = net_stream_connect(loop, &to, &stream_ops, c);
	return (c);
}

bool
redis_client_is_up(const struct redis_client *c)
{
	obj_check(c, REDIS_CLIENT_MAGIC);
	return (c->state == CLIENT_UP);
}
