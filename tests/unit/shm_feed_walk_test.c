/*
 * shm/feed/walk.c: what the end of the child says of the map, what comes
 * through the pipe, and what the child does not have.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/feed/walk.h"
#include "shm/map.h"

enum end { BY_RC, BY_SIGNAL, BY_EXIT };

struct ending {
	enum end	how;
	int		what;
	enum rc		want;
};

static enum rc
end_so(void *arg, int out)
{
	const struct ending *e = arg;

	(void)out;
	if (e->how == BY_SIGNAL)
		(void)raise(e->what);
	else if (e->how == BY_EXIT)
		_exit(e->what);
	return ((enum rc)e->what);
}

static void
test_endings(void **state)
{
	static struct ending table[] = {
		{ BY_RC, RC_OK, RC_OK },
		{ BY_RC, RC_CORRUPT, RC_CORRUPT },
		{ BY_RC, RC_IO, RC_IO },
		{ BY_RC, RC_DENIED, RC_IO },
		{ BY_EXIT, SHM_EXIT_CORRUPT, RC_CORRUPT },
		{ BY_EXIT, 99, RC_IO },
		{ BY_SIGNAL, SIGBUS, RC_CORRUPT },
		{ BY_SIGNAL, SIGSEGV, RC_CORRUPT },
		{ BY_SIGNAL, SIGABRT, RC_CORRUPT },
		{ BY_SIGNAL, SIGXCPU, RC_CORRUPT },
		{ BY_SIGNAL, SIGKILL, RC_IO },	/* from outside */
		{ BY_SIGNAL, SIGTERM, RC_IO },
	};
	struct walk w;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(walk_begin(&w, end_so, &table[i]), RC_OK);
		if (walk_end(&w) != table[i].want)
			fail_msg("case %zu", i);
		assert_int_equal(w.fd, -1);
	}
}

static enum rc
say_much(void *arg, int out)
{
	char block[1000];

	(void)arg;
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 1000; i++)
		if (write(out, block, sizeof(block)) != sizeof(block))
			return (RC_IO);
	return (RC_OK);
}

static void
test_more_than_a_pipe_holds(void **state)
{
	struct walk w;
	char buf[4096];
	size_t total = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(walk_begin(&w, say_much, NULL), RC_OK);
	while ((n = read(w.fd, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(total, 1000000);
	assert_int_equal(walk_end(&w), RC_OK);
	/* Nobody listens: it ends all the same. */
	assert_int_equal(walk_begin(&w, say_much, NULL), RC_OK);
	assert_int_equal(walk_end(&w), RC_IO);
}

/* A socket that the child kept would tell its peer nothing when we die. */
static enum rc
look_around(void *arg, int out)
{
	struct rlimit core;

	if (fcntl(*(int *)arg, F_GETFD) >= 0 || errno != EBADF)
		return (RC_EXISTS);
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0 ||
	    signal(SIGTERM, SIG_IGN) != SIG_DFL)
		return (RC_DENIED);
	return (write(out, "k", 1) == 1 ? RC_OK : RC_IO);
}

static void
on_term(int sig)
{
	(void)sig;
}

static void
test_what_the_child_has(void **state)
{
	struct walk w;
	int fds[2];
	char c;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)signal(SIGTERM, on_term);
	assert_int_equal(walk_begin(&w, look_around, &fds[1]), RC_OK);
	assert_int_equal(read(w.fd, &c, 1), 1);
	assert_int_equal(walk_end(&w), RC_OK);
	assert_true(signal(SIGTERM, SIG_DFL) == on_term);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_more_than_a_pipe_holds),
		cmocka_unit_test(test_what_the_child_has),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
