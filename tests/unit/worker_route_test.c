/*
 * worker/route.c over a real map: the test is the writer, the table the
 * reader.  Damage is a record that the writer's own code would never make, put
 * there as raw bytes are: a good checksum over a bad document, or by changing
 * the file.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/map.h"
#include "worker/route.h"

#define RELAY_JSON(dest)						\
	"{\"destinationDomain\":\"" dest "\",\"app\":\"app_0123456789ab\","	\
	"\"routes\":[]}"

struct fixture {
	char			dir[64];
	struct shm_map		*map;		/* the writer's */
	struct route_table	*table;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/worker-route-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->table = route_table_new(f->dir);
	*state = f;
	return (0);
}

static void
remove_file(const char *dir, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)unlink(path);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	route_table_free(&f->table);
	shm_map_close(&f->map);
	remove_file(f->dir, "data.mdb");
	remove_file(f->dir, "lock.mdb");
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return (0);
}

static void
open_both(struct fixture *f)
{
	assert_int_equal(shm_map_open(f->dir, SHM_WRITER, &f->map), RC_OK);
	assert_int_equal(route_table_open(f->table), RC_OK);
}

static void
put(struct fixture *f, const char *key, enum shm_kind kind, const char *text)
{
	uint64_t epoch;

	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	assert_int_equal(shm_map_put(f->map, key, kind, span_of(text)), RC_OK);
	assert_int_equal(shm_map_write_commit(f->map, &epoch), RC_OK);
}

static void
put_relay(struct fixture *f, const char *key, const char *text)
{
	put(f, key, SHM_KIND_RELAY, text);
}

static void
sync_done(struct fixture *f)
{
	put(f, "sync/state", SHM_KIND_SYNC, "{}");
}

static void
del(struct fixture *f, const char *key)
{
	uint64_t epoch;

	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	assert_int_equal(shm_map_delete(f->map, key), RC_OK);
	assert_int_equal(shm_map_write_commit(f->map, &epoch), RC_OK);
}

static void
assert_route(struct fixture *f, const char *host, enum rc want,
    const char *destination)
{
	struct relay *r;

	assert_int_equal(route_find(f->table, host, &r), want);
	if (want != RC_OK) {
		assert_null(r);
		return;
	}
	assert_string_equal(r->host, destination);
	relay_unref(&r);
}

static void
test_no_map_yet(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(route_table_open(f->table), RC_NOTFOUND);
	assert_route(f, "shop.test", RC_UNAVAILABLE, NULL);
	open_both(f);
	assert_int_equal(route_table_open(f->table), RC_OK);	/* again */
	assert_route(f, "shop.test", RC_UNAVAILABLE, NULL);
}

/* Before the first complete sync nobody can say that a relay does not exist;
 * those that are there serve. */
static void
test_not_synced(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	put_relay(f, "relays/shop.test", RELAY_JSON("a.test"));
	assert_route(f, "shop.test", RC_OK, "a.test");
	assert_route(f, "other.test", RC_UNAVAILABLE, NULL);
	sync_done(f);
	assert_route(f, "other.test", RC_NOTFOUND, NULL);
	assert_route(f, "shop.test", RC_OK, "a.test");
}

static void
test_new_changed_removed(void **state)
{
	struct fixture *f = *state;
	struct relay *old, *same;

	open_both(f);
	sync_done(f);
	assert_route(f, "shop.test", RC_NOTFOUND, NULL);
	put_relay(f, "relays/shop.test", RELAY_JSON("a.test"));
	assert_int_equal(route_find(f->table, "shop.test", &old), RC_OK);

	/* Another record changed: the snapshot is the same object. */
	put_relay(f, "relays/other.test", RELAY_JSON("x.test"));
	assert_int_equal(route_find(f->table, "shop.test", &same), RC_OK);
	assert_ptr_equal(old, same);
	relay_unref(&same);

	put_relay(f, "relays/shop.test", RELAY_JSON("b.test"));
	assert_route(f, "shop.test", RC_OK, "b.test");
	/* Who has the old one keeps it to its end. */
	assert_string_equal(old->host, "a.test");
	relay_unref(&old);

	del(f, "relays/shop.test");
	assert_route(f, "shop.test", RC_NOTFOUND, NULL);
	assert_route(f, "other.test", RC_OK, "x.test");
	put_relay(f, "relays/shop.test", RELAY_JSON("c.test"));
	assert_route(f, "shop.test", RC_OK, "c.test");
}

