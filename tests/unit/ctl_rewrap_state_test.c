/* How far a rewrap has come: written, read, and never half read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/rewrap_state.h"
#include "lib/base/fd.h"

static char path[64];

static int
setup(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/relay-rewrap-XXXXXX");
	if ((fd = mkstemp(path)) < 0)
		return (-1);
	close(fd);
	return (unlink(path));
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return (0);
}

static void
put(const char *text, size_t len)
{
	assert_int_equal(file_write_atomic(path, text, len, 0600), RC_OK);
}

static void
test_there_and_back(void **state)
{
	struct rewrap_state a = { .app = "app_0123456789ab", .curve = "k1",
	    .format = "ndjson", .in = UINT64_MAX, .out = 7, .lines = 1,
	    .counts = { 1, 2, 3, 4, 5, 6 } };
	struct rewrap_state b;

	(void)state;
	assert_int_equal(rewrap_state_read(path, &b), RC_NOTFOUND);
	assert_int_equal(rewrap_state_write(path, &a), RC_OK);
	assert_int_equal(rewrap_state_read(path, &b), RC_OK);
	assert_string_equal(a.app, b.app);
	assert_string_equal(a.curve, b.curve);
	assert_string_equal(a.format, b.format);
	assert_true(a.in == b.in && a.out == b.out && a.lines == b.lines);
	assert_memory_equal(a.counts, b.counts, sizeof(a.counts));
}

static void
test_every_cut_is_refused(void **state)
{
	static const char text[] =
	    "relayctl-rewrap-1 app_1 r1 csv 10 20 3 1 0 0 0 0 0\n";
	static const char *const others[] = { "\n",
	    "relayctl-rewrap-2 app_1 r1 csv 10 20 3 1 0 0 0 0 0\n",
	    "relayctl-rewrap-1 app_1 r1 csv 10 20 3 1 0 0 0 0 0 0\n",
	    "relayctl-rewrap-1 app_1 r1 csv 10 20 3 1 0 0 0 0 x\n",
	    "relayctl-rewrap-1 app_1 r1 csv -1 20 3 1 0 0 0 0 0\n",
	    "relayctl-rewrap-1 app_1 r1x2 csv 10 20 3 1 0 0 0 0 0\n",
	    "{\"a\":1}\n" };
	struct rewrap_state s;

	(void)state;
	put(text, sizeof(text) - 1);
	assert_int_equal(rewrap_state_read(path, &s), RC_OK);
	assert_true(s.in == 10 && s.out == 20 && s.lines == 3);
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		put(text, n);
		assert_int_equal(rewrap_state_read(path, &s), RC_SYNTAX);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		put(others[i], strlen(others[i]));
		if (rewrap_state_read(path, &s) != RC_SYNTAX)
			fail_msg("taken: %s", others[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_every_cut_is_refused,
		    setup, teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
