/* What relay:applied says of an engine: written, read, compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "e3/helper/applied.h"

static struct applied
read_good(const char *text)
{
	struct applied a;

	assert_int_equal(applied_read(span_of(text), &a), RC_OK);
	return (a);
}

static void
test_there_and_back(void **state)
{
	struct record_entry e = { .version = UINT64_MAX };
	char text[APPLIED_TEXT_BYTES];
	struct applied a, b;

	(void)state;
	for (size_t i = 0; i < sizeof(e.sha256); i++)
		e.sha256[i] = (uint8_t)(0xf0 + i);
	applied_of(&e, &a);
	applied_write(&a, text);
	assert_string_equal(text, "18446744073709551615 f0f1f2f3f4f5f6f7");
	b = read_good(text);
	assert_true(b.version == UINT64_MAX && b.has_sha256);
	assert_memory_equal(b.sha256, e.sha256, sizeof(b.sha256));
	a.has_sha256 = false;
	a.version = 7;
	applied_write(&a, text);
	assert_string_equal(text, "7");
}

static void
test_hostile_text(void **state)
{
	static const char *const bad[] = { "", " ", "x", "-1", "9 ", " 9",
	    "9 0011223344556677 ", "9  011223344556677", "9 00112233445566",
	    "9 001122334455667", "9 00112233445566778", "9 0011223344556x77",
	    "18446744073709551616", "9,0011223344556677", "1e3" };
	struct applied a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(applied_read(span_of(bad[i]), &a), RC_SYNTAX);
	assert_int_equal(applied_read((struct span){ NULL, 0 }, &a),
	    RC_SYNTAX);
}

static void
test_who_has_what(void **state)
{
	static const struct {
		const char	*theirs, *ours;
		bool		has;
	} table[] = {
		{ "9 0011223344556677", "9 0011223344556677", true },
		{ "9 0011223344556678", "9 0011223344556677", false },
		{ "9 1011223344556677", "9 0011223344556677", false },
		{ "10 1011223344556677", "9 0011223344556677", true },
		{ "8 0011223344556677", "9 0011223344556677", false },
		{ "9", "9 0011223344556677", true },	/* an older helper */
		{ "8", "9 0011223344556677", false },
		{ "10", "9 0011223344556677", true },
		{ "9 0011223344556677", "9", false },	/* what do we have? */
		{ "10 0011223344556677", "9", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct applied theirs = read_good(table[i].theirs);
		struct applied ours = read_good(table[i].ours);

		assert_int_equal(applied_has(&theirs, &ours), table[i].has);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_who_has_what),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
