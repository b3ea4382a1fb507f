/*
 * redis/client.c against a real redis-server, and against a peer that answers
 * whatever a test wants.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/timer.h"
#include "lib/redis/client.h"
#include "redis_server.h"

#define TICK_MS		10	/* what happens in an idle hook wakes nobody */
#define TICKS_MAX	1000	/* a test that hangs fails instead */

struct owner {
	struct loop		*loop;
	struct redis_client	*client;
	struct timer		tick;
	unsigned		ticks;
	unsigned		up, down, replies, messages;
	char			why[128];
	enum rc			rc[16];		/* of replies, in order */
	char			text[16][64];
	char			message[256];	/* pattern|channel|payload */
	bool			close_in_reply, close_in_message, close_in_down;
};

static struct redis_server server;

static void
on_up(void *arg)
{
	struct owner *o = arg;

	o->up++;
}

static void
on_down(void *arg, const char *why)
{
	struct owner *o = arg;

	o->down++;
	(void)snprintf(o->why, sizeof(o->why), "%s", why);
	if (o->close_in_down)
		redis_client_close(&o->client);
}

static void
on_message(void *arg, struct span pattern, struct span channel,
    struct span payload)
{
	struct owner *o = arg;

	o->messages++;
	(void)snprintf(o->message, sizeof(o->message), "%.*s|%.*s|%.*s",
	    (int)pattern.len, pattern.p, (int)channel.len, channel.p,
	    (int)payload.len, payload.p);
	if (o->close_in_message)
		redis_client_close(&o->client);
}

static const struct redis_client_ops ops = {
	.on_up = on_up,
	.on_down = on_down,
	.on_message = on_message,
};

static void
on_reply(void *arg, enum rc rc, const struct redis_value *v)
{
	struct owner *o = arg;
	unsigned i = o->replies++ % 16;

	o->rc[i] = rc;
	o->text[i][0] = '\0';
	assert_true((rc == RC_OK) == (v != NULL));
	if (v != NULL && v->type == REDIS_INTEGER)
		(void)snprintf(o->text[i], sizeof(o->text[i]), "%lld",
		    v->integer);
	else if (v != NULL && v->type != REDIS_NIL && v->type != REDIS_ARRAY)
		(void)snprintf(o->text[i], sizeof(o->text[i]), "%.*s",
		    (int)v->text.len, v->text.p);
	else if (v != NULL)
		(void)snprintf(o->text[i], sizeof(o->text[i]), "%s %zu",
		    v->type == REDIS_NIL ? "nil" : "array", v->n);
	if (o->close_in_reply)
		redis_client_close(&o->client);
}

static void
on_tick(void *arg)
{
	struct owner *o = arg;

	o->ticks++;
	timer_start_ms(&o->tick, TICK_MS);
}

static void
owner_init(struct owner *o)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	timer_init(&o->tick, o->loop, on_tick, o);
	timer_start_ms(&o->tick, TICK_MS);
}

static void
owner_fini(struct owner *o)
{
	redis_client_close(&o->client);
	timer_fini(&o->tick);
	loop_free(&o->loop);
}

/* Turn the loop until the counter has this value. */
static void
until(struct owner *o, const unsigned *counter, unsigned value)
{
	while (*counter < value && o->ticks < TICKS_MAX)
		loop_turn(o->loop, true);
	assert_int_equal(*counter, value);
}

static void
open_to(struct owner *o, const char *endpoint, const char *user,
    const char *password)
{
	struct net_addr addr;
	struct redis_client_config cfg = {
		.addr = &addr,
		.user = user,
		.password = password,
		.connect_ms = 2000,
	};

	assert_int_equal(net_addr_parse(endpoint, &addr), RC_OK);
	o->client = redis_client_open(o->loop, &cfg, &ops, o);
	assert_false(redis_client_is_up(o->client));
}

static void
open_up(struct owner *o)
{
	open_to(o, server.endpoint, NULL, NULL);
	until(o, &o->up, 1);
	assert_true(redis_client_is_up(o->client));
}

