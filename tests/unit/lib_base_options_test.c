/* base/options.c: what each kind of row takes, and how bad usage ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/object.h"
#include "lib/base/options.h"

#define ARGS_MAX	12
#define OUTPUT_BYTES	1000

struct wanted {
	const char	*name;
	unsigned	threads, any;
	enum log_level	level;
	bool		test, seccomp;
};

static void
read_words(const char *const *words, struct wanted *w)
{
	const struct options_row rows[] = {
		{ "name", 'n', .text = &w->name },
		{ "threads", .number = &w->threads, .min = 1, .max = 256 },
		{ "any", .number = &w->any, .max = UINT_MAX },
		{ "level", .level = &w->level },
		{ "test", 't', .set = &w->test },
		{ "no-seccomp", .clear = &w->seccomp },
	};
	const struct options_program program = { "prog", "1.2",
	    "usage: prog\n" };
	char *argv[ARGS_MAX] = { xstrdup("prog") };
	int argc = 1;

	for (; *words != NULL; words++)
		argv[argc++] = xstrdup(*words);
	*w = (struct wanted){ .name = "-", .threads = 7, .seccomp = true };
	optind = 0;			/* getopt begins anew */
	options_read(&program, rows, sizeof(rows) / sizeof(rows[0]), argc,
	    argv);
	if (strcmp(w->name, "-") != 0)
		w->name = strcmp(w->name, "a b") == 0 ? "a b" : "?";
	while (argc != 0)
		free(argv[--argc]);
}

static void
test_good(void **state)
{
	static const struct {
		const char	*words[ARGS_MAX];
		struct wanted	want;
	} cases[] = {
		{ { NULL }, { "-", 7, 0, LOG_ERROR, false, true } },
		{ { "--name", "a b", "--threads", "1", "-t" },
		    { "a b", 1, 0, LOG_ERROR, true, true } },
		{ { "--threads=256", "--any=4294967295", "--level", "debug" },
		    { "-", 256, UINT_MAX, LOG_DEBUG, false, true } },
		{ { "-n", "a b", "--test", "--no-seccomp", "--any", "0" },
		    { "a b", 7, 0, LOG_ERROR, true, false } },
		{ { "--threads", "3", "--threads", "4" },
		    { "-", 4, 0, LOG_ERROR, false, true } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wanted w;

		read_words(cases[i].words, &w);
		assert_string_equal(w.name, cases[i].want.name);
		assert_int_equal(w.threads, cases[i].want.threads);
		assert_int_equal(w.any, cases[i].want.any);
		assert_int_equal(w.level, cases[i].want.level);
		assert_int_equal(w.test, cases[i].want.test);
		assert_int_equal(w.seccomp, cases[i].want.seccomp);
	}
}

/* In a child: its exit code, and all that it printed to out. */
static int
outcome(const char *const *words, int which, char *out)
{
	size_t len = 0;
	ssize_t n;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		struct wanted w;

		(void)dup2(ends[1], which);
		(void)close(ends[0]);
		(void)close(ends[1]);
		read_words(words, &w);
		_exit(99);
	}
	(void)close(ends[1]);
	while ((n = read(ends[0], out + len, OUTPUT_BYTES - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (WEXITSTATUS(status));
}

static void
test_ends(void **state)
{
	static const struct {
		const char	*words[ARGS_MAX];
		int		code;
		const char	*says;
	} cases[] = {
		{ { "-V" }, 0, "prog 1.2\n" },
		{ { "--version" }, 0, "prog 1.2\n" },
		{ { "--help" }, 0, "usage: prog\n" },
		{ { "-h" }, 0, "usage: prog\n" },
		{ { "--what" }, 2, "usage: prog\n" },
		{ { "-x" }, 2, "usage: prog\n" },
		{ { "--name" }, 2, "usage: prog\n" },
		{ { "--test=1" }, 2, "usage: prog\n" },
		{ { "word" }, 2, "usage: prog\n" },
		{ { "--threads", "0" }, 2, "--threads: 0 is not in 1..256" },
		{ { "--threads", "257" }, 2, "257 is not in 1..256" },
		{ { "--threads", "-1" }, 2, "-1 is not in 1..256" },
		{ { "--threads", "2x" }, 2, "2x is not in 1..256" },
		{ { "--any", "4294967296" }, 2, "is not in 0..4294967295" },
		{ { "--level", "loud" }, 2, "--level: loud is not a level" },
	};
	char out[OUTPUT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(outcome(cases[i].words, cases[i].code == 0 ?
		    STDOUT_FILENO : STDERR_FILENO, out), cases[i].code);
		assert_non_null(strstr(out, cases[i].says));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_ends),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
