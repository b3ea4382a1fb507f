/* worker/api_path.c: patterns, arguments, and what is no path of ours. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worker/api_path.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define LONG_63	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char	*pattern, *path;
	bool		match;
	const char	*first, *second;	/* arguments; NULL: none */
} cases[] = {
	{ "/", "/", true, NULL, NULL },
	{ "/", "", false, NULL, NULL },
	{ "/", "//", false, NULL, NULL },
	{ "/decrypt", "/decrypt", true, NULL, NULL },
	{ "/decrypt", "/decrypt/", false, NULL, NULL },
	{ "/decrypt", "//decrypt", false, NULL, NULL },
	{ "/decrypt", "/Decrypt", false, NULL, NULL },
	{ "/decrypt", "/decryp", false, NULL, NULL },
	{ "/decrypt", "/decrypts", false, NULL, NULL },
	{ "/decrypt", "/%64ecrypt", false, NULL, NULL },
	{ "/decrypt", "*", false, NULL, NULL },
	{ "/cages/key", "/cages/key", true, NULL, NULL },
	{ "/cages/key", "/cages", false, NULL, NULL },
	{ "/cages/key", "/cages/key/x", false, NULL, NULL },
	{ "/relays/*", "/relays/relay_destination_0123456789ab", true,
	    "relay_destination_0123456789ab", NULL },
	{ "/relays/*", "/relays/", false, NULL, NULL },
	{ "/relays/*", "/relays", false, NULL, NULL },
	{ "/relays/*", "/relays/a/b", false, NULL, NULL },
	{ "/relays/*", "/relays/a%2Fb", false, NULL, NULL },
	{ "/relays/*", "/relays/a b", false, NULL, NULL },
	{ "/relays/*", "/relays/..", true, "..", NULL },
	{ "/relays/*", "/relays/" LONG_63, true, LONG_63, NULL },
	{ "/relays/*", "/relays/" LONG_63 "a", false, NULL, NULL },
	{ "/relays/*/custom-domains/*", "/relays/x/custom-domains/y", true,
	    "x", "y" },
	{ "/relays/*/custom-domains/*", "/relays/x/custom-domains", false,
	    NULL, NULL },
	{ "/*/apps/*", "/team_1/apps/app_2", true, "team_1", "app_2" },
	{ "/*/apps/*", "/apps/app_2", false, NULL, NULL },
	{ "/*/apps/*", "//apps/app_2", false, NULL, NULL },
};

static void
test_cases(void **state)
{
	struct api_arguments a;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		/* A copy without anything behind: reading on is an error. */
		size_t len = strlen(cases[i].path);
		char *copy = test_malloc(len + 1);
		bool match;

		memcpy(copy, cases[i].path, len);
		match = api_path_match(cases[i].pattern,
		    (struct span){ copy, len }, &a);
		if (match != cases[i].match)
			fail_msg("%s %s", cases[i].pattern, cases[i].path);
		if (match && cases[i].first == NULL)
			assert_int_equal(a.n, 0);
		if (match && cases[i].first != NULL)
			assert_string_equal(a.v[0], cases[i].first);
		if (match && cases[i].second != NULL)
			assert_string_equal(a.v[1], cases[i].second);
		test_free(copy);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
