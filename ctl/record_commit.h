/*
 * ctl/record_commit.h - the two phases of a change of key state: the engine
 * makes a sealed record and keeps it pending, the helper stores it; only then
 * is it true and may be printed.
 * Context:   blocks.
 */
#ifndef RELAY_CTL_RECORD_COMMIT_H
#define RELAY_CTL_RECORD_COMMIT_H

#include "ctl/ctl.h"
#include "ctl/engine_client.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/op.h"
#include "lib/rpc/sealed_record.h"

#define RECORD_PAIRS_MAX	2	/* RotateKeys: one a curve */

struct record_commit {
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;
	struct buffer	record;
	char		key[RPC_APP_ID_BYTES];	/* CreateKey only */
	struct buffer	secret;			/* CreateKey only; sensitive */
	char		pairs[RECORD_PAIRS_MAX][RPC_APP_ID_BYTES];
	size_t		n_pairs;		/* RotateKeys only */
	char		ca[RPC_APP_ID_BYTES];	/* CreateCA only, as below */
	struct buffer	request;		/* PEM */
	struct buffer	certificate;		/* PEM; empty: not asked for */
};

/*
 * Write the op's body; called again for each attempt, and may ask the engine
 * first what it holds.  CTL_DONE, or an error told.
 */
typedef enum ctl_exit record_body_cb(void *arg, struct engine_client *,
    struct buffer *body);

struct record_change {
	enum rpc_op	op;
	const char	*app;		/* NULL: the engine makes it (CreateApp) */
	record_body_cb	*put_body;
	void		*arg;
	const char	*failed;	/* behind each error: what did not happen,
					   "; nothing was created" */
	/* What the engine's `conflict` says of the app's state, and its exit;
	 * NULL: somebody else was first, try again. */
	const char	*conflict;
	enum ctl_exit	conflict_exit;
};

/*
 * CTL_DONE: stored and active; *out is to be printed.  Else the reason was
 * told, *out is empty and nothing may be printed.  CTL_PARTLY: the helper has
 * the record and did not confirm it; it may be, or become, active.
 */
enum ctl_exit record_commit(struct ctl *, const struct record_change *,
    struct record_commit *out) must_check;
void record_commit_fini(struct record_commit *);

/* What was changed: {"app", NOUN: ID, "state"?, "version"} or "ID: TEXT".
 * state NULL: none. */
enum ctl_exit record_commit_print(const struct ctl *,
    const struct record_commit *, const char *noun, const char *id,
    const char *state, const char *text) must_check;

#endif
