/* Announcements: their text, whom they show to differ, and several helpers at a
 * real redis-server that follow each other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e3_helper_machine.h"
#include "lib/base/clock.h"

#define SUM	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* ---- the text -------------------------------------------------------------------- */

static void
test_names(void **state)
{
	static const struct {
		const char	*name, *host, *want;
	} table[] = {
		{ "e3", "shop-1", "e3@shop-1" },
		{ "E3_a.b", "x.test", "E3_a.b@x.test" },
		{ "a b@c", "h\n\xc3\xa4", "a-b-c@h---" },
		{ "", "", "@" },
	};
	char out[ANNOUNCEMENT_NAME_BYTES], text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		announcement_name(table[i].name, table[i].host, out);
		assert_string_equal(out, table[i].want);
	}
	memset(text, 'n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	announcement_name(text, text, out);
	assert_int_equal(strlen(out), ANNOUNCEMENT_NAME_BYTES - 1);
	assert_int_equal(out[(ANNOUNCEMENT_NAME_BYTES - 2) / 2], '@');
}

static void
test_text_there_and_back(void **state)
{
	struct announcement a = { .name = "e3@h", .address = "10.0.0.1:7000",
	    .draining = true, .resealing = true, .has_checksum = true,
	    .checksum = { 1, 2 }, .apps = UINT64_MAX, .keys_epoch = 9 }, b;
	struct buffer text;
	struct span s;

	(void)state;
	buffer_init(&text, 0, false);
	announcement_write(&a, &text);
	s = (struct span){ buffer_data(&text), buffer_len(&text) };
	assert_int_equal(announcement_read(s, SPAN_LIT("e3@h"), &b), RC_OK);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(announcement_read(s, SPAN_LIT("e3@other"), &b),
	    RC_SYNTAX);
	for (size_t i = 0; i < s.len; i++)	/* every cut of it */
		assert_int_equal(announcement_read((struct span){ s.p, i },
		    SPAN_LIT("e3@h"), &b), RC_SYNTAX);
	buffer_fini(&text);
}

static void
test_hostile_text(void **state)
{
	static const struct {
		const char	*text;
		enum rc		want;
	} table[] = {
		{ "{\"name\":\"e\",\"address\":\"\",\"state\":\"ready\"}", RC_OK },
		{ "{\"name\":\"e\",\"address\":\"\",\"state\":\"ready\","
		  "\"more\":[1,{}],\"apps\":-1,\"keys_epoch\":1e9,"
		  "\"checksum\":\"" SUM "00\"}", RC_OK },
		{ "{\"name\":\"e\",\"address\":\"\",\"state\":\"dead\"}",
		  RC_SYNTAX },
		{ "{\"name\":\"e\",\"address\":7,\"state\":\"ready\"}",
		  RC_SYNTAX },
		{ "{\"name\":\"e\",\"address\":\"a b\",\"state\":\"ready\"}",
		  RC_SYNTAX },
		{ "{\"name\":\"e\",\"address\":\"\\u0041\",\"state\":\"ready\"}",
		  RC_SYNTAX },
		{ "{\"name\":\"e\",\"state\":\"ready\"}", RC_SYNTAX },
		{ "[\"e\"]", RC_SYNTAX },
		{ "\"e\"", RC_SYNTAX },
		{ "", RC_SYNTAX },
	};
	struct announcement a;
	char *deep;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(announcement_read(span_of(table[i].text),
		    SPAN_LIT("e"), &a), table[i].want);
		assert_false(a.has_checksum);
		assert_int_equal(a.apps, 0);
	}
	assert_int_equal(announcement_read(span_of(table[0].text),
	    SPAN_LIT("e\nf"), &a), RC_SYNTAX);
	deep = calloc(1, 100001);
	assert_non_null(deep);
	memset(deep, '[', 100000);
	assert_int_equal(announcement_read(span_of(deep), SPAN_LIT("e"), &a),
	    RC_SYNTAX);
	free(deep);
}

/* ---- who differs ------------------------------------------------------------------- */

static struct machine a, b;

