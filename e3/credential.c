/* e3/credential.c - API keys and client-side tokens, asked for and made. */
#include "e3/credential.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/secret.h"
#include "lib/rpc/credential.h"
#include "lib/scheme/client_token.h"

/* Another engine's clock may be behind the one that made a token. */
#define CLOCK_SKEW_MS	60000

/* ---- API keys ---- */

static enum rpc_status
answer_key(struct e3_engine *e, struct e3_call *c, const struct e3_api_key *key)
{
	uint64_t now_ms = clock_wall_ms(), cache_s = e->auth_cache_s, left_s;
	enum rpc_status status;
	struct buffer scopes;

	/* Nobody may remember it for longer than it lives. */
	left_s = key->expires_ms > now_ms ? (key->expires_ms - now_ms) / 1000 :
	    0;
	if (key->expires_ms != 0 && left_s < cache_s)
		cache_s = left_s;
	buffer_init(&scopes, 0, false);
	e3_api_key_put_scopes(&scopes, key);
	status = rpc_answer(&c->served, RPC_STR("app", key->app->id),
	    RPC_STR("key", key->id),
	    RPC_RAW_OF("scopes", &scopes), RPC_U64("cache_s", cache_s),
	    RPC_U64("keys_epoch", e3_keyring_epoch(e->keyring)));
	buffer_fini(&scopes);
	return (status);
}

static enum rpc_status
by_secret(struct e3_engine *e, struct e3_call *c, struct span secret)
{
	const struct e3_api_key *key;
	enum rpc_status status;

	status = e3_dispatch_authenticate(e, secret, &key);
	return (status != RPC_STATUS_OK ? status : answer_key(e, c, key));
}

/* Is a key that was good before still so?  An id is no secret: it is believed
 * from who has seen the secret. */
static enum rpc_status
by_id(struct e3_engine *e, struct e3_call *c, struct span app_id, struct span id)
{
	const struct e3_app *app = e3_keyring_app(e->keyring, app_id);

	for (unsigned i = 0; app != NULL && i < app->n_keys; i++)
		if (span_eq_str(id, app->keys[i].id))
			return (e3_api_key_live(&app->keys[i], clock_wall_ms()) ?
			    answer_key(e, c, &app->keys[i]) :
			    RPC_STATUS_UNAUTHORIZED);
	return (RPC_STATUS_UNAUTHORIZED);
}

/* ---- client-side tokens ---- */

/* The key that signs and verifies by this pair: a view, for the moment. */
static enum rc
token_key(struct e3_engine *e, const struct e3_key_pair *p, uint8_t **key)
{
	*key = scheme_crypto_work(e->crypto);
	return (scheme_derive(p->secret, SCHEME_CLIENT_TOKEN_END, *key));
}

static enum rpc_status
signed_by_app(struct e3_engine *e, const struct e3_app *app,
    const struct scheme_client_token *t)
{
	enum rc rc = RC_DENIED;
	uint8_t *key;

	for (unsigned i = app->n_pairs; i-- != 0 && rc == RC_DENIED;) {
		const struct e3_key_pair *p = &app->pairs[i];

		if (p->curve != RPC_CURVE_R1 || p->state == E3_PAIR_RETIRED)
			continue;
		if ((rc = token_key(e, p, &key)) == RC_OK)
			rc = scheme_client_token_signed(t, key);
		secret_wipe(key, SCHEME_SECRET_BYTES);
	}
	if (rc == RC_DENIED)
		return (RPC_STATUS_UNAUTHORIZED);
	return (rpc_served_status(rc));
}

static bool
in_its_time(const struct scheme_client_token *t)
{
	uint64_t now_ms = clock_wall_ms();

	return (t->expires_ms > now_ms &&
	    t->expires_ms - now_ms <= RPC_CLIENT_TOKEN_MS_MAX + CLOCK_SKEW_MS);
}

static enum rpc_status
by_token(struct e3_engine *e, struct e3_call *c, struct span text,
    struct span payload_hash)
{
	struct scheme_client_token t;
	const struct e3_app *app;
	enum rpc_status status;
	struct buffer scopes;

