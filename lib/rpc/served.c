/* rpc/served.c - the life of one call, its reply frames, its peer's word. */
#include "lib/rpc/served.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"

enum rc
rpc_served_new(size_t size, rpc_served_free_cb *on_free, struct buffer *bytes,
    struct rpc_peer *peer, struct rpc_served **out)
{
	struct rpc_served *c = xcalloc(1, size);
	struct span payload;
	size_t used;
	enum rc rc;

	ensure(size >= sizeof(*c));
	c->magic = RPC_SERVED_MAGIC;
	c->peer = peer;
	c->on_free = on_free;
	sched_job_init(&c->job, NULL, 0);
	STAILQ_INIT(&c->to_send);
	buffer_init(&c->bytes, 0, true);
	buffer_move(&c->bytes, bytes);
	*out = c;
	rc = rpc_frame_next(buffer_data(&c->bytes), buffer_len(&c->bytes),
	    RPC_FRAME_BYTES_MAX, &payload, &used);
	ensure(rc == RC_OK);
	if ((rc = rpc_call_frame_read(&c->frame, payload)) == RC_OK)
		c->info = rpc_op_lookup(c->frame.op);
	return (rc);
}

void
rpc_served_free(struct rpc_served **cp)
{
	struct rpc_served *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, RPC_SERVED_MAGIC);
	c->on_free(c);
	if (c->work != NULL)
		c->work_free(c->work);
	rpc_call_frame_fini(&c->frame);
	buffer_fini(&c->bytes);
	sched_pieces_free(&c->job.made);
	sched_pieces_free(&c->to_send);
	c->magic = 0;
	free(c);
}

struct rpc_served *
rpc_served_of(struct sched_job *job)
{
	struct rpc_served *c = (struct rpc_served *)job;

	_Static_assert(offsetof(struct rpc_served, job) == 0,
	    "job comes first");
	obj_check(c, RPC_SERVED_MAGIC);
	return (c);
}

enum rpc_status
rpc_served_submit(struct rpc_served *c, const char *flow, sched_run_fn *run,
    size_t cost)
{
	sched_job_init(&c->job, run, cost);
	if (sched_submit(c->peer->sched, c->peer->outlet, flow, &c->job) !=
	    RC_OK)
		return (RPC_STATUS_OVERLOADED);
	c->submitted = true;
	return (RPC_STATUS_OK);
}

void *
rpc_served_work(struct rpc_served *c, size_t size, void (*work_free)(void *))
{
	ensure(c->work == NULL);
	c->work_free = work_free;
	return (c->work = xcalloc(1, size));
}

/* ---- reply frames ---- */

static enum rc
add(struct rpc_served *c, enum rpc_status status, struct span body, bool more)
{
	struct sched_piece *p = xcalloc(1, sizeof(*p));
	enum rc rc;

	buffer_init(&p->frame, 0, true);
	rc = rpc_reply_frame_write(&p->frame, c->frame.id, status, body, more);
	if (rc == RC_OK) {
		STAILQ_INSERT_TAIL(&c->job.made, p, next);
	} else {
		buffer_fini(&p->frame);
		free(p);
	}
	return (rc);
}

enum rc
rpc_served_emit(struct rpc_served *c, struct buffer *body, bool more)
{
	enum rc rc;

	rc = add(c, RPC_STATUS_OK, (struct span){ buffer_data(body),
	    buffer_len(body) }, more);
	buffer_clear(body);
	return (rc);
}

enum rpc_status
rpc_served_answer(struct rpc_served *c, const struct rpc_member *m, size_t n)
{
	struct buffer b;
	enum rc rc;

	buffer_init(&b, 0, false);
	rpc_put_members(&b, m, n);
	rc = rpc_served_emit(c, &b, false);
	buffer_fini(&b);
	return (rpc_served_status(rc));
}

void
rpc_served_fail(struct rpc_served *c, enum rpc_status status)
{
	enum rc rc = add(c, status, (struct span){ NULL, 0 }, false);

	ensure(rc == RC_OK);	/* a few bytes: only without any memory */
}

enum rpc_status
rpc_served_status(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return (RPC_STATUS_OK);
	case RC_SYNTAX:
	case RC_UNSUPPORTED:
		return (RPC_STATUS_BAD_REQUEST);
	case RC_LIMIT:
		return (RPC_STATUS_LIMIT);
	case RC_NOMEM:
		return (RPC_STATUS_OVERLOADED);
	case RC_CONFLICT:
		return (RPC_STATUS_CONFLICT);
	case RC_CANCELLED:
		return (RPC_STATUS_CANCELLED);
	default:
		return (RPC_STATUS_INTERNAL);
	}
}

/* ---- the peer ---- */

void
rpc_peer_cancel(struct rpc_peer *peer, uint64_t id)
{
	struct rpc_served *c;

	TAILQ_FOREACH(c, &peer->calls, entry)
		if (c->frame.id == id && c->submitted && !c->done)
			sched_cancel(peer->sched, &c->job);
}

struct span
rpc_peer_challenge(struct rpc_peer *peer)
{
	random_bytes(peer->challenge, sizeof(peer->challenge));
	peer->challenge_end_ms = clock_mono_ms() + RPC_CHALLENGE_MS;
	if (!peer->has_first)
		memcpy(peer->first, peer->challenge, sizeof(peer->first));
	peer->has_first = true;
	return ((struct span){ (const char *)peer->challenge,
	    sizeof(peer->challenge) });
}

static bool
verify(const struct rpc_peer *peer, const uint8_t challenge[RPC_CHALLENGE_BYTES],
    const struct rpc_served *c)
{
	X509 *cert = SSL_get0_peer_certificate(peer->ssl);

	return (cert != NULL && rpc_verify(X509_get0_pubkey(cert),
	    (struct span){ (const char *)challenge, RPC_CHALLENGE_BYTES },
	    c->frame.signed_part, c->frame.signature) == RC_OK);
}

bool
rpc_peer_signed(struct rpc_peer *peer, const struct rpc_served *c)
{
	uint64_t end_ms = peer->challenge_end_ms;
	bool ok;

	peer->challenge_end_ms = 0;
	ok = end_ms != 0 && clock_mono_ms() <= end_ms &&
	    verify(peer, peer->challenge, c);
	secret_wipe(peer->challenge, sizeof(peer->challenge));
	return (ok);
}

bool
rpc_peer_link_signed(struct rpc_peer *peer, const struct rpc_served *c)
{
	if (!peer->has_first || c->frame.id <= peer->last_id ||
	    !verify(peer, peer->first, c))
		return (false);
	peer->last_id = c->frame.id;
	return (true);
}
