/* I-Regexp: what is one, what it matches, and that every run has an end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/body/iregexp.h"

#define WORK	(UINT64_C(1) << 22)

static const struct {
	const char	*pattern;
	enum rc		rc;
} patterns[] = {
	{ "", RC_OK },
	{ "|", RC_OK },
	{ "a||b", RC_OK },
	{ "()", RC_OK },
	{ "(a|b)*c{2,3}d{2}e{2,}f?g+", RC_OK },
	{ "[a-z]", RC_OK },
	{ "[^a-z]", RC_OK },
	{ "[-a]", RC_OK },
	{ "[a-]", RC_OK },
	{ "[--]", RC_OK },
	{ "[^-]", RC_OK },
	{ "[a^$.*+?(){}|/:&~]", RC_OK },
	{ "[\\[\\]\\-\\\\\\n]", RC_OK },
	{ "[\\p{L}\\P{Nd}]", RC_OK },
	{ "\\p{L}\\p{Lu}\\P{Zs}\\p{Cn}\\p{Pi}\\p{Sk}", RC_OK },
	{ "\\(\\)\\*\\+\\-\\.\\?\\[\\\\\\]\\^\\n\\r\\t\\{\\|\\}", RC_OK },
	{ "a,b-c:d=e<f>g!h@i#j%k&l_m`n~o'p\"q/r", RC_OK },
	{ "\xc3\xa9*\xf0\x9f\x98\x80{2}", RC_OK },
	{ "[\xc3\xa9-\xf0\x9f\x98\x80]", RC_OK },
	{ "^a$", RC_OK },
	{ "^*$+", RC_OK },
	{ "a{65535}", RC_OK },
	{ "a{0}", RC_OK },
	/* what other dialects have, and broken ones */
	{ "*", RC_SYNTAX },
	{ "a**", RC_SYNTAX },
	{ "a*?", RC_SYNTAX },
	{ "a*+", RC_SYNTAX },
	{ "a{1}{2}", RC_SYNTAX },
	{ "a{", RC_SYNTAX },
	{ "a{}", RC_SYNTAX },
	{ "a{,2}", RC_SYNTAX },
	{ "a{2,1}", RC_SYNTAX },
	{ "a{1", RC_SYNTAX },
	{ "a{1,", RC_SYNTAX },
	{ "a}", RC_SYNTAX },
	{ "a]", RC_SYNTAX },
	{ "(", RC_SYNTAX },
	{ "a)", RC_SYNTAX },
	{ "(?:a)", RC_SYNTAX },
	{ "(?=a)", RC_SYNTAX },
	{ "(*COMMIT)", RC_SYNTAX },
	{ "\\d", RC_SYNTAX },
	{ "\\w", RC_SYNTAX },
	{ "\\b", RC_SYNTAX },
	{ "\\1", RC_SYNTAX },
	{ "\\R", RC_SYNTAX },
	{ "\\C", RC_SYNTAX },
	{ "\\Q", RC_SYNTAX },
	{ "\\x41", RC_SYNTAX },
	{ "\\$", RC_SYNTAX },
	{ "\\/", RC_SYNTAX },
	{ "\\", RC_SYNTAX },
	{ "\\p", RC_SYNTAX },
	{ "\\p{", RC_SYNTAX },
	{ "\\p{}", RC_SYNTAX },
	{ "\\p{X}", RC_SYNTAX },
	{ "\\p{Lx}", RC_SYNTAX },
	{ "\\p{Cs}", RC_SYNTAX },
	{ "\\p{L&}", RC_SYNTAX },
	{ "\\p{^L}", RC_SYNTAX },
	{ "\\p{Latin}", RC_SYNTAX },
	{ "\\pL", RC_SYNTAX },
	{ "[", RC_SYNTAX },
	{ "[]", RC_SYNTAX },
	{ "[^]", RC_SYNTAX },
	{ "[]a]", RC_SYNTAX },
	{ "[a", RC_SYNTAX },
	{ "[a-", RC_SYNTAX },
	{ "[z-a]", RC_SYNTAX },
	{ "[a-b-c]", RC_SYNTAX },
	{ "[a--]", RC_SYNTAX },
	{ "[[:alpha:]]", RC_SYNTAX },
	{ "[a[b]", RC_SYNTAX },
	{ "[\\d]", RC_SYNTAX },
	{ "[\\p{L}-z]", RC_SYNTAX },
	{ "[a-\\p{L}]", RC_SYNTAX },
	/* too large for the library */
	{ "a{65536}", RC_LIMIT },
	{ "a{99999999999999999999999}", RC_LIMIT },
	{ "((a{1000}){1000}){1000}", RC_LIMIT },
};

