/* worker/api_token_request.c - strict about what binds the token, lenient
 * about the ways SDKs write a time (spec/sdk-api.md 3.4). */
#include "worker/api_token_request.h"

#include <string.h>

#include "lib/body/json.h"
#include "worker/payload_hash.h"

static enum rc
fault(struct api_token_request *r, enum error_code code, const char *detail)
{
	r->code = code;
	r->detail = detail;
	return (RC_SYNTAX);
}

static enum rc
read_action(const struct body_json *doc, struct api_token_request *r)
{
	uint32_t at = body_json_member(doc, 0, "action");

	if (at == 0 || doc->nodes[at].type != BODY_JSON_STRING ||
	    !body_json_text_is(body_json_raw(doc, at), SPAN_LIT("api:decrypt")))
		return (fault(r, ERROR_BAD_REQUEST,
		    "action must be \"api:decrypt\""));
	return (RC_OK);
}

/* Without one the token would be good for everything. */
static enum rc
read_payload(const struct body_json *doc, struct api_token_request *r)
{
	uint32_t at = body_json_member(doc, 0, "payload");

	if (at == 0)
		return (fault(r, ERROR_BAD_REQUEST, "payload is missing"));
	switch (payload_hash(doc, at, r->payload_hash)) {
	case RC_OK:
		return (RC_OK);
	case RC_SYNTAX:
		return (fault(r, ERROR_MALFORMED_BODY,
		    "payload holds a lone surrogate"));
	default:
		return (fault(r, ERROR_PAYLOAD_TOO_LARGE,
		    "no memory for a payload of this size"));
	}
}

/* Node's sends what is left of a second of a Date: up to ten minutes is a time
 * from now, more is a time since 1970. */
static enum rc
read_expiry(const struct body_json *doc, uint64_t now_ms,
    struct api_token_request *r)
{
	uint32_t at = body_json_member(doc, 0, "expiry");
	uint64_t ms = 0;

	if (at != 0 && doc->nodes[at].type != BODY_JSON_NULL &&
	    (doc->nodes[at].type != BODY_JSON_NUMBER ||
	    string_u64(body_json_raw(doc, at), &ms) != RC_OK))
		return (fault(r, ERROR_BAD_REQUEST,
		    "expiry must be a whole number of milliseconds"));
	if (ms == 0)
		ms = API_TOKEN_LIFE_MS;
	r->expires_ms = ms <= RPC_CLIENT_TOKEN_MS_MAX ? now_ms + ms : ms;
	if (r->expires_ms <= now_ms ||
	    r->expires_ms > now_ms + RPC_CLIENT_TOKEN_MS_MAX)
		return (fault(r, ERROR_BAD_REQUEST,
		    "expiry must be in the future, at most ten minutes ahead"));
	return (RC_OK);
}

enum rc
api_token_request_read(struct span body, uint64_t now_ms,
    struct api_token_request *r)
{
	struct body_json_fault why = { .too_many = false };
	struct body_json doc;
	enum rc rc;

	memset(r, 0, sizeof(*r));
	if (body_json_read(&doc, body.p, body.len, PAYLOAD_NODES_MAX, &why) !=
	    RC_OK)
		return (why.too_many ? fault(r, ERROR_TOO_MANY_FIELDS,
		    "more values than a token can be bound to") :
		    fault(r, ERROR_MALFORMED_BODY, "the body is not JSON"));
	if (doc.nodes[0].type != BODY_JSON_OBJECT)
		rc = fault(r, ERROR_BAD_REQUEST, "the body must be an object");
	else if ((rc = read_action(&doc, r)) == RC_OK &&
	    (rc = read_payload(&doc, r)) == RC_OK)
		rc = read_expiry(&doc, now_ms, r);
	body_json_fini(&doc);
	return (rc);
}
