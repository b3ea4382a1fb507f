/* e3/dispatch.c - permission, and the small ops. */
#include "e3/dispatch.h"

#include "e3/app_ops.h"
#include "e3/ca_ops.h"
#include "e3/credential.h"
#include "e3/decrypt.h"
#include "e3/encrypt.h"
#include "e3/inspect.h"
#include "e3/leaf_cert.h"
#include "e3/load.h"
#include "e3/pair_ops.h"
#include "e3/rewrap.h"
#include "e3/role_ops.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/process.h"
#include "lib/base/secret.h"
#include "lib/rpc/message.h"

/* ---- helpers of handlers ---- */

enum rpc_status
e3_dispatch_app(struct e3_engine *e, struct e3_call *c, struct span id)
{
	struct e3_app *app = e3_keyring_app(e->keyring, id);

	if (app == NULL)
		return (RPC_STATUS_NO_SUCH_APP);
	c->app = e3_app_ref(app);
	return (RPC_STATUS_OK);
}

enum rpc_status
e3_dispatch_named_app(struct e3_engine *e, struct e3_call *c)
{
	struct span id;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("app", &id)))
		return (RPC_STATUS_BAD_REQUEST);
	return (e3_dispatch_app(e, c, id));
}

enum rpc_status
e3_dispatch_authenticate(struct e3_engine *e, struct span secret,
    const struct e3_api_key **key)
{
	uint8_t hash[SCHEME_SECRET_BYTES];

	if (secret.len == 0 || secret.len > RPC_API_KEY_BYTES_MAX)
		return (RPC_STATUS_UNAUTHORIZED);
	if (scheme_sha256(e->crypto, secret, hash) != RC_OK)
		return (RPC_STATUS_INTERNAL);
	*key = e3_keyring_key(e->keyring, hash);
	secret_wipe(hash, sizeof(hash));
	return (*key != NULL && e3_api_key_live(*key, clock_wall_ms()) ?
	    RPC_STATUS_OK : RPC_STATUS_UNAUTHORIZED);
}

enum rpc_status
e3_dispatch_submit(struct e3_engine *e, struct e3_call *c, sched_run_fn *run,
    size_t fields, size_t cost)
{
	const char *app = c->app != NULL ? c->app->id : "";
	enum rpc_status status;
	enum rc rc = RC_OK;

	if (c->app != NULL)
		rc = meter_admit(&e->meters, app, fields, clock_mono_ms());
	if (rc != RC_OK)
		return (rc == RC_AGAIN ? RPC_STATUS_RATE_LIMITED :
		    RPC_STATUS_OVERLOADED);
	status = rpc_served_submit(&c->served, app, run, cost);
	if (c->app != NULL && status != RPC_STATUS_OK)
		meter_done(&e->meters, app);
	c->metered = c->app != NULL && status == RPC_STATUS_OK;
	return (status);
}

/* ---- the small ops ---- */

static enum rpc_status
ping(struct e3_engine *e, struct e3_call *c)
{
	return (rpc_answer(&c->served, RPC_BOOL("ready", e->ready),
	    RPC_BOOL("draining", e->draining),
	    RPC_U64("keys_epoch", e3_keyring_epoch(e->keyring)),
	    RPC_U64("time_ms", clock_wall_ms())));
}