/* A look at ours and at one other, with this checksum in hexadecimal. */
static void
judge(const char *sum, const char *state)
{
	char json[400];
	const struct redis_value items[] = {
		{ .type = REDIS_STRING, .text = SPAN_LIT("b@test") },
		{ .type = REDIS_STRING, .text = { json, 0 } },
		{ .type = REDIS_STRING, .text = SPAN_LIT("broken") },
		{ .type = REDIS_STRING, .text = SPAN_LIT("{") },
	};
	struct redis_value v = { .type = REDIS_ARRAY, .n = 4 }, copy[4];

	(void)snprintf(json, sizeof(json), "{\"name\":\"b@test\",\"address\":"
	    "\"\",\"state\":\"%s\",\"checksum\":\"%s\"}", state, sum);
	memcpy(copy, items, sizeof(copy));
	copy[1].text.len = strlen(json);
	v.items = copy;
	announce_judge(a.announce, &v);
}

static struct announce_peer *
peer(void)
{
	assert_int_equal(a.announce->n_peers, 1);
	return (&a.announce->peers[0]);
}

/* As if the last look but one had been that long ago. */
static void
age(uint64_t ms)
{
	assert_int_not_equal(peer()->differs_since_ms, 0);
	peer()->differs_since_ms = clock_mono_ms() - ms;
}

static void
hex_sum(const uint8_t *sum, char out[2 * ENGINE_CHECKSUM_BYTES + 1])
{
	hex_encode(sum, ENGINE_CHECKSUM_BYTES, out);
}

static void
test_who_disagrees(void **state)
{
	char before[65], now[65], app[RPC_APP_ID_BYTES];
	struct machine *const list[] = { &a };

	(void)state;
	machine_open(&a, NULL, "a@test", 2);
	machines_until(list, 1, machine_is_ready, &a);
	hex_sum(engine_facts(a.engine)->checksum, before);
	judge(before, "ready");
	assert_true(peer()->agrees);
	/* We are ahead: what we held before is no disagreement. */
	machine_app(0, app);
	assert_int_equal(machine_change(&a, app), RC_OK);
	machines_for_ms(list, 1, 50);
	hex_sum(engine_facts(a.engine)->checksum, now);
	assert_string_not_equal(before, now);
	judge(before, "ready");
	assert_true(peer()->agrees);
	/* It differs: not for long yet, then for too long, then no more. */
	judge(SUM, "ready");
	assert_false(peer()->agrees);
	age(9000);
	judge(SUM, "ready");
	assert_int_equal(announce_disagree(a.announce), 0);
	age(11000);
	judge(SUM, "ready");
	assert_int_equal(announce_disagree(a.announce), 1);
	judge(now, "ready");
	assert_int_equal(announce_disagree(a.announce), 0);
	/* One look alone, however late, is none. */
	judge(SUM, "ready");
	assert_int_equal(announce_disagree(a.announce), 0);
	/* What leaves, or does not say what it holds, is not judged. */
	age(11000);
	judge(SUM, "draining");
	assert_true(peer()->agrees);
	assert_int_equal(peer()->differs_since_ms, 0);
	judge("", "ready");
	assert_true(peer()->agrees);
	machine_close(&a);
}

/* ---- with a server ------------------------------------------------------------------- */

static struct redis_server redis;
static struct machine *const both[] = { &a, &b };

#define cli(...)	cli_words((const char *const []){ __VA_ARGS__, NULL })

static const char *
cli_words(const char *const *words)
{
	static char out[512];

	redis_server_cli(&redis, out, sizeof(out), words);
	return (out);
}

static bool
server_begin(void)
{
	if (!redis_server_present()) {
		print_message("redis-server is missing\n");
		skip();
	}
	redis_server_make(&redis);
	redis_server_start(&redis, false, NULL);
	return (true);
}

static bool
both_ready(void *arg)
{
	(void)arg;
	return (machine_is_ready(&a) && machine_is_ready(&b) &&
	    buffer_len(&a.announce->said) != 0 &&
	    buffer_len(&b.announce->said) != 0);
}

