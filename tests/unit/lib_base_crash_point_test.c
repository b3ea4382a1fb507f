/* A child of ours dies at the point that a file names, at that passing, once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/crash_point.h"

#define SURVIVED	7

static char path[] = "/tmp/crash-point-XXXXXX";
static char self[4096];

/* The page is mapped before main, so it takes an exec. */
static int
child_main(void)
{
	bool full;

	for (int i = 0; i < 3; i++) {
		crash_point("step.one");
		errno = 0;
		full = crash_point_full("step.full");
		if (full != (errno == ENOSPC))
			return (1);
		if (full)
			return (2);
	}
	return (SURVIVED);
}

static void
arm(const char *name, uint32_t left)
{
	char page[64] = "";
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)snprintf(page, 60, "%s", name);
	memcpy(page + 60, &left, sizeof(left));
	assert_int_equal(fwrite(page, sizeof(page), 1, f), 1);
	assert_int_equal(fclose(f), 0);
}

static uint32_t
left(void)
{
	char page[64];
	uint32_t n;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_int_equal(fread(page, sizeof(page), 1, f), 1);
	assert_int_equal(fclose(f), 0);
	memcpy(&n, page + 60, sizeof(n));
	return (n);
}

static int
run(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)execl(self, self, "child", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (WIFSIGNALED(status) ? -WTERMSIG(status) :
	    WEXITSTATUS(status));
}

static void
test_points(void **state)
{
	static const struct {
		const char	*name;
		uint32_t	left;
		int		end;
		uint32_t	left_after;
	} table[] = {
		{ "step.one", 1, -SIGKILL, 0 },
		{ "step.one", 3, -SIGKILL, 0 },
		{ "step.one", 4, SURVIVED, 1 },
		{ "step.one", 0, SURVIVED, 0 },
		{ "step.on", 1, SURVIVED, 1 },
		{ "step.one.more", 1, SURVIVED, 1 },
		{ "", 1, SURVIVED, 1 },
		{ "step.full", 1, 2, 0 },
		{ "step.full", 3, 2, 0 },
	};

	(void)state;
#ifndef RELAY_CRASH_POINTS
	print_message("skipped: built without --enable-crash-points\n");
	skip();
#endif
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		arm(table[i].name, table[i].left);
		assert_int_equal(run(), table[i].end);
		assert_int_equal(left(), table[i].left_after);
	}
	/* Who was killed once lives on when it is started again. */
	arm("step.one", 1);
	assert_int_equal(run(), -SIGKILL);
	assert_int_equal(run(), SURVIVED);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_points),
	};
	int fd, failed;
	ssize_t n;

	(void)argv;
	if (argc == 2)
		return (child_main());
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0 || (fd = mkstemp(path)) < 0)
		return (1);
	(void)close(fd);
	(void)setenv("RELAY_CRASH_POINT", path, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(path);
	return (failed);
}
