/*
 * worker/relay_records.c over a real map: whose records are found, which is the
 * relay and which a custom domain of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/map.h"
#include "worker/relay_records.h"

#define APP	"app_0123456789ab"
#define OTHER	"app_ffffffffffff"

struct fixture {
	char			dir[64];
	struct shm_map		*map;		/* the writer's */
	struct route_table	*table;
	struct relay_records	found;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/worker-records-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->table = route_table_new(f->dir);
	assert_int_equal(shm_map_open(f->dir, SHM_WRITER, &f->map), RC_OK);
	assert_int_equal(route_table_open(f->table), RC_OK);
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	static const char *const files[] = { "data.mdb", "lock.mdb" };
	struct fixture *f = *state;
	char path[128];

	relay_records_fini(&f->found);
	route_table_free(&f->table);
	shm_map_close(&f->map);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return (0);
}

static void
put(struct fixture *f, const char *key, enum shm_kind kind, const char *text)
{
	uint64_t epoch;

	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	assert_int_equal(shm_map_put(f->map, key, kind, span_of(text)), RC_OK);
	assert_int_equal(shm_map_write_commit(f->map, &epoch), RC_OK);
}

/* more: members, each with a comma in front. */
static void
put_relay(struct fixture *f, const char *host, const char *app, const char *more)
{
	char key[128], text[512];

	(void)snprintf(key, sizeof(key), "relays/%s", host);
	(void)snprintf(text, sizeof(text), "{\"destinationDomain\":\"a.test\","
	    "\"app\":\"%s\",\"routes\":[]%s}", app, more);
	put(f, key, SHM_KIND_RELAY, text);
}

/* want: hosts in order, custom ones in brackets. */
static void
find(struct fixture *f, const char *app, const char *id, const char *want)
{
	char got[512] = "";

	relay_records_fini(&f->found);
	assert_int_equal(relay_records_find(f->table, app, id, &f->found), RC_OK);
	for (size_t i = 0; i < f->found.n; i++) {
		const struct relay_entry *e = &f->found.v[i];
		size_t n = strlen(got);

		(void)snprintf(got + n, sizeof(got) - n, e->custom ? "[%s]" :
		    "%s ", e->host);
	}
	assert_string_equal(got, want);
}

static void
test_before_the_first_sync(void **state)
{
	struct fixture *f = *state;
	struct buffer out;

	buffer_init(&out, 0, false);
	assert_int_equal(relay_records_find(f->table, APP, NULL, &f->found),
	    RC_UNAVAILABLE);
	assert_int_equal(relay_records_egress(f->table, APP, &out),
	    RC_UNAVAILABLE);
	put(f, "sync/state", SHM_KIND_SYNC, "{}");
	find(f, APP, NULL, "");
	assert_int_equal(relay_records_egress(f->table, APP, &out), RC_NOTFOUND);
	buffer_fini(&out);
}

static void
test_whose_and_which(void **state)
{
	struct fixture *f = *state;
	char own[RELAY_ID_BYTES];

	put_relay(f, "plain.test", APP, "");
	put_relay(f, "main.test", APP, ",\"id\":\"r1\","
	    "\"evervaultDomain\":\"main.test\"");
	put_relay(f, "a-custom.test", APP, ",\"id\":\"r1\","
	    "\"evervaultDomain\":\"main.test\"");
	put_relay(f, "z-custom.test", APP, ",\"id\":\"r1\","
	    "\"evervaultDomain\":\"main.test\"");
	/* whose managed name is nobody's here: a relay of its own */
	put_relay(f, "moved.test", APP, ",\"id\":\"r2\","
	    "\"evervaultDomain\":\"x.elsewhere.test\"");
	/* that names a relay with another id */
	put_relay(f, "odd.test", APP, ",\"id\":\"r3\","
	    "\"evervaultDomain\":\"main.test\"");
	put_relay(f, "other.test", OTHER, ",\"id\":\"r1\"");
	/* the app's id is in it, and it is another app's */
	put_relay(f, "mention.test", OTHER, ",\"createdAt\":1,"
	    "\"evervaultDomain\":\"" APP "\"");
	find(f, APP, NULL, "main.test moved.test odd.test plain.test "
	    "[a-custom.test][z-custom.test]");
	find(f, APP, "r1", "main.test [a-custom.test][z-custom.test]");
	find(f, APP, "r2", "moved.test ");
	relay_record_id(RELAY_ID_PREFIX, "plain.test", own);
	find(f, APP, own, "plain.test ");
	find(f, OTHER, "r1", "other.test ");
	put(f, "sync/state", SHM_KIND_SYNC, "{}");
	find(f, APP, "nothing", "");
	find(f, "app_00000000000", NULL, "");
}

static void
test_egress(void **state)
{
	static const char text[] = "{ \"destinations\": [] }\n";
	struct fixture *f = *state;
	struct buffer out;

	buffer_init(&out, 0, false);
	put(f, "egress/" APP, SHM_KIND_EGRESS, text);
	put(f, "egress/" APP "0", SHM_KIND_EGRESS, "{}");
	put(f, "sync/state", SHM_KIND_SYNC, "{}");
	assert_int_equal(relay_records_egress(f->table, APP, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out), text);
	buffer_clear(&out);
	assert_int_equal(relay_records_egress(f->table, OTHER, &out),
	    RC_NOTFOUND);
	/* no prefix of a name is that name */
	assert_int_equal(relay_records_egress(f->table, "app_0123456789a", &out),
	    RC_NOTFOUND);
	assert_int_equal(buffer_len(&out), 0);
	buffer_fini(&out);
}

#define RECORDS_TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		RECORDS_TEST(test_before_the_first_sync),
		RECORDS_TEST(test_whose_and_which),
		RECORDS_TEST(test_egress),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