static void
begin_two(unsigned n)
{
	(void)server_begin();
	machine_open(&a, &redis, "a@test", n);
	machine_open(&b, &redis, "b@test", n);
	machines_until(both, 2, both_ready, NULL);
}

static void
end_two(void)
{
	machine_close(&a);
	machine_close(&b);
	redis_server_remove(&redis);
}

static bool
has(const char *key, const char *want)
{
	return (strstr(cli("GET", key), want) != NULL);
}

static bool
a_said(void *arg)
{
	const char *want = arg;

	return (has("relay:engine:a@test", want));
}

static bool
a_ended(void *arg)
{
	(void)arg;
	return (a.ended);
}

static void
test_announced_draining_taken_back(void **state)
{
	char state_draining[] = "\"state\":\"draining\"";
	struct machine *const list[] = { &a };
	char state_ready[] = "\"state\":\"ready\"";

	(void)state;
	(void)server_begin();
	machine_open(&a, &redis, "a@test", 1);
	a.stage.hold = true;		/* not ready: not announced */
	machines_for_ms(list, 1, 200);
	assert_string_equal(cli("EXISTS", "relay:engine:a@test"), "0");
	a.stage.hold = false;
	stage_release(&a.stage);
	machines_until(list, 1, a_said, state_ready);
	assert_true(a_said((char[]){ "\"address\":\"127.0.0.1:7000\"" }));
	assert_true(a_said((char[]){ "\"apps\":1" }));
	assert_string_equal(cli("SISMEMBER", "relay:engines", "a@test"), "1");
	assert_in_range(atoi(cli("PTTL", "relay:engine:a@test")), 5000, 10000);
	assert_int_equal(engine_set_draining(a.engine, true, NULL, NULL),
	    RC_OK);
	machines_until(list, 1, a_said, state_draining);
	assert_int_equal(engine_set_draining(a.engine, false, NULL, NULL),
	    RC_OK);
	machines_until(list, 1, a_said, state_ready);
	announce_drain(a.announce);
	machines_until(list, 1, a_said, state_draining);
	announce_end(a.announce);
	machines_until(list, 1, a_ended, NULL);
	assert_string_equal(cli("EXISTS", "relay:engine:a@test"), "0");
	assert_string_equal(cli("EXISTS", "relay:engines"), "0");
	machine_close(&a);
	redis_server_remove(&redis);
}

/* Two helpers of one name, as when relayd was killed: the one that drains
 * does not speak for the other. */
static void
test_a_successor_is_not_talked_over(void **state)
{
	char other[] = "\"state\":\"ready\",\"successor\":true";
	struct machine *const list[] = { &a };

	(void)state;
	(void)server_begin();
	machine_open(&a, &redis, "a@test", 1);
	machines_until(list, 1, a_said, (char[]){ "\"state\":\"ready\"" });
	(void)cli("SET", "relay:engine:a@test", other);
	announce_drain(a.announce);
	machines_for_ms(list, 1, 100);
	assert_true(a_said(other));
	assert_true(a.announce->superseded);
	announce_end(a.announce);
	machines_until(list, 1, a_ended, NULL);
	assert_true(a_said(other));
	assert_string_equal(cli("SISMEMBER", "relay:engines", "a@test"), "1");
	machine_close(&a);
	redis_server_remove(&redis);
}

static bool
sees_two(void *arg)
{
	(void)arg;
	return (a.announce->n_peers == 2);
}

static void
test_each_sees_the_other(void **state)
{
	struct body_json_writer w;
	struct buffer json;

	(void)state;
	begin_two(2);
	timer_start_ms(&a.announce->refresh, 0);
	machines_until(both, 2, sees_two, NULL);
	buffer_init(&json, 0, false);
	body_json_writer_init(&w, &json);
	announce_put(a.announce, &w, NULL);
	assert_non_null(strstr(buffer_cstr(&json), "\"name\":\"b@test\""));
	assert_non_null(strstr(buffer_cstr(&json), "\"agrees\":true}"));
	buffer_fini(&json);
	/* A name without an announcement goes. */
	(void)cli("SADD", "relay:engines", "gone@test");
	timer_start_ms(&a.announce->refresh, 0);
	machines_for_ms(both, 2, 100);
	assert_string_equal(cli("SISMEMBER", "relay:engines", "gone@test"),
	    "0");
	assert_int_equal(a.announce->n_peers, 2);
	end_two();
}

