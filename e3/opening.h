/*
 * e3/opening.h - one app's tokens and sealed files to values: for Decrypt, for
 * Rewrap, for Inspect, and for Encrypt, which knows its own again.
 * Context:   the call's crypto thread.
 * Ownership: embedded in the op's state, zeroed at first.
 *
 * It remembers the keys derived during the call, by ephemeral key and pair:
 * clients reuse an ephemeral key for many values, and the agreement is what
 * costs.  The keys lie in the secure heap and end with the call.
 */
#ifndef RELAY_E3_OPENING_H
#define RELAY_E3_OPENING_H

#include "e3/engine.h"
#include "lib/scheme/file.h"
#include "lib/scheme/token.h"

#define E3_OPENING_KEYS	16	/* an SDK changes its key every 15 s */

struct e3_opening {
	unsigned	size, n, last, next;	/* of keys */
	struct {
		const struct e3_key_pair *pair;	/* view into the call's app */
		uint8_t		ephemeral[SCHEME_POINT_BYTES];
	} tags[E3_OPENING_KEYS];
	uint8_t		*keys;		/* owned: secure heap; NULL: none yet */
};
void e3_opening_fini(struct e3_opening *);

struct e3_opened {
	enum rpc_open_status	status;	/* OK, NOT_A_TOKEN, DEBUG or
					   WRONG_APP_OR_CHANGED */
	enum rpc_field_type	type;
	/* if ok, views into the thread's scratch */
	struct span		value;
	struct scheme_metadata	metadata;
};

/*
 * Open one token, or one file (%EVENC), with the pairs of its curve that the
 * call's app has and that are not retired, in both key forms where SDKs mixed
 * them up.  RC_OK: *opened says what became of it; the caller clears the
 * thread's scratch, always.  RC_NOMEM: the value or one more key has no room.
 */
enum rc e3_opening_open(struct e3_opening *, struct e3_call *,
    struct scheme_crypto *, struct span text, struct e3_opened *opened,
    size_t *cost) must_check;

#endif
