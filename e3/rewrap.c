/*
 * e3/rewrap.c - each token is opened and its value sealed again.
 *
 * Nothing opened leaves the thread's scratch but sealed, so roles' policies,
 * which say where values may go, have no say here: role and time are kept, and
 * a time that is not known stays so, or an old value would become a new one.
 */
#include "e3/rewrap.h"

#include "e3/batch.h"
#include "lib/rpc/policy.h"

struct rewrap {
	struct e3_batch		batch;		/* first */
	struct rpc_rewrap	msg;		/* views of the call's bytes */
};

static enum rc
rewrap_one(struct sched_job *job, void *crypto, size_t i,
    struct buffer *out, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct rewrap *w = c->served.work;
	struct e3_opened o;
	struct span text;
	enum rc rc;

	if ((rc = rpc_rewrap_token_at(&w->msg, i, &text)) != RC_OK)
		return (rc);
	rc = e3_opening_open(&w->batch.opening, c, crypto, text, &o, cost);
	/* Sealed without its role, it would be free of the role's policy; and
	 * the files that we write have none. */
	if (o.metadata.role.len != 0 && (o.type == RPC_FIELD_FILE ||
	    !rpc_policy_role_valid(o.metadata.role)))
		o.status = RPC_OPEN_WRONG_APP_OR_CHANGED;
	if (rc == RC_OK && o.status != RPC_OPEN_OK) {
		rc = rpc_rewrapped_put_head(out, o.status, 0);
	} else if (rc == RC_OK) {
		const struct rpc_field f = { o.type, o.value, o.metadata.role };

		c->n_opened++;
		c->n_sealed++;
		rc = e3_sealing_put(&w->batch.sealing, crypto, &f,
		    o.metadata.sealed_s, out, cost);
	}
	buffer_clear(scheme_crypto_scratch(crypto));
	return (rc);
}

enum rpc_status
e3_rewrap(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_rewrap msg;
	struct rewrap *w;
	enum rpc_status status;
	enum rc rc;

	if ((rc = rpc_rewrap_read(c->served.frame.body, &msg)) != RC_OK)
		return (rpc_served_status(rc));
	/* Certificate keys: as for Decrypt, nobody has them opened by name. */
	if (span_eq_str(msg.app, E3_SYSTEM_APP))
		return (RPC_STATUS_NOT_ALLOWED);
	if ((status = e3_dispatch_app(e, c, msg.app)) != RPC_STATUS_OK)
		return (status);
	w = e3_batch_new(c, sizeof(*w), rewrap_one, msg.n_tokens);
	w->msg = msg;
	status = e3_sealing_init(&w->batch.sealing, e, c->app, msg.curve);
	if (status != RPC_STATUS_OK)
		return (status);
	return (e3_dispatch_submit(e, c, rpc_batch_run, msg.n_tokens,
	    E3_COST_ECDH + e3_sealing_key_cost(&w->batch.sealing) +
	    msg.n_tokens * 3 + buffer_len(&c->served.bytes) / 512));
}
