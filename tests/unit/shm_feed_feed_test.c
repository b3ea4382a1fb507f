/*
 * The feed whole, in this process: a real map, a real redis-server, the
 * control socket; what an operator does with redis-cli and what the map has
 * then.
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
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "redis_server.h"
#include "shm/feed/apply.h"
#include "shm/feed/control.h"
#include "shm/feed/feed.h"
#include "shm/feed/redis.h"
#include "shm/feed/writer.h"

#define TICK_MS		5
#define TICKS_MAX	2000

#define RELAY(host)							\
	"{\"app\": \"app_0123456789ab\", \"destinationDomain\": \"" host "\", " \
	"\"routes\": []}"
#define BAD_RELAY							\
	"{\"app\": \"app_0123456789ab\", \"destinationDomain\": \"a.test\", " \
	"\"routes\": [], \"surprise\": 1}"

struct stack {
	struct loop		*loop;
	struct net_dns		*dns;
	struct feed		feed;
	struct redis_server	redis;
	char			folder[64];
	struct timer		tick;
	unsigned		ticks;
	struct ipc_channel	*ctl;		/* our end of the control socket */
	int			listener;
	char			path[96];
	char			verb[32], text[4096], bytes[4096];
	unsigned		answers;
};

static struct stack s;

/* ---- the stack --------------------------------------------------------------- */

static void
on_tick(void *arg)
{
	(void)arg;
	s.ticks++;
	timer_start_ms(&s.tick, TICK_MS);
}

static void
feed_up(bool redis)
{
	char *list[] = { s.redis.endpoint }, why[256];
	struct redis_endpoint_config cfg = {
		.endpoints = list, .n_endpoints = 1, .client_name = "relay-feed" };
	struct shm_map *map;

	s.loop = loop_new();
	s.dns = net_dns_new(s.loop, NULL);
	timer_init(&s.tick, s.loop, on_tick, NULL);
	timer_start_ms(&s.tick, TICK_MS);
	assert_int_equal(shm_map_open(s.folder, SHM_WRITER, &map), RC_OK);
	assert_int_equal(feed_init(&s.feed, s.loop, map), RC_OK);
	(void)snprintf(s.feed.node, sizeof(s.feed.node), "test-node");
	s.feed.max_delete_percent = 30;
	if (!redis)
		assert_int_equal(feed_start_alone(&s.feed), RC_OK);
	else if (feed_redis_new(&s.feed, s.dns, &cfg, 3600, &s.feed.redis,
	    why, sizeof(why)) != RC_OK || feed_writer_new(&s.feed, s.dns,
	    &cfg, &s.feed.writer, why, sizeof(why)) != RC_OK)
		fail_msg("%s", why);
}

static void
feed_down(void)
{
	ipc_channel_free(&s.ctl);
	feed_fini(&s.feed);
	net_dns_free(&s.dns);
	timer_fini(&s.tick);
	loop_free(&s.loop);
}

static int
setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	(void)snprintf(s.folder, sizeof(s.folder), "/tmp/relay-feed-XXXXXX");
	if (mkdtemp(s.folder) == NULL)
		return (-1);
	if (redis_server_present()) {
		redis_server_make(&s.redis);
		redis_server_start(&s.redis, false, NULL);
	}
	return (0);
}

static int
teardown(void **state)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "sock" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", s.folder, files[i]);
		(void)unlink(path);
	}
	if (s.redis.pid != 0)
		redis_server_remove(&s.redis);
	return (rmdir(s.folder));
}

#define NEED_REDIS()							\
	do {								\
		if (s.redis.pid == 0) {					\
			print_message("redis-server is missing\n");	\
			skip();						\
		}							\
	} while (0)

/* What the map has: the payload, or "" for none. */
static const char *
in_map(const char *key)
{
	static char out[4096];
	struct shm_record r;
	uint64_t epoch;

	out[0] = '\0';
	assert_int_equal(shm_map_begin(s.feed.map, &epoch), RC_OK);
	if (shm_map_get(s.feed.map, key, &r) == RC_OK)
		assert_true(span_copy(r.payload, out, sizeof(out)));
	shm_map_end(s.feed.map);
	return (out);
}

