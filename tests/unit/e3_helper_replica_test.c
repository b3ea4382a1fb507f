/* What a record of Redis is against ours, and the copy in a real redis-server. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "e3/helper/engine_private.h"
#include "e3/helper/replica_private.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "redis_server.h"

#define APP	"app_0123456789ab"
#define OTHER	"app_ba9876543210"
#define WAIT_MS	10000

static void
make_record(struct buffer *b, const char *app, uint64_t version, char fill)
{
	char body[64];

	memset(body, fill, sizeof(body));
	buffer_init(b, 0, false);
	rpc_record_head_write(b, app, version);
	buffer_put(b, body, sizeof(body));
}

static struct record_entry
entry_of(const struct buffer *b, uint64_t version)
{
	struct record_entry e = { .version = version, .bytes = buffer_len(b) };

	(void)snprintf(e.app, sizeof(e.app), APP);
	record_sha256((struct span){ buffer_data(b), buffer_len(b) },
	    e.sha256);
	return (e);
}

static void
test_judge(void **state)
{
	static const struct {
		uint64_t		version;
		char			fill;
		bool			damaged, refused;
		enum replica_verdict	want;
		uint64_t		base;
	} table[] = {
		{ 5, 'x', false, false, REPLICA_SAME, 0 },
		{ 5, 'y', false, false, REPLICA_FORK, 0 },
		{ 4, 'x', false, false, REPLICA_LOWER, 0 },
		{ 6, 'x', false, false, REPLICA_HIGHER, 0 },
		{ 256, 'x', false, false, REPLICA_HIGHER, 0 },
		{ UINT64_MAX, 'x', false, false, REPLICA_HIGHER, 0 },
		{ 4, 'x', true, false, REPLICA_HIGHER, 0 },
		{ 4, 'x', false, true, REPLICA_HIGHER, 0 },
		{ 5, 'y', false, true, REPLICA_HIGHER, 0 },
		{ 5, 'x', false, true, REPLICA_SAME, 0 },
		/* ours was made from some 3, and Redis does not have it */
		{ 5, 'x', false, false, REPLICA_SAME, 3 },
		{ 2, 'x', false, false, REPLICA_LOWER, 3 },
		{ 3, 'x', false, false, REPLICA_FORK, 3 },
		{ 4, 'x', false, false, REPLICA_LOWER, 3 },
		{ 5, 'y', false, false, REPLICA_FORK, 3 },
		{ 6, 'x', false, false, REPLICA_HIGHER, 3 },
		{ 3, 'x', false, true, REPLICA_HIGHER, 3 },
	};
	struct buffer ours, theirs;
	struct record_entry e;

	(void)state;
	make_record(&ours, APP, 5, 'x');
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		e = entry_of(&ours, 5);
		e.damaged = table[i].damaged;
		e.refused = table[i].refused;
		e.base = table[i].base;
		make_record(&theirs, APP, table[i].version, table[i].fill);
		assert_int_equal(replica_judge(&e, APP, (struct span){
		    buffer_data(&theirs), buffer_len(&theirs) }),
		    table[i].want);
		buffer_fini(&theirs);
	}
	buffer_fini(&ours);
}

static void
test_foreign(void **state)
{
	struct buffer ours, theirs;
	struct record_entry e;

	(void)state;
	make_record(&ours, APP, 5, 'x');
	e = entry_of(&ours, 5);
	/* Another app's record under this name, and every cut of one. */
	make_record(&theirs, "app_other", 9, 'x');
	assert_int_equal(replica_judge(&e, APP, (struct span){
	    buffer_data(&theirs), buffer_len(&theirs) }), REPLICA_FOREIGN);
	assert_int_equal(replica_judge(NULL, APP, (struct span){
	    buffer_data(&theirs), buffer_len(&theirs) }), REPLICA_FOREIGN);
	for (size_t i = 0; i < buffer_len(&ours) - 64; i++)
		assert_int_equal(replica_judge(&e, APP, (struct span){
		    buffer_data(&ours), i }), REPLICA_FOREIGN);
	assert_int_equal(replica_judge(&e, APP, SPAN_LIT("{}")),
	    REPLICA_FOREIGN);
	/* Absent here: taken. */
	assert_int_equal(replica_judge(NULL, APP, (struct span){
	    buffer_data(&ours), buffer_len(&ours) }), REPLICA_HIGHER);
	buffer_fini(&ours);
	buffer_fini(&theirs);
}

/* ---- with a server ------------------------------------------------------------ */

/* An engine that is loaded and is never asked: records of Redis are refused
 * before it comes to that. */
struct stack {
	struct redis_server	redis;
	struct loop		*loop;
	struct record_store	*store;
	struct engine		engine;
	struct turn		turn;
	struct replica		*replica;
	struct timer		tick;	/* so that no turn of the loop waits long */
	char			dir[64];
	unsigned		changes;
};

static void
on_tick(void *arg)
{
	struct stack *s = arg;

	timer_start_ms(&s->tick, 5);
}

static void
on_change(void *arg)
{
	struct stack *s = arg;

	s->changes++;
}

static const struct replica_ops ops = { .on_change = on_change };

