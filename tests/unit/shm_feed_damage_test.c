/*
 * The feed with a damaged map and without room: what is repaired, from where,
 * and what serves meanwhile.
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

/* ---- damage ------------------------------------------------------------------------- */

/* Each copy of this text in the file: free pages hold old ones. */
static void
damage(const char *text)
{
	static char file[1 << 20];
	char path[128], *at = file;
	unsigned n = 0;
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", stack.folder);
	assert_true((fd = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	len = pread(fd, file, sizeof(file), 0);
	assert_in_range(len, 4096, sizeof(file) - 1);
	while ((at = memmem(at, (size_t)(file + len - at), text,
	    strlen(text))) != NULL) {
		assert_int_equal(pwrite(fd, "?", 1, at++ - file), 1);
		n++;
	}
	assert_in_range(n, 1, 100);
	(void)close(fd);
}

static bool
was_checked(const void *arg)
{
	return (feed_check_count(stack.feed.check) >= *(const uint64_t *)arg);
}

/* The next walk that begins after this has ended. */
static void
check_now(void)
{
	uint64_t want = feed_check_count(stack.feed.check) + 1;

	feed_check_want(stack.feed.check);
	stack_turn_until(was_checked, &want);
}

static void
check_up(void)
{
	stack.feed.check = feed_check_new(&stack.feed, stack.folder, 3600);
}

static void
test_damaged_record_is_read_again(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("a-origin.test"),
	    "b.test", RELAY("b-origin.test"));
	stack_feed_up(true);
	check_up();
	stack_turn_until(stack_is_synced, NULL);
	check_now();
	assert_int_equal(sync_damaged_count(stack.feed.index), 0);
	damage("a-origin.test");
	assert_string_equal(stack_in_map("relays/a.test"), "");
	check_now();
	stack_until_live("a.test", RELAY("a-origin.test"));
	assert_string_equal(stack_in_map("relays/b.test"), RELAY("b-origin.test"));
	assert_int_equal(sync_damaged_count(stack.feed.index), 0);
	/* The same text pushed again is not known either. */
	damage("b-origin.test");
	(void)cli("PUBLISH", "relay:updates", "relays b.test");
	stack_until_live("b.test", RELAY("b-origin.test"));
	/* sync/state, which workers need to say 404. */
	damage("\"source\":\"redis\"");
	assert_string_equal(stack_in_map("sync/state"), "");
	check_now();
	stack_turn_until(stack_is_live, &(struct want){ "relays/b.test",
	    RELAY("b-origin.test") });
	for (stack.ticks = 0; stack_in_map("sync/state")[0] == '\0';) {
		loop_turn(stack.loop, true);
		assert_true(stack.ticks < STACK_TICKS_MAX);
	}
	assert_false(stack.feed.broken);
	stack_feed_down();
}

/* The name of a record is not in its checksum: the walk compares it with the
 * index.  The wrong name goes, the right one comes back. */
static void
test_damaged_name(void **state)
{
	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"),
	    "shop.test", RELAY("o.test"), "x.test", RELAY("o.test"));
	stack_feed_up(true);
	check_up();
	stack_turn_until(stack_is_synced, NULL);
	damage("hop.test");
	assert_string_equal(stack_in_map("relays/s?op.test"), RELAY("o.test"));
	check_now();
	stack_until_live("shop.test", RELAY("o.test"));
	stack_until_live("s?op.test", "");
	assert_int_equal(sync_live_all(stack.feed.index), 3);
	assert_int_equal(sync_damaged_count(stack.feed.index), 0);
	stack_feed_down();
}

/* From what was last heard: Redis need not be there. */
static void
test_damaged_engine(void **state)
{
	static const char record[] =
	    "{\"address\":\"e3-host.test:3443\",\"state\":\"ready\"}";
	struct engine_entry e = { .name = "e3@h", .address = "e3-host.test:3443" };

	(void)state;
	stack_feed_up(false);
	check_up();
	assert_int_equal(engines_add(stack.feed.engines, &e), RC_OK);
	feed_engines_write(&stack.feed);
	assert_string_equal(stack_in_map("engines/e3@h"), record);
	damage("e3-host.test");
	assert_string_equal(stack_in_map("engines/e3@h"), "");
	check_now();
	assert_string_equal(stack_in_map("engines/e3@h"), record);
	assert_int_equal(sync_damaged_count(stack.feed.index), 0);
	stack_feed_down();
}

/* Nobody has another copy: the others serve, status names it, a put repairs
 * it.  Asking without end makes no more walks than may be. */
