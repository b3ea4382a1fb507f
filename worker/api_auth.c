/*
 * worker/api_auth.c - may this caller?  Always asked of an engine, whose word
 * on an API key api_key.c remembers for seconds.
 *
 * Failures are counted by address: beyond conf's auth_failures_per_minute the
 * engine is asked only about API keys that were good before.
 */
#include "worker/api_private.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/secret.h"
#include "worker/address_meter.h"
#include "worker/payload_hash.h"

#define APP_SYSTEM	"app_system"	/* holds certificate keys, no caller's */

static void ask_about_token(struct api_call *);

static void
fail_unauthorized(struct api_call *a, const char *detail)
{
	(void)address_meter_take(a->wrk->auth_failures, a->conn->client,
	    clock_mono_ms());
	api_fail(a, ERROR_UNAUTHORIZED, "authentication", detail);
}

static void
take_app(struct api_call *a, const char *app)
{
	if (strcmp(app, APP_SYSTEM) == 0) {
		fail_unauthorized(a, "the credentials are not good");
		return;
	}
	memcpy(a->app, app, sizeof(a->app));
	a->authorised = true;
	api_go_on(a);
}

/* ---- API keys ---- */

static void
on_verdict(void *arg, const struct api_key_answer *answer)
{
	struct api_call *a = arg;

	a->auth_id = 0;
	switch (answer->verdict) {
	case API_KEY_GOOD:
		memcpy(a->key_id, answer->key_id, sizeof(a->key_id));
		take_app(a, answer->app);
		return;
	case API_KEY_BAD:
		fail_unauthorized(a, "the API key is not good");
		return;
	case API_KEY_NO_SCOPE:
		api_fail(a, ERROR_FORBIDDEN, "authentication",
		    "the API key has no scope for this");
		return;
	case API_KEY_NO_ENGINE:
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "authentication",
		    "no engine could check the API key");
		return;
	}
}

/* Views into the call's credentials. */
static struct api_key_question
question_of(const struct api_call *a)
{
	return ((struct api_key_question){
	    .key = { buffer_data(&a->credentials.secret),
		buffer_len(&a->credentials.secret) },
	    .app = a->credentials.app[0] != '\0' ? a->credentials.app : NULL,
	    .scope = a->endpoint->scope,
	});
}

static void
ask_about_key(struct api_call *a)
{
	const struct api_key_question question = question_of(a);
	struct api_key_answer now;

	a->auth_id = api_key_ask(a->wrk->api_keys, &question, on_verdict, a, &now);
	/* What changes configuration is checked again by who does it. */
	if (a->endpoint->scope != API_SCOPE_MANAGE)
		buffer_clear(&a->credentials.secret);
	if (a->auth_id == 0)
		on_verdict(a, &now);
}

/* ---- client-side tokens ---- */

/* The member `data`, if the document has this one alone: what stood beside it
 * would be opened, too.  0: no. */
static uint32_t
wrapped(const struct body_json *doc)
{
	uint32_t at = doc->nodes[0].type != BODY_JSON_OBJECT ? 0 :
	    body_json_member(doc, 0, "data");

	return (at == body_json_child(doc, 0) &&
	    body_json_sibling(doc, at) == 0 ? at : 0);
}

/*
 * The hash of what the caller sent; on the second try of its one member
 * `data`, in which several SDKs wrap a payload.  RC_NOTFOUND: it is no such
 * wrap.
 */
static enum rc
hash_payload(const struct api_call *a, uint8_t out[RPC_PAYLOAD_HASH_BYTES])
{
	struct body_json doc;
	uint32_t node = 0;
	enum rc rc;

	rc = body_json_read(&doc, buffer_data(&a->body), buffer_len(&a->body),
	    PAYLOAD_NODES_MAX, NULL);
	if (rc != RC_OK)
		return (rc);
	if (a->second_try && (node = wrapped(&doc)) == 0)
		rc = RC_NOTFOUND;
	else
		rc = payload_hash(&doc, node, out);
	body_json_fini(&doc);
	return (rc);
}

static enum rc
on_write(void *arg, struct buffer *body)
{
	const struct api_call *a = arg;
	const struct rpc_credential token = {
		.kind = RPC_CREDENTIAL_TOKEN,
		.secret = { buffer_data(&a->credentials.secret),
		    buffer_len(&a->credentials.secret) },
		.payload_hash = { (const char *)a->payload_hash,
		    sizeof(a->payload_hash) },
	};

	rpc_credential_put(body, &token);
	return (RC_OK);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct rpc_authenticated said;
	struct api_call *a = arg;

	if (more || rpc_authenticated_read(body, &said) != RC_OK ||
	    !span_copy(said.app, a->app, sizeof(a->app)))
		return (RC_SYNTAX);
	if (!rpc_authenticated_allows(&said, "api:decrypt"))
		api_refuse(a, ERROR_FORBIDDEN,
		    "the client-side token is for something else");
	return (RC_OK);
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct api_call *a = arg;
	char app[RPC_APP_ID_BYTES];

	a->engine_id = 0;
	if (rc == RC_OK && !a->refused) {
		buffer_clear(&a->credentials.secret);
		memcpy(app, a->app, sizeof(app));
		take_app(a, app);
	} else if (rc != RC_DENIED || status != RPC_STATUS_UNAUTHORIZED) {
		api_engine_fail(a, rc, status);
	} else if (!a->second_try) {
		a->second_try = true;
		ask_about_token(a);
	} else {
		fail_unauthorized(a, "the client-side token is not good for "
		    "this payload, or has ended");
	}
}

static const struct engine_call_ops token_ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

static void
ask_about_token(struct api_call *a)
{
	if (a->is_file) {
		fail_unauthorized(a, "a client-side token is good for JSON alone");
		return;
	}
	switch (hash_payload(a, a->payload_hash)) {
	case RC_OK:
		api_engine_call(a, RPC_OP_AUTHENTICATE, &token_ops);
		return;
	case RC_NOTFOUND:
		fail_unauthorized(a, "the client-side token is not good for "
		    "this payload, or has ended");
		return;
	case RC_LIMIT:
		api_fail(a, ERROR_TOO_MANY_FIELDS, "authentication",
		    "more values than a client-side token can be bound to");
		return;
	default:
		api_fail(a, ERROR_MALFORMED_BODY, "authentication",
		    "the body is not JSON");
		return;
	}
}

/* ---- */

/* One bad client must not lock out all who share its address.  A token that is
 * good has been seen by nobody before. */
static bool
was_good(const struct api_call *a)
{
	const struct api_key_question question = question_of(a);

	return (a->credentials.scheme == API_SCHEME_KEY &&
	    api_key_was_good(a->wrk->api_keys, &question));
}

bool
api_auth_may_try(struct api_call *a)
{
	if (!address_meter_over(a->wrk->auth_failures, a->conn->client,
	    clock_mono_ms()) || was_good(a))
		return (true);
	api_fail(a, ERROR_RATE_LIMITED, "authentication",
	    "too many failed authentications from this address");
	return (false);
}

void
api_auth_ask(struct api_call *a)
{
	if (!api_auth_may_try(a))
		return;
	if (a->credentials.scheme == API_SCHEME_TOKEN)
		ask_about_token(a);
	else
		ask_about_key(a);
}
