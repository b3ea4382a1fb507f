/*
 * ctl/egress_edit.h - one destination put into an egress record, or taken out
 * of it; all else in the record stays as it was written.
 * Context:   pure.
 */
#ifndef RELAY_CTL_EGRESS_EDIT_H
#define RELAY_CTL_EGRESS_EDIT_H

#include "conf/egress_json.h"
#include "lib/base/buffer.h"
#include "lib/base/host.h"

struct egress_target {
	char		host[HOST_BYTES + 2];	/* canonical, or "*.suffix" */
	uint16_t	port;
};

/* "host", "host:port", "*.suffix:port", "[::1]:port".  RC_OK, RC_SYNTAX. */
enum rc egress_target_read(const char *text, struct egress_target *) must_check;

struct egress_grant {
	struct egress_target	to;
	const char		*const *methods;	/* views; n 0: every one */
	size_t			n_methods;
	const char		*const *paths;
	size_t			n_paths;
	bool			internal;
};

/* The record (which can be parsed; empty: there is none) with this destination
 * in place of those with the same host and port. */
void egress_edit_allow(struct span record, const struct egress_grant *,
    struct buffer *out);
/* The record without them.  RC_OK; RC_NOTFOUND: it has none of them, or no list:
 * *out is empty. */
enum rc egress_edit_deny(struct span record, const struct egress_target *,
    struct buffer *out) must_check;

#endif