static void
test_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		for (int kind = IREGEXP_MATCH; kind <= IREGEXP_SEARCH; kind++) {
			/* on the heap: a read beyond the end is seen */
			size_t len = strlen(patterns[i].pattern);
			char *copy = malloc(len + 1);
			struct iregexp *re;
			enum rc rc;

			assert_non_null(copy);
			memcpy(copy, patterns[i].pattern, len);
			rc = iregexp_compile((struct span){ copy, len },
			    (enum iregexp_kind)kind, &re);
			if (rc != patterns[i].rc)
				fail_msg("%s: %s", patterns[i].pattern,
				    rc_name(rc));
			assert_int_equal(re != NULL, rc == RC_OK);
			iregexp_free(&re);
			free(copy);
		}
}

static bool
finds(struct span pattern, enum iregexp_kind kind, struct span text)
{
	struct iregexp_scratch *scratch;
	struct iregexp *re;
	uint64_t work = WORK;
	bool found;

	assert_int_equal(iregexp_compile(pattern, kind, &re), RC_OK);
	assert_int_equal(iregexp_scratch_new(&scratch), RC_OK);
	assert_int_equal(iregexp_run(re, scratch, text, &work, &found), RC_OK);
	assert_true(work < WORK);
	iregexp_scratch_free(&scratch);
	iregexp_free(&re);
	return (found);
}

static const struct {
	const char	*pattern, *text;
	bool		match, search;
} runs[] = {
	{ "", "", true, true },
	{ "", "a", false, true },
	{ "a", "a", true, true },
	{ "a", "ba", false, true },
	{ "a", "a\n", false, true },
	{ "a|b|", "", true, true },
	{ "ab|a", "ab", true, true },
	{ "a|ab", "ab", true, true },		/* the whole, not the first */
	{ "(a|ab)(c|bcd)", "abcd", true, true },
	{ ".", "\xc3\xa9", true, true },
	{ ".", "\xf0\x9f\x98\x80", true, true },
	{ ".", "\n", false, false },
	{ ".", "\r", false, false },
	{ ".", "\xe2\x80\xa8", true, true },
	{ "[.]", "x", false, false },
	{ "[^a]", "\n", true, true },
	{ "\\.", "x", false, false },
	{ "\\n\\r\\t", "\n\r\t", true, true },
	{ "[\\n-\\r]", "\v", true, true },
	{ "[a-c]{2,3}", "abc", true, true },
	{ "[a-c]{2,3}", "abca", false, true },
	{ "a{2}", "aaa", false, true },
	{ "a{2,}", "a", false, false },
	{ "[-a]+", "-a", true, true },
	{ "[a-]+", "-a", true, true },
	{ "[a\\-c]+", "b", false, false },
	{ "[+-\\-]", ",", true, true },
	{ "[\\^a]", "^", true, true },
	{ "[a^]", "^", true, true },
	{ "\\p{Lu}", "\xc3\x89", true, true },
	{ "\\p{Lu}", "\xc3\xa9", false, false },
	{ "\\P{Lu}", "\xc3\xa9", true, true },
	{ "[\\p{Nd}x]+", "1x\xd9\xa3", true, true },
	{ "[^\\p{L}]", "1", true, true },
	{ "^a", "ba", false, false },
	{ "a$", "ab", false, false },
	{ "a$", "a\n", false, false },
	{ "^a$|b", "a", true, true },
	{ "(^a)*", "a", true, true },
	{ "#x", "#x", true, true },
	{ "a b", "a b", true, true },
	{ "A", "a", false, false },
	{ "(a*)*", "aaa", true, true },
	{ "(a*)*b", "aaa", false, false },
	{ "(|a)+", "aa", true, true },
	{ "x{0}", "", true, true },
};

static void
test_runs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		struct span pattern = span_of(runs[i].pattern);
		struct span text = span_of(runs[i].text);

		if (finds(pattern, IREGEXP_MATCH, text) != runs[i].match)
			fail_msg("match %s", runs[i].pattern);
		if (finds(pattern, IREGEXP_SEARCH, text) != runs[i].search)
			fail_msg("search %s", runs[i].pattern);
	}
	/* a NUL is a character */
	assert_true(finds((struct span){ "a\0b", 3 }, IREGEXP_MATCH,
	    (struct span){ "a\0b", 3 }));
	assert_true(finds((struct span){ "[\0]", 3 }, IREGEXP_SEARCH,
	    (struct span){ "x\0", 2 }));
	assert_false(finds((struct span){ "a\0b", 3 }, IREGEXP_MATCH,
	    (struct span){ "a", 1 }));
}