static void
turn_until(bool (*done)(const void *), const void *arg)
{
	s.ticks = 0;
	while (!done(arg) && s.ticks < TICKS_MAX)
		loop_turn(s.loop, true);
	assert_true(done(arg));
}

static bool
is_synced(const void *arg)
{
	(void)arg;
	return (s.feed.synced);
}

static bool
is_held_back(const void *arg)
{
	return (s.feed.pending_delete == *(const size_t *)arg);
}

static bool
is_up(const void *arg)
{
	return (feed_redis_is_up(s.feed.redis) == *(const bool *)arg);
}

static bool
has_refused(const void *arg)
{
	return (sync_refused_count(s.feed.index) == *(const size_t *)arg);
}

struct want {
	const char	*key, *payload;
};

static bool
is_live(const void *arg)
{
	const struct want *w = arg;

	return (strcmp(in_map(w->key), w->payload) == 0);
}

static void
until_live(const char *host, const char *payload)
{
	char key[300];
	struct want w = { key, payload };

	(void)snprintf(key, sizeof(key), "relays/%s", host);
	turn_until(is_live, &w);
}

#define cli(...)	cli_words((const char *const []){ __VA_ARGS__, NULL })

static const char *
cli_words(const char *const *words)
{
	static char out[4096];

	redis_server_cli(&s.redis, out, sizeof(out), words);
	return (out);
}

static bool
node_report_has(const void *arg)
{
	return (strstr(cli("--raw", "HGET", "relay:nodes", "test-node"), arg) !=
	    NULL);
}

/* ---- Redis to map -------------------------------------------------------------- */

static void
test_first_sync_and_hint(void **state)
{
	uint64_t t;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("o.test") "\n");
	feed_up(true);
	assert_string_equal(in_map("sync/state"), "");
	turn_until(is_synced, NULL);
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	assert_string_equal(in_map("relays/b.test"), RELAY("o.test") "\n");
	assert_non_null(strstr(in_map("sync/state"), "\"source\":\"redis\""));
	turn_until(node_report_has, "\"relays\":2");

	(void)cli("HSET", "relay:relays", "c.test", RELAY("c.test"));
	t = clock_mono_ms();
	(void)cli("PUBLISH", "relay:updates", "relays c.test");
	until_live("c.test", RELAY("c.test"));
	/* 50 ms is the aim; a loaded machine and a sanitizer get more. */
	assert_in_range(clock_mono_ms() - t, 0, 1000);
	(void)cli("HDEL", "relay:relays", "c.test");
	(void)cli("PUBLISH", "relay:updates", "relay:relays c.test\n");
	until_live("c.test", "");
	/* Everything, without naming anything. */
	(void)cli("HSET", "relay:relays", "d.test", RELAY("d.test"));
	(void)cli("PUBLISH", "relay:updates", "?");
	until_live("d.test", RELAY("d.test"));
	feed_down();
}

static void
test_hints_of_one_script_are_one_transaction(void **state)
{
	uint64_t epoch;

	(void)state;
	NEED_REDIS();
	feed_up(true);
	turn_until(is_synced, NULL);
	epoch = s.feed.epoch;
	(void)cli("EVAL", "for i = 1, 100 do "
	    "redis.call('HSET', 'relay:relays', 'h' .. i .. '.test', ARGV[1]) "
	    "redis.call('PUBLISH', 'relay:updates', 'relays h' .. i .. '.test') "
	    "end", "0", RELAY("o.test"));
	until_live("h100.test", RELAY("o.test"));
	assert_int_equal(sync_live_count(s.feed.index), 100);
	assert_in_range(s.feed.epoch, epoch + 1, epoch + 2);	/* 64 + 36 */
	feed_down();
}

