/*
 * Who is asked whether he has a record, and what counts as having it: engines
 * that went silent, that left, of which Redis forgot, that have another record
 * of the same version.  With a real Redis and two helpers in this process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e3_helper_machine.h"

#define LAST	"relay:engines:last"
#define APPLIED	"relay:applied:app_000000000000"

static struct redis_server redis;
static struct machine a, b;
static struct machine *const both[] = { &a, &b };
static struct machine *const only_a[] = { &a };
static char app[RPC_APP_ID_BYTES];

#define cli(...)	cli_words((const char *const []){ __VA_ARGS__, NULL })

/* Until the next call. */
static const char *
cli_words(const char *const *words)
{
	static char out[512];

	redis_server_cli(&redis, out, sizeof(out), words);
	return (out);
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
begin_two(void)
{
	if (!redis_server_present()) {
		print_message("redis-server is missing\n");
		skip();
	}
	redis_server_make(&redis);
	redis_server_start(&redis, false, NULL);
	machine_open(&a, &redis, "a@test", 1);
	machine_open(&b, &redis, "b@test", 1);
	machines_until(both, 2, both_ready, NULL);
	machine_app(0, app);
}

static void
end_two(void)
{
	machine_close(&a);
	machine_close(&b);
	redis_server_remove(&redis);
}

static void
begin_confirm(uint64_t version, uint64_t timeout_ms)
{
	a.answered = false;
	assert_int_equal(confirm_begin(&a.confirms, 7, app, version,
	    timeout_ms), RC_OK);
}

static bool
a_answered(void *arg)
{
	(void)arg;
	return (a.answered);
}

/* B's loop stands still, as a stopped process does. */
static void
confirm_without_b(uint64_t version, uint64_t timeout_ms)
{
	begin_confirm(version, timeout_ms);
	machines_until(only_a, 1, a_answered, NULL);
}

/* What time does: the announcement ends, and whoever looks tidies up. */
static void
b_falls_silent(void)
{
	(void)cli("DEL", "relay:engine:b@test");
	timer_start_ms(&a.announce->refresh, 0);
	machines_for_ms(only_a, 1, 100);
	assert_string_equal(cli("SISMEMBER", "relay:engines", "b@test"), "0");
}

static void
test_who_is_silent_is_waited_for(void **state)
{
	(void)state;
	begin_two();
	assert_int_equal(machine_change(&a, app), RC_OK);
	b_falls_silent();
	confirm_without_b(2, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_string_equal(a.text, "b@test");
	/* It comes back: it has confirmed, announced or not. */
	begin_confirm(2, 5000);
	machines_until(both, 2, a_answered, NULL);
	assert_int_equal(a.rc, RC_OK);
	/* The operator knows better. */
	assert_int_equal(machine_change(&a, app), RC_OK);
	b_falls_silent();
	(void)cli("HDEL", LAST, "b@test");
	confirm_without_b(3, 300);
	assert_int_equal(a.rc, RC_OK);
	end_two();
}

static bool
b_ended(void *arg)
{
	(void)arg;
	return (b.ended);
}

static void
test_who_left_is_not(void **state)
{
	(void)state;
	begin_two();
	assert_non_null(strstr(cli("HGET", LAST, "b@test"), "here "));
	announce_end(b.announce);
	machines_until(both, 2, b_ended, NULL);
	assert_non_null(strstr(cli("HGET", LAST, "b@test"), "left "));
	assert_int_equal(machine_change(&a, app), RC_OK);
	confirm_without_b(2, 300);
	assert_int_equal(a.rc, RC_OK);
	end_two();
}

static bool
b_is_known(void *arg)
{
	(void)arg;
	return (strstr(cli("HGET", LAST, "b@test"), "here ") != NULL);
}

/* Redis loses all it knew while it is asked; and B leaves while it is asked. */
static void
test_between_two_looks(void **state)
{
	(void)state;
	begin_two();
	assert_int_equal(machine_change(&a, app), RC_OK);
	begin_confirm(2, 1500);
	machines_for_ms(only_a, 1, 400);	/* some looks */
	assert_false(a.answered);
	(void)cli("DEL", "relay:engines", LAST, "relay:engine:b@test", APPLIED);
	machines_until(only_a, 1, a_answered, NULL);
	assert_int_equal(a.rc, RC_MORE);
	assert_non_null(strstr(a.text, "b@test"));

	timer_start_ms(&b.announce->refresh, 0);
	machines_until(both, 2, b_is_known, NULL);
	b.stage.hold = true;		/* it has not got it, and leaves */
	assert_int_equal(machine_change(&a, app), RC_OK);
	begin_confirm(3, 9000);
	machines_for_ms(both, 2, 400);
	assert_false(a.answered);
	announce_end(b.announce);
	machines_until(&both[1], 1, b_ended, NULL);
	machines_until(only_a, 1, a_answered, NULL);
	assert_int_equal(a.rc, RC_OK);
	end_two();
}

/* A week for the silent, an hour for who left; what is not understood goes. */
static void
test_names_are_forgotten(void **state)
{
	static const struct {
		const char	*name, *how;
		int		age_s;
		bool		stays;
	} table[] = {
		{ "new@test", "here", 10, true },
		{ "week@test", "here", 604000, true },
		{ "older@test", "here", 605000, false },
		{ "left@test", "left", 3000, true },
		{ "long@test", "left", 4000, false },
		{ "odd@test", "gone", 4000, false },
	};
	char text[64];
	int now;

	(void)state;
	begin_two();
	now = atoi(strchr(cli("HGET", LAST, "a@test"), ' '));
	assert_true(now > 1600000000);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s %d", table[i].how,
		    now - table[i].age_s);
		(void)cli("HSET", LAST, table[i].name, text);
	}
	(void)cli("HSET", LAST, "word@test", "here to stay");
	timer_start_ms(&a.announce->refresh, 0);
	machines_for_ms(only_a, 1, 100);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(cli("HEXISTS", LAST, table[i].name),
		    table[i].stays ? "1" : "0");
	assert_string_equal(cli("HEXISTS", LAST, "word@test"), "0");
	assert_string_equal(cli("HEXISTS", LAST, "b@test"), "1");
	end_two();
}

