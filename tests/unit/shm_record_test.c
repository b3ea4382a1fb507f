/* shm/record.c: what is written is read, and nothing else is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shm/record.h"

static void
make(struct buffer *b, enum shm_kind kind, const char *payload, size_t len)
{
	struct shm_record r = {
		.kind = kind,
		.revision = 0x0102030405060708,
		.payload = { payload, len },
	};

	buffer_init(b, 0, false);
	assert_int_equal(shm_record_write(b, &r), RC_OK);
}

static void
test_round_trip(void **state)
{
	static const struct {
		enum shm_kind	kind;
		const char	*payload;
	} cases[] = {
		{ SHM_KIND_RELAY, "" },
		{ SHM_KIND_RELAY, "{\"app\":\"app_000000000000\"}\n" },
		{ SHM_KIND_SYNC, "x" },
		{ SHM_KIND_ENGINE, "{}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].payload);
		struct shm_record r;
		struct buffer b;

		make(&b, cases[i].kind, cases[i].payload, len);
		assert_int_equal(buffer_len(&b), SHM_RECORD_HEAD_BYTES + len);
		assert_int_equal(shm_record_read(buffer_data(&b),
		    buffer_len(&b), &r), RC_OK);
		assert_int_equal(r.kind, cases[i].kind);
		assert_true(r.revision == 0x0102030405060708);
		assert_int_equal(r.payload.len, len);
		assert_memory_equal(r.payload.p, cases[i].payload, len);
		buffer_fini(&b);
	}
}

/* The layout is a contract between versions: byte for byte. */
static void
test_layout(void **state)
{
	static const unsigned char head[] = {
		0x52, 0x4d, 0x52, 0x43, 1, 0, 1, 0,
		8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0,
	};
	struct buffer b;

	(void)state;
	make(&b, SHM_KIND_RELAY, "abc", 3);
	assert_memory_equal(buffer_data(&b), head, sizeof(head));
	assert_memory_equal(buffer_data(&b) + SHM_RECORD_HEAD_BYTES, "abc", 3);
	buffer_fini(&b);
}

static void
test_every_truncation(void **state)
{
	struct shm_record r;
	struct buffer b;

	(void)state;
	make(&b, SHM_KIND_RELAY, "some payload", 12);
	for (size_t len = 0; len < buffer_len(&b); len++) {
		/* A copy of exactly that size lets ASan see a read behind. */
		char *copy = malloc(len == 0 ? 1 : len);

		assert_non_null(copy);
		memcpy(copy, buffer_data(&b), len);
		assert_int_equal(shm_record_read(copy, len, &r), RC_CORRUPT);
		assert_null(r.payload.p);
		free(copy);
	}
	assert_int_equal(buffer_append(&b, "x", 1), RC_OK);
	assert_int_equal(shm_record_read(buffer_data(&b), buffer_len(&b), &r),
	    RC_CORRUPT);
	buffer_fini(&b);
}

static void
test_every_bit(void **state)
{
	struct shm_record r;
	struct buffer b;

	(void)state;
	make(&b, SHM_KIND_SYNC, "payload", 7);
	for (size_t bit = 0; bit < buffer_len(&b) * 8; bit++) {
		buffer_data(&b)[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(shm_record_read(buffer_data(&b),
		    buffer_len(&b), &r), RC_CORRUPT);
		buffer_data(&b)[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(shm_record_read(buffer_data(&b), buffer_len(&b), &r),
	    RC_OK);
	buffer_fini(&b);
}

static void
test_too_long(void **state)
{
	struct shm_record r = { .kind = SHM_KIND_RELAY };
	struct buffer b;
	char *big = calloc(1, SHM_RECORD_BYTES_MAX + 1);

	(void)state;
	assert_non_null(big);
	buffer_init(&b, 0, false);
	r.payload = (struct span){ big, SHM_RECORD_BYTES_MAX + 1 };
	assert_int_equal(shm_record_write(&b, &r), RC_LIMIT);
	assert_int_equal(buffer_len(&b), 0);
	r.payload.len--;
	assert_int_equal(shm_record_write(&b, &r), RC_OK);
	assert_int_equal(shm_record_read(buffer_data(&b), buffer_len(&b), &r),
	    RC_OK);
	buffer_fini(&b);
	free(big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_too_long),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
