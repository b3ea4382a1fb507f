/* e3/sealing.c, e3/load.c: an app that is often sealed to gets a table, and
 * seals by it; with the pair it was made for, it goes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <sched.h>
#include <cmocka.h>

#include "e3/record.h"
#include "e3_fixture.h"
#include "lib/base/clock.h"

#define WAIT_MS		20000

static bool
has_table(struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	struct scheme_p256_table *t = scheme_p256_tables_use(s, pub);
	bool has = t != NULL;

	scheme_p256_table_unref(&t);
	return (has);
}

/* For a table that was asked for, or is with the next call.  Calls give the
 * builder its next job, so calls it is that we wait with. */
static void
wait_table(struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	uint64_t end_ms = clock_mono_ms() + WAIT_MS;

	while (!has_table(s, pub)) {
		assert_true(clock_mono_ms() < end_ms);
		(void)sched_yield();
	}
}

static const struct scheme_public_key *
sealing(struct fixture *f, enum rpc_curve curve)
{
	const struct e3_app *app = e3_keyring_app(f->engine.keyring,
	    SPAN_LIT(FIXTURE_APP));

	assert_non_null(app);
	return (&e3_app_sealing_pair(app, curve)->pub);
}

static void
test_encrypt(void **state)
{
	struct fixture f;
	char text[256], value[32];
	enum rpc_field_type type;

	(void)state;
	fixture_start(&f, 2);
	fixture_app(&f, FIXTURE_APP);
	for (int i = 0; i < SCHEME_P256_TABLE_CALLS; i++)
		fixture_seal(&f, FIXTURE_APP, RPC_CURVE_K1, RPC_FIELD_STRING,
		    "v", text, sizeof(text));
	for (int i = 0; i < SCHEME_P256_TABLE_CALLS - 1; i++)
		fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING,
		    "v", text, sizeof(text));
	/* The first of these calls is the eighth, and not the sixteenth. */
	wait_table(f.engine.tables, sealing(&f, RPC_CURVE_R1));
	for (int i = 0; i < 20; i++) {
		fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING,
		    "by table", text, sizeof(text));
		assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text),
		    &type, value, sizeof(value)), RPC_OPEN_OK);
		assert_string_equal(value, "by table");
	}
	fixture_stop(&f);
}

/* The next version of the app becomes active by LoadRecords: with the same
 * pairs, or with the P-256 one rotated. */
static void
load_next(struct fixture *f, bool rotate)
{
	struct e3_app *next, *now = e3_keyring_app(f->engine.keyring,
	    SPAN_LIT(FIXTURE_APP));
	struct buffer record, body;
	struct reply r;

	assert_int_equal(e3_app_copy(now, 0, 0, &next), RC_OK);
	next->version++;
	if (rotate)
		assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(
		    f->engine.crypto), RPC_CURVE_R1, next->pairs[0].secret, &next->pairs[0].pub), RC_OK);
	buffer_init(&record, 0, false);
	assert_int_equal(e3_record_seal(f->engine.crypto, f->engine.root_key,
	    next, &record), RC_OK);
	e3_app_unref(&next);
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "records");
	rpc_put_array(&body, 1);
	rpc_put_bin(&body, (struct span){ buffer_data(&record),
	    buffer_len(&record) });
	f->peer.role = RPC_ROLE_HELPER;
	fixture_call(f, "LoadRecords", &body, &r);
	f->peer.role = RPC_ROLE_WORKER;
	assert_int_equal(r.status, RPC_STATUS_OK);
	reply_fini(&r);
	buffer_fini(&record);
}

static void
test_app_replaced(void **state)
{
	struct scheme_public_key old;
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	old = *sealing(&f, RPC_CURVE_R1);
	for (int i = 0; i < SCHEME_P256_TABLE_CALLS; i++)
		(void)has_table(f.engine.tables, &old);
	wait_table(f.engine.tables, &old);
	load_next(&f, false);
	assert_true(has_table(f.engine.tables, &old));
	load_next(&f, true);
	assert_false(has_table(f.engine.tables, &old));
	assert_memory_not_equal(old.full, sealing(&f, RPC_CURVE_R1)->full,
	    SCHEME_FULL_POINT_BYTES);
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encrypt),
		cmocka_unit_test(test_app_replaced),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
