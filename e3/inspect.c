/*
 * e3/inspect.c - opened, looked at, and forgotten.
 *
 * No value leaves, so the policies of roles, which say where values may go,
 * have no say.  The fingerprint, equal for equal values of an app, is an HMAC:
 * who has no key of the app cannot try values out by it.
 */
#include "e3/inspect.h"

#include <stdlib.h>

#include "e3/opening.h"
#include "lib/base/secret.h"
#include "lib/rpc/credential.h"
#include "lib/rpc/policy.h"
#include "lib/scheme/derive.h"

#define FINGERPRINT_END	"relay fingerprint 1"

struct inspect {
	struct e3_opening	opening;
	struct span		token;		/* view of the call's bytes */
};

static void
inspect_free(void *p)
{
	struct inspect *w = p;

	e3_opening_fini(&w->opening);
	free(w);
}

/* The first pair on P-256, retired or not: rotation leaves it, so that values
 * sealed years apart have the same fingerprint.  Only DestroyKey ends it. */
static const struct e3_key_pair *
first_pair(const struct e3_app *app)
{
	for (unsigned i = 0; i < app->n_pairs; i++)
		if (app->pairs[i].curve == RPC_CURVE_R1)
			return (&app->pairs[i]);
	return (&app->pairs[0]);
}

/* Of type and value: the string "1" is not the number 1. */
static enum rc
fingerprint(const struct e3_app *app, struct scheme_crypto *crypto,
    const struct e3_opened *o, uint8_t out[SCHEME_SECRET_BYTES])
{
	const char type = (char)o->type;
	const struct span parts[] = { { &type, 1 }, o->value };
	uint8_t *key = scheme_crypto_work(crypto);
	enum rc rc;

	rc = scheme_derive(first_pair(app)->secret, FINGERPRINT_END, key);
	if (rc == RC_OK)
		rc = scheme_hmac(key, parts, 2, out);
	secret_wipe(key, SCHEME_SECRET_BYTES);
	return (rc);
}

static bool
is_integer(struct span text)
{
	if (text.len > 1 && text.p[0] == '-') {
		text.p++;
		text.len--;
	}
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] < '0' || text.p[i] > '9')
			return (false);
	return (text.len != 0);
}

static enum rc
inspect(struct e3_call *c, struct scheme_crypto *crypto, size_t *cost)
{
	struct inspect *w = c->served.work;
	struct rpc_inspected seen = { .status = RPC_OPEN_OK };
	uint8_t print[SCHEME_SECRET_BYTES];
	struct buffer reply;
	struct e3_opened o;
	enum rc rc;

	rc = e3_opening_open(&w->opening, c, crypto, w->token, &o, cost);
	if (rc != RC_OK)
		return (rc);
	seen.status = o.status;
	if (o.status == RPC_OPEN_OK) {
		*cost += 2 * E3_COST_VALUE(o.value.len);
		if ((rc = fingerprint(c->app, crypto, &o, print)) != RC_OK)
			return (rc);
		seen.type = o.type;
		seen.integer = o.type == RPC_FIELD_NUMBER && is_integer(o.value);
		seen.fingerprint = (struct span){ (const char *)print,
		    sizeof(print) };
		seen.encrypted_ms = (uint64_t)o.metadata.sealed_s * 1000;
		if (rpc_policy_role_valid(o.metadata.role))
			seen.role = o.metadata.role;
	}
	buffer_init(&reply, 0, false);
	rpc_inspected_put(&reply, &seen);
	rc = rpc_served_emit(&c->served, &reply, false);
	buffer_fini(&reply);
	return (rc);
}

static bool
inspect_run(struct sched_job *job, void *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	enum rc rc = RC_CANCELLED;

	if (!atomic_load(&job->cancelled))
		rc = inspect(c, crypto, cost);
	buffer_clear(scheme_crypto_scratch(crypto));
	if (rc != RC_OK)
		rpc_served_fail(&c->served, rpc_served_status(rc));
	return (true);
}

enum rpc_status
e3_inspect(struct e3_engine *e, struct e3_call *c)
{
	struct span app, token;
	enum rpc_status status;
	struct inspect *w;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("app", &app),
	    RPC_WANT_BYTES("token", &token)))
		return (RPC_STATUS_BAD_REQUEST);
	if (span_eq_str(app, E3_SYSTEM_APP))
		return (RPC_STATUS_NOT_ALLOWED);
	if ((status = e3_dispatch_app(e, c, app)) != RPC_STATUS_OK)
		return (status);
	w = rpc_served_work(&c->served, sizeof(*w), inspect_free);
	w->token = token;
	return (e3_dispatch_submit(e, c, inspect_run, 1,
	    E3_COST_ECDH + 4 * E3_COST_VALUE(token.len)));
}
