/*
 * rpc/sign.h - signatures of calls that change key state: ECDSA P-256,
 * SHA-256, DER, by the caller's link key over challenge || signed part.
 * Context:   pure; relayctl signs, e3d verifies.
 */
#ifndef RELAY_RPC_SIGN_H
#define RELAY_RPC_SIGN_H

#include <openssl/evp.h>

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

#define RPC_CHALLENGE_BYTES	32

/* Appends the signature.  RC_OK; RC_DENIED: no P-256 key, or a challenge of
 * another length; RC_NOMEM. */
enum rc rpc_sign(EVP_PKEY *, struct span challenge, struct span signed_part,
    struct buffer *signature) must_check;
/* RC_OK or RC_DENIED. */
enum rc rpc_verify(EVP_PKEY *, struct span challenge, struct span signed_part,
    struct span signature) must_check;

#endif
