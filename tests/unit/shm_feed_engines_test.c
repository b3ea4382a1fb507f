/*
 * shm/feed/engines.c and engines_ask.c: announcements that are believed and
 * those that are not, and what the map has of them while Redis comes and goes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "shm/feed/engines.h"
#include "shm/feed/engines_ask.h"
#include "shm/feed/redis.h"
#include "shm_feed_stack.h"

#define ANNOUNCED(address, state)					\
	"{\"name\":\"x\",\"address\":\"" address "\",\"state\":\"" state	\
	"\",\"checksum\":\"00\",\"apps\":1,\"keys_epoch\":7}"
#define RECORD(address, state)						\
	"{\"address\":\"" address "\",\"state\":\"" state "\"}"

/* ---- what is believed ---------------------------------------------------------- */

static void
test_announcements(void **state)
{
	static const struct {
		const char	*text;
		enum rc		rc;
		const char	*address;
		bool		draining;
	} rows[] = {
		{ ANNOUNCED("10.0.0.1:3443", "ready"), RC_OK, "10.0.0.1:3443",
		    false },
		{ ANNOUNCED("e3.test:1", "draining"), RC_OK, "e3.test:1", true },
		{ ANNOUNCED("[::1]:65535", "ready"), RC_OK, "[::1]:65535", false },
		{ RECORD("E3.Test.:9", "ready"), RC_OK, "E3.Test.:9", false },
		{ "{\"state\":\"ready\",\"address\":\"a.test:1\",\"more\":[{}]}",
		    RC_OK, "a.test:1", false },
		/* for its own machine */
		{ ANNOUNCED("", "ready"), RC_NOTFOUND, NULL, false },
		/* no address of another machine */
		{ ANNOUNCED("unix:/run/relay/e3.sock", "ready"), RC_SYNTAX, NULL,
		    false },
		{ ANNOUNCED("unix:5", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("/run/relay/e3.sock", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("::1:3443", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED(":3443", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:0", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:65536", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:1 ", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:-1", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a b:1", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test\\u0000:1", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a\\u002etest:1", "ready"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:1", "gone"), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:1", ""), RC_SYNTAX, NULL, false },
		{ ANNOUNCED("a.test:1", "drainingdraining"), RC_SYNTAX, NULL,
		    false },
		{ "{\"address\":\"a.test:1\"}", RC_SYNTAX, NULL, false },
		{ "{\"state\":\"ready\"}", RC_SYNTAX, NULL, false },
		{ "{\"address\":1,\"state\":\"ready\"}", RC_SYNTAX, NULL, false },
		{ "{\"address\":\"a.test:1\",\"state\":true}", RC_SYNTAX, NULL,
		    false },
		{ "[\"a.test:1\",\"ready\"]", RC_SYNTAX, NULL, false },
		{ "\"a.test:1\"", RC_SYNTAX, NULL, false },
		{ "{\"address\":\"a.test:1\",\"state\":\"ready\"", RC_SYNTAX, NULL,
		    false },
		{ "", RC_SYNTAX, NULL, false },
	};
	struct engine_entry e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum rc rc = engine_read(span_of(rows[i].text), &e);

		if (rc != rows[i].rc)
			fail_msg("%s: %s", rows[i].text, rc_name(rc));
		if (rc != RC_OK)
			continue;
		assert_string_equal(e.address, rows[i].address);
		assert_int_equal(e.draining, rows[i].draining);
	}
}

static void
test_sizes_are_bounded(void **state)
{
	static const char announced[] = RECORD("a.test:1", "ready");
	char text[ENGINE_TEXT_BYTES_MAX + 1], name[ENGINE_NAME_BYTES + 1];
	struct engine_entry e;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, announced, sizeof(announced) - 1);
	assert_int_equal(engine_read((struct span){ text,
	    ENGINE_TEXT_BYTES_MAX }, &e), RC_OK);
	assert_int_equal(engine_read((struct span){ text,
	    ENGINE_TEXT_BYTES_MAX + 1 }, &e), RC_SYNTAX);
	(void)snprintf(text, sizeof(text), "{\"address\":\"%0300d:1\","
	    "\"state\":\"ready\"}", 0);
	assert_int_equal(engine_read(span_of(text), &e), RC_SYNTAX);

	memset(name, 'n', sizeof(name));
	assert_true(engine_name_ok((struct span){ name, ENGINE_NAME_BYTES - 1 }));
	assert_false(engine_name_ok((struct span){ name, ENGINE_NAME_BYTES }));
	assert_false(engine_name_ok(SPAN_LIT("")));
	assert_true(engine_name_ok(SPAN_LIT("e3@host.test")));
	assert_false(engine_name_ok(SPAN_LIT("e3 host")));
	assert_false(engine_name_ok(SPAN_LIT("e3\n")));
	assert_false(engine_name_ok(SPAN_LIT("e3\0x")));
	assert_false(engine_name_ok(SPAN_LIT("\xc3\xa9")));
}

/* ---- the map --------------------------------------------------------------------- */

static struct engines *
list(void)
{
	return (stack.feed.engines);
}

static void
add(const char *name, const char *address, bool draining)
{
	struct engine_entry e = { .draining = draining };

	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	(void)snprintf(e.address, sizeof(e.address), "%s", address);
	assert_int_equal(engines_add(list(), &e), RC_OK);
}

static void
test_the_map_gets_changes_alone(void **state)
{
	struct engines_result res;
	struct engines *loaded;
	uint64_t epoch;

	(void)state;
	stack_feed_up(false);
	epoch = stack.feed.epoch;
	feed_engines_write(&stack.feed);
	assert_int_equal(stack.feed.epoch, epoch);
	add("e1@a", "a.test:1", false);
	add("e1@b", "b.test:1", false);
	feed_engines_write(&stack.feed);
	assert_true(stack.feed.epoch > epoch);
	assert_string_equal(stack_in_map("engines/e1@a"),
	    RECORD("a.test:1", "ready"));
	epoch = stack.feed.epoch;
	feed_engines_write(&stack.feed);
	assert_int_equal(stack.feed.epoch, epoch);	/* nothing to say */
	list()->v[0].draining = true;
	list()->n = 1;
	assert_int_equal(engines_apply(stack.feed.map, list(), &res), RC_OK);
	assert_int_equal(res.put, 1);
	assert_int_equal(res.removed, 1);
	assert_string_equal(stack_in_map("engines/e1@a"),
	    RECORD("a.test:1", "draining"));
	assert_string_equal(stack_in_map("engines/e1@b"), "");
	/* Read back as it was written. */
	loaded = calloc(1, sizeof(*loaded));
	assert_non_null(loaded);
	assert_int_equal(engines_load(stack.feed.map, loaded), RC_OK);
	assert_int_equal(loaded->n, 1);
	assert_string_equal(loaded->v[0].name, "e1@a");
	assert_string_equal(loaded->v[0].address, "a.test:1");
	assert_true(loaded->v[0].draining);
	free(loaded);
	/* No relay is touched or counted, and none is needed. */
	assert_int_equal(sync_live_all(stack.feed.index), 0);
	stack_feed_down();
}

static void
test_as_many_as_there_may_be(void **state)
{
	struct engine_entry one = { .name = "one more", .address = "a.test:1" };
	struct engines_result res;
	char name[32];

	(void)state;
	stack_feed_up(false);
	for (unsigned i = 0; i < ENGINES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "e%u@h", i);
		add(name, "a.test:1", false);
	}
	assert_int_equal(engines_add(list(), &one), RC_LIMIT);
	assert_int_equal(engines_apply(stack.feed.map, list(), &res), RC_OK);
	assert_int_equal(res.put, ENGINES_MAX);
	/* All others in their place, at once. */
	for (unsigned i = 0; i < ENGINES_MAX; i++)
		list()->v[i].name[0] = 'f';
	assert_int_equal(engines_apply(stack.feed.map, list(), &res), RC_OK);
	assert_int_equal(res.put, ENGINES_MAX);
	assert_int_equal(res.removed, ENGINES_MAX);
	stack_feed_down();
}

/* A feed without Redis knows of no announcement, whatever an older one wrote. */
static void
test_none_without_redis(void **state)
{
	(void)state;
	stack_feed_up(false);
	add("e1@a", "a.test:1", false);
	feed_engines_write(&stack.feed);
	stack_feed_down();
	stack_feed_up(false);
	assert_string_equal(stack_in_map("engines/e1@a"), "");
	stack_feed_down();
}

/* ---- Redis --------------------------------------------------------------------------- */

static void
up(void)
{
	stack_feed_up(true);
	stack.feed.engines_ask = feed_engines_new(&stack.feed);
}

static void
until_map(const char *key, const char *payload)
{
	stack_turn_until(stack_is_live, &(struct want){ key, payload });
}

static void
announce(const char *name, const char *text)
{
	char key[160];

	(void)snprintf(key, sizeof(key), "relay:engine:%s", name);
	(void)cli("SADD", "relay:engines", name);
	(void)cli("SET", key, text, "PX", "60000");
}

static void
test_announced_changed_gone(void **state)
{
	(void)state;
	NEED_REDIS();
	announce("e1@a", ANNOUNCED("a.test:1", "ready"));
	announce("e1@b", ANNOUNCED("", "ready"));
	up();
	until_map("engines/e1@a", RECORD("a.test:1", "ready"));
	assert_string_equal(stack_in_map("engines/e1@b"), "");
	assert_int_equal(sync_live_all(stack.feed.index), 0);
	announce("e1@a", ANNOUNCED("a.test:1", "draining"));
	until_map("engines/e1@a", RECORD("a.test:1", "draining"));
	/* A key that expired, with its name left behind. */
	(void)cli("PEXPIRE", "relay:engine:e1@a", "1");
	until_map("engines/e1@a", "");
	stack_feed_down();
}

static void
test_a_hint_is_followed_at_once(void **state)
{
	unsigned turns;

	(void)state;
	NEED_REDIS();
	up();
	stack_turn_until(stack_is_synced, NULL);
	for (unsigned i = 0; i < 3; i++) {
		announce("e1@a", i % 2 == 0 ? ANNOUNCED("a.test:1", "ready") :
		    ANNOUNCED("a.test:1", "draining"));
		(void)cli("PUBLISH", "relay:updates", "engines e1@a");
		until_map("engines/e1@a", i % 2 == 0 ?
		    RECORD("a.test:1", "ready") : RECORD("a.test:1", "draining"));
		turns = stack.ticks;
		assert_in_range(turns, 0, 150);	/* of 5 ms: no second passed */
	}
	stack_feed_down();
}

static void
test_what_is_hostile_is_left_out(void **state)
{
	(void)state;
	NEED_REDIS();
	announce("good@a", ANNOUNCED("a.test:1", "ready"));
	announce("unix@a", ANNOUNCED("unix:/etc/passwd", "ready"));
	announce("with space", ANNOUNCED("b.test:1", "ready"));
	announce("../../x", ANNOUNCED("c.test:1", "ready"));
	(void)cli("SADD", "relay:engines", "list@a", "missing@a", "long@a");
	(void)cli("RPUSH", "relay:engine:list@a", "x");
	(void)cli("EVAL", "redis.call('SET', KEYS[1], string.rep('x', 8388608))",
	    "1", "relay:engine:long@a");
	(void)cli("EVAL", "redis.call('SADD', KEYS[1], string.rep('n', 300000))",
	    "1", "relay:engines");
	up();
	until_map("engines/good@a", RECORD("a.test:1", "ready"));
	until_map("engines/../../x", RECORD("c.test:1", "ready"));
	assert_int_equal(list()->n, 2);
	stack_feed_down();
}

static void
test_more_than_there_may_be(void **state)
{
	size_t n = ENGINES_MAX;

	(void)state;
	NEED_REDIS();
	(void)cli("EVAL", "for i = 1, 300 do redis.call('SADD', 'relay:engines', "
	    "'e' .. i) redis.call('SET', 'relay:engine:e' .. i, ARGV[1]) end",
	    "0", ANNOUNCED("a.test:1", "ready"));
	up();
	stack_turn_until(stack_is_synced, NULL);
	stack.ticks = 0;
	while (list()->n != n && stack.ticks < STACK_TICKS_MAX)
		loop_turn(stack.loop, true);
	assert_int_equal(list()->n, n);
	stack_feed_down();
}

/* Redis refuses, is away, and is another one when it is back. */
static void
test_the_last_list_stays(void **state)
{
	static const bool yes = true, no = false;

	(void)state;
	NEED_REDIS();
	announce("e1@a", ANNOUNCED("a.test:1", "ready"));
	up();
	until_map("engines/e1@a", RECORD("a.test:1", "ready"));
	(void)cli("DEL", "relay:engines");
	(void)cli("SET", "relay:engines", "no set");
	(void)cli("PUBLISH", "relay:updates", "engines e1@a");
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	(void)cli("PUBLISH", "relay:updates", "relays a.test");
	stack_until_live("a.test", RELAY("o.test"));	/* the hint before it too */
	assert_string_equal(stack_in_map("engines/e1@a"),
	    RECORD("a.test:1", "ready"));
	redis_server_kill(&stack.redis);
	stack_turn_until(stack_is_up, &no);
	assert_string_equal(stack_in_map("engines/e1@a"),
	    RECORD("a.test:1", "ready"));
	/* Also over a restart of the feed. */
	stack_feed_down();
	up();
	assert_string_equal(stack_in_map("engines/e1@a"),
	    RECORD("a.test:1", "ready"));
	redis_server_start(&stack.redis, false, NULL);
	stack_turn_until(stack_is_up, &yes);
	until_map("engines/e1@a", "");
	stack_feed_down();
}

#define T(f)	cmocka_unit_test_setup_teardown(f, stack_setup, stack_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_announcements),
		cmocka_unit_test(test_sizes_are_bounded),
		T(test_the_map_gets_changes_alone),
		T(test_as_many_as_there_may_be),
		T(test_none_without_redis),
		T(test_announced_changed_gone),
		T(test_a_hint_is_followed_at_once),
		T(test_what_is_hostile_is_left_out),
		T(test_more_than_there_may_be),
		T(test_the_last_list_stays),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
