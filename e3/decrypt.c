/* e3/decrypt.c - what opens, and may go where the call sends it. */
#include "e3/decrypt.h"

#include "e3/batch.h"
#include "lib/base/clock.h"
#include "lib/rpc/policy.h"

#define SCOPE_DECRYPT		"api:decrypt"
#define SCOPE_DECRYPT_OLD	"decrypt"	/* what it was called at first */

struct decrypt {
	struct e3_batch		batch;		/* first */
	struct rpc_decrypt	msg;		/* views of the call's bytes */
	struct rpc_policy_place		place;
	uint64_t		now_s;
	struct rpc_policy	policy;		/* of this role, at the place */
	char			role[RPC_POLICY_NAME_MAX + 1];	/* "": none yet */
};

/* The policy of the role that a token was sealed with; values of one call
 * mostly have the same. */
static enum rpc_open_status
judge(struct decrypt *w, const struct e3_app *app, struct span role,
    uint64_t age_s)
{
	if (role.len == 0)
		return (RPC_OPEN_OK);
	if (!span_eq_str(role, w->role)) {
		if (!span_copy(role, w->role, sizeof(w->role)))
			return (RPC_OPEN_OK);	/* no role's name */
		rpc_policy_select(app->roles.root, role, &w->place, &w->policy);
	}
	return (rpc_policy_judge(&w->policy, age_s));
}

/* May this value go where the call sends it?  wanted: the role that the
 * selection is for, or empty. */
static enum rpc_open_status
permitted(struct decrypt *w, const struct e3_app *app,
    const struct scheme_metadata *m, struct span wanted)
{
	uint64_t age_s = 0;

	if (wanted.len != 0 && !span_eq(m->role, wanted))
		return (RPC_OPEN_OTHER_ROLE);
	if (app->roles.root == NULL)
		return (RPC_OPEN_OK);
	if (m->sealed_s == 0)
		age_s = RPC_POLICY_AGE_UNKNOWN;
	else if (m->sealed_s < w->now_s)
		age_s = w->now_s - m->sealed_s;
	return (judge(w, app, m->role, age_s));
}

static enum rc
decrypt_one(struct sched_job *job, void *crypto, size_t i,
    struct buffer *out, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct decrypt *w = c->served.work;
	struct span text, role;
	struct e3_opened o;
	enum rc rc;

	if ((rc = rpc_decrypt_token_at(&w->msg, i, &text, &role)) != RC_OK)
		return (rc);
	rc = e3_opening_open(&w->batch.opening, c, crypto, text, &o, cost);
	if (rc == RC_OK && o.status == RPC_OPEN_OK)
		o.status = permitted(w, c->app, &o.metadata, role);
	if (o.status != RPC_OPEN_OK)
		o.value.len = 0;
	c->n_opened += o.status == RPC_OPEN_OK;
	if (rc == RC_OK && (rc = rpc_opened_put_head(out, o.status, o.type,
	    o.value.len)) == RC_OK)
		rc = buffer_append(out, o.value.p, o.value.len);
	buffer_clear(scheme_crypto_scratch(crypto));
	return (rc);
}

/* Whose tokens: an API key speaks for its own app and needs the scope; an
 * app by name is believed from workers, which answer for their relays. */
static enum rpc_status
whose(struct e3_engine *e, struct e3_call *c, const struct rpc_decrypt *msg)
{
	const struct e3_api_key *key;
	enum rpc_status status;

	if (msg->api_key.len == 0) {
		if (c->served.peer->role != RPC_ROLE_WORKER ||
		    span_eq_str(msg->app, E3_SYSTEM_APP))
			return (RPC_STATUS_NOT_ALLOWED);
		return (e3_dispatch_app(e, c, msg->app));
	}
	status = e3_dispatch_authenticate(e, msg->api_key, &key);
	if (status != RPC_STATUS_OK)
		return (status);
	if ((!e3_api_key_allows(key, SCOPE_DECRYPT) &&
	    !e3_api_key_allows(key, SCOPE_DECRYPT_OLD)) ||
	    span_eq_str(span_of(key->app->id), E3_SYSTEM_APP))
		return (RPC_STATUS_NOT_ALLOWED);
	c->app = e3_app_ref(key->app);
	return (RPC_STATUS_OK);
}

enum rpc_status
e3_decrypt(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_decrypt msg;
	struct decrypt *w;
	enum rpc_status status;
	enum rc rc;

	if ((rc = rpc_decrypt_read(c->served.frame.body, &msg)) != RC_OK)
		return (rpc_served_status(rc));
	if ((status = whose(e, c, &msg)) != RPC_STATUS_OK)
		return (status);
	w = e3_batch_new(c, sizeof(*w), decrypt_one, msg.n_tokens);
	w->msg = msg;
	rpc_policy_place_init(&w->place, &msg);
	w->now_s = clock_wall_ms() / 1000;
	return (e3_dispatch_submit(e, c, rpc_batch_run, msg.n_tokens,
	    E3_COST_ECDH + msg.n_tokens * 2 +
	    buffer_len(&c->served.bytes) / 512));
}
