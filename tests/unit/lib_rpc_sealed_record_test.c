/* lib/rpc/sealed_record.c: the header both ways, cut and changed at every
 * byte; app ids; the checksum against an independent one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/rpc/sealed_record.h"

#define SEALED_MIN	(12 + 16 + 1)	/* IV, tag, one byte */

static enum rc
read_copy(const void *p, size_t len, struct rpc_record_head *h)
{
	char *mem = malloc(len + 1);
	enum rc rc;

	memcpy(mem, p, len);
	rc = rpc_record_head_read((struct span){ mem, len }, h);
	free(mem);
	return (rc);
}

static void
test_header_comes_back(void **state)
{
	static const uint64_t versions[] = { 1, 2, 255, 256, UINT64_MAX };
	struct rpc_record_head h;
	struct buffer b;
	size_t head;

	(void)state;
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < 5; i++) {
		buffer_clear(&b);
		rpc_record_head_write(&b, "app_0123456789ab", versions[i]);
		head = buffer_len(&b);
		assert_int_equal(head, 4 + 1 + 1 + 16 + 8);
		for (int k = 0; k < SEALED_MIN; k++)
			buffer_put(&b, "s", 1);
		for (size_t cut = 0; cut < buffer_len(&b); cut++)
			assert_int_equal(read_copy(buffer_data(&b), cut, &h),
			    RC_SYNTAX);
		assert_int_equal(read_copy(buffer_data(&b), buffer_len(&b),
		    &h), RC_OK);
		assert_string_equal(h.app, "app_0123456789ab");
		assert_int_equal(h.version, versions[i]);
		assert_int_equal(h.bytes, head);
	}
	buffer_fini(&b);
}

/* The layout is a contract: bytes, not only a round trip. */
static void
test_header_bytes(void **state)
{
	static const char want[] =
	    "RLYR\x02\x06" "app_ab" "\x00\x00\x00\x00\x00\x00\x01\x02";
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	rpc_record_head_write(&b, "app_ab", 258);
	assert_int_equal(buffer_len(&b), sizeof(want) - 1);
	assert_memory_equal(buffer_data(&b), want, sizeof(want) - 1);
	buffer_clear(&b);
	rpc_record_head_write_as(&b, RPC_RECORD_FORMAT_3, "app_ab", 258);
	assert_int_equal(buffer_data(&b)[4], 3);
	buffer_fini(&b);
}

static void
test_header_refused(void **state)
{
#define TAIL	"ssssssssssssssssssssssssssssssss"
#define V1	"\0\0\0\0\0\0\0\x01"
	static const struct span cases[] = {
		SPAN_LIT("RLYX\x01\x06" "app_ab" V1 TAIL),
		SPAN_LIT("RLYR\x04\x06" "app_ab" V1 TAIL),
		SPAN_LIT("RLYR\x00\x06" "app_ab" V1 TAIL),
		SPAN_LIT("RLYR\x82\x06" "app_ab" V1 TAIL),
		SPAN_LIT("RLYR\x01\x06" "app_ab" "\0\0\0\0\0\0\0\0" TAIL),
		SPAN_LIT("RLYR\x01\x06" "app_aB" V1 TAIL),
		SPAN_LIT("RLYR\x01\x06" "app_a/" V1 TAIL),
		SPAN_LIT("RLYR\x01\x06" "app_a\0" V1 TAIL),
		SPAN_LIT("RLYR\x01\x04" "app_" V1 TAIL TAIL),
		SPAN_LIT("RLYR\x01\x00" V1 TAIL),
		SPAN_LIT("RLYR\x01\xff" "app_ab" V1 TAIL),
		SPAN_LIT("RLYR\x01\x28" "app_abcdefghijklmnopqrstuvwxyz0123456789"
		    V1 TAIL),
	};
	struct rpc_record_head h;
	char *large = calloc(1, RPC_RECORD_BYTES_MAX + 1);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(read_copy(cases[i].p, cases[i].len, &h),
		    RC_SYNTAX);
	memcpy(large, "RLYR\x01\x06" "app_ab" V1, 20);
	assert_int_equal(read_copy(large, RPC_RECORD_BYTES_MAX, &h), RC_OK);
	assert_int_equal(h.format, RPC_RECORD_FORMAT_1);
	large[4] = 2;
	assert_int_equal(read_copy(large, RPC_RECORD_BYTES_MAX, &h), RC_OK);
	assert_int_equal(h.format, RPC_RECORD_FORMAT_2);
	large[4] = 3;
	assert_int_equal(read_copy(large, RPC_RECORD_BYTES_MAX, &h), RC_OK);
	assert_int_equal(h.format, RPC_RECORD_FORMAT_3);
	assert_int_equal(read_copy(large, RPC_RECORD_BYTES_MAX + 1, &h),
	    RC_SYNTAX);
	free(large);
}

static void
test_app_ids(void **state)
{
	static const struct {
		const char	*id;
		bool		want;
	} cases[] = {
		{ "app_a", true }, { "app_0123456789ab", true },
		{ "app_system", true }, { "app_a_b", true },
		{ "app_abcdefghijklmnopqrstuvwxyz012345678", true },	/* 39 */
		{ "app_abcdefghijklmnopqrstuvwxyz0123456789", false },
		{ "app_", false }, { "", false }, { "app", false },
		{ "App_a", false }, { "app_A", false }, { "app_..", false },
		{ "app_a/b", false }, { "app_a b", false }, { "key_a", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rpc_app_id_valid(span_of(cases[i].id)),
		    cases[i].want);
}

/* Expected values made by Python's hashlib over
 * id | NUL | version as 8 bytes | sha256(record). */
static void
test_checksum(void **state)
{
	static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855";
	static const char two[] = "cef9c0168086688b7877651b4a4f4798"
	    "49fde02253b489019fb62e942581b4c1";
	struct rpc_checksum *c;
	uint8_t record[32], out[32];
	char hex[65];

	(void)state;
	c = rpc_checksum_new();
	rpc_checksum_end(&c, out);
	assert_null(c);
	hex_encode(out, 32, hex);
	assert_string_equal(hex, empty);

	c = rpc_checksum_new();
	memset(record, 0x11, sizeof(record));
	rpc_checksum_add(c, "app_a", 1, record);
	memset(record, 0x22, sizeof(record));
	rpc_checksum_add(c, "app_b", 258, record);
	rpc_checksum_end(&c, out);
	hex_encode(out, 32, hex);
	assert_string_equal(hex, two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_comes_back),
		cmocka_unit_test(test_header_bytes),
		cmocka_unit_test(test_header_refused),
		cmocka_unit_test(test_app_ids),
		cmocka_unit_test(test_checksum),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
