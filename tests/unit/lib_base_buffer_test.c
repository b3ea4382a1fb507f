/* tests/unit/lib_base_buffer_test.c - growth, limits, wiping. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/random.h"

static void
test_append_and_consume(void **state)
{
	struct buffer b;
	char want[4096];
	size_t put = 0, eaten = 0;

	(void)state;
	buffer_init(&b, 0, true);
	assert_null(buffer_data(&b));
	assert_int_equal(buffer_append(&b, "", 0), RC_OK);
	/* A queue that is never empty and moves on through a large stream. */
	for (int i = 0; i < 200000; i++) {
		size_t n = random_below(300), len;

		for (size_t j = 0; j < n; j++)
			want[j] = (char)((put + j) * 7 % 251);
		assert_int_equal(buffer_append(&b, want, n), RC_OK);
		put += n;
		len = buffer_len(&b);
		assert_int_equal(len, put - eaten);
		n = len < 1000 ? 0 : random_below((uint32_t)len);
		for (size_t j = 0; j < n; j += 97)
			assert_int_equal(buffer_data(&b)[j],
			    (char)((eaten + j) * 7 % 251));
		buffer_consume(&b, n);
		eaten += n;
		assert_true(b.cap <= 8192);
	}
	buffer_clear(&b);
	assert_int_equal(buffer_len(&b), 0);
	assert_non_null(b.mem);		/* clear keeps the memory */
	buffer_fini(&b);
	assert_null(b.mem);
	buffer_fini(&b);
}

/* Eating one byte and adding one must not copy the whole each time. */
static void
test_moving_is_rare(void **state)
{
	const size_t size = 1 << 16;
	struct buffer b;
	size_t moves = 0;
	char *at;

	(void)state;
	buffer_init(&b, 0, false);
	assert_int_equal(buffer_reserve(&b, size, &at), RC_OK);
	memset(at, 'x', size);
	buffer_commit(&b, size);
	for (size_t i = 0; i < size; i++) {
		const char *mem = b.mem;
		size_t start = b.start;

		buffer_consume(&b, 1);
		assert_int_equal(buffer_append(&b, "y", 1), RC_OK);
		moves += b.mem != mem || b.start < start ? 1 : 0;
	}
	assert_true(moves <= 4);
	buffer_fini(&b);
}

static void
test_limits(void **state)
{
	struct buffer b;
	char *at;

	(void)state;
	buffer_init(&b, 10, false);
	assert_int_equal(buffer_append(&b, "0123456789", 10), RC_OK);
	assert_int_equal(buffer_append(&b, "x", 1), RC_LIMIT);
	assert_int_equal(buffer_reserve(&b, 1, &at), RC_LIMIT);
	assert_null(at);
	assert_int_equal(buffer_len(&b), 10);
	assert_string_equal(buffer_cstr(&b), "0123456789");
	buffer_consume(&b, 3);
	assert_int_equal(buffer_append(&b, "abc", 3), RC_OK);
	assert_int_equal(buffer_append(&b, "d", 1), RC_LIMIT);
	assert_string_equal(buffer_cstr(&b), "3456789abc");
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 2, &at), RC_LIMIT);
	b.max = 0;
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 2, &at), RC_LIMIT);
	assert_string_equal(buffer_cstr(&b), "3456789abc");
	buffer_fini(&b);
}

static void
test_wiping(void **state)
{
	static const char secret[] = "0123456789abcdef";
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, true);
	buffer_puts(&b, secret);
	buffer_consume(&b, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(b.mem[i], 0);
	assert_memory_equal(buffer_data(&b), secret + 6, 10);
	buffer_clear(&b);
	for (size_t i = 0; i < b.cap && i < 16; i++)
		assert_int_equal(b.mem[i], 0);
	/* Moved down in place: no copy stays behind. */
	buffer_puts(&b, secret);
	while (buffer_len(&b) + b.start < b.cap)
		buffer_put(&b, "z", 1);
	buffer_consume(&b, b.cap - 8);
	buffer_puts(&b, "0123456789");
	for (size_t i = b.end; i < b.cap; i++)
		assert_int_equal(b.mem[i], 0);
	buffer_fini(&b);
}

static void
test_move(void **state)
{
	struct buffer a, b;

	(void)state;
	buffer_init(&a, 100, false);
	buffer_init(&b, 200, true);
	buffer_puts(&a, "old");
	buffer_puts(&b, "new");
	buffer_move(&a, &b);
	assert_string_equal(buffer_cstr(&a), "new");
	assert_true(a.sensitive);
	assert_int_equal(a.max, 200);
	assert_int_equal(buffer_len(&b), 0);
	assert_null(b.mem);
	assert_true(b.sensitive);
	/* A sensitive one stays so, whatever it takes over. */
	buffer_init(&b, 0, false);
	buffer_puts(&b, "plain");
	buffer_move(&a, &b);
	assert_true(a.sensitive);
	assert_string_equal(buffer_cstr(&a), "plain");
	buffer_fini(&a);
	buffer_fini(&b);
}

static void
test_printf(void **state)
{
	char big[2000];
	struct buffer b;

	(void)state;
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	buffer_init(&b, 0, false);
	buffer_printf(&b, "%d-%s;", 42, "x");
	buffer_printf(&b, "%s", big);
	assert_int_equal(buffer_len(&b), 5 + sizeof(big) - 1);
	assert_memory_equal(buffer_data(&b), "42-x;bbb", 8);
	assert_string_equal(buffer_cstr(&b) + 5, big);
	buffer_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_moving_is_rare),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_wiping),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_printf),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