static enum rpc_status
get_statistics(struct e3_engine *e, struct e3_call *c)
{
	uint8_t sum[SCHEME_SECRET_BYTES];
	struct sched_counts n;
	struct process_use use;

	sched_count(e->sched, &n);
	process_use(&use);
	e3_keyring_checksum(e->keyring, sum);
	return (rpc_answer(&c->served, RPC_BOOL("ready", e->ready),
	    RPC_BOOL("draining", e->draining),
	    RPC_BOOL("resealing", e->next_root_key != NULL),
	    RPC_U64("keys_epoch", e3_keyring_epoch(e->keyring)),
	    RPC_U64("apps", e3_keyring_apps(e->keyring)),
	    RPC_U64("resealed", e3_keyring_under_next(e->keyring)),
	    RPC_U64("keys", e3_keyring_keys(e->keyring)),
	    RPC_U64("pairs", e3_keyring_pairs(e->keyring)),
	    RPC_U64("calls", e->calls),
	    RPC_U64("fields_sealed", e->fields_sealed),
	    RPC_U64("fields_opened", e->fields_opened),
	    RPC_U64("refused", e->refused),
	    RPC_U64("refused_role", e->refused_role),
	    RPC_U64("refused_early", e->refused_early),
	    RPC_U64("refused_signature", e->refused_signature),
	    RPC_U64("refused_limit", e->refused_limit),
	    RPC_U64("rate_limited", e->rate_limited),
	    RPC_U64("leaves", e->leaves),
	    RPC_U64("candidates", e->candidates),
	    RPC_U64("candidates_capped", e->candidates_capped),
	    RPC_U64("queue", n.depth),
	    RPC_U64("queue_cost", n.queued_cost),
	    RPC_U64("queue_full", n.refused),
	    RPC_U64("slices", n.slices),
	    RPC_U64("cancelled", n.cancelled),
	    RPC_U64("threads", e->threads),
	    RPC_U64("ready_pairs", scheme_ready_pairs_count(e->pairs)),
	    RPC_U64("cpu_ms", use.cpu_ms),
	    RPC_U64("memory_bytes", use.memory_bytes),
	    RPC_U64("links", rpc_server_links(e->server)),
	    RPC_U64("uptime_ms", clock_mono_ms() - e->t_start_ms),
	    RPC_BIN("checksum", sum, sizeof(sum))));
}

static struct rpc_member
public_key(const char *name, const struct e3_key_pair *p)
{
	if (p == NULL)
		return ((struct rpc_member)RPC_NIL(name));
	return ((struct rpc_member)RPC_BIN(name, p->pub.compressed,
	    SCHEME_POINT_BYTES));
}

static enum rpc_status
public_keys(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status;

	if ((status = e3_dispatch_named_app(e, c)) != RPC_STATUS_OK)
		return (status);
	return (rpc_answer(&c->served, RPC_STR("app", c->app->id),
	    public_key("r1", e3_app_sealing_pair(c->app, RPC_CURVE_R1)),
	    public_key("k1", e3_app_sealing_pair(c->app, RPC_CURVE_K1))));
}

static enum rpc_status
cancel(struct e3_engine *e, struct e3_call *c)
{
	uint64_t id;

	(void)e;
	if (!rpc_unpack(c->served.frame.body, RPC_WANT_U64("id", &id)))
		return (RPC_STATUS_BAD_REQUEST);
	rpc_peer_cancel(c->served.peer, id);
	return (rpc_served_answer(&c->served, NULL, 0));
}

static enum rpc_status
challenge(struct e3_engine *e, struct e3_call *c)
{
	struct span bytes = rpc_peer_challenge(c->served.peer);

	return (rpc_answer(&c->served, RPC_BIN("challenge", bytes.p, bytes.len),
	    RPC_BOOL("every_call", e->sign_all)));
}

/* ---- permission ---- */

static e3_handler *const handlers[RPC_OPS] = {
	[RPC_OP_PING] = ping,
	[RPC_OP_GET_STATISTICS] = get_statistics,
	[RPC_OP_ENCRYPT] = e3_encrypt,
	[RPC_OP_DECRYPT] = e3_decrypt,
	[RPC_OP_AUTHENTICATE] = e3_authenticate,
	[RPC_OP_PUBLIC_KEYS] = public_keys,
	[RPC_OP_CREATE_TOKEN] = e3_create_token,
	[RPC_OP_INSPECT] = e3_inspect,
	[RPC_OP_CANCEL] = cancel,
	[RPC_OP_LOAD_RECORDS] = e3_load_records,
	[RPC_OP_CHECKSUM] = e3_checksum,
	[RPC_OP_SET_READY] = e3_set_ready,
	[RPC_OP_SET_DRAINING] = e3_set_draining,
	[RPC_OP_RESEAL] = e3_reseal,
	[RPC_OP_UNLOCK] = e3_unlock,
	[RPC_OP_ATTEST] = e3_attest,
	[RPC_OP_LIST_APPS] = e3_list_apps,
	[RPC_OP_LIST_KEYS] = e3_list_keys,
	[RPC_OP_LIST_PAIRS] = e3_list_pairs,
	[RPC_OP_LIST_ROLES] = e3_list_roles,
	[RPC_OP_CHALLENGE] = challenge,
	[RPC_OP_CREATE_APP] = e3_create_app,
	[RPC_OP_CREATE_KEY] = e3_create_key,
	[RPC_OP_REVOKE_KEY] = e3_revoke_key,
	[RPC_OP_ROTATE_KEYS] = e3_rotate_keys,
	[RPC_OP_ACTIVATE_KEY] = e3_activate_key,
	[RPC_OP_RETIRE_KEY] = e3_retire_key,
	[RPC_OP_DESTROY_KEY] = e3_destroy_key,
	[RPC_OP_SET_ROLES] = e3_set_roles,
	[RPC_OP_REWRAP] = e3_rewrap,
	[RPC_OP_GET_CA] = e3_get_ca,
	[RPC_OP_ISSUE_LEAF] = e3_issue_leaf,
	[RPC_OP_CREATE_CA] = e3_create_ca,
	[RPC_OP_INSTALL_CA] = e3_install_ca,
};

