/*
 * ctl/args.h - options and operands of one command, in any order.
 * Context:   pure.
 * Ownership: everything points into argv.
 */
#ifndef RELAY_CTL_ARGS_H
#define RELAY_CTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/result.h"

enum args_value {
	ARGS_NO_VALUE,
	ARGS_VALUE,		/* --name VALUE, --name=VALUE, -n VALUE */
	ARGS_OPTIONAL_NUMBER	/* --name, --name=N, --name N */
};

struct args_flag {
	const char	*name;	/* without "--"; NULL ends a table */
	char		letter;	/* or 0 */
	enum args_value	value;
};

/* A person types them; up to 255 are shares of a root key. */
#define ARGS_OPTIONS_MAX	272
#define ARGS_OPERANDS_MAX	256

struct args {
	size_t		n_options;
	struct {
		const struct args_flag	*flag;
		const char		*value;	/* NULL: none given */
	} options[ARGS_OPTIONS_MAX];
	size_t		n_operands;
	const char	*operands[ARGS_OPERANDS_MAX];
};

/*
 * Read argv[0..argc).  "--" ends the options, "-" is an operand.
 * until_operand: stop before the first operand; *used says how many words were
 * read.  RC_OK; RC_SYNTAX with why[why_size], e.g. "unknown option '--x'".
 */
enum rc args_parse(struct args *, const struct args_flag *flags, int argc,
    char *const *argv, bool until_operand, int *used, char *why,
    size_t why_size) must_check;

bool args_has(const struct args *, const char *name);
/* The last value given, or NULL. */
const char *args_get(const struct args *, const char *name);
/* The i-th value of a repeated option, or NULL. */
const char *args_get_nth(const struct args *, const char *name, size_t i);

#endif
