/* e3/encrypt.c - what is no token of the app yet is sealed. */
#include "e3/encrypt.h"

#include "e3/batch.h"
#include "lib/base/clock.h"
#include "lib/rpc/policy.h"

struct encrypt {
	struct e3_batch		batch;		/* first */
	struct rpc_encrypt	msg;		/* views of the call's bytes */
	uint32_t		now_s;
};

/* A string may be a token, a file may be a sealed one; nothing else is asked. */
static bool
may_be_sealed(const struct rpc_field *f)
{
	switch (f->type) {
	case RPC_FIELD_STRING:
		return (!scheme_file_begins(f->bytes));
	case RPC_FIELD_FILE:
		return (scheme_file_begins(f->bytes));
	default:
		return (false);
	}
}

static enum rc
encrypt_one(struct sched_job *job, void *crypto, size_t i,
    struct buffer *out, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct encrypt *w = c->served.work;
	struct e3_batch *b = &w->batch;
	struct e3_opened opened;
	struct rpc_field f;
	enum rc rc;

	if ((rc = rpc_encrypt_field_at(&w->msg, i, &f)) != RC_OK)
		return (rc);
	if (f.role.len != 0 && (f.type == RPC_FIELD_FILE ||
	    !rpc_policy_role_valid(f.role)))
		return (RC_SYNTAX);
	if (w->msg.existing == RPC_EXISTING_VERIFY && may_be_sealed(&f)) {
		rc = e3_opening_open(&b->opening, c, crypto, f.bytes, &opened,
		    cost);
		buffer_clear(scheme_crypto_scratch(crypto));
		if (rc != RC_OK)
			return (rc);
		if (opened.status == RPC_OPEN_OK)
			return (rpc_sealed_put_head(out, RPC_PASSED, 0));
	}
	if (w->msg.scope == RPC_SCOPE_FIELD)
		b->sealing.keyed = false;
	c->n_sealed++;
	return (e3_sealing_put(&b->sealing, crypto, &f, w->now_s, out, cost));
}

/* app_system holds certificate keys: only the feed and admins seal to it,
 * and the feed seals to nothing else. */
static bool
may_seal(enum rpc_role role, struct span app)
{
	bool system_app = span_eq_str(app, E3_SYSTEM_APP);

	return (role == RPC_ROLE_ADMIN ||
	    system_app == (role == RPC_ROLE_FEED));
}

enum rpc_status
e3_encrypt(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_encrypt msg;
	struct encrypt *w;
	enum rpc_status status;
	size_t each = 1;
	enum rc rc;

	if ((rc = rpc_encrypt_read(c->served.frame.body, &msg)) != RC_OK)
		return (rpc_served_status(rc));
	if (!may_seal(c->served.peer->role, msg.app))
		return (RPC_STATUS_NOT_ALLOWED);
	if ((status = e3_dispatch_app(e, c, msg.app)) != RPC_STATUS_OK)
		return (status);
	w = e3_batch_new(c, sizeof(*w), encrypt_one, msg.n_fields);
	w->msg = msg;
	w->now_s = (uint32_t)(clock_wall_ms() / 1000);
	status = e3_sealing_init(&w->batch.sealing, e, c->app, msg.curve);
	if (status != RPC_STATUS_OK)
		return (status);
	if (msg.scope == RPC_SCOPE_FIELD)
		each = e3_sealing_key_cost(&w->batch.sealing);
	return (e3_dispatch_submit(e, c, rpc_batch_run, msg.n_fields,
	    msg.n_fields * each + buffer_len(&c->served.bytes) / 512));
}
