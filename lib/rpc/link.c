/*
 * rpc/link.c - calls out, replies in, over one TLS stream.
 *
 *   CONNECTING -> ASKING -> UP -> DOWN -> CLOSED    (any state may skip ahead)
 *
 * Calls in flight are in a table (call.c) until their last piece came.  A
 * reply whose id is not there is a lie, and ends the link: after one wrong
 * frame no other frame can be believed.
 *
 * Frames go to the stream in whole and in order, hence the offset of a frame's
 * last byte, compared with what the kernel took, tells whether it is *sent*.
 *
 * Callbacks may close the link.  While one runs, close only marks: stream and
 * memory go when the outermost frame of ours unwinds (link_enter, link_leave).
 */
#include "lib/rpc/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/net/stream.h"
#include "lib/rpc/call_private.h"
#include "lib/rpc/sign.h"

#define INPUT_HIGH_BYTES	(64u << 10)
#define WHY_BYTES		192
#define SIGNED_HEAD_BYTES	64	/* id and op name, encoded */

enum link_state {
	LINK_CONNECTING,	/* TCP or Unix connect, TLS, peer's role */
	LINK_ASKING,		/* Challenge is out: are calls to be signed? */
	LINK_UP,
	LINK_DOWN,		/* lost; the owner was told or is being told */
	LINK_CLOSED		/* the owner let go: freed when we unwind */
};

struct rpc_link {
	unsigned		magic;
#define RPC_LINK_MAGIC		0x4c91be27
	enum link_state		state;
	unsigned		depth;		/* callbacks on the stack */
	bool			doomed;		/* half a frame is queued: goes
						   down from the loop */
	bool			sign;		/* every call but Challenge and
						   Cancel */
	char			challenge[RPC_CHALLENGE_BYTES]; /* with sign */
	struct net_link_peer	peer;
	struct rpc_link_config	cfg;
	const struct rpc_link_ops *ops;		/* borrowed: static */
	void			*arg;		/* borrowed: the owner */
	struct net_stream	*stream;	/* owned */
	uint64_t		next_id;
	uint64_t		queued;		/* bytes given to the stream */
	struct rpc_calls	calls;		/* in flight */
	struct timer		connect_timer;
	struct timer		watch_timer;
	uint64_t		received;	/* when we last looked, */
	uint64_t		sent;		/* likewise, */
	bool			unsent;		/* and whether bytes waited */
	uint64_t		looked_ms;
	uint64_t		moved_ms;	/* when progress was last seen */
	size_t			input_high;
	struct buffer		scratch;	/* heads and signatures: no value */
};

/* ---- life ---- */

static void
link_free(struct rpc_link *l)
{
	rpc_calls_fini(&l->calls);
	timer_fini(&l->connect_timer);
	timer_fini(&l->watch_timer);
	buffer_fini(&l->scratch);
	l->magic = 0;
	free(l);
}

static void
link_enter(struct rpc_link *l)
{
	l->depth++;
}

static void
link_leave(struct rpc_link *l)
{
	ensure(l->depth > 0);
	if (--l->depth != 0)
		return;
	if (l->state != LINK_DOWN && l->state != LINK_CLOSED)
		return;
	if (l->stream != NULL)
		net_stream_close(&l->stream);
	if (l->state == LINK_CLOSED)
		link_free(l);
}

/* ---- going down ---- */

/* Only between enter and leave: the stream is closed when we unwind. */
static void
link_down(struct rpc_link *l, const char *why)
{
	char text[WHY_BYTES];

	ensure(l->depth > 0);
	if (l->state == LINK_DOWN || l->state == LINK_CLOSED)
		return;
	/* `why` may live in the stream that goes away. */
	(void)snprintf(text, sizeof(text), "%s", why);
	l->state = LINK_DOWN;
	timer_stop(&l->connect_timer);
	timer_stop(&l->watch_timer);
	rpc_calls_fail_all(&l->calls, RC_UNAVAILABLE);
	if (l->state == LINK_DOWN)
		l->ops->on_down(l->arg, text);
}

static void
on_connect_timeout(void *arg)
{
	struct rpc_link *l = arg;

	obj_check(l, RPC_LINK_MAGIC);
	link_enter(l);
	link_down(l, "no link in time");
	link_leave(l);
}

/* ---- progress ---- */

