/*
 * worker/api_relays.c - /relays and /relays/ID (spec/inbound.md 2).
 *
 * A relay with custom domains is several records.  Each is written on its own:
 * the relay's first, and, when it goes, last.  A call that fails in between
 * says so, and can be repeated.
 */
#include "worker/api_relays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/body/json_write.h"
#include "worker/api_change.h"
#include "worker/api_private.h"

/* ---- what the files of REST management share ---- */

void
api_relays_unread(struct api_call *a)
{
	api_fail(a, ERROR_NOT_READY, "work",
	    "the configuration cannot be read now");
}

void
api_relays_fault(struct api_call *a, const struct relay_fault *fault)
{
	char text[sizeof(fault->path) + sizeof(fault->reason) + 2];

	(void)snprintf(text, sizeof(text), "%s%s%s", fault->path,
	    fault->path[0] != '\0' ? ": " : "", fault->reason);
	api_fail(a, ERROR_BAD_REQUEST, "work", text);
}

/* Records are held as bodies are.  False: the call has failed. */
static bool
may_hold(struct api_call *a)
{
	if (api_account(a))
		return (true);
	api_fail(a, ERROR_OVERLOADED, "work",
	    "this worker holds as many bodies as it may");
	return (false);
}

/* id NULL: all of the app's.  False: the call has failed. */
static bool
read_records(struct api_call *a, const char *id)
{
	if (relay_records_find(a->wrk->routes, a->app, id, &a->records) ==
	    RC_OK)
		return (may_hold(a));
	api_relays_unread(a);
	return (false);
}

bool
api_relays_find(struct api_call *a)
{
	if (!read_records(a, a->arguments.v[0]))
		return (false);
	if (a->records.n == 0) {
		api_fail(a, ERROR_RESOURCE_NOT_FOUND, "work",
		    "the app has no such relay");
		return (false);
	}
	return (true);
}

bool
api_relays_host_is_free(struct api_call *a, const char *host)
{
	struct relay *relay = NULL;

	switch (route_find(a->wrk->routes, host, &relay)) {
	case RC_NOTFOUND:
		return (true);
	case RC_OK:
		relay_unref(&relay);
		api_fail(a, ERROR_CONFLICT, "work",
		    "the host name has a relay already");
		return (false);
	default:
		api_relays_unread(a);
		return (false);
	}
}

static struct span
json_of(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static void
answer_relay(struct api_call *a, unsigned status, const struct buffer *json,
    const char *host)
{
	buffer_clear(&a->out);
	if (relay_record_show(json_of(json), host, &a->out) != RC_OK)
		api_relays_unread(a);
	else
		api_answer(a, status, API_TYPE_JSON, &a->out);
}

/* ---- reading ---- */

void
api_relays_list(struct api_call *a)
{
	struct body_json_writer w;

	if (!read_records(a, NULL))
		return;
	body_json_writer_init(&w, &a->out);
	body_json_open_object(&w, NULL);
	body_json_open_array(&w, "data");
	for (size_t i = 0; i < a->records.n && !a->records.v[i].custom; i++) {
		if (i != 0)
			buffer_puts(&a->out, ",");
		(void)!relay_record_show(json_of(&a->records.v[i].json),
		    a->records.v[i].host, &a->out);
	}
	body_json_close_array(&w);
	body_json_close_object(&w);
	if (may_hold(a))
		api_answer(a, 200, API_TYPE_JSON, &a->out);
}

void
api_relay_get(struct api_call *a)
{
	if (api_relays_find(a))
		answer_relay(a, 200, &a->records.v[0].json, a->records.v[0].host);
}

/* ---- making ---- */

static void
created(struct api_call *a)
{
	struct buffer record;

	buffer_init(&record, 0, false);
	buffer_move(&record, &a->out);
	answer_relay(a, 201, &record, a->host);
	buffer_fini(&record);
}

/* The host name and the marks of a relay to be made. */
static enum rc
new_identity(struct api_call *a, struct relay_identity *is,
    struct relay_fault *fault)
{
	char destination[HOST_BYTES];
	enum rc rc;

	memset(is, 0, sizeof(*is));
	rc = relay_record_host_of(api_body(a), "destinationDomain", destination,
	    fault);
	if (rc != RC_OK)
		return (rc);
	if (relay_record_domain(destination, a->app,
	    a->wrk->conf->relay_domain, a->host) != RC_OK) {
		*fault = (struct relay_fault){ .path = "destinationDomain",
		    .reason = "no host name can be made of it" };
		return (RC_SYNTAX);
	}
	memcpy(is->app, a->app, sizeof(is->app));
	memcpy(is->domain, a->host, sizeof(is->domain));
	id_make(RELAY_ID_PREFIX, is->id);
	is->guarded = true;	/* who manages an app is not the operator */
	is->created_ms = is->updated_ms = clock_wall_ms();
	return (RC_OK);
}

void
api_relays_create(struct api_call *a)
{
	struct relay_fault fault = { .path = "" };
	struct relay_identity is;

	if (new_identity(a, &is, &fault) != RC_OK ||
	    relay_record_create(api_body(a), &is, &a->out, &fault) != RC_OK) {
		buffer_clear(&a->out);
		api_relays_fault(a, &fault);
		return;
	}
	if (api_relays_host_is_free(a, a->host))
		api_change(a, &(struct api_change){ .hash = "relays",
		    .field = a->host, .value = &a->out }, created);
}

/* ---- changing ---- */

static void change_next(struct api_call *);

static void
changed(struct api_call *a)
{
	struct relay_entry *e = &a->records.v[a->number++];

	/* As it is now: the first one is the answer. */
	buffer_fini(&e->json);
	buffer_move(&e->json, &a->out);
	change_next(a);
}

static void
change_next(struct api_call *a)
{
	struct relay_fault fault = { .path = "" };
	struct relay_entry *e;

	if (a->number == a->records.n) {
		answer_relay(a, 200, &a->records.v[0].json, a->records.v[0].host);
		return;
	}
	e = &a->records.v[a->number];
	buffer_clear(&a->out);
	if (relay_record_change(json_of(&e->json), e->host, api_body(a),
	    clock_wall_ms(), &a->out, &fault) != RC_OK) {
		buffer_clear(&a->out);
		api_relays_fault(a, &fault);
		return;
	}
	api_change(a, &(struct api_change){ .hash = "relays", .field = e->host,
	    .value = &a->out, .was = &e->json }, changed);
}

void
api_relay_change(struct api_call *a)
{
	if (api_relays_find(a))
		change_next(a);
}

/* ---- removing ---- */

static void
remove_next(struct api_call *a)
{
	struct relay_entry *e;

	if (a->records.n == a->number) {
		api_answer(a, 202, NULL, NULL);
		return;
	}
	/* From the end: the relay itself goes last. */
	a->number++;
	e = &a->records.v[a->records.n - a->number];
	api_change(a, &(struct api_change){ .hash = "relays", .field = e->host,
	    .was = &e->json }, remove_next);
}

void
api_relay_remove(struct api_call *a)
{
	if (api_relays_find(a))
		remove_next(a);
}
