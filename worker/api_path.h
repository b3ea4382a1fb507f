/*
 * worker/api_path.h - paths of the key API against the patterns of its table.
 * Context:   pure; fuzzed.
 */
#ifndef RELAY_WORKER_API_PATH_H
#define RELAY_WORKER_API_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/string.h"

#define API_ARGUMENTS_MAX	2
#define API_ARGUMENT_BYTES	64	/* ids of ours have 40 at most */

struct api_arguments {
	char	v[API_ARGUMENTS_MAX][API_ARGUMENT_BYTES];
	size_t	n;
};

/*
 * The path is of this pattern, byte by byte, where '*' stands for one segment:
 * an argument, of letters, digits, '_', '-' and '.', as ids and names of ours
 * are.  A path with anything else in its place is no path of ours.
 */
bool api_path_match(const char *pattern, struct span path,
    struct api_arguments *out);

#endif