static int
start_server(void **state)
{
	(void)state;
	if (!redis_server_present())
		return (0);
	redis_server_make(&server);
	redis_server_start(&server, false, NULL);
	return (0);
}

static int
stop_server(void **state)
{
	(void)state;
	if (server.pid != 0)
		redis_server_remove(&server);
	return (0);
}

#define NEED_REDIS()							\
	do {								\
		if (server.pid == 0) {					\
			print_message("redis-server is missing\n");	\
			skip();						\
		}							\
	} while (0)

static void
test_pipelined_in_order(void **state)
{
	struct owner o;
	char word[8];

	(void)state;
	NEED_REDIS();
	owner_init(&o);
	open_up(&o);
	for (unsigned i = 0; i < 10; i++) {
		(void)snprintf(word, sizeof(word), "w%u", i);
		assert_int_equal(redis_commandl(o.client, 5000, on_reply, &o,
		    "ECHO", word, (char *)NULL), RC_OK);
	}
	until(&o, &o.replies, 10);
	for (unsigned i = 0; i < 10; i++) {
		(void)snprintf(word, sizeof(word), "w%u", i);
		assert_int_equal(o.rc[i], RC_OK);
		assert_string_equal(o.text[i], word);
	}
	owner_fini(&o);
}

static void
test_types(void **state)
{
	struct owner o;

	(void)state;
	NEED_REDIS();
	owner_init(&o);
	open_up(&o);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "HSET", "types",
	    "a", "1", "b", "2", (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "HGETALL", "types",
	    (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "HGET", "types",
	    "none", (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "GET", "types",
	    (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "PING",
	    (char *)NULL);
	until(&o, &o.replies, 5);
	assert_string_equal(o.text[0], "2");
	assert_string_equal(o.text[1], "array 4");
	assert_string_equal(o.text[2], "nil 0");
	assert_memory_equal(o.text[3], "WRONGTYPE", 9);
	assert_string_equal(o.text[4], "PONG");
	owner_fini(&o);
}

struct big {
	struct owner	o;
	char		*bytes;
	size_t		len;
	bool		same;
};

static void
on_big(void *arg, enum rc rc, const struct redis_value *v)
{
	struct big *b = arg;

	b->same = rc == RC_OK && v->type == REDIS_STRING &&
	    v->text.len == b->len &&
	    memcmp(v->text.p, b->bytes, b->len) == 0;
	b->o.replies++;
}

static void
test_big_binary_value(void **state)
{
	struct big b = { .len = 5u << 20 };
	struct span set[3] = { SPAN_LIT("SET"), SPAN_LIT("big") };

	(void)state;
	NEED_REDIS();
	owner_init(&b.o);
	open_up(&b.o);
	b.bytes = malloc(b.len);
	assert_non_null(b.bytes);
	for (size_t i = 0; i < b.len; i++)
		b.bytes[i] = (char)(i * 7 + i / 256);
	set[2] = (struct span){ b.bytes, b.len };
	assert_int_equal(redis_command(b.o.client, 5000, on_reply, &b.o, 3,
	    set), RC_OK);
	assert_int_equal(redis_commandl(b.o.client, 5000, on_big, &b, "GET",
	    "big", (char *)NULL), RC_OK);
	until(&b.o, &b.o.replies, 2);
	assert_true(b.same);
	free(b.bytes);
	owner_fini(&b.o);
}

static void
test_subscribe(void **state)
{
	static const char *const publish[] = {
		"PUBLISH", "news", "hello there", NULL };
	static const char *const notify[] = {
		"CONFIG", "SET", "notify-keyspace-events", "KA", NULL };
	static const char *const set[] = { "SET", "relay:x", "1", NULL };
	struct owner o;
	char out[64];

	(void)state;
	NEED_REDIS();
	owner_init(&o);
	open_up(&o);
	redis_server_cli(&server, out, sizeof(out), notify);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "SUBSCRIBE", "news",
	    "other", (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "PSUBSCRIBE",
	    "__keyspace@*__:relay:*", (char *)NULL);
	until(&o, &o.replies, 2);
	assert_string_equal(o.text[0], "array 3");
	redis_server_cli(&server, out, sizeof(out), publish);
	until(&o, &o.messages, 1);
	assert_string_equal(o.message, "|news|hello there");
	/* PING is still answered, as the heartbeat needs it. */
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "PING",
	    (char *)NULL);
	until(&o, &o.replies, 3);
	redis_server_cli(&server, out, sizeof(out), set);
	until(&o, &o.messages, 2);
	assert_string_equal(o.message,
	    "__keyspace@*__:relay:*|__keyspace@0__:relay:x|set");
	owner_fini(&o);
}

static void
test_select_and_name(void **state)
{
	static const char *const list[] = { "CLIENT", "LIST", NULL };
	static const char *const get[] = { "-n", "3", "GET", "where", NULL };
	struct net_addr addr;
	struct redis_client_config cfg = {
		.addr = &addr, .db = 3, .client_name = "relay-test",
		.connect_ms = 2000,
	};
	struct owner o;
	char out[512];

	(void)state;
	NEED_REDIS();
	owner_init(&o);
	assert_int_equal(net_addr_parse(server.endpoint, &addr), RC_OK);
	o.client = redis_client_open(o.loop, &cfg, &ops, &o);
	until(&o, &o.up, 1);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "SET", "where",
	    "in three", (char *)NULL);
	until(&o, &o.replies, 1);
	redis_server_cli(&server, out, sizeof(out), get);
	assert_string_equal(out, "in three");
	redis_server_cli(&server, out, sizeof(out), list);
	assert_non_null(strstr(out, "name=relay-test"));
	owner_fini(&o);
}

static void
test_authentication(void **state)
{
	static const char *const acl[] = { "ACL", "SETUSER", "feed", "on",
		">sesame", "~*", "&*", "+@all", NULL };
	static const char *const acl_default[] = { "ACL", "SETUSER", "default",
		"resetpass", ">other", NULL };
	static const char *const undo[] = { "--no-auth-warning", "-a", "other",
		"ACL", "SETUSER", "default", "nopass", NULL };
	static const struct {
		const char	*user, *password, *why;	/* NULL: comes up */
	} cases[] = {
		{ "feed", "sesame", NULL },
		{ NULL, "other", NULL },
		{ "", "other", NULL },
		{ "feed", "other", "AUTH refused: WRONGPASS" },
		{ NULL, "sesame", "AUTH refused: WRONGPASS" },
		{ NULL, NULL, "PING refused: NOAUTH" },
	};
	char out[64];

	(void)state;
	NEED_REDIS();
	redis_server_cli(&server, out, sizeof(out), acl);
	redis_server_cli(&server, out, sizeof(out), acl_default);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct owner o;

		owner_init(&o);
		open_to(&o, server.endpoint, cases[i].user, cases[i].password);
		if (cases[i].why == NULL) {
			until(&o, &o.up, 1);
			assert_int_equal(o.down, 0);
		} else {
			until(&o, &o.down, 1);
			assert_string_equal(o.why, cases[i].why);
			assert_int_equal(o.up, 0);
		}
		owner_fini(&o);
	}
	redis_server_cli(&server, out, sizeof(out), undo);
}

