/*
 * worker/api_outbound.c - GET /v2/relay-outbound: which destinations an SDK is
 * to send through egress (spec/sdk-api.md 3.6).
 */
#include "worker/api_private.h"

#include <stdlib.h>

#include "lib/base/object.h"
#include "worker/outbound_answer.h"
#include "worker/route.h"

void
api_outbound(struct api_call *a)
{
	struct egress *egress = NULL;
	char *fields;

	switch (route_egress(a->wrk->routes, a->app, &egress)) {
	case RC_OK:
	case RC_NOTFOUND:
		break;
	default:
		api_fail(a, ERROR_NOT_READY, "work",
		    "no complete configuration was read yet");
		return;
	}
	outbound_answer_write(a->app, egress, &a->out);
	egress_unref(&egress);
	fields = xasprintf("X-Poll-Interval: %u\r\n",
	    a->wrk->conf->outbound_poll_s);
	api_answer_with(a, 200, API_TYPE_JSON, &a->out, fields);
	free(fields);
}