/* What changes keys is signed over a challenge of its own.  Where all is
 * signed, the link's first challenge serves the rest; Cancel names a call of
 * the link, and Challenge is the way in. */
static bool
signature_holds(const struct e3_engine *e, struct rpc_served *c)
{
	if (c->info->signed_call)
		return (rpc_peer_signed(c->peer, c));
	if (!e->sign_all || c->info->op == RPC_OP_CHALLENGE ||
	    c->info->op == RPC_OP_CANCEL)
		return (true);
	return (rpc_peer_link_signed(c->peer, c));
}

static enum rpc_status
permit(struct e3_engine *e, struct rpc_served *c)
{
	if (c->info == NULL)
		return (RPC_STATUS_UNKNOWN_OP);
	if ((c->info->roles & c->peer->role) == 0) {
		e->refused_role++;
		return (RPC_STATUS_NOT_ALLOWED);
	}
	if (c->frame.signed_part.len > c->info->max_bytes) {
		e->refused_limit++;
		return (RPC_STATUS_LIMIT);
	}
	if (!e->ready && !c->info->before_ready) {
		e->refused_early++;
		return (RPC_STATUS_NOT_READY);
	}
	if (!signature_holds(e, c)) {
		e->refused_signature++;
		return (RPC_STATUS_NOT_ALLOWED);
	}
	if (c->info->once && (e->once & UINT64_C(1) << c->info->op) != 0)
		return (RPC_STATUS_CONFLICT);
	return (RPC_STATUS_OK);
}

/* Anyone with a certificate can make any number. */
static void
log_not_allowed(const struct rpc_served *c)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, 10, &suppressed))
		log_info("not-allowed op=%s role=%s name=%s suppressed=%u",
		    c->info != NULL ? c->info->name : "?",
		    rpc_role_name(c->peer->role), c->peer->name, suppressed);
}

void
e3_dispatch(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_op_info *info = c->served.info;
	enum rpc_status status;

	_Static_assert(RPC_OPS <= 64, "e3_engine.once has a bit for each op");
	e->calls++;
	if ((status = permit(e, &c->served)) == RPC_STATUS_OK)
		status = handlers[info->op](e, c);
	if (status == RPC_STATUS_OK) {
		e->once |= info->once ? UINT64_C(1) << info->op : 0;
		return;
	}
	e->refused++;
	if (status == RPC_STATUS_RATE_LIMITED)
		e->rate_limited++;
	if (status == RPC_STATUS_NOT_ALLOWED)
		log_not_allowed(&c->served);
	rpc_served_fail(&c->served, status);
}

void
e3_dispatch_done(struct e3_engine *e, struct e3_call *c)
{
	e->fields_sealed += c->n_sealed;
	e->fields_opened += c->n_opened;
	e->candidates += c->n_candidates;
	e->candidates_capped += c->n_capped;
	if (c->metered)
		meter_done(&e->meters, c->app->id);
	if (c->finish != NULL)
		c->finish(e, c);
}
