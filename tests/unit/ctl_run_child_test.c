/* A command in our place: its status, its end by a signal, signals passed on,
 * what it inherits. */
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
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/run_child.h"

static int
run(const char *script)
{
	char shell[] = "sh", option[] = "-c", text[256];
	char *argv[] = { shell, option, text, NULL };

	assert_true(strlen(script) < sizeof(text));
	(void)strcpy(text, script);
	return (run_child(argv));
}

static void
test_status(void **state)
{
	static const struct { const char *script; int status; } table[] = {
		{ "exit 0", 0 },
		{ "exit 7", 7 },
		{ "exit 255", 255 },
		{ "kill -TERM $$", 128 + SIGTERM },
		{ "kill -KILL $$", 128 + SIGKILL },
		/* main ignores it, a pipeline's command must not */
		{ "kill -PIPE $$; exit 1", 128 + SIGPIPE },
		/* nothing of ours stays blocked in it */
		{ "kill -INT $$; exit 1", 128 + SIGINT },
	};

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int status = run(table[i].script);

		if (status != table[i].status)
			fail_msg("%s: %d", table[i].script, status);
	}
}

static void
test_not_started(void **state)
{
	char missing[] = "/nonexistent/program", folder[] = "/";
	char *first[] = { missing, NULL }, *second[] = { folder, NULL };

	(void)state;
	assert_int_equal(run_child(first), RUN_CHILD_NOT_FOUND);
	assert_int_equal(run_child(second), RUN_CHILD_NOT_STARTED);
}

/* Who ignores SIGCHLD passes that on; children could not be waited for. */
static void
test_ignored_child_signal(void **state)
{
	(void)state;
	(void)signal(SIGCHLD, SIG_IGN);
	assert_int_equal(run("exit 9"), 9);
}

/* The command says that it is ready, is sent a signal through us, and ends by
 * its own handler. */
static void
pass_on(int sig, int want)
{
	int pipe_fd[2], status;
	char script[256], c;
	pid_t pid;

	assert_int_equal(pipe(pipe_fd), 0);
	(void)snprintf(script, sizeof(script),
	    "trap 'exit %d' %d; echo r >&%d; while :; do sleep 0.01; done", want,
	    sig, pipe_fd[1]);
	if ((pid = fork()) == 0)
		_exit(run(script));
	assert_true(pid > 0);
	assert_int_equal(read(pipe_fd[0], &c, 1), 1);
	assert_int_equal(kill(pid, sig), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), want);
	(void)close(pipe_fd[0]);
	(void)close(pipe_fd[1]);
}

static void
test_signals(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1,
	    SIGUSR2 };

	(void)state;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		pass_on(signals[i], 40 + (int)i);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_not_started),
		cmocka_unit_test(test_ignored_child_signal),
		cmocka_unit_test(test_signals),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
