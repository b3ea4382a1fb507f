/*
 * e3/sealing.h - values to tokens of one app on one curve: what Encrypt and
 * Rewrap have in common.
 * Context:   begun by a handler on the network thread, then the call's crypto
 *            thread.
 * Ownership: embedded in the op's state.
 */
#ifndef RELAY_E3_SEALING_H
#define RELAY_E3_SEALING_H

#include "e3/engine.h"
#include "lib/scheme/file.h"
#include "lib/scheme/ready_pairs.h"
#include "lib/scheme/token.h"

struct e3_sealing {
	const struct e3_key_pair *pair;	/* view into the call's app */
	struct scheme_p256_table	*table;	/* counted: the pair's, or NULL */
	struct scheme_ready_pairs	*ready;	/* borrowed: the engine's */
	struct scheme_token		token;	/* version, ephemeral key: shared */
	uint8_t			*key;	/* owned: secure heap; NULL: none yet */
	bool			keyed;	/* false: the next value gets a new one */
};

/* RPC_STATUS_OK, or NO_SUCH_KEY: the app has no sealing pair of this curve.
 * Zeroed memory, which fini takes too. */
enum rpc_status e3_sealing_init(struct e3_sealing *, struct e3_engine *,
    const struct e3_app *, enum rpc_curve);
void e3_sealing_fini(struct e3_sealing *);

/* Units that one ephemeral key costs. */
size_t e3_sealing_key_cost(const struct e3_sealing *);

/*
 * Append [0, token]: how a sealed value stands in both replies.  sealed_s goes
 * in the metadata, with a valid role or none; 0: not known.  A file has no
 * metadata: the caller has seen to it that there is no role.
 * RC_OK, RC_NOMEM, RC_LIMIT: longer than a frame.
 */
enum rc e3_sealing_put(struct e3_sealing *, struct scheme_crypto *,
    const struct rpc_field *, uint32_t sealed_s, struct buffer *out,
    size_t *cost) must_check;

#endif