/*
 * Since the last look.  What we send counts only while it has to wait: of a
 * peer that hangs the kernel takes small calls for ever, and each new one
 * would pass for progress.
 */
static bool
look_moved(struct rpc_link *l)
{
	uint64_t received = net_stream_received_total(l->stream);
	uint64_t sent = net_stream_sent_total(l->stream);
	bool moved = received != l->received || (l->unsent && sent != l->sent);

	l->received = received;
	l->sent = sent;
	l->unsent = sent < l->queued;
	l->looked_ms = clock_mono_ms();
	return (moved);
}

/* Four looks in stall_ms: a stall is seen at most two of them late (the first
 * finds that the call went out), and no call pays for a timer of its own. */
static void
watch_again(struct rpc_link *l)
{
	unsigned tick = l->cfg.stall_ms / 4;

	timer_start_ms(&l->watch_timer, tick != 0 ? tick : 1);
}

/* A call joins: waiting counts from now, not from the last busy time. */
static void
watch_begin(struct rpc_link *l)
{
	(void)look_moved(l);
	l->moved_ms = l->looked_ms;
	if (!timer_running(&l->watch_timer))
		watch_again(l);
}

static void
watch_look(struct rpc_link *l)
{
	uint64_t before_ms = l->looked_ms;

	if (l->doomed) {
		link_down(l, "no memory to queue a call");
		return;
	}
	if (rpc_calls_empty(&l->calls))
		return;
	/* We stood still ourselves (a stopped machine, maybe the peer's too):
	 * it gets its time anew. */
	if (look_moved(l) || l->looked_ms - before_ms >= l->cfg.stall_ms) {
		l->moved_ms = l->looked_ms;
	} else if (l->looked_ms - l->moved_ms >= l->cfg.stall_ms) {
		link_down(l, "calls in flight and no progress");
		return;
	}
	watch_again(l);
}

static void
on_watch(void *arg)
{
	struct rpc_link *l = arg;

	obj_check(l, RPC_LINK_MAGIC);
	link_enter(l);
	watch_look(l);
	link_leave(l);
}

/* ---- calls ---- */

static enum rc
stream_error(enum rc rc)
{
	/* Output broke: on_error follows from the loop. */
	return (rc == RC_OK || rc == RC_NOMEM ? rc : RC_UNAVAILABLE);
}

static const char empty_map[] = { (char)0x80 };

/* By our link key, over the link's first challenge.  The body holds values: so
 * does what is signed. */
static enum rc
frame_sign(struct rpc_link *l, enum rpc_op op, const struct buffer *body,
    struct buffer *signature)
{
	struct buffer part;
	enum rc rc;

	buffer_init(&part, 0, true);
	rc = buffer_reserve(&part, buffer_len(body) + SIGNED_HEAD_BYTES, NULL);
	if (rc != RC_OK)
		goto out;
	rpc_signed_part(&part, l->next_id, op,
	    (struct span){ buffer_data(body), buffer_len(body) });
	rc = rpc_sign(SSL_CTX_get0_privatekey(l->cfg.ctx),
	    (struct span){ l->challenge, sizeof(l->challenge) },
	    (struct span){ buffer_data(&part), buffer_len(&part) }, signature);
out:
	buffer_fini(&part);
	return (rc);
}

/*
 * Give head, body and signature to the stream.  After the head has been taken
 * a failure leaves half a frame in its queue: such a link is never used again.
 * It goes down from the loop, since our caller may not be called back now.
 */
static enum rc
frame_queue(struct rpc_link *l, enum rpc_op op, struct buffer *body,
    struct span signature)
{
	size_t body_len = buffer_len(body), bytes;
	enum rc rc;

