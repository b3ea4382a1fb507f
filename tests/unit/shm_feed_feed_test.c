/*
 * The feed whole, in this process: a real map, a real redis-server, the
 * control socket; what an operator does with redis-cli and what the map has
 * then.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "redis_server.h"
#include "shm/feed/apply.h"
#include "shm/feed/check.h"
#include "shm/feed/control.h"
#include "shm/feed/feed.h"
#include "shm/feed/redis.h"
#include "shm/feed/writer.h"

#include "shm_feed_stack.h"

/* ---- Redis to map -------------------------------------------------------------- */

static void
test_first_sync_and_hint(void **state)
{
	uint64_t t;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("o.test") "\n");
	stack_feed_up(true);
	assert_string_equal(stack_in_map("sync/state"), "");
	stack_turn_until(stack_is_synced, NULL);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	assert_string_equal(stack_in_map("relays/b.test"), RELAY("o.test") "\n");
	assert_non_null(strstr(stack_in_map("sync/state"), "\"source\":\"redis\""));
	stack_turn_until(stack_node_report_has, "\"relays\":2");

	(void)cli("HSET", "relay:relays", "c.test", RELAY("c.test"));
	t = clock_mono_ms();
	(void)cli("PUBLISH", "relay:updates", "relays c.test");
	stack_until_live("c.test", RELAY("c.test"));
	/* 50 ms is the aim; a loaded machine and a sanitizer get more. */
	assert_in_range(clock_mono_ms() - t, 0, 1000);
	(void)cli("HDEL", "relay:relays", "c.test");
	(void)cli("PUBLISH", "relay:updates", "relay:relays c.test\n");
	stack_until_live("c.test", "");
	/* Everything, without naming anything. */
	(void)cli("HSET", "relay:relays", "d.test", RELAY("d.test"));
	(void)cli("PUBLISH", "relay:updates", "?");
	stack_until_live("d.test", RELAY("d.test"));
	stack_feed_down();
}

static void
test_hints_of_one_script_are_one_transaction(void **state)
{
	uint64_t epoch;

	(void)state;
	NEED_REDIS();
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	epoch = stack.feed.epoch;
	(void)cli("EVAL", "for i = 1, 100 do "
	    "redis.call('HSET', 'relay:relays', 'h' .. i .. '.test', ARGV[1]) "
	    "redis.call('PUBLISH', 'relay:updates', 'relays h' .. i .. '.test') "
	    "end", "0", RELAY("o.test"));
	stack_until_live("h100.test", RELAY("o.test"));
	assert_int_equal(sync_live_all(stack.feed.index), 100);
	assert_in_range(stack.feed.epoch, epoch + 1, epoch + 2);	/* 64 + 36 */
	stack_feed_down();
}

static void
test_keyspace_notifications(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("CONFIG", "SET", "notify-keyspace-events", "KA");
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	stack_until_live("a.test", RELAY("o.test"));
	(void)cli("HSET", "relay:relays", "b.test", RELAY("o.test"));
	stack_until_live("b.test", RELAY("o.test"));
	/* One of two is 50 %, then all: HDEL says so itself. */
	(void)cli("HDEL", "relay:relays", "b.test");
	stack_until_live("b.test", "");
	(void)cli("HDEL", "relay:relays", "a.test");
	stack_until_live("a.test", "");
	assert_int_equal(stack.feed.pending_delete, 0);
	stack_feed_down();
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
		    "redis.call('HDEL', 'relay:relays', '%s')\n",
		    e->key + strlen(SHM_RELAYS));
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
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	sync_each(stack.feed.index, count_seen, &before);
	(void)cli("PUBLISH", "relay:updates", "all");
	for (stack.ticks = 0; now.read == before.read || now.n < 500;) {
		loop_turn(stack.loop, true);
		assert_true(stack.ticks < STACK_TICKS_MAX);
		now.read = before.read;
		now.n = 0;
		sync_each(stack.feed.index, count_seen, &now);
	}
	assert_in_range(now.n, 500, 900);	/* it still runs */
	buffer_init(&now.script, 0, false);
	sync_each(stack.feed.index, put_seen, &now);
	(void)cli("EVAL", buffer_cstr(&now.script), "0");
	assert_non_null(strstr(buffer_cstr(&now.script), "h"));
	(void)snprintf(key, sizeof(key), "relays/%.*s",
	    (int)strcspn(strrchr(buffer_cstr(&now.script), ' ') + 2, "'"),
	    strrchr(buffer_cstr(&now.script), ' ') + 2);
	gone.key = key;
	stack_turn_until(stack_is_live, &gone);
	assert_int_equal(stack.feed.pending_delete, 0);
	assert_int_equal(sync_live_all(stack.feed.index), 1000 - now.n);
	buffer_fini(&now.script);
	stack_feed_down();
}

