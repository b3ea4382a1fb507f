/* e3/dispatch.c - permission, and the small ops. */
#include "e3/dispatch.h"

#include <string.h>

#include "e3/app_ops.h"
#include "e3/decrypt.h"
#include "e3/encrypt.h"
#include "e3/load.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
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
e3_dispatch_authenticate(struct e3_engine *e, struct span secret,
    struct e3_app **app, const struct e3_api_key **key)
{
	uint8_t hash[E3_SECRET_BYTES];
	enum rc rc;

	if (secret.len == 0 || secret.len > RPC_API_KEY_BYTES_MAX)
		return (RPC_STATUS_UNAUTHORIZED);
	if (e3_sha256(e->crypto, secret, hash) != RC_OK)
		return (RPC_STATUS_INTERNAL);
	rc = e3_keyring_authenticate(e->keyring, hash, app, key);
	secret_wipe(hash, sizeof(hash));
	return (rc == RC_OK ? RPC_STATUS_OK : RPC_STATUS_UNAUTHORIZED);
}

enum rpc_status
e3_dispatch_submit(struct e3_engine *e, struct e3_call *c, e3_run_fn *run,
    size_t cost)
{
	e3_job_init(&c->job, run, cost);
	if (e3_sched_submit(e->sched, c->caller->source, &c->job) != RC_OK)
		return (RPC_STATUS_OVERLOADED);
	c->submitted = true;
	return (RPC_STATUS_OK);
}

static enum rpc_status
answer(struct e3_call *c, struct buffer *body)
{
	enum rc rc = e3_call_emit(c, body, false);

	buffer_fini(body);
	return (e3_call_status(rc));
}

/* ---- the small ops ---- */

static enum rpc_status
ping(struct e3_engine *e, struct e3_call *c)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, 3);
	rpc_put_str(&b, "ready");
	rpc_put_bool(&b, e->ready);
	rpc_put_str(&b, "keys_epoch");
	rpc_put_u64(&b, e3_keyring_epoch(e->keyring));
	rpc_put_str(&b, "time_ms");
	rpc_put_u64(&b, clock_wall_ms());
	return (answer(c, &b));
}

static enum rpc_status
get_statistics(struct e3_engine *e, struct e3_call *c)
{
	const struct {
		const char	*name;
		uint64_t	value;
	} numbers[] = {
		{ "keys_epoch", e3_keyring_epoch(e->keyring) },
		{ "apps", e3_keyring_apps(e->keyring) },
		{ "keys", e3_keyring_keys(e->keyring) },
		{ "calls", e->calls },
		{ "fields_sealed", e->fields_sealed },
		{ "fields_opened", e->fields_opened },
		{ "refused", e->refused },
		{ "queue", e3_sched_depth(e->sched) },
		{ "links", e->links },
		{ "uptime_ms", clock_mono_ms() - e->t_start_ms },
	};
	const size_t n = sizeof(numbers) / sizeof(numbers[0]);
	uint8_t sum[E3_SECRET_BYTES];
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, n + 2);
	rpc_put_str(&b, "ready");
	rpc_put_bool(&b, e->ready);
	for (size_t i = 0; i < n; i++) {
		rpc_put_str(&b, numbers[i].name);
		rpc_put_u64(&b, numbers[i].value);
	}
	rpc_put_str(&b, "checksum");
	e3_keyring_checksum(e->keyring, sum);
	rpc_put_bin(&b, (struct span){ (const char *)sum, sizeof(sum) });
	return (answer(c, &b));
}

static enum rpc_status
authenticate(struct e3_engine *e, struct e3_call *c)
{
	const struct e3_api_key *key;
	struct e3_app *app;
	struct span secret;
	struct buffer b;
	enum rpc_status status;

	if (!rpc_get_bytes(rpc_map_get(c->frame.body, "apiKey"), &secret))
		return (RPC_STATUS_BAD_REQUEST);
	status = e3_dispatch_authenticate(e, secret, &app, &key);
	if (status != RPC_STATUS_OK)
		return (status);
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 5);
	rpc_put_str(&b, "app");
	rpc_put_str(&b, app->id);
	rpc_put_str(&b, "key");
	rpc_put_str(&b, key->id);
	rpc_put_str(&b, "scopes");
	rpc_put_array(&b, key->n_scopes);
	for (unsigned i = 0; i < key->n_scopes; i++)
		rpc_put_str(&b, key->scopes[i]);
	rpc_put_str(&b, "cache_s");
	rpc_put_u64(&b, e->auth_cache_s);
	rpc_put_str(&b, "keys_epoch");
	rpc_put_u64(&b, e3_keyring_epoch(e->keyring));
	return (answer(c, &b));
}

static void
put_public(struct buffer *b, const char *name, const struct e3_key_pair *p)
{
	rpc_put_str(b, name);
	if (p == NULL)
		rpc_put_nil(b);
	else
		rpc_put_bin(b, (struct span){ (const char *)p->pub.compressed,
		    E3_POINT_BYTES });
}

