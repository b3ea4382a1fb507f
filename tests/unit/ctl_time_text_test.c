/* Moments that people type: how long from now, or when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl/time_text.h"

#define NOW_S	1700000000ull		/* 2023-11-14T22:13:20Z */
#define NOW_MS	(NOW_S * 1000 + 999)

static const struct {
	const char	*text;
	enum rc		rc;
	uint64_t	s;
} cases[] = {
	{ "1s", RC_OK, NOW_S + 1 },
	{ "45s", RC_OK, NOW_S + 45 },
	{ "30m", RC_OK, NOW_S + 1800 },
	{ "12h", RC_OK, NOW_S + 43200 },
	{ "90d", RC_OK, NOW_S + 90 * 86400 },
	{ "8w", RC_OK, NOW_S + 8 * 7 * 86400 },
	{ "36600d", RC_OK, NOW_S + 36600ull * 86400 },
	{ "0s", RC_LIMIT, 0 },
	{ "0d", RC_LIMIT, 0 },
	{ "36601d", RC_LIMIT, 0 },
	{ "99999999999999999999d", RC_LIMIT, 0 },
	{ "18446744073709551615w", RC_LIMIT, 0 },
	{ "90", RC_SYNTAX, 0 },
	{ "d", RC_SYNTAX, 0 },
	{ "90D", RC_SYNTAX, 0 },
	{ "90y", RC_SYNTAX, 0 },
	{ "-1d", RC_SYNTAX, 0 },
	{ "1d ", RC_SYNTAX, 0 },
	{ "1.5d", RC_SYNTAX, 0 },
	{ "1d12h", RC_SYNTAX, 0 },
	{ "", RC_SYNTAX, 0 },
	{ "2023-11-14T22:13:21Z", RC_OK, NOW_S + 1 },
	{ "2023-11-14t22:13:21z", RC_OK, NOW_S + 1 },
	{ "2023-11-14T22:13:21.999Z", RC_OK, NOW_S + 1 },
	{ "2024-02-29T00:00:00Z", RC_OK, 1709164800 },
	{ "2023-11-14T22:13:20Z", RC_LIMIT, 0 },
	{ "1969-12-31T23:59:59Z", RC_LIMIT, 0 },
	{ "2999-01-01T00:00:00Z", RC_LIMIT, 0 },
	{ "2025-02-29T00:00:00Z", RC_SYNTAX, 0 },
	{ "2025-13-01T00:00:00Z", RC_SYNTAX, 0 },
	{ "2025-00-01T00:00:00Z", RC_SYNTAX, 0 },
	{ "2025-01-32T00:00:00Z", RC_SYNTAX, 0 },
	{ "2025-01-01T24:00:00Z", RC_SYNTAX, 0 },
	{ "2025-01-01T00:60:00Z", RC_SYNTAX, 0 },
	{ "2025-01-01T00:00:60Z", RC_SYNTAX, 0 },
	{ "2025-01-01T00:00:00", RC_SYNTAX, 0 },
	{ "2025-01-01T00:00:00.Z", RC_SYNTAX, 0 },
	{ "2025-01-01T00:00:00+00:00", RC_SYNTAX, 0 },
	{ "2025-01-01 00:00:00Z", RC_SYNTAX, 0 },
	{ "2025/01/01T00:00:00Z", RC_SYNTAX, 0 },
	{ "2025-01-01", RC_SYNTAX, 0 },
	{ "2025-01-01T00:00:00ZZ", RC_SYNTAX, 0 },
	{ "tomorrow", RC_SYNTAX, 0 },
};

static void
test_parse(void **state)
{
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rc rc;

		ms = 0;
		rc = time_parse(cases[i].text, NOW_MS, &ms);
		if (rc != cases[i].rc || ms != cases[i].s * 1000)
			fail_msg("%s: %s %llu", cases[i].text, rc_name(rc),
			    (unsigned long long)ms);
	}
}

static void
test_there_and_back(void **state)
{
	char text[TIME_TEXT_BYTES];
	uint64_t ms;

	(void)state;
	time_text(0, text);
	assert_string_equal(text, "-");
	time_text((NOW_S + 5) * 1000, text);
	assert_string_equal(text, "2023-11-14T22:13:25Z");
	assert_int_equal(time_parse(text, NOW_MS, &ms), RC_OK);
	assert_true(ms == (NOW_S + 5) * 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_there_and_back),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