static void
test_server_killed(void **state)
{
	struct owner o;

	(void)state;
	NEED_REDIS();
	owner_init(&o);
	open_up(&o);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "BLPOP", "none",
	    "0", (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "PING",
	    (char *)NULL);
	loop_turn(o.loop, false);
	redis_server_kill(&server);
	until(&o, &o.down, 1);
	assert_int_equal(o.replies, 2);
	assert_int_equal(o.rc[0], RC_UNAVAILABLE);
	assert_int_equal(o.rc[1], RC_UNAVAILABLE);
	assert_int_equal(redis_commandl(o.client, 5000, on_reply, &o, "PING",
	    (char *)NULL), RC_UNAVAILABLE);
	owner_fini(&o);
	redis_server_start(&server, false, NULL);
}

static void
test_nobody_there(void **state)
{
	struct owner o;

	(void)state;
	owner_init(&o);
	open_to(&o, "unix:/tmp/relay-nobody-there", NULL, NULL);
	until(&o, &o.down, 1);
	assert_int_equal(o.up, 0);
	owner_fini(&o);
}

static void
test_closed_in_callbacks(void **state)
{
	static const char *const publish[] = { "PUBLISH", "news", "x", NULL };
	struct owner o;
	char out[64];

	(void)state;
	NEED_REDIS();
	owner_init(&o);
	open_up(&o);
	o.close_in_reply = true;
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "PING",
	    (char *)NULL);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "PING",
	    (char *)NULL);
	until(&o, &o.replies, 1);
	assert_null(o.client);
	loop_turn(o.loop, false);
	assert_int_equal(o.replies, 1);
	assert_int_equal(o.down, 0);
	owner_fini(&o);

	owner_init(&o);
	open_up(&o);
	(void)!redis_commandl(o.client, 5000, on_reply, &o, "SUBSCRIBE", "news",
	    (char *)NULL);
	until(&o, &o.replies, 1);
	o.close_in_message = true;
	redis_server_cli(&server, out, sizeof(out), publish);
	until(&o, &o.messages, 1);
	assert_null(o.client);
	owner_fini(&o);

	owner_init(&o);
	o.close_in_down = true;
	open_to(&o, "unix:/tmp/relay-nobody-there", NULL, NULL);
	until(&o, &o.down, 1);
	assert_null(o.client);
	owner_fini(&o);
}

