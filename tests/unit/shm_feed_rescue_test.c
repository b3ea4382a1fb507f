/*
 * shm/feed/rescue.c: what is at start, and what is there afterwards.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "shm/feed/rescue.h"

#define N_RELAYS	200
#define RELAY								\
	"{\"app\": \"app_0123456789ab\", \"destinationDomain\": \"o.test\", " \
	"\"routes\": []}"
#define ENGINE	"{\"address\":\"10.0.0.1:3443\",\"state\":\"ready\"}"
#define PAGE		4096

static char folder[64];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/relay-rescue-XXXXXX");
	return (mkdtemp(folder) == NULL ? -1 : 0);
}

/* How many files of this pattern; removed if so. */
static unsigned
files(const char *pattern, bool away)
{
	char path[128];
	unsigned n = 0;
	glob_t g;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, pattern);
	if (glob(path, 0, NULL, &g) == 0) {
		n = (unsigned)g.gl_pathc;
		for (size_t i = 0; away && i < g.gl_pathc; i++)
			(void)unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	return (n);
}

static int
teardown(void **state)
{
	(void)state;
	(void)files("*", true);
	return (rmdir(folder));
}

static void
fill(void)
{
	struct shm_map *m;
	uint64_t epoch;
	char key[64];

	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	assert_int_equal(shm_map_write_begin(m), RC_OK);
	for (unsigned i = 0; i < N_RELAYS; i++) {
		(void)snprintf(key, sizeof(key), "relays/h%03u.test", i);
		assert_int_equal(shm_map_put(m, key, SHM_KIND_RELAY,
		    span_of(RELAY)), RC_OK);
	}
	assert_int_equal(shm_map_put(m, "engines/e3@h", SHM_KIND_ENGINE,
	    span_of(ENGINE)), RC_OK);
	assert_int_equal(shm_map_put(m, "egress/app_0123456789ab",
	    SHM_KIND_EGRESS, SPAN_LIT("{}")), RC_OK);
	assert_int_equal(shm_map_put(m, "sync/state", SHM_KIND_SYNC,
	    span_of("{}")), RC_OK);
	assert_int_equal(shm_map_write_commit(m, &epoch), RC_OK);
	shm_map_close(&m);
}

static bool
count(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	(void)key;
	assert_int_equal(rc, RC_OK);
	assert_true(span_eq_str(r->payload, RELAY));
	++*(unsigned *)arg;
	return (true);
}

/* The engine's record, and the app's, are in the map since the last start. */
static bool had_engine, had_egress;

static bool
is_egress(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	(void)arg;
	assert_string_equal(key, "egress/app_0123456789ab");
	assert_int_equal(rc, RC_OK);
	assert_int_equal(r->kind, SHM_KIND_EGRESS);
	had_egress = true;
	return (true);
}

static bool
is_engine(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	(void)arg;
	assert_string_equal(key, "engines/e3@h");
	assert_int_equal(rc, RC_OK);
	assert_int_equal(r->kind, SHM_KIND_ENGINE);
	assert_true(span_eq_str(r->payload, ENGINE));
	had_engine = true;
	return (true);
}

/* Relays in the map that this start makes or finds; replaced as wanted. */
static unsigned
start(bool want_replaced)
{
	struct shm_map *m;
	bool replaced;
	unsigned n = 0;
	uint64_t epoch;
	char why[256];

	if (rescue_open(folder, &m, &replaced, why, sizeof(why)) != RC_OK)
		fail_msg("%s", why);
	assert_int_equal(replaced, want_replaced);
	assert_int_equal(shm_map_begin(m, &epoch), RC_OK);
	assert_int_equal(shm_map_each(m, SHM_RELAYS, count, &n), RC_OK);
	had_engine = had_egress = false;
	assert_int_equal(shm_map_each(m, SHM_ENGINES, is_engine, NULL), RC_OK);
	assert_int_equal(shm_map_each(m, SHM_EGRESS, is_egress, NULL), RC_OK);
	shm_map_end(m);
	shm_map_close(&m);
	return (n);
}

