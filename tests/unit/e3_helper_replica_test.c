/* What a record of Redis is against ours. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "e3/helper/replica.h"

#define APP	"app_0123456789ab"

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
	} table[] = {
		{ 5, 'x', false, false, REPLICA_SAME },
		{ 5, 'y', false, false, REPLICA_FORK },
		{ 4, 'x', false, false, REPLICA_LOWER },
		{ 6, 'x', false, false, REPLICA_HIGHER },
		{ 256, 'x', false, false, REPLICA_HIGHER },
		{ UINT64_MAX, 'x', false, false, REPLICA_HIGHER },
		{ 4, 'x', true, false, REPLICA_HIGHER },
		{ 4, 'x', false, true, REPLICA_HIGHER },
		{ 5, 'y', false, true, REPLICA_HIGHER },
		{ 5, 'x', false, true, REPLICA_SAME },
	};
	struct buffer ours, theirs;
	struct record_entry e;

	(void)state;
	make_record(&ours, APP, 5, 'x');
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		e = entry_of(&ours, 5);
		e.damaged = table[i].damaged;
		e.refused = table[i].refused;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_foreign),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
