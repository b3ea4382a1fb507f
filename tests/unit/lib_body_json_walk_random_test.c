/*
 * The walk beside the index, on documents of others and on those of chance:
 * the same slots, the same refusals, however the document is cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>

#include "lib_body_suite.h"
#include "lib_body_truth.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- documents of others ------------------------------------------------- */

static const char *const suite_paths[] = {
	"$", "$.*", "$..*", "$[0]", "$[1]", "$[0,2,1]", "$[1:]", "$[:2]",
	"$[::2]", "$[1:5:3]", "$..[0]", "$..[1:]", "$.a", "$['a','b']", "$..a",
	"$['']", "$..['']", "$.*.*", "$..*..*", "$[*][0]", "$[0][0][0]", "$.id",
	"$..id", "$.statuses[*].user.name", "$..user..url", "$..urls[0]",
	"$..text", "$.statuses[1:50:7].entities", "$..hashtags[*].text",
	"$.search_metadata", "$['\\u00e9']", "$..indices[:1]",
};

static void
suite_document(const char *name, struct span text, void *arg)
{
	struct paths *all = arg;
	struct truth t;

	(void)name;
	check_document(text, all);
	for (size_t i = 0; i < all->n; i++) {
		struct paths one = { .v = { all->v[i] }, .n = 1 };

		truth_init(&t, text, &one);
		check_whole(&t);
		check_cuts(&t, &(size_t){ text.len / 2 }, 1);
		if (text.len <= 2000)
			check_steps(&t, 1);
		truth_fini(&t);
	}
}

static void
test_suites(void **state)
{
	static const char *const suites[] = {
		"json-parsing", "json-transform", "json-documents",
		"json-documents-2/jsonchecker", "json-documents-2/roundtrip",
	};
	struct paths narrow = { 0 }, all = { 0 };

	(void)state;
	/* The path $ hides the others: once with it, once without. */
	for (size_t i = 0; i < N(suite_paths); i++)
		paths_add(&all, suite_paths[N(suite_paths) - 1 - i]);
	for (size_t i = 22; i < N(suite_paths); i++)
		paths_add(&narrow, suite_paths[i]);
	for (size_t i = 0; i < N(suites); i++) {
		assert_true(suite_each_file(suite_path(suites[i]),
		    suite_document, &all) > 0);
		assert_true(suite_each_file(suite_path(suites[i]),
		    suite_document, &narrow) > 0);
	}
	paths_fini(&narrow);
	paths_fini(&all);
}

/* ---- documents and paths of chance --------------------------------------- */

static const char *const words[] = {
	"a", "b", "c", "ab", "", "\xc3\xa9", "\xf0\x9f\x98\x80", "longer name",
};
/* The same words as raw JSON text, in other ways too. */
static const char *const spellings[] = {
	"a", "b", "c", "ab", "", "\xc3\xa9", "\xf0\x9f\x98\x80", "longer name",
	"\\u0061", "\\u0062", "a\\u0062", "\\u00e9", "\\ud83d\\ude00",
	"\\ud800", "\\\"", "\\\\", "x\\/y",
};
static const char *const atoms[] = {
	"null", "true", "false", "0", "-1", "12.50", "1e9", "-0.0E-3", "\"\"",
	"\"text\"", "\"\\n\"", "\"\\ud800\"", "\"\\\\\"", "\"\xe2\x82\xac\"",
	"123456789012345678901234567890",
};

static void
put_gap(struct buffer *out, uint64_t *random)
{
	static const char *const gaps[] = { "", "", "", " ", "\n\t", " \r\n " };

	buffer_puts(out, gaps[chance_below(random, N(gaps))]);
}

static void put_value(struct buffer *, uint64_t *random, unsigned depth);

static void
put_container(struct buffer *out, uint64_t *random, unsigned depth)
{
	bool array = chance_below(random, 2) == 0;
	size_t n = chance_below(random, 6);

	buffer_puts(out, array ? "[" : "{");
	put_gap(out, random);
	for (size_t i = 0; i < n; i++) {
		buffer_puts(out, i == 0 ? "" : ",");
		put_gap(out, random);
		if (!array) {
			buffer_printf(out, "\"%s\"",
			    spellings[chance_below(random, N(spellings))]);
			put_gap(out, random);
			buffer_puts(out, ":");
		}
		put_value(out, random, depth - 1);
	}
	buffer_puts(out, array ? "]" : "}");
}

