/*
 * worker/engine_list.c: engines that appear in a real map, change there, cannot
 * be read and disappear, and the pool that hears of them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_engine_pair.h"
#include "worker/engine_list.h"

struct fixture {
	struct engine_pair	engines;
	struct route_table	*routes;
	struct engine_list	*list;
	struct shm_map		*map;	/* the feed's; NULL: none yet */
	char			folder[64];
	unsigned		n_damage;
};

static void
on_damage(void *arg)
{
	struct fixture *f = arg;

	f->n_damage++;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/engine-list-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	engine_pair_start(&f->engines);
	engine_pair_pool(&f->engines, 0, NEVER_MS);
	f->routes = route_table_new(f->folder);
	route_table_on_damage(f->routes, on_damage, f);
	f->list = engine_list_new(f->engines.lab.loop, f->routes,
	    f->engines.pool);
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char path[96];

	engine_list_free(&f->list);
	route_table_free(&f->routes);
	shm_map_close(&f->map);
	engine_pair_stop(&f->engines);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", f->folder);
	(void)unlink(path);
	(void)rmdir(f->folder);
	free(f);
	return (0);
}

static void
make_map(struct fixture *f)
{
	assert_int_equal(shm_map_open(f->folder, SHM_WRITER, &f->map), RC_OK);
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	assert_int_equal(shm_map_put(f->map, "sync/state", SHM_KIND_SYNC,
	    SPAN_LIT("{}")), RC_OK);
}

static void
commit(struct fixture *f)
{
	uint64_t epoch;

	assert_int_equal(shm_map_write_commit(f->map, &epoch), RC_OK);
}

static void
put(struct fixture *f, const char *key, const struct worker_engine *e,
    const char *state)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
	    "{\"address\":\"%s\",\"state\":\"%s\"}", e->address, state);
	assert_int_equal(shm_map_put(f->map, key, SHM_KIND_ENGINE,
	    span_of(text)), RC_OK);
}

static void
until_up(struct fixture *f, size_t n)
{
	engine_pair_until_up(&f->engines, n);
}

/* What was committed before has been looked at. */
static void
look(struct fixture *f)
{
	loop_for_ms(f->engines.lab.loop, 2 * ENGINE_LIST_MS);
}

static void
test_engines_of_the_map(void **state)
{
	struct fixture *f = *state;

	look(f);				/* no map: nobody */
	assert_int_equal(engine_pool_up(f->engines.pool), 0);
	make_map(f);
	put(f, "engines/e3@one", &f->engines.one, "ready");
	commit(f);
	assert_int_equal(route_table_open(f->routes), RC_OK);
	until_up(f, 1);
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	put(f, "engines/e3@two", &f->engines.two, "ready");
	put(f, "enginesx/e3@two", &f->engines.two, "ready");
	commit(f);
	until_up(f, 2);
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	put(f, "engines/e3@two", &f->engines.two, "draining");
	commit(f);
	until_up(f, 1);			/* left alone */
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	put(f, "engines/e3@two", &f->engines.two, "ready");
	commit(f);
	until_up(f, 2);
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	assert_int_equal(shm_map_delete(f->map, "engines/e3@one"), RC_OK);
	commit(f);
	until_up(f, 1);
	assert_int_equal(f->n_damage, 0);
}

/* Another change of the map is none of the engines; a payload that is none is
 * never half a list. */
static void
test_what_cannot_be_read(void **state)
{
	static const char *const payloads[] = {
		"", "{}", "[]", "{\"address\":\"a.test:1\"}",
		"{\"address\":1,\"state\":\"ready\"}", "{\"address\":\"a.test:1\"",
	};
	struct fixture *f = *state;

	make_map(f);
	put(f, "engines/e3@one", &f->engines.one, "ready");
	commit(f);
	assert_int_equal(route_table_open(f->routes), RC_OK);
	until_up(f, 1);
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		assert_int_equal(shm_map_write_begin(f->map), RC_OK);
		assert_int_equal(shm_map_put(f->map, "engines/e3@one",
		    SHM_KIND_ENGINE, span_of(payloads[i])), RC_OK);
		commit(f);
		look(f);
		assert_int_equal(engine_pool_up(f->engines.pool), 1);
	}
	assert_int_equal(f->engines.one.n_links, 2);
}

static void
test_damage_is_reported(void **state)
{
	static char file[1 << 20];
	struct fixture *f = *state;
	char path[96], *at = file;
	ssize_t len;
	int fd;

	make_map(f);
	put(f, "engines/e3@one", &f->engines.one, "ready");
	commit(f);
	assert_int_equal(route_table_open(f->routes), RC_OK);
	until_up(f, 1);
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	put(f, "engines/e3@two", &f->engines.two, "ready");
	put(f, "engines/e3@one", &f->engines.one, "draining");
	commit(f);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->folder);
	assert_true((fd = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	assert_in_range(len = pread(fd, file, sizeof(file), 0), 4096,
	    sizeof(file));
	while ((at = memmem(at, (size_t)(file + len - at), "draining", 8)) != NULL)
		assert_int_equal(pwrite(fd, "?", 1, at++ - file), 1);
	(void)close(fd);
	look(f);
	assert_int_equal(f->n_damage, 1);
	assert_int_equal(engine_pool_up(f->engines.pool), 1);
	assert_int_equal(f->engines.two.n_links, 0);
	/* Repaired: another epoch. */
	assert_int_equal(shm_map_write_begin(f->map), RC_OK);
	put(f, "engines/e3@one", &f->engines.one, "ready");
	commit(f);
	until_up(f, 2);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_engines_of_the_map),
		T(test_what_cannot_be_read),
		T(test_damage_is_reported),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