static void
test_keyspace_notifications(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("CONFIG", "SET", "notify-keyspace-events", "KA");
	feed_up(true);
	turn_until(is_synced, NULL);
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	until_live("a.test", RELAY("o.test"));
	(void)cli("HSET", "relay:relays", "b.test", RELAY("o.test"));
	until_live("b.test", RELAY("o.test"));
	/* One of two is 50 %, then all: HDEL says so itself. */
	(void)cli("HDEL", "relay:relays", "b.test");
	until_live("b.test", "");
	(void)cli("HDEL", "relay:relays", "a.test");
	until_live("a.test", "");
	assert_int_equal(s.feed.pending_delete, 0);
	feed_down();
}

struct seen {
	uint64_t	read;		/* the latest one */
	size_t		n;		/* fields that it has seen */
	struct buffer	script;		/* takes those out of the hash */
};

static bool
count_seen(void *arg, const struct sync_entry *e)
{
	struct seen *seen = arg;

	if (e->seen > seen->read) {
		seen->read = e->seen;
		seen->n = 0;
	}
	seen->n += e->seen == seen->read ? 1 : 0;
	return (true);
}

static bool
put_seen(void *arg, const struct sync_entry *e)
{
	struct seen *seen = arg;

	if (e->seen == seen->read)
		buffer_printf(&seen->script,
		    "redis.call('HDEL', 'relay:relays', '%s')\n", e->field);
	return (true);
}

/* More than a third of the hash goes, one by one, after a read that still runs
 * has seen it: announced is announced, also for the read after that one. */
static void
test_hdel_during_a_read(void **state)
{
	struct seen before = { .read = 0 }, now = { .read = 0 };
	struct want gone = { NULL, "" };
	char key[64];

	(void)state;
	NEED_REDIS();
	(void)cli("CONFIG", "SET", "notify-keyspace-events", "KA");
	(void)cli("EVAL", "for i = 1, 1000 do redis.call('HSET', "
	    "'relay:relays', 'h' .. i .. '.test', ARGV[1]) end", "0",
	    RELAY("o.test"));
	feed_up(true);
	turn_until(is_synced, NULL);
	sync_each(s.feed.index, count_seen, &before);
	(void)cli("PUBLISH", "relay:updates", "all");
	for (s.ticks = 0; now.read == before.read || now.n < 500;) {
		loop_turn(s.loop, true);
		assert_true(s.ticks < TICKS_MAX);
		now.read = before.read;
		now.n = 0;
		sync_each(s.feed.index, count_seen, &now);
	}
	assert_in_range(now.n, 500, 900);	/* it still runs */
	buffer_init(&now.script, 0, false);
	sync_each(s.feed.index, put_seen, &now);
	(void)cli("EVAL", buffer_cstr(&now.script), "0");
	assert_non_null(strstr(buffer_cstr(&now.script), "h"));
	(void)snprintf(key, sizeof(key), "relays/%.*s",
	    (int)strcspn(strrchr(buffer_cstr(&now.script), ' ') + 2, "'"),
	    strrchr(buffer_cstr(&now.script), ' ') + 2);
	gone.key = key;
	turn_until(is_live, &gone);
	assert_int_equal(s.feed.pending_delete, 0);
	assert_int_equal(sync_live_count(s.feed.index), 1000 - now.n);
	buffer_fini(&now.script);
	feed_down();
}

static void
test_invalid_never_replaces_valid(void **state)
{
	static const size_t one = 1, none = 0;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"),
	    "Upper.test", RELAY("o.test"));
	feed_up(true);
	turn_until(has_refused, &one);
	turn_until(is_synced, NULL);
	assert_int_equal(sync_live_count(s.feed.index), 1);
	turn_until(node_report_has, "\"key\":\"Upper.test\"");
	(void)cli("HDEL", "relay:relays", "Upper.test");
	(void)cli("PUBLISH", "relay:updates", "relays Upper.test");
	turn_until(has_refused, &none);
	turn_until(node_report_has, "\"errors\":[]");

	(void)cli("HSET", "relay:relays", "a.test", BAD_RELAY);
	(void)cli("PUBLISH", "relay:updates", "relays a.test");
	turn_until(has_refused, &one);
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	turn_until(node_report_has, "surprise");
	/* Back to what is live: the error goes, nothing is written. */
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays a.test");
	turn_until(has_refused, &none);
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	feed_down();
}

