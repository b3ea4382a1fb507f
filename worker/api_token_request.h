/*
 * worker/api_token_request.h - the body of POST /client-side-tokens.
 * Context:   pure; fuzzed.
 */
#ifndef RELAY_WORKER_API_TOKEN_REQUEST_H
#define RELAY_WORKER_API_TOKEN_REQUEST_H

#include "lib/rpc/credential.h"
#include "worker/error_answer.h"

#define API_TOKEN_LIFE_MS	300000u	/* when the caller names none */

struct api_token_request {
	uint8_t		payload_hash[RPC_PAYLOAD_HASH_BYTES];
	uint64_t	expires_ms;	/* since 1970, as now_ms */
	/* of a refusal */
	enum error_code	code;
	const char	*detail;	/* literal */
};

/*
 * {"action": "api:decrypt", "payload": any, "expiry": ms since 1970 | ms from
 * now, up to ten minutes | 0 | null | absent}.  Other members are ignored.
 * RC_OK, RC_SYNTAX.
 */
enum rc api_token_request_read(struct span body, uint64_t now_ms,
    struct api_token_request *out) must_check;

#endif