/* One version is not one record. */
static void
test_other_bytes_of_the_version(void **state)
{
	char ours[64];

	(void)state;
	begin_two();
	assert_int_equal(machine_change(&a, app), RC_OK);
	begin_confirm(2, 5000);
	machines_until(both, 2, a_answered, NULL);
	assert_int_equal(a.rc, RC_OK);
	(void)snprintf(ours, sizeof(ours), "%s", cli("HGET", APPLIED, "a@test"));
	assert_int_equal(strlen(ours), 2 + 16);
	assert_string_equal(cli("HGET", APPLIED, "b@test"), ours);
	/* B stands still: its word is what is written here. */
	(void)cli("HSET", APPLIED, "b@test", "2 0000000000000000");
	confirm_without_b(2, 300);
	assert_int_equal(a.rc, RC_MORE);
	assert_string_equal(a.text, "b@test");
	(void)cli("HSET", APPLIED, "b@test", "3 0000000000000000");
	confirm_without_b(2, 300);
	assert_int_equal(a.rc, RC_OK);
	(void)cli("HSET", APPLIED, "b@test", "2");	/* an older helper */
	confirm_without_b(2, 300);
	assert_int_equal(a.rc, RC_OK);
	end_two();
}

static void
change_alone(struct machine *m, char last)
{
	struct buffer record;

	m->answered = false;
	stage_record(&record, app, 2, last);
	assert_int_equal(store_change_begin(&m->changes, 7, app, 2, &record),
	    RC_OK);
	buffer_fini(&record);
	machine_until_answered(m);
	assert_int_equal(m->rc, RC_OK);
}

static bool
machine_is_forked(struct machine *m)
{
	return (record_store_find(m->store, app)->forked);
}

static bool
both_down(void *arg)
{
	(void)arg;
	return (!replica_is_up(a.replica) && !replica_is_up(b.replica));
}

static bool
has_answered(void *arg)
{
	const struct machine *m = arg;

	return (m->answered);
}

static bool
one_forked(void *arg)
{
	(void)arg;
	return (machine_is_forked(&a) || machine_is_forked(&b));
}

/* Two changes of one version while Redis is away: who asks, on either side, is
 * told of the other one; and who stands against Redis, of himself. */
static void
test_a_fork_is_not_confirmed(void **state)
{
	struct machine *loser;

	(void)state;
	begin_two();
	redis_server_kill(&redis);
	machines_until(both, 2, both_down, NULL);
	change_alone(&a, 'a');
	change_alone(&b, 'b');
	redis_server_start(&redis, false, NULL);
	machines_until(both, 2, one_forked, NULL);
	loser = machine_is_forked(&a) ? &a : &b;
	for (size_t i = 0; i < 2; i++) {
		both[i]->answered = false;	/* time for hints and answers */
		assert_int_equal(confirm_begin(&both[i]->confirms, 7, app, 2,
		    1500), RC_OK);
		machines_until(both, 2, has_answered, both[i]);
		assert_int_equal(both[i]->rc, RC_MORE);
		assert_non_null(strstr(both[i]->text,
		    loser->announce->own.name));
		if (both[i] == loser)		/* it differs as much */
			assert_non_null(strstr(both[i]->text, loser == &a ?
			    "b@test" : "a@test"));
	}
	/* Who stands against Redis does not tell again what it has. */
	(void)cli("HDEL", APPLIED, loser->announce->own.name);
	(void)cli("PUBLISH", "relay:updates", "apps app_000000000000");
	machines_for_ms(both, 2, 200);
	assert_string_equal(cli("HLEN", APPLIED), "1");
	end_two();
}

static bool
a_has_told(void *arg)
{
	(void)arg;
	return (!a.replica->applying &&
	    record_store_find(a.store, app)->applied == 1);
}

/* It is told once; other bytes in its place are, however they came. */
static void
test_other_bytes_are_told(void **state)
{
	(void)state;
	begin_two();
	machines_until(both, 2, a_has_told, NULL);
	replica_apply(a.replica);
	assert_false(a.replica->applying);
	record_store_find(a.store, app)->sha256[0] ^= 1;
	replica_apply(a.replica);
	assert_true(a.replica->applying);
	end_two();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_silent_is_waited_for),
		cmocka_unit_test(test_who_left_is_not),
		cmocka_unit_test(test_between_two_looks),
		cmocka_unit_test(test_names_are_forgotten),
		cmocka_unit_test(test_other_bytes_of_the_version),
		cmocka_unit_test(test_a_fork_is_not_confirmed),
		cmocka_unit_test(test_other_bytes_are_told),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
