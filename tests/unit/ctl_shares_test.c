/* k of n shares give the secret, fewer tell nothing, and whatever happens to
 * the text of one on its way over paper is noticed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ctl/shares.h"

#define N	5
#define K	3

static uint8_t secret[SHARES_SECRET_BYTES];

static int
make_secret(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 37 + 11);
	return (0);
}

static void
split(unsigned count, unsigned threshold, struct share *v)
{
	assert_int_equal(shares_split(secret, count, threshold, v), RC_OK);
}

/* Every subset of n shares: all that are large enough combine. */
static void
test_every_subset(void **state)
{
	struct share v[N], some[N];
	uint8_t out[SHARES_SECRET_BYTES], zeros[SHARES_SECRET_BYTES] = { 0 };

	(void)state;
	for (unsigned k = 2; k <= N; k++) {
		split(N, k, v);
		for (unsigned set = 1; set < 1u << N; set++) {
			size_t n = 0;

			/* From the last to the first: order does not count. */
			for (unsigned i = N; i-- > 0;)
				if ((set & 1u << i) != 0)
					some[n++] = v[i];
			assert_int_equal(shares_combine(some, n, out),
			    n < k ? RC_LIMIT : RC_OK);
			assert_memory_equal(out, n < k ? zeros : secret,
			    sizeof(out));
		}
	}
}

static void
test_bounds(void **state)
{
	static const unsigned table[][2] = { { 2, 2 }, { 255, 2 }, { 255, 255 },
	    { 255, 128 }, { 3, 2 } };
	static struct share v[SHARES_MAX];
	uint8_t out[SHARES_SECRET_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		unsigned n = table[i][0], k = table[i][1];

		split(n, k, v);
		assert_int_equal(v[n - 1].number, n);
		assert_int_equal(shares_combine(v + n - k, k, out), RC_OK);
		assert_memory_equal(out, secret, sizeof(out));
		assert_int_equal(shares_combine(v, n, out), RC_OK);
		assert_int_equal(shares_combine(v, k - 1, out), RC_LIMIT);
	}
}

/* Shares that claim a lower threshold than they were made for: k - 1 of them
 * give another key, and that is noticed. */
static void
test_too_few_that_lie(void **state)
{
	uint8_t out[SHARES_SECRET_BYTES], zeros[SHARES_SECRET_BYTES] = { 0 };
	struct share v[N];

	(void)state;
	split(N, K, v);
	for (unsigned i = 0; i < N; i++)
		v[i].threshold = K - 1;
	for (unsigned i = 0; i + K - 1 <= N; i++) {
		assert_int_equal(shares_combine(v + i, K - 1, out),
		    RC_CORRUPT);
		assert_memory_equal(out, zeros, sizeof(out));
	}
}

static void
test_false_share(void **state)
{
	uint8_t out[SHARES_SECRET_BYTES];
	struct share v[N];

	(void)state;
	for (size_t byte = 0; byte < sizeof(secret); byte++) {
		split(N, K, v);
		v[1].bytes[byte] ^= 1;
		assert_int_equal(shares_combine(v, K, out), RC_CORRUPT);
		assert_int_equal(shares_combine(v, N, out), RC_CORRUPT);
		assert_int_equal(shares_combine(v + 2, K, out), RC_OK);
	}
}

/*
 * k - 1 shares of one secret look like any others: each byte of a share takes
 * all values alike, whatever the secret is.  Chi squared over 256 values, 255
 * degrees of freedom: 400 is passed once in 10^8 runs, and a filler that is
 * rand(), unseeded, would give the same share each time.
 */
static void
test_shares_are_random(void **state)
{
	enum { SPLITS = 4096 };
	static unsigned seen[2][256];
	double expected = SPLITS * (double)SHARES_SECRET_BYTES / 256;
	struct share v[K], last;

	(void)state;
	memset(&last, 0, sizeof(last));
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < SPLITS; i++) {
		split(K, K, v);
		assert_memory_not_equal(v[0].bytes, last.bytes,
		    sizeof(last.bytes));
		assert_memory_not_equal(v[0].set, last.set, sizeof(last.set));
		last = v[0];
		for (size_t b = 0; b < SHARES_SECRET_BYTES; b++) {
			seen[0][v[0].bytes[b]]++;
			/* two shares together: still nothing of the secret */
			seen[1][v[0].bytes[b] ^ v[1].bytes[b] ^ secret[b]]++;
		}
	}
	for (int which = 0; which < 2; which++) {
		double chi = 0;

		for (int i = 0; i < 256; i++) {
			double d = seen[which][i] - expected;

			chi += d * d / expected;
		}
		assert_true(chi < 400);
	}
}

