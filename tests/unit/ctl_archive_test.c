/* The file of a backup: what was written comes back; whatever else comes is
 * refused, and also what somebody changed who knows how to make digests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "ctl/archive.h"

#define RECORDS	3
#define CHECKS	4

static const uint8_t root_key[SHARES_SECRET_BYTES] = { 1, 2, 3 };
static const uint8_t other_key[SHARES_SECRET_BYTES] = { 1, 2, 4 };

struct sample {
	struct archive		archive;
	struct archive_record	records[RECORDS];
	struct archive_check	checks[CHECKS];
	struct buffer		bytes[RECORDS];
	struct buffer		file;
};

static void
make_record(struct sample *s, size_t i, const char *app)
{
	struct archive_record *r = &s->records[i];

	buffer_init(&s->bytes[i], 0, false);
	rpc_record_head_write(&s->bytes[i], app, i + 1);
	for (size_t n = 0; n < 40 + i; n++)
		buffer_put(&s->bytes[i], "x", 1);
	r->bytes = (struct span){ buffer_data(&s->bytes[i]),
	    buffer_len(&s->bytes[i]) };
	assert_int_equal(rpc_record_head_read(r->bytes, &r->head), RC_OK);
}

static void
make_sample(struct sample *s)
{
	static const char *const apps[RECORDS] = { "app_0", "app_00", "app_b" };
	static const size_t of[CHECKS] = { 0, 0, 1, 2 };
	static const enum rpc_curve curve[CHECKS] = { RPC_CURVE_R1,
	    RPC_CURVE_K1, RPC_CURVE_K1, RPC_CURVE_R1 };

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < RECORDS; i++)
		make_record(s, i, apps[i]);
	for (size_t i = 0; i < CHECKS; i++)
		s->checks[i] = (struct archive_check){ of[i], curve[i],
		    { "ev:token:$", 9 + (i & 1) } };
	memset(s->archive.set, 7, sizeof(s->archive.set));
	memset(s->archive.key_id, 9, sizeof(s->archive.key_id));
	s->archive.threshold = 2;
	s->archive.shares = 3;
	s->archive.made_ms = 1234567890123;
	s->archive.n_records = RECORDS;
	s->archive.records = s->records;
	s->archive.n_checks = CHECKS;
	s->archive.checks = s->checks;
	buffer_init(&s->file, 0, false);
	assert_int_equal(archive_write(&s->archive, root_key, &s->file), RC_OK);
}

static void
sample_fini(struct sample *s)
{
	for (size_t i = 0; i < RECORDS; i++)
		buffer_fini(&s->bytes[i]);
	buffer_fini(&s->file);
}

static struct span
file_of(const struct sample *s)
{
	return ((struct span){ buffer_data(&s->file), buffer_len(&s->file) });
}

/* A copy of its own size, so that a sanitizer sees each byte too many. */
static enum rc
read_copy(const char *p, size_t len)
{
	char *copy = malloc(len + 1);
	struct archive a;
	const char *why;
	enum rc rc;

	assert_non_null(copy);
	memcpy(copy, p, len);
	copy = realloc(copy, len == 0 ? 1 : len);
	rc = archive_read((struct span){ copy, len }, &a, &why);
	assert_true((rc == RC_OK) == (why == NULL));
	archive_fini(&a);
	free(copy);
	return (rc);
}

static void
test_there_and_back(void **state)
{
	uint8_t sum[ARCHIVE_DIGEST_BYTES];
	struct archive a;
	struct sample s;
	const char *why;

	(void)state;
	make_sample(&s);
	assert_int_equal(archive_read(file_of(&s), &a, &why), RC_OK);
	assert_null(why);
	assert_int_equal(a.n_records, RECORDS);
	assert_int_equal(a.n_checks, CHECKS);
	assert_int_equal(a.threshold, 2);
	assert_int_equal(a.shares, 3);
	assert_true(a.made_ms == 1234567890123);
	assert_memory_equal(a.set, s.archive.set, sizeof(a.set));
	assert_memory_equal(a.key_id, s.archive.key_id, sizeof(a.key_id));
	for (size_t i = 0; i < RECORDS; i++) {
		assert_true(span_eq(a.records[i].bytes, s.records[i].bytes));
		assert_ptr_equal(archive_find(&a,
		    span_of(s.records[i].head.app)), &a.records[i]);
	}
	for (size_t i = 0; i < CHECKS; i++) {
		assert_int_equal(a.checks[i].record, s.checks[i].record);
		assert_int_equal(a.checks[i].curve, s.checks[i].curve);
		assert_true(span_eq(a.checks[i].token, s.checks[i].token));
	}
	assert_null(archive_find(&a, SPAN_LIT("app_c")));
	assert_null(archive_find(&a, SPAN_LIT("")));
	archive_checksum(&a, sum);
	assert_memory_equal(sum, a.checksum, sizeof(sum));
	assert_int_equal(archive_verify(&a, root_key), RC_OK);
	assert_int_equal(archive_verify(&a, other_key), RC_DENIED);
	archive_fini(&a);
	sample_fini(&s);
}