static void
test_flushall_and_restart_keep_serving(void **state)
{
	static const size_t ten = 10;
	char host[32];

	(void)state;
	NEED_REDIS();
	for (int i = 0; i < 10; i++) {
		(void)snprintf(host, sizeof(host), "h%d.test", i);
		(void)cli("HSET", "relay:relays", host, RELAY("o.test"));
	}
	feed_up(true);
	turn_until(is_synced, NULL);
	feed_down();
	(void)cli("FLUSHALL");
	feed_up(true);
	turn_until(is_held_back, &ten);
	assert_false(s.feed.synced);
	assert_string_equal(in_map("relays/h7.test"), RELAY("o.test"));
	/* A full read that is held back is not applied in part. */
	(void)cli("HSET", "relay:relays", "new.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "all");
	(void)cli("HSET", "relay:relays", "hinted.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays hinted.test");
	until_live("hinted.test", RELAY("o.test"));
	assert_string_equal(in_map("relays/new.test"), "");
	assert_int_equal(s.feed.pending_delete, 10);
	/* Restored: no longer held back. */
	for (int i = 0; i < 10; i++) {
		(void)snprintf(host, sizeof(host), "h%d.test", i);
		(void)cli("HSET", "relay:relays", host, RELAY("o.test"));
	}
	(void)cli("PUBLISH", "relay:updates", "all");
	turn_until(is_synced, NULL);
	assert_int_equal(s.feed.pending_delete, 0);
	assert_int_equal(sync_live_count(s.feed.index), 12);
	feed_down();
}

static void
test_gap_is_followed_by_a_full_read(void **state)
{
	static const bool up = true, down = false;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	feed_up(true);
	turn_until(is_synced, NULL);
	redis_server_kill(&s.redis);
	turn_until(is_up, &down);
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	redis_server_start(&s.redis, false, NULL);
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("b.test"));
	turn_until(is_up, &up);
	until_live("b.test", RELAY("b.test"));
	feed_down();
}

static void
test_read_only_server_stops_reports_only(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	(void)cli("REPLICAOF", "127.0.0.1", "1");
	feed_up(true);
	turn_until(is_synced, NULL);
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	turn_until(is_synced, NULL);
	assert_string_equal(cli("HLEN", "relay:nodes"), "0");
	feed_down();
}

/* More than one piece of HSCAN, and a hash of the wrong kind. */
static void
test_many_and_wrong_type(void **state)
{
	struct want w = { "relays/h999.test", RELAY("o.test") };

	(void)state;
	NEED_REDIS();
	(void)cli("SET", "relay:relays", "not a hash");
	feed_up(true);
	(void)cli("DEL", "relay:relays");
	(void)cli("EVAL", "for i = 1, 1000 do redis.call('HSET', "
	    "'relay:relays', 'h' .. i .. '.test', ARGV[1]) end", "0",
	    RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "all");
	turn_until(is_live, &w);
	assert_int_equal(sync_live_count(s.feed.index), 1000);
	feed_down();
}

/* ---- control socket -------------------------------------------------------------- */

static void
on_answer(void *arg, struct span verb, struct span text, int fd)
{
	struct buffer b;

	(void)arg;
	assert_true(span_copy(verb, s.verb, sizeof(s.verb)));
	assert_true(span_copy(text, s.text, sizeof(s.text)));
	s.bytes[0] = '\0';
	if (fd >= 0) {
		buffer_init(&b, sizeof(s.bytes) - 1, false);
		assert_int_equal(fd_read_all(fd, &b), RC_OK);
		(void)snprintf(s.bytes, sizeof(s.bytes), "%s",
		    buffer_cstr(&b));
		buffer_fini(&b);
		fd_close(&fd);
	}
	s.answers++;
}

static void
on_ctl_eof(void *arg)
{
	(void)arg;
	fail_msg("control connection closed");
}

static const struct ipc_channel_ops ctl_ops = {
	.on_message = on_answer,
	.on_eof = on_ctl_eof,
};

