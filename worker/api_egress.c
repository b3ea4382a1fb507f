/*
 * worker/api_egress.c - /egress: the caller's own egress record, with its
 * allowlist (conf/egress_json.h).
 *
 * A destination becomes `internal` by relayctl or Redis alone: what may be
 * reached in the operator's own network is not for an app's key to say.
 */
#include "worker/api_relays.h"

#include <string.h>

#include "worker/api_change.h"
#include "worker/api_private.h"

/* The record as it is, into a->was.  RC_OK, RC_NOTFOUND; anything else: the
 * call has failed. */
static enum rc
read_record(struct api_call *a)
{
	enum rc rc = relay_records_egress(a->wrk->routes, a->app, &a->was);

	if (rc != RC_OK && rc != RC_NOTFOUND)
		api_relays_unread(a);
	return (rc);
}

static void
fail_no_record(struct api_call *a)
{
	api_fail(a, ERROR_RESOURCE_NOT_FOUND, "work",
	    "the app has no egress record");
}

void
api_egress_get(struct api_call *a)
{
	switch (read_record(a)) {
	case RC_OK:
		api_answer(a, 200, API_TYPE_JSON, &a->was);
		return;
	case RC_NOTFOUND:
		fail_no_record(a);
		return;
	default:
		return;
	}
}

/* ---- writing ---- */

/* False: the call has failed.  The feed looks again, and at who may what. */
static bool
check(struct api_call *a)
{
	struct egress *egress = NULL;
	struct relay_fault fault;

	if (egress_json_parse(span_of(a->app), api_body(a), &egress, &fault) !=
	    RC_OK) {
		api_relays_fault(a, &fault);
		return (false);
	}
	egress_unref(&egress);
	return (true);
}

static void
written(struct api_call *a)
{
	api_answer(a, 200, API_TYPE_JSON, &a->body);
}

void
api_egress_put(struct api_call *a)
{
	enum rc rc = read_record(a);

	if ((rc != RC_OK && rc != RC_NOTFOUND) || !check(a))
		return;
	api_change(a, &(struct api_change){ .hash = "egress", .field = a->app,
	    .value = &a->body, .was = rc == RC_OK ? &a->was : NULL }, written);
}

static void
removed(struct api_call *a)
{
	api_answer(a, 202, NULL, NULL);
}

void
api_egress_remove(struct api_call *a)
{
	switch (read_record(a)) {
	case RC_OK:
		api_change(a, &(struct api_change){ .hash = "egress",
		    .field = a->app, .was = &a->was }, removed);
		return;
	case RC_NOTFOUND:
		fail_no_record(a);
		return;
	default:
		return;
	}
}