static enum rpc_status
public_keys(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status;
	struct span id;
	struct buffer b;

	if (!rpc_get_bytes(rpc_map_get(c->frame.body, "app"), &id))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_dispatch_app(e, c, id)) != RPC_STATUS_OK)
		return (status);
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 3);
	rpc_put_str(&b, "app");
	rpc_put_str(&b, c->app->id);
	put_public(&b, "r1", e3_app_sealing_pair(c->app, RPC_CURVE_R1));
	put_public(&b, "k1", e3_app_sealing_pair(c->app, RPC_CURVE_K1));
	return (answer(c, &b));
}

/* An id that is foreign or already answered is no error: the answer and the
 * Cancel may have crossed. */
static enum rpc_status
cancel(struct e3_engine *e, struct e3_call *c)
{
	struct e3_call *other;
	struct buffer b;
	uint64_t id;

	if (!rpc_get_u64(rpc_map_get(c->frame.body, "id"), &id))
		return (RPC_STATUS_BAD_REQUEST);
	TAILQ_FOREACH(other, &c->caller->calls, entry)
		if (other->frame.id == id && other->submitted &&
		    !other->done)
			e3_sched_cancel(e->sched, &other->job);
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 0);
	return (answer(c, &b));
}

static enum rpc_status
challenge(struct e3_engine *e, struct e3_call *c)
{
	struct e3_caller *from = c->caller;
	struct buffer b;

	(void)e;
	random_bytes(from->challenge, sizeof(from->challenge));
	from->challenge_end_ms = clock_mono_ms() + E3_CHALLENGE_MS;
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "challenge");
	rpc_put_bin(&b, (struct span){ (const char *)from->challenge,
	    sizeof(from->challenge) });
	return (answer(c, &b));
}

/* ---- permission ---- */

static e3_handler *const handlers[RPC_OPS] = {
	[RPC_OP_PING] = ping,
	[RPC_OP_GET_STATISTICS] = get_statistics,
	[RPC_OP_ENCRYPT] = e3_encrypt,
	[RPC_OP_DECRYPT] = e3_decrypt,
	[RPC_OP_AUTHENTICATE] = authenticate,
	[RPC_OP_PUBLIC_KEYS] = public_keys,
	[RPC_OP_CANCEL] = cancel,
	[RPC_OP_LOAD_RECORDS] = e3_load_records,
	[RPC_OP_CHECKSUM] = e3_checksum,
	[RPC_OP_SET_READY] = e3_set_ready,
	[RPC_OP_LIST_APPS] = e3_list_apps,
	[RPC_OP_LIST_KEYS] = e3_list_keys,
	[RPC_OP_CHALLENGE] = challenge,
	[RPC_OP_CREATE_APP] = e3_create_app,
	[RPC_OP_CREATE_KEY] = e3_create_key,
	[RPC_OP_REVOKE_KEY] = e3_revoke_key,
};

/* A challenge is spent by the attempt, not by its success. */
static bool
signature_holds(struct e3_call *c)
{
	struct e3_caller *from = c->caller;
	uint64_t end_ms = from->challenge_end_ms;
	X509 *cert = SSL_get0_peer_certificate(from->ssl);
	enum rc rc;

	from->challenge_end_ms = 0;
	if (end_ms == 0 || clock_mono_ms() > end_ms || cert == NULL)
		return (false);
	rc = rpc_verify(X509_get0_pubkey(cert), (struct span){
	    (const char *)from->challenge, sizeof(from->challenge) },
	    c->frame.signed_part, c->frame.signature);
	secret_wipe(from->challenge, sizeof(from->challenge));
	return (rc == RC_OK);
}

static enum rpc_status
permit(const struct e3_engine *e, struct e3_call *c)
{
	if (c->info == NULL)
		return (RPC_STATUS_UNKNOWN_OP);
	if ((c->info->roles & c->caller->role) == 0)
		return (RPC_STATUS_NOT_ALLOWED);
	if (!e->ready && !c->info->before_ready)
		return (RPC_STATUS_NOT_READY);
	if (c->info->signed_call && !signature_holds(c))
		return (RPC_STATUS_NOT_ALLOWED);
	return (RPC_STATUS_OK);
}

void
e3_dispatch(struct e3_engine *e, struct e3_call *c)
{
	static struct log_rate rate;
	enum rpc_status status;
	unsigned suppressed;

	e->calls++;
	if ((status = permit(e, c)) == RPC_STATUS_OK)
		status = handlers[c->info->op](e, c);
	if (status == RPC_STATUS_OK)
		return;
	e->refused++;
	if (status == RPC_STATUS_NOT_ALLOWED &&
	    log_rate_ok(&rate, 10, &suppressed))
		log_info("not-allowed op=%s role=%s name=%s "
		    "suppressed=%u", c->info != NULL ? c->info->name : "?",
		    rpc_role_name(c->caller->role), c->caller->name,
		    suppressed);
	e3_call_fail(c, status);
}