static void
control_up(void)
{
	struct net_addr addr;
	char text[128];
	int fd, listener;

	(void)snprintf(text, sizeof(text), "unix:%s/sock", s.folder);
	assert_int_equal(net_addr_parse(text, &addr), RC_OK);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr.ss,
	    addr.len), 0);
	assert_int_equal(listen(listener, 4), 0);
	s.feed.control = feed_control_new(&s.feed, listener);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr.ss, addr.len), 0);
	s.ctl = ipc_channel_new(s.loop, fd, &ctl_ops, NULL);
}

static bool
is_answered(const void *arg)
{
	return (s.answers == *(const unsigned *)arg);
}

static void
ask(const char *verb, const char *text, const char *doc)
{
	unsigned want = s.answers + 1;
	int fd = doc == NULL ? -1 : fd_memory("doc", doc, strlen(doc));

	assert_int_equal(ipc_channel_send(s.ctl, verb, span_of(text), fd),
	    RC_OK);
	fd_close(&fd);
	turn_until(is_answered, &want);
}

static void
check_verbs(void)
{
	char big[8];

	ask("relay-put", "a.test", RELAY("o.test") "\n");
	assert_string_equal(s.verb, "ok");
	assert_int_equal(strtoull(s.text, NULL, 10), s.feed.epoch);
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test") "\n");
	ask("relay-put", "a.test", RELAY("o.test") "\n");	/* again */
	assert_string_equal(s.verb, "ok");
	ask("relay-put", "a.test", BAD_RELAY);
	assert_string_equal(s.verb, "failed");
	assert_non_null(strstr(s.text, "surprise: "));
	ask("relay-put", "A.test", RELAY("o.test"));
	assert_string_equal(s.verb, "failed");
	ask("relay-put", "a.test", NULL);
	assert_string_equal(s.verb, "failed");
	ask("relay-get", "a.test", NULL);
	assert_string_equal(s.verb, "ok");
	assert_string_equal(s.bytes, RELAY("o.test") "\n");
	ask("relay-get", "b.test", NULL);
	assert_string_equal(s.verb, "failed");
	assert_string_equal(s.text, "not-found");
	ask("relay-list", "", NULL);
	(void)snprintf(big, sizeof(big), "%zu", strlen(RELAY("o.test")) + 1);
	assert_non_null(strstr(s.bytes, "\"host\":\"a.test\""));
	assert_non_null(strstr(s.bytes, big));
	ask("status", "", NULL);
	assert_string_equal(s.verb, "status");
	assert_non_null(strstr(s.text, "\"synced\":true"));
	assert_non_null(strstr(s.text, "\"relays\":1"));
	ask("relay-rm", "b.test", NULL);
	assert_string_equal(s.text, "not-found");
	ask("relay-rm", "a.test", NULL);
	assert_string_equal(s.verb, "ok");
	assert_string_equal(in_map("relays/a.test"), "");
	ask("sync-accept", "", NULL);
	assert_string_equal(s.verb, "ok");
	ask("nonsense", "", NULL);
	assert_string_equal(s.verb, "failed");
}

static void
test_control_without_redis(void **state)
{
	(void)state;
	feed_up(false);
	assert_true(s.feed.synced);
	assert_non_null(strstr(in_map("sync/state"), "\"source\":\"empty\""));
	control_up();
	check_verbs();
	ask("status", "", NULL);
	assert_non_null(strstr(s.text, "\"redis\":\"unset\""));
	feed_down();
}

static void
test_control_through_redis(void **state)
{
	(void)state;
	NEED_REDIS();
	feed_up(true);
	turn_until(is_synced, NULL);
	control_up();
	check_verbs();
	ask("status", "", NULL);
	assert_non_null(strstr(s.text, "\"redis\":\"up\""));
	ask("relay-put", "b.test", RELAY("b.test"));
	assert_string_equal(s.verb, "ok");
	assert_string_equal(cli("HGET", "relay:relays", "b.test"),
	    RELAY("b.test"));
	redis_server_kill(&s.redis);
	ask("relay-put", "b.test", RELAY("c.test"));
	assert_string_equal(s.verb, "failed");
	assert_string_equal(in_map("relays/b.test"), RELAY("b.test"));
	redis_server_start(&s.redis, false, NULL);
	feed_down();
}