	buffer_clear(&l->scratch);
	rc = rpc_call_frame_put_head(&l->scratch, l->next_id, op,
	    body_len != 0 ? body_len : sizeof(empty_map), signature.len);
	if (rc != RC_OK)
		return (rc);
	bytes = buffer_len(&l->scratch);
	rc = net_stream_write(l->stream, buffer_data(&l->scratch), bytes);
	if (rc != RC_OK)
		return (stream_error(rc));
	if (body_len != 0) {
		rc = net_stream_write_buffer(l->stream, body);
		bytes += body_len;
	} else {
		rc = net_stream_write(l->stream, empty_map, sizeof(empty_map));
		bytes += sizeof(empty_map);
	}
	if (rc == RC_OK && signature.len != 0) {
		buffer_clear(&l->scratch);
		rpc_put_bin(&l->scratch, signature);
		bytes += buffer_len(&l->scratch);
		rc = net_stream_write(l->stream, buffer_data(&l->scratch),
		    buffer_len(&l->scratch));
	}
	if (rc != RC_OK) {
		l->doomed = true;
		timer_start_ms(&l->watch_timer, 0);
		return (stream_error(rc));
	}
	l->queued += bytes;
	return (RC_OK);
}

enum rc
rpc_link_call_signed(struct rpc_link *l, enum rpc_op op, struct buffer *body,
    struct span signature, unsigned timeout_ms, rpc_reply_cb *cb, void *arg,
    uint64_t *id)
{
	struct rpc_call *c;
	enum rc rc;

	obj_check(l, RPC_LINK_MAGIC);
	ensure(cb != NULL);
	*id = 0;
	if (!rpc_link_is_up(l))
		return (RC_UNAVAILABLE);
	if (l->calls.n >= l->cfg.max_calls)
		return (RC_AGAIN);
	if ((rc = frame_queue(l, op, body, signature)) != RC_OK)
		return (rc);
	if (rpc_calls_empty(&l->calls))
		watch_begin(l);
	c = rpc_calls_add(&l->calls, l->next_id++, l->queued, cb, arg, false);
	if (timeout_ms != 0)
		timer_start_ms(&c->deadline, timeout_ms);
	*id = c->id;
	return (RC_OK);
}

enum rc
rpc_link_call(struct rpc_link *l, enum rpc_op op, struct buffer *body,
    unsigned timeout_ms, rpc_reply_cb *cb, void *arg, uint64_t *id)
{
	struct buffer signature;
	enum rc rc = RC_OK;

	*id = 0;
	buffer_init(&signature, 0, false);
	if (l->sign && op != RPC_OP_CHALLENGE && rpc_link_is_up(l))
		rc = frame_sign(l, op, body, &signature);
	if (rc == RC_OK)
		rc = rpc_link_call_signed(l, op, body, (struct span){
		    buffer_data(&signature), buffer_len(&signature) },
		    timeout_ms, cb, arg, id);
	buffer_fini(&signature);
	return (rc);
}

uint64_t
rpc_link_next_id(struct rpc_link *l)
{
	obj_check(l, RPC_LINK_MAGIC);
	return (l->next_id);
}

/* Its frame was queued, so the engine may know the call.  Cancels come on
 * top of max_calls: one at most for each call. */
static void
cancel_send(struct rpc_link *l, uint64_t id)
{
	struct buffer body;

	if (!rpc_link_is_up(l))
		return;
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "id");
	rpc_put_u64(&body, id);
	if (frame_queue(l, RPC_OP_CANCEL, &body,
	    (struct span){ NULL, 0 }) == RC_OK)
		(void)rpc_calls_add(&l->calls, l->next_id++, l->queued, NULL,
		    NULL, true);
	buffer_fini(&body);
}

void
rpc_link_cancel(struct rpc_link *l, uint64_t id)
{
	struct rpc_call *c;

	obj_check(l, RPC_LINK_MAGIC);
	c = rpc_calls_find(&l->calls, id);
	if (c == NULL || c->cb == NULL)
		return;
	rpc_call_forget(c);
	cancel_send(l, id);
}

static void
on_deadline(void *arg)
{
	struct rpc_call *c = arg;
	struct rpc_link *l = c->link;

	obj_check(l, RPC_LINK_MAGIC);
	link_enter(l);
	cancel_send(l, c->id);
	rpc_call_fail(c, RC_TIMEOUT);
	link_leave(l);
}

/* ---- replies ---- */

/* Nothing that comes after this can be believed. */
static void
reply_broken(struct rpc_link *l, enum rc rc, uint64_t id)
{
	struct rpc_call *c = id != 0 ? rpc_calls_find(&l->calls, id) : NULL;

	if (rc == RC_NOMEM) {
		link_down(l, "no memory for a reply");
		return;
	}
	if (c != NULL)
		rpc_call_fail(c, RC_SYNTAX);
	link_down(l, "the engine sent a broken reply");
}