/* ---- a peer that lies --------------------------------------------------------- */

struct liar {
	int		fd, conn;
	char		path[64];
	char		endpoint[72];
	const char	*says;		/* once the first bytes came */
	struct event	*ev, *ev_conn;
};

static void
on_liar_read(evutil_socket_t fd, short what, void *arg)
{
	struct liar *l = arg;
	char bytes[4096];

	(void)what;
	if (read(fd, bytes, sizeof(bytes)) <= 0) {
		event_del(l->ev_conn);
		return;
	}
	if (l->says != NULL)
		assert_int_equal(write(fd, l->says, strlen(l->says)),
		    strlen(l->says));
	l->says = NULL;
}

static void
on_liar_accept(evutil_socket_t fd, short what, void *arg)
{
	struct liar *l = arg;

	(void)what;
	assert_true((l->conn = accept(fd, NULL, NULL)) >= 0);
	l->ev_conn = event_new(event_get_base(l->ev), l->conn,
	    EV_READ | EV_PERSIST, on_liar_read, l);
	assert_int_equal(event_add(l->ev_conn, NULL), 0);
}

static void
liar_start(struct liar *l, struct loop *loop, const char *says)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memset(l, 0, sizeof(*l));
	l->says = says;
	l->conn = -1;
	(void)snprintf(l->path, sizeof(l->path), "/tmp/relay-liar-%ld",
	    (long)getpid());
	(void)snprintf(l->endpoint, sizeof(l->endpoint), "unix:%s", l->path);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", l->path);
	(void)unlink(l->path);
	assert_true((l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
	    0)) >= 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(l->fd, 1), 0);
	l->ev = event_new(loop_base(loop), l->fd, EV_READ, on_liar_accept, l);
	assert_int_equal(event_add(l->ev, NULL), 0);
}

static void
liar_stop(struct liar *l)
{
	if (l->ev_conn != NULL)
		event_free(l->ev_conn);
	event_free(l->ev);
	if (l->conn >= 0)
		(void)close(l->conn);
	(void)close(l->fd);
	(void)unlink(l->path);
}

