/* base/options.c - the table, handed to getopt_long. */
#include "lib/base/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/object.h"
#include "lib/base/string.h"

#define EXIT_USAGE	2
#define ROW_FIRST	256	/* getopt's codes of rows, beyond all letters */

static void __attribute__((__noreturn__))
bad_usage(const struct options_program *program)
{
	(void)fputs(program->usage, stderr);
	exit(EXIT_USAGE);
}

static void
take(const struct options_row *row, const char *value)
{
	uint64_t v;

	if (row->text != NULL) {
		*row->text = value;
	} else if (row->number != NULL) {
		if (string_u64(span_of(value), &v) != RC_OK || v < row->min ||
		    v > row->max)
			fatal(EXIT_USAGE, "--%s: %s is not in %u..%u",
			    row->name, value, row->min, row->max);
		*row->number = (unsigned)v;
	} else if (row->level != NULL) {
		if (!log_level_parse(value, row->level))
			fatal(EXIT_USAGE, "--%s: %s is not a level", row->name,
			    value);
	} else if (row->set != NULL) {
		*row->set = true;
	} else {
		*row->clear = false;
	}
}

static bool
takes_value(const struct options_row *row)
{
	return (row->text != NULL || row->number != NULL || row->level != NULL);
}

static void
add_letter(char *letters, char letter, bool value)
{
	for (; *letters != '\0'; letters++)
		continue;
	letters[0] = letter;
	letters[1] = value ? ':' : '\0';
}

void
options_read(const struct options_program *program,
    const struct options_row *rows, size_t n, int argc, char **argv)
{
	struct option *longs = xcalloc(n + 3, sizeof(*longs));
	char *letters = xcalloc(n + 3, 2);
	size_t i;
	int c;

	add_letter(letters, 'V', false);
	add_letter(letters, 'h', false);
	for (i = 0; i < n; i++) {
		bool value = takes_value(&rows[i]);

		longs[i] = (struct option){ rows[i].name, value, NULL,
		    ROW_FIRST + (int)i };
		if (rows[i].letter != 0)
			add_letter(letters, rows[i].letter, value);
	}
	longs[i++] = (struct option){ "version", no_argument, NULL, 'V' };
	longs[i] = (struct option){ "help", no_argument, NULL, 'h' };
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == 'V') {
			(void)printf("%s %s\n", program->name,
			    program->version);
			exit(0);
		}
		if (c == 'h') {
			(void)fputs(program->usage, stdout);
			exit(0);
		}
		for (i = 0; i < n; i++)
			if (c == ROW_FIRST + (int)i ||
			    (rows[i].letter != 0 && c == rows[i].letter))
				break;
		if (i == n)
			bad_usage(program);
		take(&rows[i], optarg);
	}
	if (optind != argc)
		bad_usage(program);
	free(letters);
	free(longs);
}