static void
test_invalid_never_replaces_valid(void **state)
{
	static const size_t one = 1, none = 0;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"),
	    "Upper.test", RELAY("o.test"));
	stack_feed_up(true);
	stack_turn_until(stack_has_refused, &one);
	stack_turn_until(stack_is_synced, NULL);
	assert_int_equal(sync_live_all(stack.feed.index), 1);
	stack_turn_until(stack_node_report_has, "\"key\":\"Upper.test\"");
	(void)cli("HDEL", "relay:relays", "Upper.test");
	(void)cli("PUBLISH", "relay:updates", "relays Upper.test");
	stack_turn_until(stack_has_refused, &none);
	stack_turn_until(stack_node_report_has, "\"errors\":[]");

	(void)cli("HSET", "relay:relays", "a.test", BAD_RELAY);
	(void)cli("PUBLISH", "relay:updates", "relays a.test");
	stack_turn_until(stack_has_refused, &one);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	stack_turn_until(stack_node_report_has, "surprise");
	/* Back to what is live: the error goes, nothing is written. */
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays a.test");
	stack_turn_until(stack_has_refused, &none);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	stack_feed_down();
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
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_feed_down();
	(void)cli("FLUSHALL");
	stack_feed_up(true);
	stack_turn_until(stack_is_held_back, &ten);
	assert_false(stack.feed.synced);
	assert_string_equal(stack_in_map("relays/h7.test"), RELAY("o.test"));
	/* A full read that is held back is not applied in part. */
	(void)cli("HSET", "relay:relays", "new.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "all");
	(void)cli("HSET", "relay:relays", "hinted.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays hinted.test");
	stack_until_live("hinted.test", RELAY("o.test"));
	assert_string_equal(stack_in_map("relays/new.test"), "");
	assert_int_equal(stack.feed.pending_delete, 10);
	/* Restored: no longer held back. */
	for (int i = 0; i < 10; i++) {
		(void)snprintf(host, sizeof(host), "h%d.test", i);
		(void)cli("HSET", "relay:relays", host, RELAY("o.test"));
	}
	(void)cli("PUBLISH", "relay:updates", "all");
	stack_turn_until(stack_is_synced, NULL);
	assert_int_equal(stack.feed.pending_delete, 0);
	assert_int_equal(sync_live_all(stack.feed.index), 12);
	stack_feed_down();
}

static void
test_gap_is_followed_by_a_full_read(void **state)
{
	static const bool up = true, down = false;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	redis_server_kill(&stack.redis);
	stack_turn_until(stack_is_up, &down);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	redis_server_start(&stack.redis, false, NULL);
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("b.test"));
	stack_turn_until(stack_is_up, &up);
	stack_until_live("b.test", RELAY("b.test"));
	stack_feed_down();
}

static void
test_read_only_server_stops_reports_only(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	(void)cli("REPLICAOF", "127.0.0.1", "1");
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	stack_turn_until(stack_is_synced, NULL);
	assert_string_equal(cli("HLEN", "relay:nodes"), "0");
	stack_feed_down();
}

/* More than one piece of HSCAN, and a hash of the wrong kind. */
static void
test_many_and_wrong_type(void **state)
{
	struct want w = { "relays/h999.test", RELAY("o.test") };

	(void)state;
	NEED_REDIS();
	(void)cli("SET", "relay:relays", "not a hash");
	stack_feed_up(true);
	(void)cli("DEL", "relay:relays");
	(void)cli("EVAL", "for i = 1, 1000 do redis.call('HSET', "
	    "'relay:relays', 'h' .. i .. '.test', ARGV[1]) end", "0",
	    RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "all");
	stack_turn_until(stack_is_live, &w);
	assert_int_equal(sync_live_all(stack.feed.index), 1000);
	stack_feed_down();
}

/* ---- control socket -------------------------------------------------------------- */

static void
check_verbs(void)
{
	char big[8];

	stack_ask("relay-put", "a.test", RELAY("o.test") "\n");
	assert_string_equal(stack.verb, "ok");
	assert_int_equal(strtoull(stack.text, NULL, 10), stack.feed.epoch);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test") "\n");
	stack_ask("relay-put", "a.test", RELAY("o.test") "\n");	/* again */
	assert_string_equal(stack.verb, "ok");
	stack_ask("relay-put", "a.test", BAD_RELAY);
	assert_string_equal(stack.verb, "failed");
	assert_non_null(strstr(stack.text, "surprise: "));
	stack_ask("relay-put", "A.test", RELAY("o.test"));
	assert_string_equal(stack.verb, "failed");
	stack_ask("relay-put", "a.test", NULL);
	assert_string_equal(stack.verb, "failed");
	stack_ask("relay-get", "a.test", NULL);
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack.bytes, RELAY("o.test") "\n");
	stack_ask("relay-get", "b.test", NULL);
	assert_string_equal(stack.verb, "failed");
	assert_string_equal(stack.text, "not-found");
	stack_ask("relay-list", "", NULL);
	(void)snprintf(big, sizeof(big), "%zu", strlen(RELAY("o.test")) + 1);
	assert_non_null(strstr(stack.bytes, "\"host\":\"a.test\""));
	assert_non_null(strstr(stack.bytes, big));
	stack_ask("status", "", NULL);
	assert_string_equal(stack.verb, "status");
	assert_non_null(strstr(stack.text, "\"synced\":true"));
	assert_non_null(strstr(stack.text, "\"relays\":1"));
	stack_ask("relay-rm", "b.test", NULL);
	assert_string_equal(stack.text, "not-found");
	stack_ask("relay-rm", "a.test", NULL);
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack_in_map("relays/a.test"), "");
	stack_ask("sync-accept", "", NULL);
	assert_string_equal(stack.verb, "ok");
	stack_ask("nonsense", "", NULL);
	assert_string_equal(stack.verb, "failed");
}

