/* worker/api_engine.c - a call of an engine, and what its refusals mean to the
 * caller. */
#include "worker/api_private.h"

void
api_engine_call(struct api_call *a, enum rpc_op op,
    const struct engine_call_ops *ops)
{
	a->engine_id = engine_call(a->wrk->engines, op, ops, a);
	if (a->engine_id == 0)
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "engine",
		    "too many calls wait for an engine");
}

static void
fail_denied(struct api_call *a, enum rpc_status status)
{
	switch (status) {
	case RPC_STATUS_RATE_LIMITED:
		api_fail(a, ERROR_RATE_LIMITED, "engine",
		    "the app's values per second are used up");
		return;
	case RPC_STATUS_NO_SUCH_APP:
		api_fail(a, ERROR_RESOURCE_NOT_FOUND, "engine",
		    "there is no such app");
		return;
	case RPC_STATUS_BAD_REQUEST:
		api_fail(a, ERROR_BAD_REQUEST, "engine",
		    "the engine does not take such a request");
		return;
	case RPC_STATUS_LIMIT:
		api_fail(a, ERROR_PAYLOAD_TOO_LARGE, "engine",
		    "the call is too large");
		return;
	default:
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "engine",
		    rpc_status_name(status));
		return;
	}
}

void
api_engine_fail(struct api_call *a, enum rc rc, enum rpc_status status)
{
	if (a->refused) {
		api_fail(a, a->refusal, "engine", a->refusal_detail);
		return;
	}
	switch (rc) {
	case RC_DENIED:
		fail_denied(a, status);
		return;
	case RC_LIMIT:
	case RC_NOMEM:
		api_fail(a, ERROR_PAYLOAD_TOO_LARGE, "engine",
		    "the call or its result is too large");
		return;
	case RC_TIMEOUT:
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "engine",
		    "no engine answered in time");
		return;
	case RC_SYNTAX:
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "engine",
		    "an engine answered wrongly");
		return;
	default:
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "engine",
		    "no engine is available");
		return;
	}
}

void
api_on_json_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct api_call *a = arg;

	a->engine_id = 0;
	if (rc != RC_OK || a->refused)
		api_engine_fail(a, rc, status);
	else
		api_answer(a, 200, API_TYPE_JSON, &a->out);
}
