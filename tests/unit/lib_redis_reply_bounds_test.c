/* redis/reply_bounds.c: sizes that are announced, at every split. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/redis/reply_bounds.h"

static const struct {
	const char	*bytes;
	enum rc		rc;
} cases[] = {
	{ "+OK\r\n", RC_OK },
	{ "-ERR no\r\n", RC_OK },
	{ ":-12\r\n", RC_OK },
	{ "$-1\r\n", RC_OK },
	{ "*-1\r\n", RC_OK },
	{ "$0\r\n\r\n", RC_OK },
	{ "$5\r\n$9\r\n\n\r\n", RC_OK },	/* content that looks like a header */
	{ "*0\r\n", RC_OK },
	{ "*2\r\n$1\r\na\r\n*1\r\n:1\r\n+next\r\n", RC_OK },
	{ "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", RC_OK },
	{ "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", RC_LIMIT },
	{ "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n+a\r\n", RC_OK },
	{ "$16777216\r\n", RC_OK },
	{ "$16777217\r\n", RC_LIMIT },
	{ "$99999999999\r\n", RC_LIMIT },
	{ "*1048576\r\n", RC_OK },
	{ "*1048577\r\n", RC_LIMIT },
	{ "*2\r\n*1048575\r\n", RC_LIMIT },	/* the sum counts */
	{ "*4294967297\r\n", RC_LIMIT },
	{ "*-2\r\n", RC_SYNTAX },
	{ "$-\r\n", RC_SYNTAX },
	{ "$\r\n", RC_SYNTAX },
	{ "$+5\r\n", RC_SYNTAX },
	{ "$ 5\r\n", RC_SYNTAX },
	{ "$5\n", RC_SYNTAX },
	{ "$5\rx", RC_SYNTAX },
	{ "+a\rb\r\n", RC_SYNTAX },
	{ "%1\r\n", RC_SYNTAX },		/* RESP3 */
	{ "HTTP/1.1 400\r\n", RC_SYNTAX },
	{ "\r\n", RC_SYNTAX },
};

static enum rc
feed_split(const char *bytes, size_t at)
{
	struct redis_reply_bounds b;
	size_t len = strlen(bytes);
	enum rc rc;

	redis_reply_bounds_init(&b);
	rc = redis_reply_bounds_feed(&b, bytes, at);
	if (rc == RC_OK)
		rc = redis_reply_bounds_feed(&b, bytes + at, len - at);
	return (rc);
}

static void
test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t at = 0; at <= strlen(cases[i].bytes); at++)
			if (feed_split(cases[i].bytes, at) != cases[i].rc)
				fail_msg("case %zu split %zu", i, at);
}

static void
test_line_limit(void **state)
{
	struct redis_reply_bounds b;
	char *line = malloc(REDIS_LINE_BYTES_MAX + 1);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', REDIS_LINE_BYTES_MAX + 1);
	line[0] = '+';
	redis_reply_bounds_init(&b);
	assert_int_equal(redis_reply_bounds_feed(&b, line,
	    REDIS_LINE_BYTES_MAX), RC_OK);
	assert_int_equal(redis_reply_bounds_feed(&b, "xx", 2), RC_LIMIT);
	free(line);
}

/* Each string is within its limit; all of them are not. */
static void
test_reply_limit(void **state)
{
	static char piece[1 << 20];
	struct redis_reply_bounds b;
	enum rc rc;
	size_t fed = 0;

	(void)state;
	redis_reply_bounds_init(&b);
	rc = redis_reply_bounds_feed(&b, "*100\r\n", 6);
	while (rc == RC_OK && fed < 200u << 20) {
		rc = redis_reply_bounds_feed(&b, "$1048574\r\n", 10);
		if (rc == RC_OK)
			rc = redis_reply_bounds_feed(&b, piece, sizeof(piece));
		fed += sizeof(piece);
	}
	/* 100 strings of 1 MiB are a whole reply and fit. */
	assert_int_equal(rc, RC_OK);
	redis_reply_bounds_init(&b);
	rc = redis_reply_bounds_feed(&b, "*1000\r\n", 7);
	for (fed = 0; rc == RC_OK && fed < 200u << 20; fed += sizeof(piece)) {
		rc = redis_reply_bounds_feed(&b, "$1048574\r\n", 10);
		if (rc == RC_OK)
			rc = redis_reply_bounds_feed(&b, piece, sizeof(piece));
	}
	assert_int_equal(rc, RC_LIMIT);
	assert_in_range(fed, REDIS_REPLY_BYTES_MAX - (2u << 20),
	    REDIS_REPLY_BYTES_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_reply_limit),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