static void
test_lies(void **state)
{
	static const struct {
		const char	*says, *why;
	} cases[] = {
		{ "$16777217\r\n", "reply above a size limit" },
		{ "*150000000\r\n", "reply above a size limit" },
		{ "*2\r\n*1000000\r\n*1000000\r\n", "reply above a size limit" },
		{ "HTTP/1.1 400 Bad Request\r\n", "reply broken" },
		{ "%1\r\n+a\r\n+b\r\n", "reply broken" },
		{ ":12x\r\n", "reply broken" },
		{ "+PONG\r\n+PONG\r\n", "a reply nobody asked for" },
		{ "-LOADING it\r\n", "PING refused: LOADING" },
		{ "-secret words\r\n", "PING refused: ?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct liar l;
		struct owner o;

		owner_init(&o);
		liar_start(&l, o.loop, cases[i].says);
		open_to(&o, l.endpoint, NULL, NULL);
		until(&o, &o.down, 1);
		assert_string_equal(o.why, cases[i].why);
		liar_stop(&l);
		owner_fini(&o);
	}
}

static void
test_command_times_out(void **state)
{
	struct liar l;
	struct owner o;

	(void)state;
	owner_init(&o);
	liar_start(&l, o.loop, "+PONG\r\n");
	open_to(&o, l.endpoint, NULL, NULL);
	until(&o, &o.up, 1);
	/* The later command has the earlier deadline. */
	(void)!redis_commandl(o.client, 60000, on_reply, &o, "GET", "a",
	    (char *)NULL);
	(void)!redis_commandl(o.client, 30, on_reply, &o, "GET", "b",
	    (char *)NULL);
	until(&o, &o.down, 1);
	assert_int_equal(o.replies, 2);
	assert_int_equal(o.rc[0], RC_TIMEOUT);
	assert_int_equal(o.rc[1], RC_UNAVAILABLE);
	assert_string_equal(o.why, "a command timed out");
	liar_stop(&l);
	owner_fini(&o);
}

static void
test_greeting_times_out(void **state)
{
	struct net_addr addr;
	struct redis_client_config cfg = { .addr = &addr, .connect_ms = 30 };
	struct liar l;
	struct owner o;

	(void)state;
	owner_init(&o);
	liar_start(&l, o.loop, NULL);
	assert_int_equal(net_addr_parse(l.endpoint, &addr), RC_OK);
	o.client = redis_client_open(o.loop, &cfg, &ops, &o);
	until(&o, &o.down, 1);
	assert_string_equal(o.why, "greeting timed out");
	liar_stop(&l);
	owner_fini(&o);
}

static void
test_error_codes(void **state)
{
	static const struct {
		enum redis_type	type;
		const char	*text, *code;
	} cases[] = {
		{ REDIS_ERROR, "READONLY You can't write", "READONLY" },
		{ REDIS_ERROR, "ERR", "ERR" },
		{ REDIS_ERROR, "", "" },
		{ REDIS_ERROR, "pass word", "" },
		{ REDIS_STRING, "READONLY", "" },
		{ REDIS_ERROR, "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		    "ABCDEFGHIJKLMNOPQRSTUVW" },
	};
	char code[REDIS_CODE_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct redis_value v = { .type = cases[i].type,
			.text = span_of(cases[i].text) };

		redis_value_error_code(&v, code);
		assert_string_equal(code, cases[i].code);
		assert_int_equal(redis_value_is_error(&v, "READONLY"), i == 0);
	}
	assert_false(redis_value_is_error(NULL, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipelined_in_order),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_big_binary_value),
		cmocka_unit_test(test_subscribe),
		cmocka_unit_test(test_select_and_name),
		cmocka_unit_test(test_authentication),
		cmocka_unit_test(test_server_killed),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_closed_in_callbacks),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_command_times_out),
		cmocka_unit_test(test_greeting_times_out),
		cmocka_unit_test(test_error_codes),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, start_server, stop_server));
}