static void
test_control_without_redis(void **state)
{
	(void)state;
	stack_feed_up(false);
	assert_true(stack.feed.synced);
	assert_non_null(strstr(stack_in_map("sync/state"), "\"source\":\"empty\""));
	stack_control_up();
	check_verbs();
	stack_ask("status", "", NULL);
	assert_non_null(strstr(stack.text, "\"redis\":\"unset\""));
	stack_feed_down();
}

static void
test_control_through_redis(void **state)
{
	(void)state;
	NEED_REDIS();
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	check_verbs();
	stack_ask("status", "", NULL);
	assert_non_null(strstr(stack.text, "\"redis\":\"up\""));
	stack_ask("relay-put", "b.test", RELAY("b.test"));
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(cli("HGET", "relay:relays", "b.test"),
	    RELAY("b.test"));
	redis_server_kill(&stack.redis);
	stack_ask("relay-put", "b.test", RELAY("c.test"));
	assert_string_equal(stack.verb, "failed");
	assert_string_equal(stack_in_map("relays/b.test"), RELAY("b.test"));
	redis_server_start(&stack.redis, false, NULL);
	stack_feed_down();
}

static void
test_accept(void **state)
{
	static const size_t two = 2;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), "b.test",
	    RELAY("o.test"));
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	(void)cli("DEL", "relay:relays");
	(void)cli("PUBLISH", "relay:updates", "all");
	stack_turn_until(stack_is_held_back, &two);
	stack_ask("status", "", NULL);
	assert_non_null(strstr(stack.text, "\"pending_delete\":2"));
	assert_non_null(strstr(stack.text, "\"synced\":false"));
	stack_ask("sync-accept", "", NULL);
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack.text, "applied, 0 relays");
	assert_string_equal(stack_in_map("relays/a.test"), "");
	assert_true(stack.feed.synced);
	stack_feed_down();
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
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	(void)cli("HDEL", "relay:relays", "c.test", "d.test");
	(void)cli("PUBLISH", "relay:updates", "all");
	stack_turn_until(stack_is_held_back, &two);
	(void)cli("FLUSHALL");
	stack_ask("sync-accept", "", NULL);
	assert_string_equal(stack.verb, "failed");
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	assert_true(stack_is_held_back(&four));
	stack_ask("sync-accept", "", NULL);
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack_in_map("relays/a.test"), "");
	stack_feed_down();
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
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	(void)cli("DEL", "relay:relays");
	(void)cli("PUBLISH", "relay:updates", "all");
	stack_turn_until(stack_is_held_back, &two);
	/* One read under way, the second waits for its end. */
	assert_int_equal(kill(stack.redis.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(stack.redis.pid, NULL, WUNTRACED),
	    stack.redis.pid);
	want = stack.answers + 2;
	for (int i = 0; i < 2; i++)
		assert_int_equal(ipc_channel_send(stack.ctl, "sync-accept",
		    SPAN_LIT(""), -1), RC_OK);
	for (int i = 0; i < 10; i++)
		loop_turn(stack.loop, true);
	redis_server_kill(&stack.redis);
	stack_turn_until(stack_is_answered, &want);
	assert_string_equal(stack.verb, "failed");
	redis_server_start(&stack.redis, false, NULL);
	stack_turn_until(stack_is_up, &up);
	(void)cli("HSET", "relay:relays", "x.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays x.test");
	stack_until_live("x.test", RELAY("o.test"));	/* behind the full read */
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	assert_false(stack.feed.synced);
	stack_feed_down();
}

static void
test_read_only_put_is_refused(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("REPLICAOF", "127.0.0.1", "1");
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	stack_ask("relay-put", "a.test", RELAY("o.test"));
	assert_string_equal(stack.verb, "failed");
	assert_string_equal(stack.text, "Redis: READONLY");
	stack_feed_down();
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, stack_setup, stack_teardown)
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
