/*
 * worker/api_inspect.c - POST /inspect: what a token is, without its value
 * (spec/sdk-api.md 3.5).
 */
#include "worker/api_private.h"

#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define NODES_MAX	1024	/* of a body with one member that counts */

/* The token's text, decoded, into a->out. */
static enum rc
read_token(struct api_call *a)
{
	struct body_json doc;
	uint32_t at;
	enum rc rc;

	rc = body_json_read(&doc, buffer_data(&a->body), buffer_len(&a->body),
	    NODES_MAX, NULL);
	if (rc != RC_OK)
		return (RC_SYNTAX);
	at = doc.nodes[0].type == BODY_JSON_OBJECT ?
	    body_json_member(&doc, 0, "token") : 0;
	if (at == 0 || doc.nodes[at].type != BODY_JSON_STRING)
		rc = RC_NOTFOUND;
	else
		rc = body_json_unescape(body_json_raw(&doc, at), &a->out);
	body_json_fini(&doc);
	return (rc);
}

static enum rc
on_write(void *arg, struct buffer *body)
{
	const struct api_call *a = arg;

	return (rpc_inspect_put(body, span_of(a->app), api_body(a)));
}

static const char *
type_name(const struct rpc_inspected *seen)
{
	switch (seen->type) {
	case RPC_FIELD_STRING:
		return ("string");
	case RPC_FIELD_NUMBER:
		return (seen->integer ? "integer" : "float");
	case RPC_FIELD_BOOLEAN:
		return ("boolean");
	case RPC_FIELD_FILE:
		return ("file");
	}
	return ("string");
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	char print[2 * RPC_PAYLOAD_HASH_BYTES + 1];
	struct rpc_inspected seen;
	struct api_call *a = arg;
	struct body_json_writer w;

	if (more || rpc_inspected_read(body, &seen) != RC_OK)
		return (RC_SYNTAX);
	if (seen.status != RPC_OPEN_OK) {
		api_refuse(a, ERROR_DECRYPTION,
		    "the token is of another app, or was changed or cut");
		return (RC_OK);
	}
	if (seen.fingerprint.len != RPC_PAYLOAD_HASH_BYTES)
		return (RC_SYNTAX);
	hex_encode(seen.fingerprint.p, seen.fingerprint.len, print);
	buffer_clear(&a->out);
	body_json_writer_init(&w, &a->out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "type", type_name(&seen));
	if (seen.encrypted_ms != 0)
		body_json_put_u64(&w, "encryptedAt", seen.encrypted_ms);
	if (seen.role.len != 0)
		body_json_put_string(&w, "role", seen.role);
	body_json_put_str(&w, "fingerprint", print);
	body_json_close_object(&w);
	return (RC_OK);
}

static const struct engine_call_ops ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = api_on_json_end,
};

void
api_inspect(struct api_call *a)
{
	switch (read_token(a)) {
	case RC_OK:
		buffer_move(&a->body, &a->out);
		api_engine_call(a, RPC_OP_INSPECT, &ops);
		return;
	case RC_NOTFOUND:
		api_fail(a, ERROR_BAD_REQUEST, "work",
		    "the body must be {\"token\": \"...\"}");
		return;
	default:
		api_fail(a, ERROR_MALFORMED_BODY, "work", "the body is not JSON");
		return;
	}
}
