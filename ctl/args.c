/* ctl/args.c - a small reader of options; getopt_long cannot take them before
 * and behind a command with two tables. */
#include "ctl/args.h"

#include <stdio.h>
#include <string.h>

struct reader {
	struct args		*out;
	const struct args_flag	*flags;
	int			argc;
	char *const		*argv;
	int			at;
	char			*why;
	size_t			why_size;
};

static enum rc
add(struct reader *r, const struct args_flag *flag, const char *value)
{
	if (r->out->n_options == ARGS_OPTIONS_MAX) {
		(void)snprintf(r->why, r->why_size, "too many options");
		return (RC_SYNTAX);
	}
	r->out->options[r->out->n_options].flag = flag;
	r->out->options[r->out->n_options].value = value;
	r->out->n_options++;
	return (RC_OK);
}

static bool
is_number(const char *s)
{
	return (s[0] != '\0' && s[strspn(s, "0123456789")] == '\0');
}

/* The flag is known; find its value.  attached: behind '=', or NULL. */
static enum rc
read_value(struct reader *r, const struct args_flag *flag,
    const char *attached)
{
	switch (flag->value) {
	case ARGS_NO_VALUE:
		if (attached == NULL)
			return (add(r, flag, NULL));
		(void)snprintf(r->why, r->why_size,
		    "option '--%s' takes no value", flag->name);
		return (RC_SYNTAX);
	case ARGS_VALUE:
		if (attached == NULL && r->at + 1 < r->argc)
			attached = r->argv[++r->at];
		if (attached != NULL)
			return (add(r, flag, attached));
		(void)snprintf(r->why, r->why_size,
		    "option '--%s' needs a value", flag->name);
		return (RC_SYNTAX);
	case ARGS_OPTIONAL_NUMBER:
		if (attached == NULL && r->at + 1 < r->argc &&
		    is_number(r->argv[r->at + 1]))
			attached = r->argv[++r->at];
		if (attached == NULL || is_number(attached))
			return (add(r, flag, attached));
		(void)snprintf(r->why, r->why_size,
		    "option '--%s' takes a number", flag->name);
		return (RC_SYNTAX);
	}
	return (RC_SYNTAX);
}

/* The message names the option, never its value: it may be a key. */
static enum rc
unknown(struct reader *r, const char *word, size_t len)
{
	(void)snprintf(r->why, r->why_size, "unknown option '%.*s'",
	    len > 40 ? 40 : (int)len, word);
	return (RC_SYNTAX);
}

static enum rc
read_long(struct reader *r, const char *word)
{
	const char *name = word + 2;
	size_t len = strcspn(name, "=");
	const struct args_flag *f;

	for (f = r->flags; f->name != NULL; f++)
		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
			return (read_value(r, f,
			    name[len] == '=' ? name + len + 1 : NULL));
	return (unknown(r, word, len + 2));
}

static enum rc
read_letter(struct reader *r, const char *word)
{
	const struct args_flag *f;

	for (f = r->flags; f->name != NULL; f++)
		if (f->letter != 0 && f->letter == word[1] && word[2] == '\0')
			return (read_value(r, f, NULL));
	return (unknown(r, word, 2));
}

static enum rc
read_operand(struct reader *r, const char *word)
{
	if (r->out->n_operands == ARGS_OPERANDS_MAX) {
		(void)snprintf(r->why, r->why_size, "too many operands");
		return (RC_SYNTAX);
	}
	r->out->operands[r->out->n_operands++] = word;
	return (RC_OK);
}

enum rc
args_parse(struct args *out, const struct args_flag *flags, int argc,
    char *const *argv, bool until_operand, int *used, char *why,
    size_t why_size)
{
	struct reader r = {
		.out = out, .flags = flags, .argc = argc, .argv = argv,
		.why = why, .why_size = why_size,
	};
	bool options = true;
	enum rc rc = RC_OK;

	memset(out, 0, sizeof(*out));
	for (r.at = 0; rc == RC_OK && r.at < argc; r.at++) {
		const char *word = argv[r.at];

		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (options && strncmp(word, "--", 2) == 0)
			rc = read_long(&r, word);
		else if (options && word[0] == '-' && word[1] != '\0')
			rc = read_letter(&r, word);
		else if (until_operand)
			break;
		else
			rc = read_operand(&r, word);
	}
	*used = r.at;
	return (rc);
}

const char *
args_get_nth(const struct args *a, const char *name, size_t i)
{
	for (size_t k = 0; k < a->n_options; k++)
		if (strcmp(a->options[k].flag->name, name) == 0 && i-- == 0)
			return (a->options[k].value);
	return (NULL);
}

bool
args_has(const struct args *a, const char *name)
{
	for (size_t k = 0; k < a->n_options; k++)
		if (strcmp(a->options[k].flag->name, name) == 0)
			return (true);
	return (false);
}

const char *
args_get(const struct args *a, const char *name)
{
	const char *value = NULL;

	for (size_t k = 0; k < a->n_options; k++)
		if (strcmp(a->options[k].flag->name, name) == 0)
			value = a->options[k].value;
	return (value);
}
