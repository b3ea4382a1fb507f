/*
 * base/options.h - a program's own argv, read by a table.
 * Context:   main-time code: ends the process on -V, --help and bad usage.
 */
#ifndef RELAY_BASE_OPTIONS_H
#define RELAY_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/log.h"

/* One of the pointers says what the option takes and where it goes. */
struct options_row {
	const char	*name;		/* --name */
	char		letter;		/* -n as well; 0: none */
	const char	**text;
	unsigned	*number, min, max;	/* bounds are included */
	enum log_level	*level;
	bool		*set, *clear;	/* no argument: true, false */
};

struct options_program {
	const char	*name, *version;
	const char	*usage;		/* the whole text */
};

/*
 * -V and --version print name and version, -h and --help the usage: exit 0.
 * An unknown option, a missing argument or a word that is no option's prints
 * the usage to stderr: exit 2.  So does, with its own line, a value out of
 * its bounds.
 */
void options_read(const struct options_program *, const struct options_row *,
    size_t n, int argc, char **argv);

#endif