/* A document that is no relay: never served, and never in place of one. */
static void
test_bad_document(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	sync_done(f);
	put_relay(f, "relays/new.test", "{\"destinationDomain\":");
	assert_route(f, "new.test", RC_CORRUPT, NULL);
	assert_route(f, "new.test", RC_CORRUPT, NULL);

	put_relay(f, "relays/shop.test", RELAY_JSON("a.test"));
	assert_route(f, "shop.test", RC_OK, "a.test");
	put_relay(f, "relays/shop.test", "{\"unknown\":1}");
	assert_route(f, "shop.test", RC_OK, "a.test");
	put_relay(f, "relays/other.test", RELAY_JSON("x.test"));
	assert_route(f, "shop.test", RC_OK, "a.test");
	put_relay(f, "relays/shop.test", RELAY_JSON("b.test"));
	assert_route(f, "shop.test", RC_OK, "b.test");
}

/* Change each copy of a text in the file: pages that are free hold old ones. */
static void
damage(struct fixture *f, const char *text)
{
	char path[128], *file, *at;
	size_t n = 0;
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
	assert_true((fd = open(path, O_RDWR)) >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	for (at = file; (at = memmem(at, (size_t)(file + st.st_size - at), text,
	    strlen(text))) != NULL; n++)
		*at ^= 1;
	assert_true(n != 0);
	assert_int_equal(munmap(file, (size_t)st.st_size), 0);
	(void)close(fd);
}

static void
test_bad_checksum(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	sync_done(f);
	put_relay(f, "relays/shop.test", RELAY_JSON("first.test"));
	assert_route(f, "shop.test", RC_OK, "first.test");
	put_relay(f, "relays/shop.test", RELAY_JSON("second.test"));
	put_relay(f, "relays/new.test", RELAY_JSON("third.test"));
	damage(f, "second.test");
	damage(f, "third.test");
	assert_route(f, "shop.test", RC_OK, "first.test");
	assert_route(f, "new.test", RC_CORRUPT, NULL);
	put_relay(f, "relays/shop.test", RELAY_JSON("repaired.test"));
	assert_route(f, "shop.test", RC_OK, "repaired.test");
}

static void
on_damage(void *arg)
{
	++*(unsigned *)arg;
}

/* The feed hears of it at once, and then not at every request. */
static void
test_damage_is_told(void **state)
{
	struct fixture *f = *state;
	unsigned told = 0;

	route_table_on_damage(f->table, on_damage, &told);
	open_both(f);
	assert_route(f, "shop.test", RC_UNAVAILABLE, NULL);
	sync_done(f);
	put_relay(f, "relays/shop.test", RELAY_JSON("first.test"));
	assert_route(f, "other.test", RC_NOTFOUND, NULL);
	assert_int_equal(told, 0);
	damage(f, "first.test");
	for (unsigned i = 0; i < 1000; i++)
		assert_route(f, "shop.test", RC_CORRUPT, NULL);
	assert_in_range(told, 1, 10);	/* one a second */
}

/* ---- egress records ---- */

#define APP	"app_0123456789ab"
#define EGRESS(host)	"{\"destinations\":[{\"host\":\"" host "\"}]}"

static void
put_egress(struct fixture *f, const char *text)
{
	put(f, "egress/" APP, SHM_KIND_EGRESS, text);
}

/* host: of its one destination; NULL: it has no list. */
static void
assert_egress(struct fixture *f, const char *app, enum rc want,
    const char *host)
{
	struct egress *e;

	assert_int_equal(route_egress(f->table, app, &e), want);
	if (want != RC_OK) {
		assert_null(e);
		return;
	}
	assert_int_equal(e->any, host == NULL);
	if (host != NULL) {
		assert_int_equal(e->n_destinations, 1);
		assert_true(egress_allows(e, host, 443));
	}
	assert_string_equal(e->rules->app, APP);
	egress_unref(&e);
	assert_null(e);
}

static void
test_egress_records(void **state)
{
	struct fixture *f = *state;
	struct egress *old, *same;

	assert_egress(f, APP, RC_UNAVAILABLE, NULL);	/* no map */
	open_both(f);
	assert_egress(f, APP, RC_UNAVAILABLE, NULL);	/* not synced */
	put_egress(f, EGRESS("a.test"));
	assert_egress(f, APP, RC_OK, "a.test");
	assert_egress(f, "app_ffffffffffff", RC_UNAVAILABLE, NULL);
	sync_done(f);
	assert_egress(f, "app_ffffffffffff", RC_NOTFOUND, NULL);
	assert_int_equal(route_egress(f->table, APP, &old), RC_OK);
	put_relay(f, "relays/shop.test", RELAY_JSON("x.test"));
	assert_int_equal(route_egress(f->table, APP, &same), RC_OK);
	assert_ptr_equal(old, same);
	egress_unref(&same);

	put_egress(f, EGRESS("b.test"));
	assert_egress(f, APP, RC_OK, "b.test");
	assert_true(egress_allows(old, "a.test", 443));	/* to its end */
	egress_unref(&old);
	put_egress(f, "{}");
	assert_egress(f, APP, RC_OK, NULL);
	del(f, "egress/" APP);
	assert_egress(f, APP, RC_NOTFOUND, NULL);
	put_egress(f, EGRESS("c.test"));
	assert_egress(f, APP, RC_OK, "c.test");
}

/* A list that cannot be read is never `any destination`, nor is the one of an
 * app that had none yet. */
static void
test_damaged_egress_records(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	sync_done(f);
	put_egress(f, "{\"destination\":[]}");
	assert_egress(f, APP, RC_CORRUPT, NULL);
	assert_egress(f, APP, RC_CORRUPT, NULL);
	put_egress(f, EGRESS("first.test"));
	assert_egress(f, APP, RC_OK, "first.test");
	put_egress(f, "{\"destinations\":");
	assert_egress(f, APP, RC_OK, "first.test");
	put_egress(f, EGRESS("second.test"));
	damage(f, "second.test");
	assert_egress(f, APP, RC_OK, "first.test");
	put_egress(f, EGRESS("third.test"));
	assert_egress(f, APP, RC_OK, "third.test");
	put(f, "egress/app_ffffffffffff", SHM_KIND_EGRESS, EGRESS("new.test"));
	damage(f, "new.test");
	assert_egress(f, "app_ffffffffffff", RC_CORRUPT, NULL);
}

/* Two tables in one: a name in one is nothing in the other. */
static void
test_relays_and_egress_apart(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	sync_done(f);
	put_relay(f, "relays/" APP, RELAY_JSON("a.test"));
	assert_egress(f, APP, RC_NOTFOUND, NULL);
	assert_route(f, APP, RC_OK, "a.test");
	put_egress(f, EGRESS("b.test"));
	assert_egress(f, APP, RC_OK, "b.test");
	assert_route(f, APP, RC_OK, "a.test");
	del(f, "relays/" APP);
	assert_route(f, APP, RC_NOTFOUND, NULL);
	assert_egress(f, APP, RC_OK, "b.test");
}

/* ---- many ---- */

/* Names of one bucket and of many: each its own record. */
static void
test_many(void **state)
{
	struct fixture *f = *state;
	char key[64], json[256];
	uint64_t epoch;

	open_both(f);
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	for (unsigned i = 0; i < 9000; i++) {
		(void)snprintf(key, sizeof(key), "relays/h%u.test", i);
		(void)snprintf(json, sizeof(json), "{\"destinationDomain\":"
		    "\"d%u.test\",\"app\":\"app_0123456789ab\",\"routes\":[]}", i);
		assert_int_equal(shm_map_put(f->map, key, SHM_KIND_RELAY,
		    span_of(json)), RC_OK);
	}
	assert_int_equal(shm_map_write_commit(f->map, &epoch), RC_OK);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < 9000; i++) {
			(void)snprintf(key, sizeof(key), "h%u.test", i);
			(void)snprintf(json, sizeof(json), "d%u.test", i);
			assert_route(f, key, RC_OK, json);
		}
	}
}

