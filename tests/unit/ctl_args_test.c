/* Options before, between and behind operands. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ctl/args.h"

static const struct args_flag flags[] = {
	{ "conf", 'c', ARGS_VALUE },
	{ "json", 0, ARGS_NO_VALUE },
	{ "wait", 'w', ARGS_OPTIONAL_NUMBER },
	{ "scope", 0, ARGS_VALUE },
	{ NULL, 0, ARGS_NO_VALUE }
};

/* Words split at spaces; "" stands for an empty word. */
static enum rc
parse(const char *line, bool until_operand, struct args *out, int *used,
    char *copy, char *why)
{
	char *argv[ARGS_OPTIONS_MAX + 8], *save = NULL, *word;
	int argc = 0;

	(void)strcpy(copy, line);
	for (word = strtok_r(copy, " ", &save); word != NULL;
	    word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "\"\"") == 0 ? word + 2 : word;
	return (args_parse(out, flags, argc, argv, until_operand, used, why,
	    128));
}

static void
test_good(void **state)
{
	static const struct {
		const char	*line;
		const char	*conf;		/* NULL: not given */
		bool		json;
		bool		has_wait;
		const char	*wait;
		size_t		operands;
		const char	*first;
	} table[] = {
		{ "", NULL, false, false, NULL, 0, NULL },
		{ "a", NULL, false, false, NULL, 1, "a" },
		{ "-c f a", "f", false, false, NULL, 1, "a" },
		{ "--conf f a", "f", false, false, NULL, 1, "a" },
		{ "--conf=f a", "f", false, false, NULL, 1, "a" },
		{ "--conf= a", "", false, false, NULL, 1, "a" },
		{ "a --json b", NULL, true, false, NULL, 2, "a" },
		{ "a -- --json", NULL, false, false, NULL, 2, "a" },
		{ "-", NULL, false, false, NULL, 1, "-" },
		{ "--wait", NULL, false, true, NULL, 0, NULL },
		{ "--wait 30", NULL, false, true, "30", 0, NULL },
		{ "--wait=30 x", NULL, false, true, "30", 1, "x" },
		{ "--wait x", NULL, false, true, NULL, 1, "x" },
		{ "--wait --json", NULL, true, true, NULL, 0, NULL },
		{ "-w 5", NULL, false, true, "5", 0, NULL },
		{ "-c one -c two", "two", false, false, NULL, 0, NULL },
		{ "--conf --json", "--json", false, false, NULL, 0, NULL },
	};
	char copy[256], why[128];
	struct args a;
	int used;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(parse(table[i].line, false, &a, &used, copy,
		    why), RC_OK);
		assert_int_equal(args_has(&a, "conf"), table[i].conf != NULL);
		if (table[i].conf != NULL)
			assert_string_equal(args_get(&a, "conf"),
			    table[i].conf);
		assert_int_equal(args_has(&a, "json"), table[i].json);
		assert_int_equal(args_has(&a, "wait"), table[i].has_wait);
		if (table[i].wait != NULL)
			assert_string_equal(args_get(&a, "wait"),
			    table[i].wait);
		else
			assert_null(args_get(&a, "wait"));
		assert_int_equal(a.n_operands, table[i].operands);
		if (table[i].first != NULL)
			assert_string_equal(a.operands[0], table[i].first);
	}
}

static void
test_bad(void **state)
{
	static const struct {
		const char	*line;
		const char	*why;
	} table[] = {
		{ "--nope", "unknown option '--nope'" },
		{ "--nope=secret", "unknown option '--nope'" },
		{ "-x", "unknown option '-x'" },
		{ "-csecret", "unknown option '-c'" },
		{ "--jso", "unknown option '--jso'" },
		{ "--json=1", "option '--json' takes no value" },
		{ "a --conf", "option '--conf' needs a value" },
		{ "-c", "option '--conf' needs a value" },
		{ "--wait=soon", "option '--wait' takes a number" },
		{ "--wait=-1", "option '--wait' takes a number" },
		{ "--wait=", "option '--wait' takes a number" },
	};
	char copy[256], why[128];
	struct args a;
	int used;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(parse(table[i].line, false, &a, &used, copy,
		    why), RC_SYNTAX);
		assert_string_equal(why, table[i].why);
	}
}

static void
test_until_operand(void **state)
{
	char copy[256], why[128];
	struct args a;
	int used;

	(void)state;
	assert_int_equal(parse("-c f --json app list --json", true, &a, &used,
	    copy, why), RC_OK);
	assert_int_equal(used, 3);
	assert_int_equal(a.n_operands, 0);
	assert_int_equal(a.n_options, 2);
	assert_int_equal(parse("--json", true, &a, &used, copy, why), RC_OK);
	assert_int_equal(used, 1);
}

static void
test_repeated(void **state)
{
	char copy[4096] = "", line[4096] = "", why[128];
	struct args a;
	int used;

	(void)state;
	assert_int_equal(parse("--scope a X --scope=b --json --scope c", false,
	    &a, &used, copy, why), RC_OK);
	assert_string_equal(args_get_nth(&a, "scope", 0), "a");
	assert_string_equal(args_get_nth(&a, "scope", 1), "b");
	assert_string_equal(args_get_nth(&a, "scope", 2), "c");
	assert_null(args_get_nth(&a, "scope", 3));
	for (int i = 0; i < ARGS_OPTIONS_MAX; i++)
		strcat(line, "--json ");
	assert_int_equal(parse(line, false, &a, &used, copy, why), RC_OK);
	strcat(line, "--json");
	assert_int_equal(parse(line, false, &a, &used, copy, why), RC_SYNTAX);
	line[0] = '\0';
	for (int i = 0; i < ARGS_OPERANDS_MAX; i++)
		strcat(line, "x ");
	assert_int_equal(parse(line, false, &a, &used, copy, why), RC_OK);
	strcat(line, "x");
	assert_int_equal(parse(line, false, &a, &used, copy, why), RC_SYNTAX);
	assert_string_equal(why, "too many operands");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_until_operand),
		cmocka_unit_test(test_repeated),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
