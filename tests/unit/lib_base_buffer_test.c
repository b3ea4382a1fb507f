/*
 * tests/unit/lib_base_buffer_test.c - growth, limits, wiping.
 *
 * Linked with --wrap for free() and secret_wipe(): what buffer.c frees is
 * looked at first, and what it wipes is counted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/random.h"

#define SECRET		'^'	/* each byte of a value, in runs of ... */
#define SECRET_RUN	4	/* ... at least so many */

void __real_free(void *);
void __wrap_free(void *);
void __real_secret_wipe(void *, size_t);
void __wrap_secret_wipe(void *, size_t);

static unsigned leaks;		/* blocks freed with a value in them */
static size_t wiped;		/* bytes */

static bool
has_secret(const char *p, size_t len)
{
	size_t run = 0;

	for (size_t i = 0; i < len && run < SECRET_RUN; i++)
		run = p[i] == SECRET ? run + 1 : 0;
	return (run == SECRET_RUN);
}

void
__wrap_free(void *p)
{
	leaks += p != NULL && has_secret(p, malloc_usable_size(p)) ? 1 : 0;
	__real_free(p);
}

void
__wrap_secret_wipe(void *p, size_t len)
{
	wiped += len;
	__real_secret_wipe(p, len);
}

/* All memory of b but what is in use holds no value. */
static bool
is_clean(const struct buffer *b)
{
	return (b->mem == NULL || (!has_secret(b->mem, b->start) &&
	    !has_secret(b->mem + b->dirty, b->cap - b->dirty)));
}

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
test_truncate(void **state)
{
	static const char text[] = "0123456789abcdef";
	struct buffer b;

	(void)state;
	for (int sensitive = 0; sensitive < 2; sensitive++) {
		for (size_t len = 0; len <= 10; len++) {
			buffer_init(&b, 16, sensitive != 0);
			buffer_puts(&b, text);
			buffer_consume(&b, 6);
			buffer_truncate(&b, len);
			assert_int_equal(buffer_len(&b), len);
			if (len != 0)
				assert_memory_equal(buffer_data(&b), text + 6,
				    len);
			for (size_t i = b.end; sensitive && i < 16; i++)
				assert_int_equal(b.mem[i], 0);
			/* What was dropped has its room again. */
			assert_int_equal(buffer_append(&b, text, 16 - len), RC_OK);
			assert_int_equal(buffer_append(&b, "x", 1), RC_LIMIT);
			buffer_truncate(&b, len);
			assert_int_equal(buffer_len(&b), len);
			buffer_fini(&b);
		}
		buffer_init(&b, 0, sensitive != 0);
		buffer_truncate(&b, 0);		/* without memory */
		assert_null(b.mem);
		assert_int_equal(buffer_len(&b), 0);
	}
}

/* One random step of a buffer's life; every byte put into it is secret. */
static void
step(struct buffer *b, struct buffer *other)
{
	char data[700], *at;
	size_t n = SECRET_RUN + random_below(sizeof(data) - SECRET_RUN);

	memset(data, SECRET, sizeof(data));
	switch (random_below(9)) {
	case 0:
	case 1:
		buffer_put(b, data, n);
		break;
	case 2:			/* room that is used in part */
		assert_int_equal(buffer_reserve(b, 4 * n, &at), RC_OK);
		memset(at, SECRET, n);
		buffer_commit(b, n);
		break;
	case 3:			/* and used, but never committed */
		assert_int_equal(buffer_reserve(b, n, &at), RC_OK);
		memset(at, SECRET, n);
		break;
	case 4:
		assert_int_equal(buffer_reserve(b, n, NULL), RC_OK);
		break;
	case 5:
		buffer_consume(b, random_below((uint32_t)buffer_len(b) + 1));
		break;
	case 6:
		buffer_truncate(b, random_below((uint32_t)buffer_len(b) + 1));
		break;
	case 7:
		(void)buffer_cstr(b);
		break;
	case 8:
		buffer_move(b, other);
		break;
	}
}

