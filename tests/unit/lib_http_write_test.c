/* Heads we send: their text, that our own reader takes them back, and that a
 * value which would split one ends the process instead. */
#include "lib/http/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static void
test_request(void **state)
{
	struct http_head h;
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	http_write_request_line(&b, SPAN_LIT("POST"), SPAN_LIT("/a?b"));
	http_write_field(&b, SPAN_LIT("Host"), SPAN_LIT("x"));
	http_write_field_str(&b, "X-Empty", "");
	http_write_length(&b, UINT64_MAX);
	http_write_end(&b);
	assert_string_equal(buffer_cstr(&b), "POST /a?b HTTP/1.1\r\nHost: x\r\n"
	    "X-Empty: \r\nContent-Length: 18446744073709551615\r\n\r\n");
	http_head_init(&h);
	assert_int_equal(http_head_request(&h, buffer_data(&b), buffer_len(&b),
	    &HTTP_LIMITS_DEFAULT), RC_OK);
	assert_int_equal(h.n_fields, 3);
	assert_int_equal(h.bytes, buffer_len(&b));
	http_head_fini(&h);
	buffer_fini(&b);
}

static void
test_status(void **state)
{
	static const struct {
		unsigned	status;
		const char	*reason;
		const char	*want;
	} rows[] = {
		{ 200, "", "HTTP/1.1 200 OK\r\n" },
		{ 200, "Fine by me", "HTTP/1.1 200 Fine by me\r\n" },
		{ 503, "", "HTTP/1.1 503 Service Unavailable\r\n" },
		{ 299, "", "HTTP/1.1 299 \r\n" },
		{ 999, "", "HTTP/1.1 999 \r\n" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buffer b;

		buffer_init(&b, 0, false);
		http_write_status_line(&b, rows[i].status, span_of(rows[i].reason));
		assert_string_equal(buffer_cstr(&b), rows[i].want);
		buffer_fini(&b);
	}
	assert_string_equal(http_reason(421), "Misdirected Request");
	assert_string_equal(http_reason(99), "");
}

static void
test_length(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	http_write_length(&b, 0);
	http_write_length(&b, 1234567890);
	assert_string_equal(buffer_cstr(&b),
	    "Content-Length: 0\r\nContent-Length: 1234567890\r\n");
	buffer_fini(&b);
}

static void
write_bad(int row)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	switch (row) {
	case 0:
		http_write_field(&b, SPAN_LIT("A"), SPAN_LIT("b\r\nC: d"));
		break;
	case 1:
		http_write_field(&b, SPAN_LIT("A"), SPAN_LIT("b\0"));
		break;
	case 2:
		http_write_field(&b, SPAN_LIT("A: b\r\nC"), SPAN_LIT("d"));
		break;
	case 3:
		http_write_field(&b, SPAN_LIT(""), SPAN_LIT("d"));
		break;
	case 4:
		http_write_request_line(&b, SPAN_LIT("GET"),
		    SPAN_LIT("/ HTTP/1.1\r\nA: b"));
		break;
	case 5:
		http_write_status_line(&b, 200, SPAN_LIT("OK\r\nA: b"));
		break;
	case 6:
		http_write_status_line(&b, 99, SPAN_LIT(""));
		break;
	}
	buffer_fini(&b);
}

static void
test_split_ends_the_process(void **state)
{
	(void)state;
	for (int row = 0; row < 7; row++) {
		int status = 0;
		pid_t pid = fork();

		assert_int_not_equal(pid, -1);
		if (pid == 0) {
			(void)close(STDERR_FILENO);	/* the panic text */
			write_bad(row);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_split_ends_the_process),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
