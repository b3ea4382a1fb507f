/*
 * conf/conf_print_main.c - build tool: writes the option tables to standard
 * output, `conf_print relay|e3 mdoc|sample`.
 */
#include <stdio.h>
#include <string.h>

#include "conf/conf_file.h"

int
main(int argc, char **argv)
{
	if (argc != 3 ||
	    (strcmp(argv[1], "relay") != 0 && strcmp(argv[1], "e3") != 0) ||
	    (strcmp(argv[2], "mdoc") != 0 && strcmp(argv[2], "sample") != 0)) {
		(void)fputs("usage: conf_print relay|e3 mdoc|sample\n", stderr);
		return (2);
	}
	conf_print(stdout, argv[1][0] == 'r' ? CONF_RELAY : CONF_E3,
	    argv[2][0] == 'm' ? CONF_PRINT_MDOC : CONF_PRINT_SAMPLE);
	return (fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1);
}
