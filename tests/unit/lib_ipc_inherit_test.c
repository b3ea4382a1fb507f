/* The list of inherited descriptors: as it is written, so it is read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/ipc/inherit.h"

static void
test_written_and_read(void **state)
{
	struct ipc_inherited in = { .n = 2 }, out;
	int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);
	char text[64];

	(void)state;
	assert_true(a > 2 && b > 2);
	(void)strcpy(in.v[0].name, "control");
	in.v[0].fd = a;
	(void)strcpy(in.v[1].name, "listen.0");
	in.v[1].fd = b;
	assert_int_equal(ipc_inherit_format(&in, text, sizeof(text)), RC_OK);
	assert_int_equal(setenv(IPC_FDS_VARIABLE, text, 1), 0);
	assert_int_equal(ipc_inherit_read(&out), RC_OK);
	assert_null(getenv(IPC_FDS_VARIABLE));
	assert_int_equal(out.n, 2);
	assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
	assert_int_equal(ipc_inherit_take(&out, "panic"), -1);
	assert_int_equal(ipc_inherit_take(&out, "control"), a);
	assert_int_equal(ipc_inherit_take(&out, "control"), -1);
	assert_int_equal(ipc_inherit_take(&out, "listen.0"), b);
	assert_int_equal(out.n, 0);
	close(a);
	close(b);
}

static void
test_the_rest_is_closed(void **state)
{
	int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);
	struct ipc_inherited in = {
		.n = 2, .v = { { "control", a }, { "link.key", b } }
	};

	(void)state;
	assert_int_equal(ipc_inherit_take(&in, "control"), a);
	ipc_inherit_close_rest(&in);
	assert_int_equal(in.n, 0);
	assert_int_equal(fcntl(b, F_GETFD), -1);
	assert_int_not_equal(fcntl(a, F_GETFD), -1);
	close(a);
}

static void
test_no_room_for_the_text(void **state)
{
	struct ipc_inherited in = { .n = 1 };
	char text[16];

	(void)state;
	(void)strcpy(in.v[0].name, "control");
	in.v[0].fd = 10;
	assert_int_equal(ipc_inherit_format(&in, text, 10), RC_LIMIT);
	assert_int_equal(ipc_inherit_format(&in, text, 11), RC_OK);
	assert_string_equal(text, "control=10");
	in.n = 0;
	assert_int_equal(ipc_inherit_format(&in, text, 1), RC_OK);
	assert_string_equal(text, "");
}

static void
test_absent_is_empty(void **state)
{
	struct ipc_inherited in;

	(void)state;
	unsetenv(IPC_FDS_VARIABLE);
	in.n = 7;
	assert_int_equal(ipc_inherit_read(&in), RC_OK);
	assert_int_equal(in.n, 0);
	assert_int_equal(setenv(IPC_FDS_VARIABLE, "", 1), 0);
	assert_int_equal(ipc_inherit_read(&in), RC_OK);
	assert_int_equal(in.n, 0);
}

static void
test_broken_lists(void **state)
{
	/* %d is an open descriptor. */
	static const char *const bad[] = {
		"a", "=%d", "a=", "a=x", "a=-1", "a=2", "a=%d:", ":a=%d",
		"a=%d:a=%d", "a=99999999999999999999", "A=%d", "a b=%d",
		"a=%d:b=%d", "a=%d ", "a=1000",
		"aaaaaaaaaabbbbbbbbbbccccccccccdd=%d",
	};
	struct ipc_inherited in;
	char text[128];
	int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_true(fd > 2 && fd < 1000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t at = 0;

		for (const char *p = bad[i]; *p != '\0'; p++) {
			if (p[0] == '%') {
				at += (size_t)snprintf(text + at,
				    sizeof(text) - at, "%d", fd);
				p++;
			} else {
				text[at++] = *p;
			}
		}
		text[at] = '\0';
		assert_int_equal(setenv(IPC_FDS_VARIABLE, text, 1), 0);
		assert_int_equal(ipc_inherit_read(&in), RC_SYNTAX);
		assert_int_equal(in.n, 0);
		assert_null(getenv(IPC_FDS_VARIABLE));
	}
	close(fd);
}

static enum rc
content(int fd, size_t max, struct buffer *out)
{
	struct ipc_inherited in = { .n = 1 };

	(void)strcpy(in.v[0].name, "conf");
	in.v[0].fd = fd;
	buffer_init(out, max, false);
	return (ipc_inherit_take_content(&in, "conf", out));
}

/* Two children share one offset: neither may move it for the other. */
static void
test_content_is_read_from_the_start_each_time(void **state)
{
	struct buffer a, b;
	int fd = fd_memory("t", "0123456789", 10), again;

	(void)state;
	assert_true(fd >= 0);
	again = dup(fd);
	assert_int_equal(content(fd, 0, &a), RC_OK);
	assert_int_equal(content(again, 10, &b), RC_OK);
	assert_string_equal(buffer_cstr(&a), "0123456789");
	assert_int_equal(buffer_len(&b), 10);
	assert_memory_equal(buffer_data(&b), "0123456789", 10);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	buffer_fini(&a);
	buffer_fini(&b);
}

static void
test_content_over_the_limit(void **state)
{
	struct ipc_inherited none = { .n = 0 };
	struct buffer out;

	(void)state;
	assert_int_equal(content(fd_memory("t", "0123456789", 10), 9, &out),
	    RC_LIMIT);
	buffer_fini(&out);
	buffer_init(&out, 0, false);
	assert_int_equal(ipc_inherit_take_content(&none, "conf", &out),
	    RC_NOTFOUND);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_and_read),
		cmocka_unit_test(test_the_rest_is_closed),
		cmocka_unit_test(test_no_room_for_the_text),
		cmocka_unit_test(test_absent_is_empty),
		cmocka_unit_test(test_broken_lists),
		cmocka_unit_test(
		    test_content_is_read_from_the_start_each_time),
		cmocka_unit_test(test_content_over_the_limit),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