static int
open_data(off_t *size)
{
	char path[128];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
	assert_true((fd = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = st.st_size;
	return (fd);
}

static void
test_sound(void **state)
{
	(void)state;
	assert_int_equal(start(false), 0);	/* there was none */
	fill();
	assert_int_equal(start(false), N_RELAYS);
	assert_int_equal(files("*.bad-*", false), 0);
}

/* Each page in turn: the others' records are kept, and the map is sound. */
static void
test_one_bad_page(void **state)
{
	static char wrong[PAGE];
	unsigned n, best = 0, pages = 0, engines = 0, egress = 0;
	off_t size;
	int fd;

	(void)state;
	memset(wrong, 'w', sizeof(wrong));
	fill();
	fd = open_data(&size);
	(void)close(fd);
	for (off_t at = 2 * PAGE; at + PAGE <= size; at += PAGE, pages++) {
		(void)files("*", true);
		fill();
		fd = open_data(&size);
		assert_int_equal(pwrite(fd, wrong, PAGE, at), PAGE);
		(void)close(fd);
		n = start(true);
		assert_int_equal(files("*.bad-*", false), 1);
		assert_true(n < N_RELAYS);
		engines += had_engine;
		egress += had_egress;
		best = n > best ? n : best;
		assert_int_equal(start(false), n);
	}
	assert_in_range(pages, 3, 1000);
	assert_in_range(best, N_RELAYS / 2, N_RELAYS - 1);
	assert_in_range(engines, 1, pages - 1);
	assert_in_range(egress, 1, pages - 1);
}

static void
test_emptied_removed_foreign(void **state)
{
	off_t size;
	int fd;

	(void)state;
	fill();
	fd = open_data(&size);
	assert_int_equal(ftruncate(fd, 0), 0);
	(void)close(fd);
	assert_int_equal(start(true), 0);
	assert_int_equal(files("*.bad-*", false), 0);	/* nothing to keep */
	fill();
	assert_int_equal(files("data.mdb", true), 1);
	assert_int_equal(start(true), 0);
	fill();
	fd = open_data(&size);
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	(void)close(fd);
	assert_int_equal(start(true), 0);
	assert_int_equal(files("*.bad-*", false), 1);
	fd = open_data(&size);
	assert_int_equal(pwrite(fd, "not a database at all", 21, 16), 21);
	(void)close(fd);
	assert_int_equal(start(true), 0);
}

/* One record that is damaged: the file stays, the others with it. */
static bool
count_bad(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	(void)key;
	(void)r;
	*(unsigned *)arg += rc == RC_CORRUPT;
	return (true);
}

static void
test_one_bad_record(void **state)
{
	struct shm_map *m;
	unsigned bad = 0;
	bool replaced;
	uint64_t epoch;
	char file[1 << 18], *at, why[256];
	off_t size;
	int fd;

	(void)state;
	fill();
	fd = open_data(&size);
	assert_int_equal(pread(fd, file, sizeof(file), 0), size);
	at = memmem(file, (size_t)size, "h123.test", 9);
	assert_non_null(at);
	at = memmem(at, 200, "o.test", 6);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, "?", 1, at - file), 1);
	(void)close(fd);
	assert_int_equal(rescue_open(folder, &m, &replaced, why, sizeof(why)),
	    RC_OK);
	assert_false(replaced);
	assert_int_equal(shm_map_begin(m, &epoch), RC_OK);
	assert_int_equal(shm_map_each(m, SHM_RELAYS, count_bad, &bad), RC_OK);
	assert_int_equal(bad, 1);
	shm_map_end(m);
	shm_map_close(&m);
}

/* No room for the new map: the bad one is where it was, for the next start. */
static void
test_no_room_for_a_new_one(void **state)
{
	struct rlimit before, limit;
	struct shm_map *m;
	char why[256];
	bool replaced;
	off_t size, after;
	int fd;

	(void)state;
	fill();
	fd = open_data(&size);
	assert_int_equal(ftruncate(fd, size - PAGE), 0);
	(void)close(fd);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 4 * PAGE;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_not_equal(rescue_open(folder, &m, &replaced, why,
		    sizeof(why)), RC_OK);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_null(m);
		assert_true(why[0] != '\0');
		fd = open_data(&after);
		(void)close(fd);
		assert_int_equal(after, size - PAGE);
		assert_int_equal(files("*.bad-*", false), 0);
	}
	assert_true(start(true) > 0);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_sound),
		T(test_one_bad_page),
		T(test_emptied_removed_foreign),
		T(test_one_bad_record),
		T(test_no_room_for_a_new_one),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
