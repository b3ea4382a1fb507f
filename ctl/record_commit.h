/*
 * ctl/record_commit.h - the two phases of a change of key state: the engine
 * makes a sealed record and keeps it pending, the helper stores it; only then
 * is it true and may be printed.
 * Context:   blocks.
 */
#ifndef RELAY_CTL_RECORD_COMMIT_H
#define RELAY_CTL_RECORD_COMMIT_H

#include "ctl/ctl.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/op.h"
#include "lib/rpc/sealed_record.h"

struct record_commit {
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;
	struct buffer	record;
	char		key[RPC_APP_ID_BYTES];	/* CreateKey only */
	struct buffer	secret;			/* CreateKey only; sensitive */
};

/* Write the op's body; called again for each attempt. */
typedef void record_body_cb(const struct ctl *, struct buffer *body);

/*
 * app: of the change, or NULL when the engine makes it (CreateApp).
 * CTL_DONE: stored and active; *out is to be printed.  Else the reason was
 * told, *out is empty and nothing may be printed.  CTL_PARTLY: the helper has
 * the record and did not confirm it; it may be, or become, active.
 */
enum ctl_exit record_commit(struct ctl *, enum rpc_op, const char *app,
    record_body_cb *, struct record_commit *out) must_check;
void record_commit_fini(struct record_commit *);

#endif
