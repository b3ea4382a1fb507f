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

static void
check_actions(const struct relay_action *actions, size_t n,
    enum relay_action_kind kind)
{
	ensure(n <= RELAY_ACTIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		ensure(actions[i].kind == kind);
		for (size_t k = 0; k < actions[i].n_selections; k++)
			ensure(actions[i].paths[k] != NULL &&
			    actions[i].selectors[k] != NULL);
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
		check_actions(route->request, route->n_request, RELAY_ENCRYPT);
		check_actions(route->response, route->n_response,
		    RELAY_DECRYPT);
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
