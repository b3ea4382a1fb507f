/*
 * e3/decrypt.h - the op Decrypt: tokens to values, in order; and the opening
 * of one token, which Encrypt needs to know its own again.
 * Context:   the handler on the network thread, the work on crypto threads.
 */
#ifndef RELAY_E3_DECRYPT_H
#define RELAY_E3_DECRYPT_H

#include "e3/dispatch.h"
#include "e3/token.h"

e3_handler e3_decrypt;

/*
 * Keys derived during one call, by ephemeral key and pair: clients reuse an
 * ephemeral key for many values, and the agreement is what costs.  The keys
 * lie in the secure heap and end with the call.
 */
struct e3_key_cache;
/* NULL when too much of the secure heap is in such use already. */
struct e3_key_cache *e3_key_cache_new(void);
void e3_key_cache_free(struct e3_key_cache **);

/*
 * Open a parsed token with every pair of its curve that the app has, in both
 * key forms where SDKs mixed them up.
 * RC_OK      *value is a view into plain, which the caller clears
 * RC_SYNTAX  its data is not base64
 * RC_DENIED  no key of this app opens it (or its metadata is broken)
 * RC_NOTFOUND  it opens, but was not sealed with this data role (empty: any)
 * RC_NOMEM   the value is too large for the memory we have
 * cost grows by what was done.
 */
enum rc e3_token_open(struct e3_crypto *, struct e3_key_cache *,
    const struct e3_app *, const struct e3_token *, struct span role,
    struct buffer *plain, struct span *value, size_t *cost) must_check;

#endif
