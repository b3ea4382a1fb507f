/*
 * relay:egress beside relay:relays: from Redis to the map, told in relay:nodes,
 * repaired, guarded by itself; and through the control socket, with and without
 * Redis.
 */
#include "shm_feed_stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/base/log.h"
#include "shm/feed/sync.h"

#define APP	"app_0123456789ab"
#define OTHER	"app_ba9876543210"
#define KEY	"egress/" APP
#define LIST(host) "{\"destinations\": [{\"host\": \"" host "\"}]}"

static void
until_live(const char *key, const char *payload)
{
	struct want want = { key, payload };

	stack_turn_until(stack_is_live, &want);
}

static void
test_first_sync_and_hints(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	(void)cli("HSET", "relay:egress", APP, LIST("a.test") "\n");
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	assert_string_equal(stack_in_map(KEY), LIST("a.test") "\n");
	stack_turn_until(stack_node_report_has, "\"relays\":1,\"egress\":1");

	(void)cli("HSET", "relay:egress", APP, LIST("b.test"), OTHER, "{}");
	(void)cli("PUBLISH", "relay:updates", "egress " APP);
	until_live(KEY, LIST("b.test"));
	(void)cli("PUBLISH", "relay:updates", "relay:egress " OTHER "\n");
	until_live("egress/" OTHER, "{}");
	(void)cli("HDEL", "relay:egress", OTHER);
	(void)cli("PUBLISH", "relay:updates", "egress " OTHER);
	until_live("egress/" OTHER, "");
	assert_int_equal(sync_live_count(stack.feed.index, TABLE_EGRESS), 1);
	assert_int_equal(sync_live_count(stack.feed.index, TABLE_RELAYS), 1);
	stack_feed_down();
}

/* Hints of both tables at once, more than one batch of each. */
static void
test_hints_of_two_tables(void **state)
{
	(void)state;
	NEED_REDIS();
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	(void)cli("EVAL", "for i = 1, 100 do "
	    "local app = string.format('app_%012x', i) "
	    "redis.call('HSET', 'relay:relays', 'h' .. i .. '.test', ARGV[1]) "
	    "redis.call('HSET', 'relay:egress', app, '{}') "
	    "redis.call('PUBLISH', 'relay:updates', 'egress ' .. app) "
	    "redis.call('PUBLISH', 'relay:updates', 'relays h' .. i .. '.test') "
	    "end", "0", RELAY("o.test"));
	until_live("egress/app_000000000064", "{}");
	until_live("relays/h100.test", RELAY("o.test"));
	assert_int_equal(sync_live_count(stack.feed.index, TABLE_EGRESS), 100);
	assert_int_equal(sync_live_count(stack.feed.index, TABLE_RELAYS), 100);
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
	(void)cli("HSET", "relay:egress", APP, "{}");
	until_live(KEY, "{}");
	/* All of them: an HDEL is announced. */
	(void)cli("HDEL", "relay:egress", APP);
	until_live(KEY, "");
	assert_int_equal(stack.feed.pending_delete, 0);
	stack_feed_down();
}

static void
test_an_invalid_record_keeps_the_old_one(void **state)
{
	static const char *const bad[][2] = {
		{ APP, "{\"destinations\": [{\"host\": \"a b\"}]}" },
		{ "app_system", "{}" },
		{ "app_0123456789AB", "{}" },
		{ "", "{}" },
		/* the key of another record, were fields not kept apart */
		{ "../relays/a.test", "{}" },
	};
	size_t refused;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"), KEY, "{}");
	(void)cli("HSET", "relay:egress", APP, LIST("a.test"));
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	refused = 1;			/* relay:relays has no such host */
	stack_turn_until(stack_has_refused, &refused);
	assert_string_equal(stack_in_map(KEY), LIST("a.test"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)cli("HSET", "relay:egress", bad[i][0], bad[i][1]);
		(void)cli("PUBLISH", "relay:updates", "all");
		refused++;
		stack_turn_until(stack_has_refused, &refused);
	}
	assert_string_equal(stack_in_map(KEY), LIST("a.test"));
	stack_turn_until(stack_node_report_has, "{\"key\":\"" KEY "\",\"path\":"
	    "\"destinations[0].host\",\"reason\":");
	stack_turn_until(stack_node_report_has, "{\"key\":\"egress/app_system\"");
	assert_int_equal(sync_live_all(stack.feed.index), 2);
	stack_feed_down();
}

/* Without its records every destination may be open: a hash that is gone is
 * held back, however many relays there are beside it. */
static void
test_the_guard_is_of_each_table(void **state)
{
	size_t two = 2;

	(void)state;
	NEED_REDIS();
	(void)cli("EVAL", "for i = 1, 100 do redis.call('HSET', "
	    "'relay:relays', 'h' .. i .. '.test', ARGV[1]) end", "0",
	    RELAY("o.test"));
	(void)cli("HSET", "relay:egress", APP, "{}", OTHER, "{}");
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	(void)cli("DEL", "relay:egress");
	(void)cli("PUBLISH", "relay:updates", "all");
	stack_turn_until(stack_is_held_back, &two);
	assert_string_equal(stack_in_map(KEY), "{}");
	stack_control_up();
	stack_ask("sync-accept", "", NULL);
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack_in_map(KEY), "");
	assert_int_equal(sync_live_all(stack.feed.index), 100);
	stack_feed_down();
}