static void
reply_take(struct rpc_link *l, struct span payload)
{
	struct rpc_reply_frame f;
	rpc_reply_cb *cb;
	struct rpc_call *c;
	void *arg;
	enum rc rc;

	if ((rc = rpc_reply_frame_read(&f, payload)) != RC_OK) {
		reply_broken(l, rc, f.id);
		return;
	}
	if ((c = rpc_calls_find(&l->calls, f.id)) == NULL) {
		link_down(l, f.id >= l->next_id ?
		    "the engine answered a call that was never made" :
		    "the engine answered a call twice");
		goto out;
	}
	cb = c->cb;
	arg = c->arg;
	if (!f.more)
		rpc_calls_remove(&l->calls, c);
	if (cb != NULL)
		cb(arg, RC_OK, f.status, f.body, f.more);
out:
	rpc_reply_frame_fini(&f);
}

/* The stream must take in a whole frame before we can read it. */
static void
input_room(struct rpc_link *l, size_t frame)
{
	size_t high = frame > INPUT_HIGH_BYTES ? frame : INPUT_HIGH_BYTES;

	if (high == l->input_high)
		return;
	l->input_high = high;
	net_stream_set_input_high(l->stream, high);
}

static void
on_input(void *arg)
{
	struct rpc_link *l = arg;
	struct buffer *in;
	struct span payload;
	size_t used;
	enum rc rc;

	obj_check(l, RPC_LINK_MAGIC);
	link_enter(l);
	while (l->state == LINK_ASKING || l->state == LINK_UP) {
		in = net_stream_input(l->stream);
		rc = rpc_frame_next(buffer_data(in), buffer_len(in),
		    RPC_FRAME_BYTES_MAX, &payload, &used);
		if (rc == RC_MORE) {
			input_room(l, used);
			break;
		}
		if (rc != RC_OK) {
			link_down(l, "the engine sent a frame over the limit");
			break;
		}
		reply_take(l, payload);
		if (l->state == LINK_ASKING || l->state == LINK_UP)
			buffer_consume(in, used);
	}
	link_leave(l);
}

/* ---- are calls to be signed? ---- */

/* RC_DENIED: ours is no key that can sign. */
static enum rc
challenge_take(struct rpc_link *l, const struct rpc_value *body)
{
	struct buffer trial;
	struct span c;
	enum rc rc;

	(void)rpc_get_bool(rpc_map_get(body, "every_call"), &l->sign);
	if (!rpc_get_bytes(rpc_map_get(body, "challenge"), &c) ||
	    c.len != sizeof(l->challenge))
		return (RC_SYNTAX);
	if (!l->sign)
		return (RC_OK);
	memcpy(l->challenge, c.p, sizeof(l->challenge));
	buffer_init(&trial, 0, false);
	rc = rpc_sign(SSL_CTX_get0_privatekey(l->cfg.ctx), c, SPAN_LIT(""),
	    &trial);
	buffer_fini(&trial);
	return (rc);
}

/* An engine that does not know Challenge from this role wants no signatures
 * from it. */
static void
on_challenge(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct rpc_link *l = arg;

	if (rc != RC_OK || l->state != LINK_ASKING)
		return;			/* going down, or closed */
	if (status == RPC_STATUS_OK)
		rc = more ? RC_SYNTAX : challenge_take(l, body);
	else if (status != RPC_STATUS_NOT_ALLOWED &&
	    status != RPC_STATUS_UNKNOWN_OP)
		rc = RC_SYNTAX;
	if (rc != RC_OK) {
		link_down(l, rc == RC_DENIED ?
		    "the engine wants signatures, and our key cannot sign" :
		    "the engine's challenge cannot be used");
		return;
	}
	timer_stop(&l->connect_timer);
	l->state = LINK_UP;
	l->ops->on_up(l->arg, &l->peer);
}

/* The connect timer goes on: no answer in time is no link in time. */
static void
challenge_ask(struct rpc_link *l)
{
	struct buffer body;

	l->state = LINK_ASKING;
	buffer_init(&body, 0, false);
	if (frame_queue(l, RPC_OP_CHALLENGE, &body,
	    (struct span){ NULL, 0 }) == RC_OK)
		(void)rpc_calls_add(&l->calls, l->next_id++, l->queued,
		    on_challenge, l, false);
	buffer_fini(&body);
}