static void
test_empty(void **state)
{
	struct archive none = { .n_records = 0 }, a;
	struct buffer file;
	const char *why;

	(void)state;
	buffer_init(&file, 0, false);
	assert_int_equal(archive_write(&none, root_key, &file), RC_OK);
	assert_int_equal(archive_read((struct span){ buffer_data(&file),
	    buffer_len(&file) }, &a, &why), RC_OK);
	assert_int_equal(a.n_records, 0);
	assert_int_equal(a.threshold, 0);
	archive_fini(&a);
	buffer_fini(&file);
}

static void
test_every_truncation(void **state)
{
	struct sample s;

	(void)state;
	make_sample(&s);
	for (size_t n = 0; n < file_of(&s).len; n++)
		assert_int_not_equal(read_copy(file_of(&s).p, n), RC_OK);
	buffer_puts(&s.file, "x");
	assert_int_not_equal(read_copy(file_of(&s).p, file_of(&s).len), RC_OK);
	sample_fini(&s);
}

static void
test_every_altered_byte(void **state)
{
	struct sample s;
	char *p;

	(void)state;
	make_sample(&s);
	p = buffer_data(&s.file);
	for (size_t at = 0; at < buffer_len(&s.file); at++) {
		for (int bit = 0; bit < 8; bit++) {
			p[at] = (char)(p[at] ^ 1 << bit);
			assert_int_not_equal(read_copy(p,
			    buffer_len(&s.file)), RC_OK);
			p[at] = (char)(p[at] ^ 1 << bit);
		}
	}
	assert_int_equal(read_copy(p, buffer_len(&s.file)), RC_OK);
	sample_fini(&s);
}

/* The SHA-256 made anew, as somebody can who has no key. */
static void
fit_digest(struct buffer *file)
{
	size_t len = buffer_len(file) - ARCHIVE_DIGEST_BYTES;
	char *p = buffer_data(file);

	assert_int_equal(EVP_Digest(p, len, (unsigned char *)p + len, NULL,
	    EVP_sha256(), NULL), 1);
}

/* Any byte, and its digest with it: what is then still read is refused by who
 * has the root key. */
static void
test_every_forged_byte(void **state)
{
	size_t read = 0, len;
	struct archive a;
	struct sample s;
	const char *why;
	char *p;

	(void)state;
	make_sample(&s);
	p = buffer_data(&s.file);
	len = buffer_len(&s.file) - ARCHIVE_DIGEST_BYTES;
	for (size_t at = 0; at < len; at++) {
		for (int change = 1; change < 256; change += 42) {
			p[at] = (char)(p[at] ^ change);
			fit_digest(&s.file);
			if (archive_read(file_of(&s), &a, &why) == RC_OK) {
				read++;
				assert_int_equal(archive_verify(&a, root_key),
				    RC_DENIED);
				archive_fini(&a);
			}
			p[at] = (char)(p[at] ^ change);
		}
	}
	assert_true(read > 0);		/* times and tokens, for example */
	sample_fini(&s);
}

/* Counts and lengths of the wrong size, in a file whose digest fits. */
static void
test_hostile_numbers(void **state)
{
	enum { N_RECORDS = 36, N_CHECKS = 40, FIRST_LENGTH = 76 };
	static const size_t places[] = { N_RECORDS, N_CHECKS, FIRST_LENGTH };
	static const uint8_t values[][4] = { { 0xff, 0xff, 0xff, 0xff },
	    { 0x7f, 0xff, 0xff, 0xff }, { 0, 0, 0, 0 }, { 0, 0, 0, 1 },
	    { 0, 1, 0, 0 }, { 0, 0, 0, 200 } };
	struct sample s;

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]);
		    v++) {
			make_sample(&s);
			memcpy(buffer_data(&s.file) + places[i], values[v], 4);
			fit_digest(&s.file);
			assert_int_equal(read_copy(file_of(&s).p,
			    file_of(&s).len), RC_SYNTAX);
			sample_fini(&s);
		}
	}
}

/* Written by us, but not in order: read by nobody. */
static void
test_order(void **state)
{
	struct archive_check check;
	struct sample s;

	(void)state;
	make_sample(&s);
	check = s.checks[0];
	s.checks[0] = s.checks[1];
	s.checks[1] = check;
	buffer_clear(&s.file);
	assert_int_equal(archive_write(&s.archive, root_key, &s.file), RC_OK);
	assert_int_equal(read_copy(file_of(&s).p, file_of(&s).len), RC_SYNTAX);
	s.checks[0] = s.checks[1];	/* twice the same */
	buffer_clear(&s.file);
	assert_int_equal(archive_write(&s.archive, root_key, &s.file), RC_OK);
	assert_int_equal(read_copy(file_of(&s).p, file_of(&s).len), RC_SYNTAX);
	sample_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_altered_byte),
		cmocka_unit_test(test_every_forged_byte),
		cmocka_unit_test(test_hostile_numbers),
		cmocka_unit_test(test_order),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