/* ---- following -------------------------------------------------------------------------- */

static char watched[RPC_APP_ID_BYTES];

static bool
b_has_two(void *arg)
{
	const struct stage_app *s = stage_find(&b.stage, watched);

	(void)arg;
	return (machine_version(&b, watched) == 2 && s != NULL &&
	    s->version == 2);
}

static void
test_a_change_is_followed_at_once(void **state)
{
	uint64_t t_ms;

	(void)state;
	begin_two(3);
	machine_app(1, watched);
	t_ms = clock_mono_ms();
	assert_int_equal(machine_change(&a, watched), RC_OK);
	machines_until(both, 2, b_has_two, NULL);
	/* Not by the next scan, which comes after a minute. */
	assert_in_range(clock_mono_ms() - t_ms, 0, 20000);
	/* One that was never seen here, too. */
	machine_app(77, watched);
	assert_int_equal(machine_change(&a, watched), RC_OK);
	assert_int_equal(machine_change(&a, watched), RC_OK);
	machines_until(both, 2, b_has_two, NULL);
	/* A hint about what Redis lacks deletes nothing. */
	(void)cli("HDEL", "relay:apps", watched);
	(void)cli("PUBLISH", "relay:updates", "apps app_00000000004d");
	(void)cli("PUBLISH", "relay:updates", "apps ");
	(void)cli("PUBLISH", "relay:updates", "apps ../../etc/passwd");
	machines_for_ms(both, 2, 100);
	assert_true(b_has_two(NULL));
	end_two();
}

static bool
a_up(void *arg)
{
	(void)arg;
	return (machine_is_ready(&a) && machine_is_ready(&b));
}

/* What was written while nobody could hear it is found after the reconnect. */
static void
test_a_lost_subscription(void **state)
{
	(void)state;
	begin_two(2);
	machine_app(0, watched);
	(void)cli("CLIENT", "KILL", "TYPE", "pubsub");
	assert_int_equal(machine_change(&a, watched), RC_OK);
	machines_until(both, 2, b_has_two, NULL);
	machines_until(both, 2, a_up, NULL);
	end_two();
}

static void
test_without_leave_to_subscribe(void **state)
{
	struct machine *const list[] = { &a };

	(void)state;
	(void)server_begin();
	(void)cli("ACL", "SETUSER", "default", "-subscribe");
	machine_open(&a, &redis, "a@test", 2);
	machines_until(list, 1, machine_is_ready, &a);
	assert_string_equal(cli("HLEN", "relay:apps"), "2");
	machine_close(&a);
	redis_server_remove(&redis);
}

/* ---- who has it ---------------------------------------------------------------------------- */

static void
confirm(const char *app, uint64_t version, uint64_t timeout_ms)
{
	a.answered = false;
	assert_int_equal(confirm_begin(&a.confirms, 7, app, version,
	    timeout_ms), RC_OK);
	while (!a.answered)
		machines_for_ms(both, 2, 1);
}

