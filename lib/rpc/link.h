/*
 * rpc/link.h - the calling end of one engine link: many calls in flight,
 * replies by id, any order.
 * Context:   the loop's thread.
 * Ownership: the creator owns the link; who waits for an answer holds an id.
 *
 * A call is *sent* when the kernel accepted every byte of its frame.  A link
 * with calls in flight and no progress for stall_ms is closed: progress is
 * what comes in, and what goes out of a queue; a new call is none.  A link
 * with a half-written frame is never reused (it is closed, never
 * resynchronised).
 *
 * The link's first call is a Challenge, which no owner sees.  If the engine
 * wants every call signed, the link does that, by its own key over that first
 * challenge; calls that change keys are signed by their caller over a fresh
 * one, as always.
 */
#ifndef RELAY_RPC_LINK_H
#define RELAY_RPC_LINK_H

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/net/addr.h"
#include "lib/net/tls.h"
#include "lib/rpc/frame.h"

struct rpc_link;

struct rpc_link_config {
	struct net_addr	addr;
	SSL_CTX		*ctx;			/* net_tls_link_ctx; borrowed */
	int		send_buffer_bytes;	/* 0: the system's */
	unsigned	stall_ms;		/* default RPC_LINK_STALL_MS */
	unsigned	connect_ms;		/* TCP, TLS and Challenge; default
						   2000 */
	unsigned	max_calls;		/* default RPC_CALLS_MAX */
};
#define RPC_LINK_STALL_MS	10000
#define RPC_LINK_CONNECT_MS	2000

struct rpc_link_ops {
	/* Shaken hands, the peer's certificate is role engine, and it said
	 * whether it wants signatures. */
	void	(*on_up)(void *arg, const struct net_link_peer *);
	/* Gone.  Every call in flight has already had its callback with
	 * RC_UNAVAILABLE.  Close the link here or later. */
	void	(*on_down)(void *arg, const char *why);
};

struct rpc_link *rpc_link_open(struct loop *, const struct rpc_link_config *,
    const struct rpc_link_ops *, void *arg);
/* Calls in flight get RC_CANCELLED from here; on_down does not come. */
void rpc_link_close(struct rpc_link **);

/*
 * One frame of the answer to a call.
 * RC_OK: status and body (a view, valid during the call) came; more: another
 *        piece follows with the same id, else this was the last callback.
 * RC_TIMEOUT, RC_UNAVAILABLE (link lost), RC_CANCELLED (link closed by us),
 * RC_SYNTAX (a broken reply; the link goes down after): the last callback;
 *        status is RPC_STATUS_INTERNAL and body NULL.
 */
typedef void rpc_reply_cb(void *arg, enum rc, enum rpc_status,
    const struct rpc_value *body, bool more);

/*
 * Queue a call.  body: encoded MessagePack (empty: an empty map); moved, left
 * empty, on RC_OK.  *id is never 0 and is unique per link.  timeout_ms 0: no
 * deadline of its own.
 * RC_OK; RC_AGAIN (max_calls in flight), RC_LIMIT (frame too long),
 * RC_UNAVAILABLE (not up): not a byte was queued and body is as it was, for
 * another link.  RC_NOMEM: as these, or the link goes down from the loop and
 * body may be empty.  cb never runs before this returns.
 */
enum rc rpc_link_call(struct rpc_link *, enum rpc_op, struct buffer *body,
    unsigned timeout_ms, rpc_reply_cb *, void *arg, uint64_t *id) must_check;
/* As above with a signature over a fresh challenge and the call's id, which the
 * caller learns first by rpc_link_next_id: good until the next call or cancel
 * on the link. */
uint64_t rpc_link_next_id(struct rpc_link *);
enum rc rpc_link_call_signed(struct rpc_link *, enum rpc_op,
    struct buffer *body, struct span signature, unsigned timeout_ms,
    rpc_reply_cb *, void *arg, uint64_t *id) must_check;

/* Nobody waits any more: no callback comes; Cancel goes to the engine, which
 * may have the call.  A foreign or answered id is ignored. */
void rpc_link_cancel(struct rpc_link *, uint64_t id);

bool rpc_link_is_up(const struct rpc_link *);
/* Calls whose last piece has not come, cancelled and timed-out ones included:
 * they still occupy the engine, and count against max_calls. */
unsigned rpc_link_in_flight(const struct rpc_link *);
/* Every byte of this call's frame was taken by the kernel.  May be asked from
 * the call's own last callback (is another engine safe?); of an issued call
 * that is no longer known, true. */
bool rpc_link_call_sent(const struct rpc_link *, uint64_t id);

#endif
