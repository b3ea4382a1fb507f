/* Filling an engine, draining it, and sealing every record anew. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "e3_helper_machine.h"

static struct machine machine;	/* large */
static struct machine *const one[] = { &machine };

static void
until(bool (*check)(void *))
{
	machines_until(one, 1, check, &machine);
}

/* ---- filling ------------------------------------------------------------------- */

static bool
three_wait(void *arg)
{
	const struct machine *m = arg;

	return (m->stage.held == 3);
}

static bool
one_more_waits(void *arg)
{
	const struct machine *m = arg;

	return (m->stage.held == 1);
}

static void
test_batches_are_in_flight_together(void **state)
{
	(void)state;
	machine_open(&machine, NULL, "a@test", 3500);
	machine.stage.hold = true;
	until(three_wait);
	machines_for_ms(one, 1, 50);
	assert_int_equal(machine.stage.held, 3);
	stage_release(&machine.stage);
	until(one_more_waits);
	assert_int_equal(engine_state(machine.engine), ENGINE_LOADING);
	assert_int_equal(machine.stage.set_ready, 0);
	stage_release(&machine.stage);
	until(machine_is_ready);
	assert_int_equal(machine.stage.n_apps, 3500);
	assert_int_equal(machine.stage.most_records, 1024);
	assert_int_equal(machine.stage.loads, 4);
	machine_close(&machine);
}

static void
test_the_link_is_lost_with_batches_in_flight(void **state)
{
	(void)state;
	machine_open(&machine, NULL, "a@test", 3500);
	machine.stage.hold = true;
	until(three_wait);
	machine.stage.hold = false;
	stage_restart(&machine.stage);
	until(machine_is_ready);
	assert_int_equal(machine.stage.n_apps, 3500);
	assert_int_equal(machine.stage.set_ready, 1);
	machine_close(&machine);
}

/* Batch after batch is refused as a whole: one by one finds who is to blame. */
static void
test_a_refused_batch_is_sent_one_by_one(void **state)
{
	char app[RPC_APP_ID_BYTES];

	(void)state;
	machine_open(&machine, NULL, "a@test", 40);
	machine_app(17, app);
	machine.stage.refuse_many = true;
	machine.stage.refuse_app = app;
	until(machine_is_ready);
	assert_int_equal(machine.stage.loads, 41);
	assert_int_equal(machine.stage.n_apps, 39);
	assert_null(stage_find(&machine.stage, app));
	for (unsigned i = 0; i < 40; i++) {
		machine_app(i, app);
		assert_int_equal(record_store_find(machine.store, app)->refused,
		    i == 17);
	}
	machine_close(&machine);
}

static void
test_no_records_at_all(void **state)
{
	(void)state;
	machine_open(&machine, NULL, "a@test", 0);
	until(machine_is_ready);
	assert_int_equal(machine.stage.loads, 0);
	machine_close(&machine);
}

/* ---- draining ------------------------------------------------------------------- */

static bool
is_draining(void *arg)
{
	const struct machine *m = arg;

	return (m->stage.draining);
}

static void
on_set(void *arg, enum rc rc)
{
	enum rc *out = arg;

	*out = rc;
}

static void
test_draining_outlives_the_engine(void **state)
{
	enum rc rc = RC_MORE;

	(void)state;
	machine_open(&machine, NULL, "a@test", 2);
	assert_int_equal(engine_set_draining(machine.engine, true, on_set,
	    &rc), RC_UNAVAILABLE);
	until(machine_is_ready);
	assert_false(engine_is_draining(machine.engine));
	assert_int_equal(engine_set_draining(machine.engine, true, on_set,
	    &rc), RC_OK);
	until(is_draining);
	machines_for_ms(one, 1, 20);
	assert_int_equal(rc, RC_OK);
	assert_true(engine_is_draining(machine.engine));
	stage_restart(&machine.stage);
	until(is_draining);
	assert_true(engine_is_draining(machine.engine));
	rc = RC_MORE;
	assert_int_equal(engine_set_draining(machine.engine, false, on_set,
	    &rc), RC_OK);
	while (rc != RC_OK)
		machines_for_ms(one, 1, 1);
	assert_false(machine.stage.draining);
	stage_restart(&machine.stage);
	until(machine_is_ready);
	assert_false(engine_is_draining(machine.engine));
	machine_close(&machine);
}

/* ---- reseal --------------------------------------------------------------------- */

static void
reseal_all(void)
{
	machine.answered = false;
	assert_int_equal(reseal_begin(machine.reseal, 7), RC_OK);
	machine_until_answered(&machine);
	assert_false(reseal_is_running(machine.reseal));
}

