/*
 * ctl/rewrap_call.h - many tokens to the engine, their successors back: as many
 * Rewrap calls as that takes.
 * Context:   blocks.
 * Ownership: the creator owns the object; it borrows the engine client.
 */
#ifndef RELAY_CTL_REWRAP_CALL_H
#define RELAY_CTL_REWRAP_CALL_H

#include "ctl/engine_client.h"
#include "lib/rpc/message.h"

struct rewrap_call;

/* curve: "r1" or "k1"; app, curve: borrowed. */
struct rewrap_call *rewrap_call_new(struct engine_client *, const char *app,
    const char *curve);
void rewrap_call_free(struct rewrap_call **);

/* A call without tokens: does the engine know this app, and seal for it?
 * CTL_DONE, or told. */
enum ctl_exit rewrap_call_check(struct rewrap_call *) must_check;

/*
 * tokens[0..n) in one buffer: token i ends at ends[i] and begins where the one
 * before it ends.  CTL_DONE: n results; else told.
 */
enum ctl_exit rewrap_call_run(struct rewrap_call *, struct span tokens,
    const size_t *ends, size_t n) must_check;

/* Of the last run; *token is a view, empty unless RPC_OPEN_OK. */
enum rpc_open_status rewrap_call_result(const struct rewrap_call *, size_t i,
    struct span *token);

#endif