static void
test_confirm(void **state)
{
	(void)state;
	begin_two(2);
	machine_app(0, watched);
	assert_int_equal(machine_change(&a, watched), RC_OK);
	confirm(watched, 2, 5000);
	assert_int_equal(a.rc, RC_OK);
	/* B does not look: it is named. */
	b.stage.hold = true;
	assert_int_equal(machine_change(&a, watched), RC_OK);
	confirm(watched, 3, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_string_equal(a.text, "b@test");
	/* One that is announced and says nothing, or less. */
	(void)cli("SET", "relay:engine:c@test", "{}");
	(void)cli("SADD", "relay:engines", "c@test", "gone@test");
	(void)cli("HSET", "relay:applied:app_000000000000", "c@test", "2");
	confirm(watched, 3, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_non_null(strstr(a.text, "b@test"));
	assert_non_null(strstr(a.text, "c@test"));
	assert_null(strstr(a.text, "gone"));
	(void)cli("HSET", "relay:applied:app_000000000000", "c@test", "3");
	b.stage.hold = false;
	stage_release(&b.stage);
	confirm(watched, 3, 5000);
	assert_int_equal(a.rc, RC_OK);
	/* Our own engine counts too. */
	confirm(watched, 4, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_non_null(strstr(a.text, "a@test"));
	end_two();
}

/* Whoever can write to Redis can name engines that are none; they have not
 * confirmed, and no terminal is to obey their names. */
static void
test_confirm_with_odd_names(void **state)
{
	(void)state;
	begin_two(1);
	machine_app(0, watched);
	(void)cli("SADD", "relay:engines", "");
	(void)cli("SET", "relay:engine:", "x");
	confirm(watched, 1, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_string_equal(a.text, "?");
	(void)cli("SREM", "relay:engines", "");
	(void)cli("SADD", "relay:engines", "a\033[31mb c");
	(void)cli("SET", "relay:engine:a\033[31mb c", "x");
	confirm(watched, 1, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_string_equal(a.text, "a?[31mb?c");
	(void)cli("SREM", "relay:engines", "a\033[31mb c");
	(void)cli("EVAL", "local n = string.rep('n', 40000) "
	    "redis.call('SADD', KEYS[1], n) "
	    "redis.call('SET', 'relay:engine:' .. n, 'x')", "1",
	    "relay:engines");
	confirm(watched, 1, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_int_equal(strspn(a.text, "n"), ANNOUNCEMENT_NAME_BYTES);
	end_two();
}

/* What another says may have been forgotten by Redis: it says it again. */
static void
test_confirm_asks_anew(void **state)
{
	(void)state;
	begin_two(2);
	machine_app(1, watched);
	(void)cli("DEL", "relay:applied:app_000000000001");
	confirm(watched, 1, 5000);
	assert_int_equal(a.rc, RC_OK);
	assert_in_range(atoi(cli("TTL", "relay:applied:app_000000000001")),
	    3500, 3600);
	end_two();
}

static void
test_confirm_while_redis_is_away(void **state)
{
	(void)state;
	begin_two(1);
	machine_app(0, watched);
	redis_server_kill(&redis);
	confirm(watched, 1, 300);
	assert_int_equal(a.rc, RC_UNAVAILABLE);
	end_two();
}

static void
test_confirm_without_redis(void **state)
{
	struct machine *const list[] = { &a };

	(void)state;
	machine_open(&a, NULL, "a@test", 1);
	machines_until(list, 1, machine_is_ready, &a);
	machine_app(0, watched);
	assert_int_equal(confirm_begin(&a.confirms, 7, watched, 1, 5000),
	    RC_OK);
	machine_until_answered(&a);
	assert_int_equal(a.rc, RC_OK);
	a.answered = false;
	assert_int_equal(confirm_begin(&a.confirms, 7, watched, 2, 0), RC_OK);
	machine_until_answered(&a);
	assert_int_equal(a.rc, RC_MORE);
	assert_string_equal(a.text, "a@test");
	machine_close(&a);
}

/* ---- two machines, one version ------------------------------------------------ */

static void
begin_change(struct machine *m, char last)
{
	uint64_t version = machine_version(m, watched) + 1;
	struct buffer record;

	m->answered = false;
	stage_record(&record, watched, version, last);
	assert_int_equal(store_change_begin(&m->changes, 7, watched, version,
	    &record), RC_OK);
	buffer_fini(&record);
}

static bool
both_answered(void *arg)
{
	(void)arg;
	return (a.answered && b.answered);
}

/* Neither knows of the other: one is told so before it writes a byte. */
static void
test_changes_at_one_moment(void **state)
{
	(void)state;
	begin_two(1);
	machine_app(0, watched);
	for (int i = 0; i < 20; i++) {
		begin_change(&a, 'a');
		begin_change(&b, 'b');
		machines_until(both, 2, both_answered, NULL);
		assert_int_not_equal(a.rc, b.rc);
		assert_true(a.rc == RC_OK || a.rc == RC_CONFLICT);
		assert_true(b.rc == RC_OK || b.rc == RC_CONFLICT);
		machines_until(both, 2, both_ready, NULL);
		assert_int_equal(machine_version(&a, watched), i + 2);
		assert_int_equal(machine_version(&b, watched), i + 2);
		assert_string_equal(cli("EXISTS", "relay:changing:"
		    "app_000000000000"), "0");
	}
	assert_false(record_store_find(a.store, watched)->forked);
	assert_false(record_store_find(b.store, watched)->forked);
	end_two();
}

static bool
b_has_all(void *arg)
{
	(void)arg;
	return (machine_version(&b, watched) == machine_version(&a, watched));
}

/* A hint that comes while the record is being read is about a newer one.  B may
 * not subscribe, so that no hint comes but ours, at the worst moment. */
static void
test_a_hint_while_reading_is_not_lost(void **state)
{
	struct machine *const list[] = { &a };

	(void)state;
	(void)server_begin();
	(void)cli("ACL", "SETUSER", "default", "-subscribe");
	machine_open(&a, &redis, "a@test", 1);
	machine_open(&b, &redis, "b@test", 1);
	machines_until(both, 2, a_up, NULL);
	machine_app(0, watched);
	for (int i = 0; i < 10; i++) {
		do {			/* asked, and not answered at once */
			replica_want_pull_first(b.replica, watched);
			replica_kick(b.replica);
			loop_turn(b.stage.loop, false);
		} while (!b.replica->pulling.reading);
		assert_int_equal(machine_change(&a, watched), RC_OK);
		machines_until(list, 1, machine_is_ready, &a);
		replica_want_pull_first(b.replica, watched);
		machines_until(both, 2, b_has_all, NULL);
	}
	end_two();
}

/* A claim of another is waited for; an own one of before a crash is not. */
static void
test_a_claim_is_waited_for(void **state)
{
	static const char key[] = "relay:changing:app_000000000000";
	struct machine *const list[] = { &a };

	(void)state;
	begin_two(1);
	machine_app(0, watched);
	(void)cli("SET", key, "a@test 2");
	begin_change(&a, 'a');
	machine_until_answered(&a);
	assert_int_equal(a.rc, RC_OK);
	machines_until(both, 2, both_ready, NULL);
	(void)cli("SET", key, "a@test2 3");	/* a longer name than ours */
	begin_change(&a, 'a');
	machines_for_ms(list, 1, 150);
	assert_false(a.answered);
	assert_int_equal(machine_version(&a, watched), 2);
	(void)cli("DEL", key);
	machine_until_answered(&a);
	assert_int_equal(a.rc, RC_OK);
	assert_int_equal(machine_version(&a, watched), 3);
	/* What was not written is no longer claimed. */
	machine_app(7, watched);
	a.stage.refuse_app = watched;
	begin_change(&a, 'a');
	machine_until_answered(&a);
	assert_int_equal(a.rc, RC_DENIED);
	machines_for_ms(both, 2, 50);
	assert_string_equal(cli("EXISTS", "relay:changing:app_000000000007"),
	    "0");
	end_two();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text_there_and_back),
		cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_who_disagrees),
		cmocka_unit_test(test_announced_draining_taken_back),
		cmocka_unit_test(test_a_successor_is_not_talked_over),
		cmocka_unit_test(test_each_sees_the_other),
		cmocka_unit_test(test_a_change_is_followed_at_once),
		cmocka_unit_test(test_a_lost_subscription),
		cmocka_unit_test(test_without_leave_to_subscribe),
		cmocka_unit_test(test_confirm),
		cmocka_unit_test(test_confirm_with_odd_names),
		cmocka_unit_test(test_confirm_asks_anew),
		cmocka_unit_test(test_confirm_while_redis_is_away),
		cmocka_unit_test(test_confirm_without_redis),
		cmocka_unit_test(test_changes_at_one_moment),
		cmocka_unit_test(test_a_hint_while_reading_is_not_lost),
		cmocka_unit_test(test_a_claim_is_waited_for),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
