/* tests/unit/lib_base_fd_test.c - flags, whole files, memfds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/relay-fd-XXXXXX");
	return (mkdtemp(dir) == NULL);
}

static unsigned
count_files(void)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.' ? 1 : 0;
	closedir(d);
	return (n);
}

static const char *
path(const char *name)
{
	static char out[128];

	(void)snprintf(out, sizeof(out), "%s/%s", dir, name);
	return (out);
}

static int
teardown(void **state)
{
	static const char *const names[] = { "a", "b", "sub" };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		(void)remove(path(names[i]));
	return (rmdir(dir));
}

static void
assert_content(const char *name, const char *want)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	assert_int_equal(file_read(path(name), &b), RC_OK);
	assert_string_equal(buffer_cstr(&b), want);
	buffer_fini(&b);
}

static void
test_flags(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_nonblock(fds[0]), RC_OK);
	assert_true((fcntl(fds[0], F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(fd_cloexec(fds[0], true), RC_OK);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_cloexec(fds[0], false), RC_OK);
	assert_int_equal(fcntl(fds[0], F_GETFD), 0);
	fd_close(&fds[0]);
	assert_int_equal(fds[0], -1);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_int_equal(fd_nonblock(-1), RC_IO);
	assert_int_equal(fd_cloexec(-1, true), RC_IO);
}

static void
test_read_limits(void **state)
{
	struct buffer b;

	(void)state;
	assert_int_equal(file_write_atomic(path("a"), "0123456789", 10, 0600),
	    RC_OK);
	for (size_t max = 1; max < 13; max++) {
		buffer_init(&b, max, false);
		assert_int_equal(file_read(path("a"), &b),
		    max < 10 ? RC_LIMIT : RC_OK);
		assert_int_equal(buffer_len(&b), max < 10 ? max : 10);
		buffer_fini(&b);
	}
	buffer_init(&b, 0, false);
	buffer_puts(&b, "before ");
	assert_int_equal(file_read(path("a"), &b), RC_OK);
	assert_string_equal(buffer_cstr(&b), "before 0123456789");
	assert_int_equal(file_read(path("nothing"), &b), RC_NOTFOUND);
	assert_int_equal(file_read(dir, &b), RC_IO);
	assert_int_equal(fd_read_all(-1, &b), RC_IO);
	assert_int_equal(fd_write_all(-1, "x", 1), RC_IO);
	assert_int_equal(fd_write_all(-1, "", 0), RC_OK);
	buffer_fini(&b);
}

static void
test_write_atomic(void **state)
{
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	assert_int_equal(file_write_atomic(path("b"), "one", 3, 0644), RC_OK);
	assert_int_equal(stat(path("b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);	/* whatever umask */
	assert_int_equal(file_write_atomic(path("b"), "two!", 4, 0400),
	    RC_OK);
	assert_content("b", "two!");
	assert_int_equal(stat(path("b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	/* Failing leaves the old content and nothing beside it. */
	assert_int_equal(mkdir(path("sub"), 0700), 0);
	assert_int_equal(file_write_atomic(path("sub"), "x", 1, 0600), RC_IO);
	assert_int_equal(file_write_atomic("/nowhere/at/all", "x", 1, 0600),
	    RC_IO);
	assert_int_equal(count_files(), 3);		/* a, b, sub */
	assert_int_equal(rmdir(path("sub")), 0);
	umask(mask);
}

/* No trace but the file, whatever a writer that died left behind. */
static void
test_replace(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_create(path("b.tmp"), "longer", 6, 0600), RC_OK);
	assert_int_equal(file_replace(path("b"), "one", 3, 0640), RC_OK);
	assert_content("b", "one");
	assert_int_equal(stat(path("b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_replace(path("b"), "", 0, 0640), RC_OK);
	assert_content("b", "");
	assert_int_equal(file_replace("/nowhere/at/all", "x", 1, 0600), RC_IO);
	assert_int_equal(count_files(), 2);		/* a, b */
}

static void
test_create(void **state)
{
	(void)state;
	(void)unlink(path("b"));
	assert_int_equal(file_create(path("b"), "one", 3, 0600), RC_OK);
	assert_int_equal(file_create(path("b"), "two", 3, 0600), RC_EXISTS);
	assert_content("b", "one");
	assert_int_equal(file_create("/nowhere/at/all", "x", 1, 0600), RC_IO);
	assert_int_equal(file_sync(path("b")), RC_OK);
	assert_int_equal(file_sync(path("nothing")), RC_IO);
	/* All that lead to it, whether it is there or not. */
	assert_int_equal(file_sync_folders(path("b")), RC_OK);
	assert_int_equal(file_sync_folders(path("nothing")), RC_OK);
	assert_int_equal(file_sync_folders("b"), RC_OK);
	assert_int_equal(file_sync_folders("/"), RC_OK);
	assert_int_equal(file_sync_folders(path("no/thing")), RC_IO);
	assert_int_equal(count_files(), 2);		/* a, b */
}

static void
test_private(void **state)
{
	static const struct {
		unsigned	has, may;
		const char	*why;	/* NULL: good */
	} table[] = {
		{ 0400, 0600, NULL }, { 0600, 0600, NULL },
		{ 0700, 0600, NULL }, { 0640, 0640, NULL },
		{ 0440, 0640, NULL },
		{ 0640, 0600, "others may read it (mode 640): chmod 600" },
		{ 0604, 0600, "others may read it (mode 604): chmod 600" },
		{ 0644, 0640, "others may read it (mode 644): chmod 640" },
		{ 0660, 0640, "others may change it (mode 660): chmod 640" },
		{ 0601, 0600, "others may change it (mode 601): chmod 600" },
	};
	struct stat st = { 0 };
	char why[96];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		st.st_mode = S_IFREG | table[i].has;
		assert_int_equal(file_private(&st, table[i].may, why,
		    sizeof(why)), table[i].why == NULL ? RC_OK : RC_DENIED);
		if (table[i].why != NULL)
			assert_string_equal(why, table[i].why);
	}
}

static void
test_memory(void **state)
{
	struct buffer b;
	void *p;
	int fd = fd_memory("test", "content", 7);

	(void)state;
	assert_true(fd >= 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	buffer_init(&b, 0, false);
	assert_int_equal(fd_read_all(fd, &b), RC_OK);
	assert_string_equal(buffer_cstr(&b), "content");
	buffer_fini(&b);
	/* Nobody changes it under the reader. */
	assert_true(write(fd, "x", 1) < 0);
	assert_true(ftruncate(fd, 3) < 0);
	p = mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_equal(p, MAP_FAILED);
	fd_close(&fd);
	fd = fd_memory("empty", NULL, 0);
	assert_true(fd >= 0);
	fd_close(&fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_read_limits),
		cmocka_unit_test(test_write_atomic),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_memory),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