/* ---- the stream's other events ---- */

static void
on_ready(void *arg)
{
	struct rpc_link *l = arg;
	char why[WHY_BYTES];

	obj_check(l, RPC_LINK_MAGIC);
	if (l->state != LINK_CONNECTING)
		return;
	link_enter(l);
	if (net_tls_link_peer(net_stream_ssl(l->stream), &l->peer) != RC_OK) {
		link_down(l, "the peer has no link certificate");
	} else if (strcmp(l->peer.role, rpc_role_name(RPC_ROLE_ENGINE)) != 0) {
		(void)snprintf(why, sizeof(why), "%s %s is not an engine",
		    l->peer.role, l->peer.name);
		link_down(l, why);
	} else {
		challenge_ask(l);
	}
	link_leave(l);
}

static void
on_drained(void *arg)
{
	(void)arg;	/* who asks uses rpc_link_call_sent */
}

static void
on_eof(void *arg)
{
	struct rpc_link *l = arg;

	obj_check(l, RPC_LINK_MAGIC);
	link_enter(l);
	link_down(l, "the engine closed the link");
	link_leave(l);
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	struct rpc_link *l = arg;
	char text[WHY_BYTES];

	obj_check(l, RPC_LINK_MAGIC);
	(void)snprintf(text, sizeof(text), "%s: %s", net_reason_name(reason),
	    why);
	link_enter(l);
	link_down(l, text);
	link_leave(l);
}

static const struct net_stream_ops stream_ops = {
	.on_ready = on_ready,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_error = on_error,
};

/* ---- open, close, ask ---- */

struct rpc_link *
rpc_link_open(struct loop *loop, const struct rpc_link_config *cfg,
    const struct rpc_link_ops *ops, void *arg)
{
	struct rpc_link *l = xcalloc(1, sizeof(*l));
	struct net_stream_connect how = {
		.addr = &l->cfg.addr,
		.ctx = cfg->ctx,
		.send_buffer_bytes = cfg->send_buffer_bytes,
	};

	ensure(cfg->ctx != NULL);	/* there is no link without TLS */
	l->magic = RPC_LINK_MAGIC;
	l->state = LINK_CONNECTING;
	l->cfg = *cfg;
	if (l->cfg.stall_ms == 0)
		l->cfg.stall_ms = RPC_LINK_STALL_MS;
	if (l->cfg.connect_ms == 0)
		l->cfg.connect_ms = RPC_LINK_CONNECT_MS;
	if (l->cfg.max_calls == 0)
		l->cfg.max_calls = RPC_CALLS_MAX;
	l->ops = ops;
	l->arg = arg;
	l->next_id = 1;
	l->input_high = INPUT_HIGH_BYTES;
	rpc_calls_init(&l->calls, l, loop, on_deadline);
	buffer_init(&l->scratch, 0, false);
	timer_init(&l->connect_timer, loop, on_connect_timeout, l);
	timer_init(&l->watch_timer, loop, on_watch, l);
	timer_start_ms(&l->connect_timer, l->cfg.connect_ms);
	l->stream = net_stream_connect(loop, &how, &stream_ops, l);
	net_stream_set_input_high(l->stream, l->input_high);
	return (l);
}

void
rpc_link_close(struct rpc_link **lp)
{
	struct rpc_link *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	obj_check(l, RPC_LINK_MAGIC);
	if (l->state == LINK_CLOSED)
		return;
	l->state = LINK_CLOSED;		/* first: what follows may call back */
	timer_stop(&l->connect_timer);
	timer_stop(&l->watch_timer);
	link_enter(l);
	rpc_calls_fail_all(&l->calls, RC_CANCELLED);
	link_leave(l);
}

bool
rpc_link_is_up(const struct rpc_link *l)
{
	return (l->state == LINK_UP && !l->doomed);
}

unsigned
rpc_link_in_flight(const struct rpc_link *l)
{
	return (l->calls.n);
}

bool
rpc_link_call_sent(const struct rpc_link *l, uint64_t id)
{
	const struct rpc_call *c = rpc_calls_find(&l->calls, id);

	if (c == NULL || l->stream == NULL)
		return (id != 0 && id < l->next_id);
	return (net_stream_sent_total(l->stream) >= c->end);
}
