/*
 * worker/api_token.c - POST /client-side-tokens: leave to open one payload for
 * some minutes, for a client that holds no API key (spec/sdk-api.md 3.4).
 */
#include "worker/api_private.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/body/json_write.h"
#include "worker/api_token_request.h"

static enum rc
on_write(void *arg, struct buffer *body)
{
	const struct api_call *a = arg;
	const struct rpc_create_token m = {
		.app = span_of(a->app),
		.action = SPAN_LIT("api:decrypt"),
		.payload_hash = { (const char *)a->payload_hash,
		    sizeof(a->payload_hash) },
		.expires_ms = a->number,
	};

	rpc_create_token_put(body, &m);
	return (RC_OK);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct rpc_created_token token;
	struct api_call *a = arg;
	struct body_json_writer w;

	if (more || rpc_created_token_read(body, &token) != RC_OK)
		return (RC_SYNTAX);
	buffer_clear(&a->out);
	body_json_writer_init(&w, &a->out);
	body_json_open_object(&w, NULL);
	body_json_put_string(&w, "id", token.id);
	body_json_put_string(&w, "token", token.token);
	body_json_put_u64(&w, "createdAt", token.created_ms);
	body_json_put_u64(&w, "expiry", token.expires_ms);
	body_json_close_object(&w);
	return (RC_OK);
}

static const struct engine_call_ops ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = api_on_json_end,	/* 200: the Go SDK takes no other */
};

void
api_token_create(struct api_call *a)
{
	struct api_token_request request;

	if (api_token_request_read(api_body(a), clock_wall_ms(), &request) !=
	    RC_OK) {
		api_fail(a, request.code, "work", request.detail);
		return;
	}
	memcpy(a->payload_hash, request.payload_hash, sizeof(a->payload_hash));
	a->number = request.expires_ms;
	api_engine_call(a, RPC_OP_CREATE_TOKEN, &ops);
}