static void
test_no_value_stays_behind(void **state)
{
	struct buffer b[2];

	(void)state;
	leaks = 0;
	for (unsigned round = 0; round < 200; round++) {
		buffer_init(&b[0], 0, true);
		buffer_init(&b[1], 0, true);
		for (unsigned i = 0; i < 300; i++) {
			step(&b[i % 2], &b[(i + 1) % 2]);
			assert_true(is_clean(&b[0]) && is_clean(&b[1]));
		}
		buffer_fini(&b[0]);
		buffer_fini(&b[1]);
	}
	assert_int_equal(leaks, 0);
	/* The eyes are open: one that is not sensitive is seen. */
	buffer_init(&b[0], 0, false);
	buffer_puts(&b[0], "^^^^^^^^^^");
	buffer_fini(&b[0]);
	assert_int_equal(leaks, 1);
}

/* The price is what was written, not what there was room for. */
static void
test_wiping_is_exact(void **state)
{
	struct buffer b;
	char *at;

	(void)state;
	buffer_init(&b, 0, true);
	wiped = 0;
	assert_int_equal(buffer_reserve(&b, 1 << 20, &at), RC_OK);
	buffer_commit(&b, 0);
	buffer_put(&b, "0123456789", 10);
	assert_int_equal(wiped, 0);
	buffer_consume(&b, 4);
	assert_int_equal(wiped, 4);
	buffer_truncate(&b, 5);
	assert_int_equal(wiped, 5);
	buffer_fini(&b);
	assert_int_equal(wiped, 10);
	/* Moved down: only where it was and no longer is. */
	assert_int_equal(buffer_reserve(&b, 512, &at), RC_OK);
	buffer_commit(&b, 512);
	wiped = 0;
	buffer_consume(&b, 500);
	buffer_put(&b, "0123", 4);
	assert_int_equal(b.start, 0);
	assert_int_equal(wiped, 500 + 12);
	buffer_fini(&b);
	assert_int_equal(wiped, 500 + 12 + 16);
	/* Room without a commit: all of it, once. */
	wiped = 0;
	assert_int_equal(buffer_reserve(&b, 100, &at), RC_OK);
	buffer_put(&b, "x", 1);
	assert_int_equal(wiped, 100);
	buffer_fini(&b);
	assert_int_equal(wiped, 101);
	wiped = 0;
	assert_int_equal(buffer_reserve(&b, 100, NULL), RC_OK);
	assert_true(b.cap >= 100);
	buffer_fini(&b);
	assert_int_equal(wiped, 0);
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
	buffer_fini(&b);
	/* What the other one left behind while it wiped nothing goes too. */
	buffer_init(&b, 0, false);
	for (unsigned i = 0; i < 30; i++)
		buffer_puts(&b, "^^^^^^^^^^");
	buffer_consume(&b, 100);
	buffer_truncate(&b, 100);
	leaks = 0;
	buffer_move(&a, &b);
	assert_false(has_secret(a.mem, a.start));
	buffer_fini(&a);
	assert_int_equal(leaks, 0);
	buffer_fini(&a);
	buffer_fini(&b);
}

/* A large buffer lies in the heap, and what it leaves there stays. */
static void
test_heap_is_kept(void **state)
{
	size_t mapped, heap;
	struct buffer b;

	(void)state;
	buffer_keep_heap();
	mapped = mallinfo2().hblkhd;
	buffer_init(&b, 0, true);
	assert_int_equal(buffer_reserve(&b, 1 << 20, NULL), RC_OK);
	assert_int_equal(mallinfo2().hblkhd, mapped);
	heap = mallinfo2().arena;
	buffer_fini(&b);
	assert_int_equal(mallinfo2().arena, heap);
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
		/* First: glibc learns from large blocks that were freed. */
		cmocka_unit_test(test_heap_is_kept),
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_moving_is_rare),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_wiping),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_no_value_stays_behind),
		cmocka_unit_test(test_wiping_is_exact),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_printf),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