static void
check_all(unsigned n, uint64_t version)
{
	char app[RPC_APP_ID_BYTES];

	for (unsigned i = 0; i < n; i++) {
		machine_app(i, app);
		assert_int_equal(machine_version(&machine, app), version);
		assert_int_equal(stage_find(&machine.stage, app)->version,
		    version);
		assert_int_equal(stage_find(&machine.stage, app)->under_next,
		    version == 2);
	}
}

static void
test_reseal(void **state)
{
	(void)state;
	machine_open(&machine, NULL, "a@test", 5);
	machine.stage.next_key = true;
	until(machine_is_ready);
	reseal_all();
	assert_int_equal(machine.rc, RC_OK);
	assert_string_equal(machine.text, "5");
	check_all(5, 2);
	/* Again: nothing is left to do, here or for a helper that knows
	 * nothing of the first time. */
	reseal_all();
	assert_string_equal(machine.text, "5");
	machine_restart(&machine, NULL, "a@test");
	until(machine_is_ready);
	reseal_all();
	assert_int_equal(machine.rc, RC_OK);
	assert_string_equal(machine.text, "5");
	check_all(5, 2);
	assert_int_equal(machine.stage.reseals, 5);
	machine_close(&machine);
}

static void
test_reseal_without_a_next_key(void **state)
{
	(void)state;
	machine_open(&machine, NULL, "a@test", 3);
	until(machine_is_ready);
	reseal_all();
	assert_int_equal(machine.rc, RC_IO);
	assert_string_equal(machine.text, "the engine has no next root key");
	check_all(3, 1);
	machine_close(&machine);
}

static void
test_reseal_goes_on_after_the_engine_died(void **state)
{
	(void)state;
	machine_open(&machine, NULL, "a@test", 5);
	machine.stage.next_key = true;
	machine.stage.cut_at_reseal = 3;
	until(machine_is_ready);
	reseal_all();
	assert_int_equal(machine.rc, RC_OK);
	assert_string_equal(machine.text, "5");
	check_all(5, 2);
	machine_close(&machine);
}

static void
test_reseal_tells_of_what_it_cannot_seal(void **state)
{
	char app[RPC_APP_ID_BYTES];

	(void)state;
	machine_open(&machine, NULL, "a@test", 4);
	machine_app(1, app);
	machine.stage.refuse_app = app;
	machine.stage.next_key = true;
	until(machine_is_ready);
	reseal_all();
	assert_int_equal(machine.rc, RC_MORE);
	assert_string_equal(machine.text, "3 records are under the next root "
	    "key; 1 are damaged or refused");
	assert_int_equal(machine_version(&machine, app), 1);
	machine_close(&machine);
}

static void
on_turn(void *arg)
{
	(void)arg;
}

static bool
is_sealed(void *arg)
{
	const struct machine *m = arg;

	return (m->stage.reseals == 1 && !TAILQ_EMPTY(&m->turn.waiting));
}

/* Somebody else's change between Reseal and the write: that one is sealed. */
static void
test_reseal_beside_other_changes(void **state)
{
	struct turn_waiter other;
	char app[RPC_APP_ID_BYTES];
	struct buffer b;

	(void)state;
	machine_open(&machine, NULL, "a@test", 3);
	machine.stage.next_key = true;
	until(machine_is_ready);
	machine_app(0, app);
	turn_waiter_init(&other, on_turn, NULL);
	turn_take(&machine.turn, &other);
	assert_int_equal(reseal_begin(machine.reseal, 7), RC_OK);
	until(is_sealed);
	stage_record(&b, app, 2, 'c');
	assert_int_equal(record_store_put(machine.store, (struct span){
	    buffer_data(&b), buffer_len(&b) }), RC_OK);
	buffer_fini(&b);
	turn_leave(&machine.turn, &other);
	machine_until_answered(&machine);
	assert_int_equal(machine.rc, RC_OK);
	assert_string_equal(machine.text, "3");
	assert_int_equal(machine_version(&machine, app), 3);
	assert_true(stage_find(&machine.stage, app)->under_next);
	machine_close(&machine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_are_in_flight_together),
		cmocka_unit_test(test_the_link_is_lost_with_batches_in_flight),
		cmocka_unit_test(test_a_refused_batch_is_sent_one_by_one),
		cmocka_unit_test(test_no_records_at_all),
		cmocka_unit_test(test_draining_outlives_the_engine),
		cmocka_unit_test(test_reseal),
		cmocka_unit_test(test_reseal_without_a_next_key),
		cmocka_unit_test(test_reseal_goes_on_after_the_engine_died),
		cmocka_unit_test(test_reseal_tells_of_what_it_cannot_seal),
		cmocka_unit_test(test_reseal_beside_other_changes),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