static void
test_fit(void **state)
{
	struct share a[N], b[N];

	(void)state;
	split(N, K, a);
	split(N, K, b);
	assert_int_equal(shares_fit(&a[0], &a[1]), RC_OK);
	assert_int_equal(shares_fit(&a[1], &a[1]), RC_EXISTS);
	assert_int_equal(shares_fit(&a[0], &b[1]), RC_CONFLICT);
	b[1] = a[1];
	b[1].threshold--;
	assert_int_equal(shares_fit(&a[0], &b[1]), RC_CONFLICT);
	b[1] = a[1];
	b[1].key_id[0] ^= 1;
	assert_int_equal(shares_fit(&a[0], &b[1]), RC_CONFLICT);
}

/* ---- as text -------------------------------------------------------------------- */

static enum rc
read_text(const char *text, struct share *out)
{
	const char *why;
	enum rc rc = share_read(span_of(text), out, &why);

	assert_true((rc == RC_OK) == (why == NULL));
	return (rc);
}

static void
text_of(const struct share *s, char *out, size_t size)
{
	struct buffer b;

	buffer_init(&b, 0, true);
	share_write(s, &b);
	assert_true(buffer_len(&b) < size);
	memcpy(out, buffer_cstr(&b), buffer_len(&b) + 1);
	buffer_fini(&b);
}

static void
test_text_and_back(void **state)
{
	struct share v[N], back;
	char text[2048], other[2048];

	(void)state;
	split(N, K, v);
	for (unsigned i = 0; i < N; i++) {
		text_of(&v[i], text, sizeof(text));
		assert_int_equal(read_text(text, &back), RC_OK);
		assert_memory_equal(&back, &v[i], sizeof(back));
	}
	/* upper case, CR LF, more spaces, no last line end: the same share */
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\n')
			other[n++] = '\r';
		if (*p == ' ')
			other[n++] = '\t';
		other[n++] = (char)toupper((unsigned char)*p);
	}
	other[n - 2] = '\0';
	assert_int_equal(read_text(other, &back), RC_OK);
	assert_memory_equal(&back, &v[N - 1], sizeof(back));
}

/* Any character of what counts, changed in any of some ways, is noticed or
 * means the same. */
static void
test_every_typing_error(void **state)
{
	static const char marks[] = "0189afgxyz :#\n\xff";
	struct share v[N], back, zero;
	char text[2048];
	size_t from;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	split(N, K, v);
	text_of(&v[2], text, sizeof(text));
	from = (size_t)(strstr(text, "relay-share:") - text);
	for (size_t at = from; text[at] != '\0'; at++) {
		char was = text[at];

		for (const char *m = marks; *m != '\0'; m++) {
			text[at] = *m;
			if (read_text(text, &back) == RC_OK)
				assert_memory_equal(&back, &v[2],
				    sizeof(back));
			else
				assert_memory_equal(&back, &zero,
				    sizeof(back));
		}
		text[at] = was;
	}
}

static void
test_every_truncation(void **state)
{
	struct share v[N], back;
	const char *why;
	char text[2048];
	size_t len;

	(void)state;
	split(N, K, v);
	text_of(&v[0], text, sizeof(text));
	len = strlen(text);
	for (size_t n = 0; n + 1 < len; n++)	/* the last is a line end */
		assert_int_equal(share_read((struct span){ text, n }, &back,
		    &why), RC_SYNTAX);
}

static void
test_other_files(void **state)
{
	static const struct {
		const char	*text;
		const char	*why;
	} table[] = {
		{ "", "no share of a root key" },
		{ "hello\n", "no share of a root key" },
		{ "-----BEGIN CERTIFICATE-----\n", "no share of a root key" },
		{ "name: value\n", "no share of a root key" },
		{ "# only a comment\n", "no share of a root key" },
		{ "relay-share: 1\n", "a line is missing" },
		{ "relay-share: 1\nrelay-share: 1\n",
		    "a line is there twice" },
		{ "relay-share: 0\n", "a typing error: a value has the wrong "
		    "length or a wrong character" },
		{ "share: 00\n", "a typing error: a value has the wrong "
		    "length or a wrong character" },
	};
	static char large[SHARE_TEXT_BYTES_MAX + 2];
	struct share s;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(share_read(span_of(table[i].text), &s, &why),
		    RC_SYNTAX);
		assert_string_equal(why, table[i].why);
	}
	memset(large, '#', sizeof(large) - 1);
	assert_int_equal(read_text(large, &s), RC_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_subset),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_too_few_that_lie),
		cmocka_unit_test(test_false_share),
		cmocka_unit_test(test_shares_are_random),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_text_and_back),
		cmocka_unit_test(test_every_typing_error),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_other_files),
	};

	return (cmocka_run_group_tests(tests, make_secret, NULL));
}
