/*
 * ctl/run_variables.h - the environment that sends a program's https requests
 * through egress, and has it trust what it meets there, for every runtime that
 * reads its environment.
 * Context:   pure, until run_variables_apply.
 * Ownership: the caller embeds the list; run_variables_fini wipes it.
 */
#ifndef RELAY_CTL_RUN_VARIABLES_H
#define RELAY_CTL_RUN_VARIABLES_H

#include "ctl/client_setup.h"

enum run_sdk { RUN_NODE, RUN_PYTHON, RUN_PHP, RUN_GO };
/* RC_OK; RC_NOTFOUND. */
enum rc run_sdk_lookup(const char *name, enum run_sdk *out) must_check;

struct run_plan {
	const struct client_setup *setup;	/* borrowed */
	bool		plain;		/* the proxy to name is the plain one */
	enum run_sdk	sdk;
	const char	*anchors;	/* paths: our CA; it and the system's; */
	const char	*bundle;
	const char	*key_store;	/* the same for Java */
	const char	*folder;	/* theirs, with a .curlrc in it */
	const char	*no_proxy;	/* what the environment has, or NULL */
	const char	*no_proxy_only;	/* NULL, or all that is reached directly */
	const char	*java;		/* JAVA_TOOL_OPTIONS of now, or NULL */
};

#define RUN_VARIABLES_MAX	48

struct run_variables {
	size_t	n;
	struct run_variable {
		const char	*name;	/* a literal */
		struct buffer	value;	/* owned, sensitive */
	} v[RUN_VARIABLES_MAX];
};

void run_variables_make(const struct run_plan *, struct run_variables *out);
/* NULL: not set. */
const char *run_variables_get(struct run_variables *, const char *name);
/* NO_PROXY sends what is for this machine, or everything, around the proxy:
 * *entry is which of its entries, a view as long as the list is. */
bool run_variables_around(struct run_variables *, struct span *entry);
/* Into the environment of this process, for its child. */
enum rc run_variables_apply(struct run_variables *) must_check;
void run_variables_fini(struct run_variables *);

#endif
