/*
 * Any bytes as a relay JSON.  A refusal has a reason; a relay that is accepted
 * has all that the worker relies on.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conf/relay_json.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Each selection of a kind is where that kind's reader looks for it. */
static void
check_kind(const struct relay_action *a, enum relay_selection_kind kind)
{
	const struct relay_selections *of = &a->of[kind];
	size_t at = 0;

	for (size_t i = 0; i < a->n_selections; i++) {
		const struct relay_selection *s = &a->selections[i];

		if (s->kind != kind)
			continue;
		ensure(at < of->n && of->v[at] == s);
		ensure(of->paths[at] == s->path);
		ensure(span_eq_str(of->names[at], s->selector));
		ensure((s->path != NULL) == (kind == RELAY_SELECT_JSON));
		ensure(s->path == NULL || body_jsonpath_doubt(s->path) == NULL);
		ensure(s->role == NULL || s->role[0] != '\0');
		at++;
	}
	ensure(at == of->n);
}

static void
check_actions(const struct relay_action *actions, size_t n)
{
	ensure(n <= RELAY_ACTIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		size_t sum = 0;

		ensure(actions[i].kind == RELAY_ENCRYPT ||
		    actions[i].kind == RELAY_DECRYPT);
		ensure(actions[i].n_selections <= RELAY_SELECTIONS_MAX);
		for (int kind = 0; kind < RELAY_SELECTION_KINDS; kind++) {
			check_kind(&actions[i], (enum relay_selection_kind)kind);
			sum += actions[i].of[kind].n;
		}
		ensure(sum == actions[i].n_selections);
	}
}

static void
check_relay(const struct relay *relay)
{
	ensure(relay->refs == 1 && strncmp(relay->app, "app_", 4) == 0);
	ensure(strcmp(relay->app, "app_system") != 0);
	ensure(host_is_canonical(relay->host));
	ensure(host_is_canonical(relay->server_name));
	ensure(relay->port != 0);
	for (size_t i = 0; i < relay->n_routes; i++) {
		const struct relay_route *route = &relay->routes[i];
		struct span path = span_of(route->path);

		ensure(path.len != 0 && path.p[0] == '/');
		ensure(relay_path_match(route->path, path));
		check_actions(route->request, route->n_request);
		check_actions(route->response, route->n_response);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct relay_fault fault;
	struct relay *relay;
	struct span json = { (const char *)data, len };

	if (relay_json_parse(json, &relay, &fault) == RC_OK)
		check_relay(relay);
	else
		ensure(relay == NULL && fault.reason[0] != '\0');
	relay_unref(&relay);
	return (0);
}