static void
put(struct stack *s, const char *app)
{
	struct buffer b;

	make_record(&b, app, 1, 'x');
	assert_int_equal(record_store_put(s->store, (struct span){
	    buffer_data(&b), buffer_len(&b) }), RC_OK);
	record_store_find(s->store, app)->active = 1;
	buffer_fini(&b);
}

/* Two records on disk, and opened by the engine. */
static void
stack_open(struct stack *s)
{
	char *list[] = { s->redis.endpoint }, why[256] = "";
	struct conf_redis conf = { .endpoints = list, .n_endpoints = 1 };
	struct replica_config config = { .redis = &conf, .name = "e3@test",
	    .engine = &s->engine, .turn = &s->turn };

	log_set_level(LOG_ERROR);
	s->loop = loop_new();
	timer_init(&s->tick, s->loop, on_tick, s);
	on_tick(s);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/replica.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(record_store_open(s->dir, &s->store, why,
	    sizeof(why)), RC_OK);
	put(s, APP);
	put(s, OTHER);
	s->engine = (struct engine){ .magic = ENGINE_MAGIC,
	    .state = ENGINE_READY, .store = s->store };
	turn_init(&s->turn);
	config.store = s->store;
	assert_int_equal(replica_new(s->loop, &config, &ops, s, &s->replica,
	    why, sizeof(why)), RC_OK);
}

static void
stack_close(struct stack *s)
{
	char command[128];

	replica_free(&s->replica);
	record_store_free(&s->store);
	timer_fini(&s->tick);
	loop_free(&s->loop);
	redis_server_remove(&s->redis);
	(void)snprintf(command, sizeof(command), "rm -r %s", s->dir);
	assert_int_equal(system(command), 0);
}

static void
stack_begin(struct stack *s)
{
	if (!redis_server_present()) {
		print_message("redis-server is missing\n");
		skip();
	}
	memset(s, 0, sizeof(*s));
	redis_server_make(&s->redis);
	redis_server_start(&s->redis, false, NULL);
}

static void
turn_ms(struct stack *s, uint64_t ms)
{
	uint64_t end_ms = clock_mono_ms() + ms;

	while (clock_mono_ms() < end_ms)
		loop_turn(s->loop, true);
}

static void
until_pending(struct stack *s, size_t want)
{
	uint64_t end_ms = clock_mono_ms() + WAIT_MS;

	while (!s->replica->scanned || s->replica->scanning ||
	    replica_pending(s->replica) != want) {
		loop_turn(s->loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
}

#define cli(s, ...)							\
	cli_words(s, (const char *const []){ __VA_ARGS__, NULL })

static const char *
cli_words(const struct stack *s, const char *const *words)
{
	static char out[512];

	redis_server_cli(&s->redis, out, sizeof(out), words);
	return (out);
}

static void
test_what_redis_loses_is_written_again(void **state)
{
	struct stack s;

	(void)state;
	stack_begin(&s);
	stack_open(&s);
	until_pending(&s, 0);
	assert_string_equal(cli(&s, "HLEN", "relay:apps"), "2");
	(void)cli(&s, "HDEL", "relay:apps", APP);
	timer_start_ms(&s.replica->rescan, 0);	/* the minute is over */
	while (!s.replica->scanning)
		loop_turn(s.loop, true);
	until_pending(&s, 0);
	assert_string_equal(cli(&s, "HLEN", "relay:apps"), "2");
	stack_close(&s);
}

/* Bytes that the script takes for a higher version and we for no record: they
 * stay, ours stays, and the two do not chase each other. */
static void
test_garbage_under_our_app(void **state)
{
	char garbage[300];
	struct stack s;

	(void)state;
	stack_begin(&s);
	memset(garbage, 'z', sizeof(garbage) - 1);
	garbage[sizeof(garbage) - 1] = '\0';
	(void)cli(&s, "HSET", "relay:apps", APP, garbage);
	stack_open(&s);
	until_pending(&s, 1);
	turn_ms(&s, 200);
	assert_in_range(s.changes, 1, 20);
	assert_true(record_store_find(s.store, APP)->forked);
	assert_string_equal(cli(&s, "HGET", "relay:apps", APP), garbage);
	stack_close(&s);
}

/* A server that refuses one command is asked again later, not at once. */
static void
test_refused_command_is_not_repeated_at_once(void **state)
{
	struct stack s;

	(void)state;
	stack_begin(&s);
	/* Both are higher there: nothing is pushed, whose refusal would pause
	 * us too. */
	(void)cli(&s, "EVAL", "for i = 1, 2 do redis.call('HSET', KEYS[1], "
	    "ARGV[i], 'RLYR\\1\\16' .. ARGV[i] .. "
	    "'\\0\\0\\0\\0\\0\\0\\0\\9' .. string.rep('x', 64)) end",
	    "1", "relay:apps", APP, OTHER);
	(void)cli(&s, "ACL", "SETUSER", "default", "-hget");
	stack_open(&s);
	until_pending(&s, 2);
	assert_non_null(replica_find_pull(s.replica, APP));
	turn_ms(&s, 200);
	assert_in_range(s.changes, 1, 20);
	stack_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_what_redis_loses_is_written_again),
		cmocka_unit_test(test_garbage_under_our_app),
		cmocka_unit_test(test_refused_command_is_not_repeated_at_once),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