static void
test_accept(void **state)
{
	static const size_t two = 2;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("o.test"));
	feed_up(true);
	turn_until(is_synced, NULL);
	control_up();
	(void)cli("DEL", "relay:relays");
	(void)cli("PUBLISH", "relay:updates", "all");
	turn_until(is_held_back, &two);
	ask("status", "", NULL);
	assert_non_null(strstr(s.text, "\"pending_delete\":2"));
	assert_non_null(strstr(s.text, "\"synced\":false"));
	ask("sync-accept", "", NULL);
	assert_string_equal(s.verb, "ok");
	assert_string_equal(s.text, "applied, 0 relays");
	assert_string_equal(in_map("relays/a.test"), "");
	assert_true(s.feed.synced);
	feed_down();
}

/* What was accepted is what was held back, not what is gone by then. */
static void
test_accept_of_more_than_was_held_back(void **state)
{
	static const size_t two = 2, four = 4;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("o.test"), "c.test", RELAY("o.test"), "d.test",
	    RELAY("o.test"));
	feed_up(true);
	turn_until(is_synced, NULL);
	control_up();
	(void)cli("HDEL", "relay:relays", "c.test", "d.test");
	(void)cli("PUBLISH", "relay:updates", "all");
	turn_until(is_held_back, &two);
	(void)cli("FLUSHALL");
	ask("sync-accept", "", NULL);
	assert_string_equal(s.verb, "failed");
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	assert_true(is_held_back(&four));
	ask("sync-accept", "", NULL);
	assert_string_equal(s.verb, "ok");
	assert_string_equal(in_map("relays/a.test"), "");
	feed_down();
}

/* Accepted, but the server went before it was read: the next one that answers
 * may hold anything. */
static void
test_accept_does_not_outlive_the_link(void **state)
{
	static const size_t two = 2;
	static const bool up = true;
	unsigned want;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("o.test"));
	feed_up(true);
	turn_until(is_synced, NULL);
	control_up();
	(void)cli("DEL", "relay:relays");
	(void)cli("PUBLISH", "relay:updates", "all");
	turn_until(is_held_back, &two);
	/* One read under way, the second waits for its end. */
	assert_int_equal(kill(s.redis.pid, SIGSTOP), 0);
	want = s.answers + 2;
	for (int i = 0; i < 2; i++)
		assert_int_equal(ipc_channel_send(s.ctl, "sync-accept",
		    SPAN_LIT(""), -1), RC_OK);
	for (int i = 0; i < 10; i++)
		loop_turn(s.loop, true);
	redis_server_kill(&s.redis);
	turn_until(is_answered, &want);
	assert_string_equal(s.verb, "failed");
	redis_server_start(&s.redis, false, NULL);
	turn_until(is_up, &up);
	(void)cli("HSET", "relay:relays", "x.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays x.test");
	until_live("x.test", RELAY("o.test"));	/* behind the full read */
	assert_string_equal(in_map("relays/a.test"), RELAY("o.test"));
	assert_false(s.feed.synced);
	feed_down();
}

static void
test_read_only_put_is_refused(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("REPLICAOF", "127.0.0.1", "1");
	feed_up(true);
	turn_until(is_synced, NULL);
	control_up();
	ask("relay-put", "a.test", RELAY("o.test"));
	assert_string_equal(s.verb, "failed");
	assert_string_equal(s.text, "Redis: READONLY");
	feed_down();
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_first_sync_and_hint),
		T(test_hints_of_one_script_are_one_transaction),
		T(test_keyspace_notifications),
		T(test_hdel_during_a_read),
		T(test_invalid_never_replaces_valid),
		T(test_flushall_and_restart_keep_serving),
		T(test_gap_is_followed_by_a_full_read),
		T(test_read_only_server_stops_reports_only),
		T(test_many_and_wrong_type),
		T(test_control_without_redis),
		T(test_control_through_redis),
		T(test_accept),
		T(test_accept_of_more_than_was_held_back),
		T(test_accept_does_not_outlive_the_link),
		T(test_read_only_put_is_refused),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
