/* decrypt's key: where it may come from, and what is no key; no engine is
 * asked before that. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/base/fd.h"

#define LONGEST	4096

static const struct args_flag flags[] = {
	{ "api-key", 0, ARGS_VALUE },
	{ "api-key-file", 0, ARGS_VALUE },
	{ NULL, 0, ARGS_NO_VALUE }
};

/* With this input; the configuration that an engine would need is missing. */
static void
decrypt(const char *option, const char *value, const char *input, size_t len)
{
	char *argv[2], why[128];
	struct ctl ctl = { .conf_path = "/nonexistent/relay.conf" };
	int fd = fd_memory("input", input, len), used;

	argv[0] = strdup(option);
	argv[1] = strdup(value);
	assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	close(fd);
	assert_int_equal(args_parse(&ctl.args, flags, value[0] == '\0' ? 0 : 2,
	    argv, false, &used, why, sizeof(why)), RC_OK);
	ctl_error_means(NULL);
	assert_int_equal(ctl_decrypt(&ctl), CTL_USAGE);
	assert_null(ctl.conf);
	free(argv[0]);
	free(argv[1]);
}

/* stderr of one call. */
static void
says(const char *option, const char *value, const char *input, size_t len,
    const char *want)
{
	int err = dup(STDERR_FILENO), pipes[2];
	char text[400];
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dup2(pipes[1], STDERR_FILENO), STDERR_FILENO);
	close(pipes[1]);
	decrypt(option, value, input, len);
	assert_int_equal(dup2(err, STDERR_FILENO), STDERR_FILENO);
	close(err);
	n = read(pipes[0], text, sizeof(text) - 1);
	close(pipes[0]);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, want));
	/* No part of a key or token. */
	assert_null(strstr(text, "kkkk"));
}

static void
test_key(void **state)
{
	static char longest[LONGEST + 1], longer[LONGEST + 2];
	static const char tokens[] = "ev:token\n";

	(void)state;
	memset(longest, 'k', LONGEST);
	memset(longer, 'k', LONGEST + 1);
	(void)unsetenv("RELAY_API_KEY");
	says("--api-key", "", tokens, sizeof(tokens) - 1, "is needed");
	says("--api-key", longest, tokens, sizeof(tokens) - 1,
	    "/nonexistent/relay.conf");
	says("--api-key", longer, tokens, sizeof(tokens) - 1, "longer than");
	/* The first line is a token, not a key. */
	says("--api-key", "-", longer, sizeof(longer) - 1, "longer than");
	says("--api-key", "-", "\n", 1, "is needed");
	says("--api-key", "-", "key\n", 4, "1 to ");
	assert_int_equal(setenv("RELAY_API_KEY", longer, 1), 0);
	says("--api-key", "", tokens, sizeof(tokens) - 1, "longer than");
	assert_int_equal(setenv("RELAY_API_KEY", "key", 1), 0);
	says("--api-key", "", tokens, sizeof(tokens) - 1,
	    "/nonexistent/relay.conf");
	(void)unsetenv("RELAY_API_KEY");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
