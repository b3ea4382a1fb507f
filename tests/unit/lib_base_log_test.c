/* tests/unit/lib_base_log_test.c - one line per fact, whatever is in it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/result.h"

static struct buffer out;
static int reader;

static int
setup(void **state)
{
	int fds[2];

	(void)state;
	if (pipe(fds) != 0)
		return (-1);
	reader = fds[0];
	buffer_init(&out, 0, false);
	log_init("test", LOG_INFO);
	log_to_fd(fds[1]);
	return (fd_nonblock(reader) != RC_OK);
}

static int
teardown(void **state)
{
	(void)state;
	log_to_fd(STDERR_FILENO);	/* closes the pipe */
	fd_close(&reader);
	buffer_fini(&out);
	return (0);
}

static const char *
logged(void)
{
	buffer_clear(&out);
	/* The pipe is empty, not at its end: RC_IO. */
	assert_int_equal(fd_read_all(reader, &out), RC_IO);
	return (buffer_cstr(&out));
}

static void
test_levels(void **state)
{
	static const char *const names[] = { "error", "warn", "info",
		"debug" };
	enum log_level level;
	const char *line;
	char word[16];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(log_level_parse(names[i], &level));
		assert_int_equal(level, i);
		log_set_level(level);
		assert_int_equal(log_get_level(), level);
		log_error("x");
		log_warn("x");
		log_info("x");
		log_debug("x");
		line = logged();
		for (size_t j = 0; j < 4; j++) {
			(void)snprintf(word, sizeof(word), " %s ", names[j]);
			assert_int_equal(strstr(line, word) != NULL, j <= i);
		}
	}
	assert_false(log_level_parse("Error", &level));
	assert_false(log_level_parse("", &level));
	log_set_level(LOG_INFO);
}

static void
test_form(void **state)
{
	char pid[32];
	const char *line;

	(void)state;
	log_info("event key=%s n=%d", "value", 7);
	line = logged();
	(void)snprintf(pid, sizeof(pid), " %ld ", (long)getpid());
	assert_int_equal(line[10], 'T');
	assert_int_equal(line[23], 'Z');
	assert_memory_equal(line + 24, " info test", 10);
	assert_memory_equal(line + 34, pid, strlen(pid));
	assert_string_equal(line + 34 + strlen(pid),
	    "event key=value n=7\n");
}

/* A peer's text makes no second line, and a long one is cut with a mark. */
static void
test_one_line_always(void **state)
{
	char big[5000];
	const char *line;

	(void)state;
	log_info("a=%s", "x\ny\r\t\x1b[31m\x7f");
	line = logged();
	assert_non_null(strstr(line, "a=x?y???[31m?\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	for (size_t n = 1900; n < 2100; n++) {
		memset(big, 'b', n);
		big[n] = '\0';
		log_info("%s", big);
		line = logged();
		assert_true(strlen(line) <= 2048);
		assert_ptr_equal(strchr(line, '\n'),
		    line + strlen(line) - 1);
		if (strlen(line) < n)
			assert_string_equal(line + strlen(line) - 4, "...\n");
	}
}

static void
test_rate(void **state)
{
	struct log_rate r = { 0, 0, 0 };
	unsigned suppressed, passed = 0;

	(void)state;
	assert_true(log_rate_ok(&r, 2, &suppressed));
	assert_int_equal(suppressed, 0);
	for (int i = 0; i < 1000; i++)
		passed += log_rate_ok(&r, 2, &suppressed) ? 1 : 0;
	assert_true(passed <= 3);	/* a second may have begun between */
	r.second--;			/* the next second */
	r.suppressed = 42;
	assert_true(log_rate_ok(&r, 2, &suppressed));
	assert_int_equal(suppressed, 42);
	assert_int_equal(r.suppressed, 0);
}

static void
test_fatal(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if ((pid = fork()) == 0)
		fatal(3, "cannot start file=%s", "x");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_non_null(strstr(logged(), "cannot start file=x\n"));
}

static void
test_names_of_results(void **state)
{
	(void)state;
	for (int i = RC_OK; i <= RC_CORRUPT; i++) {
		assert_string_not_equal(rc_name((enum rc)i), "unknown");
		for (int j = RC_OK; j < i; j++)
			assert_string_not_equal(rc_name((enum rc)i),
			    rc_name((enum rc)j));
	}
	assert_string_equal(rc_name(RC_TIMEOUT), "timeout");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_one_line_always),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_names_of_results),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
