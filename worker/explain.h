/*
 * worker/explain.h - `relay-worker --explain`: what would become of one
 * request, without sending anything; relayctl runs it.
 * Context:   a process of its own, may block.
 *
 * It judges and selects with the proxy's own code.  Values are never printed:
 * where they stand, their type and their length are.
 */
#ifndef RELAY_WORKER_EXPLAIN_H
#define RELAY_WORKER_EXPLAIN_H

#include <stdbool.h>

#include "conf/conf_file.h"

struct explain {
	const struct conf	*conf;		/* limits */
	const char		*relay_path;	/* relay JSON */
	const char		*relay_name;	/* as the user named it */
	const char		*host;		/* only this host has the relay;
						   NULL: whichever is asked */
	const char		*request_path;	/* one raw HTTP request */
	bool			json;
};

/* The process's exit code: 0 explained (a refusal too), 2 unusable input. */
int explain_run(const struct explain *);

#endif