/* Its bytes in the map are not what they were. */
static void
damage_record(void)
{
	char path[128], *p, *bytes;
	long size;
	FILE *fp;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", stack.folder);
	fp = fopen(path, "r+");
	assert_non_null(fp);
	assert_int_equal(fseek(fp, 0, SEEK_END), 0);
	size = ftell(fp);
	bytes = malloc((size_t)size);
	rewind(fp);
	assert_int_equal(fread(bytes, 1, (size_t)size, fp), size);
	for (p = bytes; p < bytes + size; p++) {
		p = memmem(p, (size_t)(bytes + size - p), "damage-me", 9);
		if (p == NULL)
			break;
		assert_int_equal(fseek(fp, p - bytes, SEEK_SET), 0);
		assert_int_equal(fputc('D', fp), 'D');
	}
	assert_int_equal(fclose(fp), 0);
	free(bytes);
}

static void
test_a_damaged_record_is_read_again(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:egress", APP, LIST("damage-me.test"));
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	damage_record();
	assert_string_equal(stack_in_map(KEY), "");
	feed_damaged(&stack.feed, KEY);
	assert_int_equal(sync_damaged_count(stack.feed.index), 1);
	until_live(KEY, LIST("damage-me.test"));
	assert_int_equal(sync_damaged_count(stack.feed.index), 0);
	stack_feed_down();
}

/* ---- the control socket ---------------------------------------------------------- */

/* "APP <hash of what is seen>" */
static const char *
seen(const char *value)
{
	static char text[128];
	uint8_t sum[32];
	char hex[65];

	assert_int_equal(EVP_Digest(value, strlen(value), sum, NULL,
	    EVP_sha256(), NULL), 1);
	hex_encode(sum, sizeof(sum), hex);
	(void)snprintf(text, sizeof(text), APP " %s", hex);
	return (text);
}

static void
check_control(void)
{
	stack_ask("egress-get", APP, NULL);
	assert_string_equal(stack.text, "not-found");
	stack_ask("egress-rm", APP, NULL);
	assert_string_equal(stack.text, "not-found");
	stack_ask("egress-put", "app_system", "{}");
	assert_string_equal(stack.text, "not an app id: app_ and 12 hex digits");
	stack_ask("egress-put", APP, "{\"destinations\": 1}");
	assert_string_equal(stack.text, "destinations: must be an array");
	/* only if there is none, then only if it is what was seen */
	stack_ask("egress-put", APP " none", LIST("a.test"));
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack_in_map(KEY), LIST("a.test"));
	stack_ask("egress-put", APP " none", LIST("b.test"));
	assert_string_equal(stack.text, "conflict");
	stack_ask("egress-put", seen(LIST("b.test")), LIST("c.test"));
	assert_string_equal(stack.text, "conflict");
	stack_ask("egress-put", APP " xyz", LIST("c.test"));
	assert_string_equal(stack.text, "not a SHA-256 in hex, nor none");
	stack_ask("egress-put", seen(LIST("a.test")), LIST("b.test"));
	assert_string_equal(stack.verb, "ok");
	stack_ask("egress-get", APP, NULL);
	assert_string_equal(stack.bytes, LIST("b.test"));
	stack_ask("egress-put", APP, LIST("c.test"));
	assert_string_equal(stack.verb, "ok");
	stack_ask("egress-list", "", NULL);
	assert_non_null(strstr(stack.bytes, "[{\"app\":\"" APP "\",\"revision\":"));
	stack_ask("relay-list", "", NULL);
	assert_string_equal(stack.bytes, "[]");
	stack_ask("egress-rm", seen(LIST("a.test")), NULL);
	assert_string_equal(stack.text, "conflict");
	stack_ask("egress-rm", seen(LIST("c.test")), NULL);
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack_in_map(KEY), "");
	stack_ask("egress-drop", APP, NULL);
	assert_string_equal(stack.text, "unknown verb");
}

static void
test_control_without_redis(void **state)
{
	(void)state;
	stack_feed_up(false);
	stack_control_up();
	check_control();
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
	check_control();
	assert_string_equal(cli("HLEN", "relay:egress"), "0");
	stack_feed_down();
}

/* The map has what was seen; Redis has something newer, of which no hint came. */
static void
test_a_race_is_lost_in_redis(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:egress", APP, LIST("a.test"));
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	(void)cli("HSET", "relay:egress", APP, LIST("newer.test"));
	stack_ask("egress-put", seen(LIST("a.test")), LIST("mine.test"));
	assert_string_equal(stack.verb, "failed");
	assert_string_equal(stack.text, "it was changed by somebody else");
	assert_string_equal(cli("HGET", "relay:egress", APP), LIST("newer.test"));
	/* The hint that follows every write brings what there is. */
	until_live(KEY, LIST("newer.test"));
	(void)cli("HSET", "relay:egress", OTHER, "{}");
	stack_ask("egress-put", OTHER " none", LIST("mine.test"));
	assert_string_equal(stack.text, "it was changed by somebody else");
	stack_feed_down();
}

#define T(f)	cmocka_unit_test_setup_teardown(f, stack_setup, stack_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_first_sync_and_hints),
		T(test_hints_of_two_tables),
		T(test_keyspace_notifications),
		T(test_an_invalid_record_keeps_the_old_one),
		T(test_the_guard_is_of_each_table),
		T(test_a_damaged_record_is_read_again),
		T(test_control_without_redis),
		T(test_control_through_redis),
		T(test_a_race_is_lost_in_redis),
	};

	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
