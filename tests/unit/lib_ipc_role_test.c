/* lib/ipc/role.c: a role takes over what the master passed, and does not start
 * without it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/panic.h"
#include "lib/ipc/role.h"

#define USAGE	"usage: nobody's\n"

/* What a child says on its descriptors, and how it ends. */
struct told {
	char	log[512], panic[512], err[512];
	int	status;
};

static int
file_new(const char *name)
{
	int fd = memfd_create(name, 0);

	assert_true(fd > 2);
	assert_int_equal(ftruncate(fd, name[0] == 'p' ? PANIC_PAGE_BYTES : 0),
	    0);
	return (fd);
}

static void
file_read(int fd, char out[512])
{
	ssize_t n = pread(fd, out, 511, 0);

	assert_true(n >= 0);
	out[n] = '\0';
	(void)close(fd);
}

/* names: of a file, of one for the log, and of a page, in the list. */
static void
start(const char *const names[3], const char *usage,
    void (*then)(int control), struct told *t)
{
	int control = file_new("control"), log = file_new("log");
	int page = file_new("page"), err = file_new("err");
	char text[128];
	pid_t pid;

	(void)snprintf(text, sizeof(text), "%s=%d:%s=%d:%s=%d", names[0],
	    control, names[1], log, names[2], page);
	if ((pid = fork()) == 0) {
		struct ipc_inherited fds;

		(void)dup2(err, STDERR_FILENO);
		(void)setenv(IPC_FDS_VARIABLE, text, 1);
		then(ipc_role_start(&fds, usage));
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &t->status, 0), pid);
	file_read(log, t->log);
	file_read(page, t->panic);
	file_read(err, t->err);
	(void)close(control);
}

static void
speak_and_break(int control)
{
	if (control < 0)
		_exit(9);
	log_info("hello");
	ensure(control < 0);
}

static void
leave(int control)
{
	_exit(control < 0 ? 7 : 8);
}

static void
test_log_and_last_words_are_the_masters(void **state)
{
	static const char *const names[] = { "control", "log", "panic" };
	struct told t;

	(void)state;
	start(names, USAGE, speak_and_break, &t);
	assert_true(WIFSIGNALED(t.status) && WTERMSIG(t.status) == SIGABRT);
	assert_non_null(strstr(t.log, "hello"));
	assert_non_null(strstr(t.panic, "control < 0"));
	assert_null(strstr(t.err, "hello"));
}

static void
test_nobody_starts_it_by_hand(void **state)
{
	static const struct {
		const char *names[3], *usage, *err;
		int status;
	} cases[] = {
		{ { "conf", "link.ca", "admin" }, USAGE, USAGE, 2 },
		{ { "conf", "link.ca", "admin" }, NULL, "", 7 },
		{ { "control", "conf", "admin" }, NULL, "", 8 },
		{ { "control", "log", "log" }, NULL, "RELAY_FDS is broken", 2 },
		{ { "control=1", "conf", "log" }, USAGE, "RELAY_FDS is broken",
		    2 },
	};
	struct told t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(cases[i].names, cases[i].usage, leave, &t);
		assert_true(WIFEXITED(t.status));
		assert_int_equal(WEXITSTATUS(t.status), cases[i].status);
		assert_non_null(strstr(t.err, cases[i].err));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_and_last_words_are_the_masters),
		cmocka_unit_test(test_nobody_starts_it_by_hand),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