static void
test_damage_without_redis(void **state)
{
	uint64_t t = clock_mono_ms(), before;

	(void)state;
	stack_feed_up(false);
	stack_control_up();
	check_up();
	stack_ask("relay-put", "a.test", RELAY("a-origin.test"));
	stack_ask("relay-put", "b.test", RELAY("b-origin.test"));
	damage("a-origin.test");
	check_now();
	before = feed_check_count(stack.feed.check);
	for (stack.ticks = 0; stack.ticks < 200;) {
		feed_check_want(stack.feed.check);
		loop_turn(stack.loop, true);
	}
	t = clock_mono_ms() - t;
	assert_in_range(feed_check_count(stack.feed.check) - before, 1,
	    t / 200 + 1);
	stack_ask("status", "", NULL);
	assert_non_null(strstr(stack.text, "\"damaged\":1"));
	assert_non_null(strstr(stack.text, "{\"key\":\"a.test\""));
	assert_string_equal(stack_in_map("relays/b.test"), RELAY("b-origin.test"));
	stack_ask("relay-put", "a.test", RELAY("a-origin.test"));
	assert_string_equal(stack.verb, "ok");
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("a-origin.test"));
	/* A walk that was under way may count it once more. */
	check_now();
	stack_ask("status", "", NULL);
	assert_non_null(strstr(stack.text, "\"damaged\":0"));
	stack_feed_down();
}

static bool
is_broken(const void *arg)
{
	(void)arg;
	return (stack.feed.broken);
}

/* Only the child dies of it; the feed then starts again. */
static void
test_file_cut_short(void **state)
{
	char path[128];

	(void)state;
	stack_feed_up(false);
	stack_control_up();
	check_up();
	stack_ask("relay-put", "a.test", RELAY("o.test"));
	(void)snprintf(path, sizeof(path), "%s/data.mdb", stack.folder);
	assert_int_equal(truncate(path, 8192), 0);
	feed_check_want(stack.feed.check);
	stack_turn_until(is_broken, NULL);
	stack_feed_down();
}

/* ---- no room ------------------------------------------------------------------------ */

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool
has_no_room(const void *arg)
{
	(void)arg;
	return (stack.feed.retry_ms != 0);
}

/* What fits is applied, what does not waits and is tried again by itself. */
static void
test_no_room(void **state)
{
	char *big, want[64];
	uint64_t t;

	(void)state;
	NEED_REDIS();
	(void)cli("HSET", "relay:relays", "a.test", RELAY("o.test"));
	stack_feed_up(true);
	stack_turn_until(stack_is_synced, NULL);
	stack_control_up();
	assert_true(asprintf(&big, "%*s%s", 60000, "", RELAY("o.test")) > 0);
	limit_files(50000);
	(void)cli("HSET", "relay:relays", "big.test", big);
	(void)cli("PUBLISH", "relay:updates", "relays big.test");
	stack_turn_until(has_no_room, NULL);
	t = clock_mono_ms();
	assert_false(stack.feed.broken);
	assert_string_equal(stack_in_map("relays/a.test"), RELAY("o.test"));
	stack_ask("status", "", NULL);
	assert_non_null(strstr(stack.text, "\"synced\":false"));
	assert_non_null(strstr(stack.text,
	    "\"no_room\":\"No space left on device\""));
	(void)cli("HSET", "relay:relays", "small.test", RELAY("stack.test"));
	(void)cli("PUBLISH", "relay:updates", "relays small.test");
	stack_until_live("small.test", RELAY("stack.test"));
	assert_true(has_no_room(NULL));
	/* Two tries in vain: the wait has doubled. */
	while (stack.feed.retry_ms < 4000) {
		loop_turn(stack.loop, true);
		assert_in_range(clock_mono_ms() - t, 0, 60000);
	}
	assert_true(clock_mono_ms() - t >= 2500);
	limit_files(RLIM_INFINITY);
	while (!stack.feed.synced) {
		loop_turn(stack.loop, true);
		assert_in_range(clock_mono_ms() - t, 0, 60000);
	}
	assert_int_equal(stack.feed.retry_ms, 0);
	(void)snprintf(want, sizeof(want), "\"bytes\":%zu", strlen(big));
	stack_ask("relay-list", "", NULL);
	assert_non_null(strstr(stack.bytes, want));
	stack_ask("status", "", NULL);
	assert_null(strstr(stack.text, "no_room"));
	free(big);
	stack_feed_down();
}

/* A memfd is a file to the limit, too: it is there before. */
static void
test_no_room_without_redis(void **state)
{
	unsigned want = 1;
	char *big;
	int fd;

	(void)state;
	stack_feed_up(false);
	stack_control_up();
	assert_true(asprintf(&big, "%*s%s", 60000, "", RELAY("o.test")) > 0);
	fd = fd_memory("doc", big, strlen(big));
	limit_files(50000);
	assert_int_equal(ipc_channel_send(stack.ctl, "relay-put",
	    SPAN_LIT("big.test"), fd), RC_OK);
	fd_close(&fd);
	stack_turn_until(stack_is_answered, &want);
	assert_string_equal(stack.verb, "failed");
	assert_string_equal(stack.text, "map not written: No space left on device");
	stack_ask("relay-put", "a.test", RELAY("o.test"));
	assert_string_equal(stack.verb, "ok");
	limit_files(RLIM_INFINITY);
	stack_ask("relay-put", "big.test", big);
	assert_string_equal(stack.verb, "ok");
	assert_true(stack.feed.synced);
	free(big);
	stack_feed_down();
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, stack_setup, stack_teardown)
	const struct CMUnitTest tests[] = {
		T(test_damaged_record_is_read_again),
		T(test_damaged_name),
		T(test_damaged_engine),
		T(test_damage_without_redis),
		T(test_file_cut_short),
		T(test_no_room),
		T(test_no_room_without_redis),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
