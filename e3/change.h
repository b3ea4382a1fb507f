/*
 * e3/change.h - an app's next state, sealed as a record: what every op that
 * changes keys or roles does.
 * Context:   begun by a handler on the network thread; what is random is made,
 *            and the record sealed, on a crypto thread.
 * Ownership: the change is its call's work.
 *
 * Nothing here makes a key active.  The reply is the app's next record; the
 * helper writes it to disk and loads it: so a key that was printed is a key
 * that was written.
 */
#ifndef RELAY_E3_CHANGE_H
#define RELAY_E3_CHANGE_H

#include "e3/dispatch.h"

struct e3_change {
	struct e3_app	*next;		/* counted: being built */
	/* On a crypto thread, before the seal; NULL: nothing is to be made. */
	enum rc		(*make)(struct e3_change *, struct scheme_crypto *);
	char		subject[E3_PAIR_ID_BYTES];	/* of the log: a key or
							   pair; or "" */
	/* of the reply, before `version` and `record` */
	unsigned	n_members;
	struct buffer	members;	/* owned; sensitive: a key's secret */
	const uint8_t	*root_key;	/* view: what seals the record */
	const struct rpc_value *body;	/* view: the call's, for make */
};

/* The call's change, without an app yet. */
struct e3_change *e3_change_new(struct e3_call *);
/* The same with a copy of the app that the body names, one version higher,
 * with room at the end of pairs[] and keys[]. */
enum rpc_status e3_change_begin(struct e3_engine *, struct e3_call *,
    unsigned extra_pairs, unsigned extra_keys, struct e3_change **);
/* A new app of this id, with a pair of each curve that seals: the change's
 * next, and its `make` makes them.  RC_OK, RC_NOMEM. */
enum rc e3_change_new_app(struct e3_engine *, struct e3_change *,
    const char *id) must_check;
/* Log it and hand it to a crypto thread: the handler's last words. */
enum rpc_status e3_change_submit(struct e3_engine *, struct e3_call *);

/* Makes (as above) each pair that has no public key yet. */
enum rc e3_change_make_pairs(struct e3_change *, struct scheme_crypto *);

#endif