	if (payload_hash.len != sizeof(t.payload))
		return (RPC_STATUS_BAD_REQUEST);
	if (scheme_client_token_parse(text, &t) != RC_OK ||
	    (app = e3_keyring_app(e->keyring, span_of(t.app))) == NULL)
		return (RPC_STATUS_UNAUTHORIZED);
	if ((status = signed_by_app(e, app, &t)) != RPC_STATUS_OK)
		return (status);
	if (!in_its_time(&t) || (t.bound && !secret_equal(t.payload,
	    payload_hash.p, sizeof(t.payload))))
		return (RPC_STATUS_UNAUTHORIZED);
	buffer_init(&scopes, 0, false);
	rpc_put_array(&scopes, 1);
	rpc_put_str(&scopes, SCHEME_CLIENT_TOKEN_ACTION);
	/* Its payload is another one next time: nothing to remember. */
	status = rpc_answer(&c->served, RPC_STR("app", app->id),
	    RPC_STR("key", t.id), RPC_RAW_OF("scopes", &scopes),
	    RPC_U64("cache_s", 0),
	    RPC_U64("keys_epoch", e3_keyring_epoch(e->keyring)));
	buffer_fini(&scopes);
	return (status);
}

/* ---- the ops ---- */

enum rpc_status
e3_authenticate(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_credential who;
	enum rc rc;

	if ((rc = rpc_credential_read(c->served.frame.body, &who)) != RC_OK)
		return (rpc_served_status(rc));
	switch (who.kind) {
	case RPC_CREDENTIAL_SECRET:
		return (by_secret(e, c, who.secret));
	case RPC_CREDENTIAL_KEY:
		return (by_id(e, c, who.app, who.key));
	case RPC_CREDENTIAL_TOKEN:
		return (by_token(e, c, who.secret, who.payload_hash));
	}
	return (RPC_STATUS_INTERNAL);
}

static enum rpc_status
answer_token(struct e3_engine *e, struct e3_call *c,
    const struct e3_key_pair *pair, const struct scheme_client_token *t,
    uint64_t now_ms)
{
	enum rpc_status status = RPC_STATUS_OVERLOADED;
	struct buffer text;
	uint8_t *key;

	buffer_init(&text, 0, true);
	if (token_key(e, pair, &key) == RC_OK &&
	    scheme_client_token_print(t, key, &text) == RC_OK)
		status = rpc_answer(&c->served,
		    RPC_STR("token", buffer_cstr(&text)),
		    RPC_STR("id", t->id), RPC_U64("created_ms", now_ms),
		    RPC_U64("expires_ms", t->expires_ms));
	secret_wipe(key, SCHEME_SECRET_BYTES);
	buffer_fini(&text);
	return (status);
}

enum rpc_status
e3_create_token(struct e3_engine *e, struct e3_call *c)
{
	uint64_t now_ms = clock_wall_ms();
	struct scheme_client_token t = { .bound = false };
	const struct e3_key_pair *pair;
	struct rpc_create_token msg;
	enum rpc_status status;
	enum rc rc;

	if ((rc = rpc_create_token_read(c->served.frame.body, &msg)) != RC_OK)
		return (rpc_served_status(rc));
	if (!span_eq_str(msg.action, SCHEME_CLIENT_TOKEN_ACTION) ||
	    msg.expires_ms <= now_ms ||
	    msg.expires_ms - now_ms > RPC_CLIENT_TOKEN_MS_MAX)
		return (RPC_STATUS_BAD_REQUEST);
	if (span_eq_str(msg.app, E3_SYSTEM_APP))
		return (RPC_STATUS_NOT_ALLOWED);
	if ((status = e3_dispatch_app(e, c, msg.app)) != RPC_STATUS_OK)
		return (status);
	if ((pair = e3_app_sealing_pair(c->app, RPC_CURVE_R1)) == NULL)
		return (RPC_STATUS_NO_SUCH_KEY);
	_Static_assert(sizeof(t.app) == sizeof(c->app->id), "an app's id fits");
	memcpy(t.app, c->app->id, sizeof(t.app));
	scheme_client_token_name(&t);
	t.expires_ms = msg.expires_ms;
	if ((t.bound = msg.payload_hash.len != 0))
		memcpy(t.payload, msg.payload_hash.p, sizeof(t.payload));
	return (answer_token(e, c, pair, &t, now_ms));
}