static const struct {
	const char		*pattern;
	enum iregexp_kind	kind;
} endless[] = {
	{ "(a*)*[bc]", IREGEXP_MATCH },
	{ "(a|a)*[bc]", IREGEXP_MATCH },
	{ "(a|aa)+[bc]", IREGEXP_SEARCH },
	{ "((a|b)?(a|c)?){30}[xy]", IREGEXP_MATCH },
	{ "a*a*a*a*a*a*[bc]", IREGEXP_SEARCH },
	{ "(.*)*(.*)*(.*)*x", IREGEXP_MATCH },
};

/* Whatever the pattern: the budget goes down, never up, and then there is no
 * answer. */
static void
test_work(void **state)
{
	struct iregexp_scratch *scratch;
	struct buffer text;

	(void)state;
	buffer_init(&text, 0, false);
	for (size_t i = 0; i < 30000; i++)
		buffer_puts(&text, "a");
	assert_int_equal(iregexp_scratch_new(&scratch), RC_OK);
	for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
		struct span s = { buffer_data(&text), buffer_len(&text) };
		uint64_t work = WORK;
		struct iregexp *re;
		bool found;

		assert_int_equal(iregexp_compile(span_of(endless[i].pattern),
		    endless[i].kind, &re), RC_OK);
		assert_int_equal(iregexp_run(re, scratch, s, &work, &found),
		    RC_LIMIT);
		assert_false(found);
		/* and the scratch memory is as good as new */
		s.len = 1;
		work = WORK;
		assert_int_equal(iregexp_run(re, scratch, s, &work, &found),
		    RC_OK);
		assert_false(found);
		iregexp_free(&re);
	}
	iregexp_scratch_free(&scratch);
	buffer_fini(&text);
}

static void
test_no_work_left(void **state)
{
	struct iregexp_scratch *scratch;
	struct iregexp *re;
	uint64_t work = 1;
	bool found;

	(void)state;
	assert_int_equal(iregexp_compile(SPAN_LIT("a"), IREGEXP_MATCH, &re),
	    RC_OK);
	assert_int_equal(iregexp_scratch_new(&scratch), RC_OK);
	assert_int_equal(iregexp_run(re, scratch, SPAN_LIT("a"), &work, &found),
	    RC_LIMIT);
	assert_int_equal(work, 0);
	iregexp_scratch_free(&scratch);
	iregexp_free(&re);
}

/* Going back over a long text takes memory, which is limited too. */
static void
test_memory(void **state)
{
	struct iregexp_scratch *scratch;
	struct iregexp *re;
	struct buffer text;
	uint64_t work = UINT64_MAX;
	bool found;

	(void)state;
	buffer_init(&text, 0, false);
	for (size_t i = 0; i < 2000000; i++)
		buffer_puts(&text, "ab");
	assert_int_equal(iregexp_compile(SPAN_LIT("(ab|cd)*"), IREGEXP_MATCH,
	    &re), RC_OK);
	assert_int_equal(iregexp_scratch_new(&scratch), RC_OK);
	assert_int_equal(iregexp_run(re, scratch, (struct span){
	    buffer_data(&text), buffer_len(&text) }, &work, &found), RC_LIMIT);
	assert_false(found);
	iregexp_scratch_free(&scratch);
	iregexp_free(&re);
	buffer_fini(&text);
}

static void
test_long_and_deep_patterns(void **state)
{
	struct buffer b;
	struct iregexp *re;

	(void)state;
	buffer_init(&b, 0, false);
	for (int i = 0; i < IREGEXP_BYTES_MAX; i++)
		buffer_puts(&b, ".");
	assert_int_equal(iregexp_compile((struct span){ buffer_data(&b),
	    buffer_len(&b) }, IREGEXP_SEARCH, &re), RC_OK);
	iregexp_free(&re);
	buffer_puts(&b, ".");
	assert_int_equal(iregexp_compile((struct span){ buffer_data(&b),
	    buffer_len(&b) }, IREGEXP_SEARCH, &re), RC_LIMIT);
	assert_null(re);
	for (int depth = 10; depth <= 500; depth += 490) {
		buffer_clear(&b);
		for (int i = 0; i < depth; i++)
			buffer_puts(&b, "(");
		for (int i = 0; i < depth; i++)
			buffer_puts(&b, ")");
		assert_int_equal(iregexp_compile((struct span){
		    buffer_data(&b), buffer_len(&b) }, IREGEXP_MATCH, &re),
		    depth == 10 ? RC_OK : RC_LIMIT);
		iregexp_free(&re);
	}
	buffer_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_no_work_left),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_long_and_deep_patterns),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
