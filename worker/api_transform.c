/*
 * worker/api_transform.c - POST /encrypt and /decrypt of JSON: every leaf, in
 * the shape that came.  The work is transform.c's, with a relay that says
 * "every leaf" and has no destination.
 */
#include "worker/api_private.h"

#include "lib/base/object.h"
#include "worker/exchange.h"

static void on_transformed(void *, enum transform_result, const char *);

/* The template's action; its one selection gets the caller's data role. */
static void
take_action(struct api_call *a, const struct relay_action *template)
{
	struct relay_selections *json = &a->action.of[RELAY_SELECT_JSON];

	a->action = *template;
	if (a->role[0] == '\0')
		return;
	a->selection = *template->of[RELAY_SELECT_JSON].v[0];
	a->selection.role = a->role;
	a->selection_at = &a->selection;
	json->v = &a->selection_at;
}

/* The template's rules for the caller's app. */
static void
take_rules(struct api_call *a, const struct relay *template)
{
	a->relay = relay_new();
	a->relay->app = xstrdup(a->app);
	a->relay->host = xstrdup(template->host);
	a->relay->undecryptable = template->undecryptable;
}

static void
feed(struct api_call *a)
{
	enum transform_result result;
	const char *why;

	result = transform_feed(a->transform, true, &why);
	if (result != TRANSFORM_PENDING)
		on_transformed(a, result, why);
}

static void
begin(struct api_call *a, size_t route)
{
	const struct relay *template = a->wrk->api->rules;
	struct transform_job job = {
		.engines = a->wrk->engines,
		.place = RPC_PLACE_API,
		.action = &a->action,
		.client = a->conn->client,
		.head = &a->no_head,
		.body = &a->body,
		.syntax = REWRITE_JSON,
		.forbidden_fails = true,
		.tx = &a->tx,
		.max_fields = a->wrk->conf->max_body_fields,
		.max_bytes = API_RESULT_MAX,
		.reserve = api_reserve,
	};

	take_action(a, &template->routes[route].request[0]);
	take_rules(a, template);
	job.relay = a->relay;
	a->transform = transform_new(&job, on_transformed, a);
	feed(a);
}

static void
on_transformed(void *arg, enum transform_result result, const char *why)
{
	struct api_call *a = arg;

	if (result == TRANSFORM_PIECE) {	/* too much for one call */
		feed(a);
		return;
	}
	if (result == TRANSFORM_MALFORMED)	/* a caller knows of no selectors */
		why = "the body is no JSON in UTF-8, or is nested too deeply";
	if (result != TRANSFORM_DONE) {
		api_fail(a, exchange_transform_error(result), "transform", why);
		return;
	}
	transform_free(&a->transform);
	a->reserved_bytes = 0;
	(void)api_account(a);
	api_answer(a, 200, API_TYPE_JSON, &a->body);
}

void
api_encrypt(struct api_call *a)
{
	if (a->is_file)
		api_encrypt_file(a);
	else
		begin(a, 0);
}

void
api_decrypt(struct api_call *a)
{
	if (a->is_file)
		api_decrypt_file(a);
	else
		begin(a, 1);
}