static void
put_value(struct buffer *out, uint64_t *random, unsigned depth)
{
	put_gap(out, random);
	if (depth == 0 || chance_below(random, 5) < 2)
		buffer_puts(out, atoms[chance_below(random, N(atoms))]);
	else
		put_container(out, random, depth);
	put_gap(out, random);
}

static void
put_selector(struct buffer *out, uint64_t *random)
{
	switch (chance_below(random, 5)) {
	case 0:
		buffer_puts(out, "*");
		break;
	case 1:
		buffer_printf(out, "%zu", chance_below(random, 4));
		break;
	case 2:
		if (chance_below(random, 2) == 0)
			buffer_printf(out, "%zu", chance_below(random, 4));
		buffer_puts(out, ":");
		if (chance_below(random, 2) == 0)
			buffer_printf(out, "%zu", chance_below(random, 6));
		if (chance_below(random, 2) == 0)
			buffer_printf(out, ":%zu", 1 + chance_below(random, 3));
		break;
	default:
		buffer_printf(out, "'%s'", words[chance_below(random, N(words))]);
		break;
	}
}

static void
put_path(struct buffer *out, uint64_t *random)
{
	size_t steps = chance_below(random, 5);

	buffer_puts(out, "$");
	for (size_t i = 0; i < steps; i++) {
		size_t n = 1 + chance_below(random, 5) / 3;

		buffer_puts(out, chance_below(random, 4) == 0 ? "..[" : "[");
		for (size_t k = 0; k < n; k++) {
			buffer_puts(out, k == 0 ? "" : ",");
			put_selector(out, random);
		}
		buffer_puts(out, "]");
	}
}

/* Some are broken: a byte is changed, left out or doubled. */
static void
damage(struct buffer *doc, uint64_t *random)
{
	static const char bytes[] = "\"\\,:[]{}0e.-\f\v\0 \xff\xc3t";
	struct buffer copy;
	size_t at = chance_below(random, buffer_len(doc)), how = chance_below(random, 3);
	const char *p = buffer_data(doc);

	buffer_init(&copy, 0, false);
	buffer_put(&copy, p, at);
	if (how != 1)
		buffer_put(&copy, &bytes[chance_below(random, sizeof(bytes) - 1)], 1);
	if (how != 0)
		buffer_put(&copy, p + at, 1);
	buffer_put(&copy, p + at + 1, buffer_len(doc) - at - 1);
	buffer_fini(doc);
	*doc = copy;
}

static void
random_case(uint64_t *random)
{
	struct paths paths = { 0 };
	struct buffer doc, path;
	struct truth t;

	buffer_init(&doc, 0, false);
	if (chance_below(random, 10) == 0)
		put_value(&doc, random, 0);
	else
		put_container(&doc, random, 1 + (unsigned)chance_below(random, 5));
	if (chance_below(random, 4) == 0)
		damage(&doc, random);
	for (size_t n = chance_below(random, 6); n > 0; n--) {
		buffer_init(&path, 0, false);
		put_path(&path, random);
		paths_add(&paths, buffer_cstr(&path));
		buffer_fini(&path);
	}
	truth_init(&t, suite_span(&doc), &paths);
	check_whole(&t);
	check_steps(&t, 1);
	for (unsigned i = 0; i < 6; i++)
		check_random_cuts(&t, random, 1 + buffer_len(&doc) / 2);
	truth_fini(&t);
	paths_fini(&paths);
	buffer_fini(&doc);
}

static void
test_random(void **state)
{
	const char *given = getenv("RELAY_TEST_SEED");
	uint64_t seed = given == NULL ? 1 : strtoull(given, NULL, 10);

	(void)state;
	print_message("RELAY_TEST_SEED=%" PRIu64 "\n", seed);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
		    (i + 1) * UINT64_C(0xd1342543de82ef95);

		random_case(&random);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_random),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