static void
test_match(void **state)
{
	static const char json[] =
	    "{\"destinationDomain\":\"a.test\",\"app\":\"app_0123456789ab\","
	    "\"routes\":["
	    "{\"method\":\"POST\",\"path\":\"/pay\",\"request\":[{\"action\":"
	    "\"encrypt\",\"selections\":[{\"type\":\"json\",\"selector\":\"$.a\"}]}]},"
	    "{\"method\":\"GET\",\"path\":\"/things/*\"},"
	    "{\"path\":\"/things/**\"}]}";
	static const struct {
		const char	*method, *path;
		int		want;	/* index of the route; -1: none */
	} rows[] = {
		{ "POST", "/pay", 0 },
		{ "post", "/pay", -1 },
		{ "PUT", "/pay", -1 },
		{ "POST", "/pay/", -1 },
		{ "POST", "/payx", -1 },
		{ "GET", "/things/1", 1 },
		{ "HEAD", "/things/1", 1 },
		{ "GET", "/things/1/2", 2 },
		{ "HEAD", "/things/1/2", 2 },
		{ "BREW", "/things/1", 2 },
		{ "GET", "/", -1 },
	};
	struct relay_fault fault;
	struct relay *r;

	(void)state;
	if (relay_json_parse(span_of(json), &r, &fault) != RC_OK)
		fail_msg("%s: %s", fault.path, fault.reason);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct relay_route *want = rows[i].want < 0 ? NULL :
		    &r->routes[rows[i].want];

		assert_ptr_equal(route_match(r, span_of(rows[i].method),
		    span_of(rows[i].path)), want);
	}
	relay_unref(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_map_yet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_synced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_changed_removed, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_bad_document, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_told, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_egress_records, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_damaged_egress_records, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_relays_and_egress_apart, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test(test_match),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
